"""The simulated Cloud SQL answers the real SDK as the provider does; its servers exist by name only."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import sqladmin_v1beta4 as beta

from domain.errors import (
    AccessDeniedError,
    BusyError,
    ConfigurationRefusedError,
    ProviderUnavailableError,
    QuotaReachedError,
    ResourceMissingError,
    ThrottledError,
)
from providers.gcp.errors import gcp_errors
from simulators.estate import Seed
from simulators.faults import Refusal
from tests.simulators.gcp_ground import HOUR, ORDERS, PROJECT, Ground, State, servers, standing


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    with standing(monkeypatch) as ground:
        yield ground


def test_a_seed_differs_from_every_default_that_a_restore_may_lose(ground: Ground) -> None:
    body = {"name": "plain", "settings": {"tier": "db-f1-micro"}, "database_version": "POSTGRES_15"}
    insert = ground.cloud.instances.insert(request={"project": PROJECT, "body": body})
    assert ground.done(insert) is None
    plain, orders = ground.get("plain"), ground.get("orders")
    for name in (
        *("tier", "edition", "availability_type", "storage_auto_resize", "data_disk_size_gb"),
        *("database_flags", "user_labels", "deletion_protection_enabled", "maintenance_window"),
        *("retain_backups_on_delete", "insights_config", "ip_configuration"),
    ):
        assert getattr(plain.settings, name) != getattr(orders.settings, name), name
    usual, kept = plain.settings.backup_configuration, orders.settings.backup_configuration
    assert (usual.enabled, kept.enabled) == (False, True)
    assert usual.backup_retention_settings.retained_backups == 7
    assert kept.backup_retention_settings.retained_backups == 30
    assert kept.transaction_log_retention_days == 7
    assert usual.start_time != kept.start_time


def test_a_seed_takes_overrides_in_the_fields_of_the_api(ground: Ground) -> None:
    network = {"privateNetwork": None, "ipv4Enabled": True}
    settings = {"ipConfiguration": network, "userLabels": {"team": None}}
    ground.plane.seed(
        Seed("open", settings={"settings": settings, "diskEncryptionConfiguration": None})
    )
    found = ground.get("open")
    assert [each.type_.name for each in found.ip_addresses] == ["PRIMARY"]
    assert found.settings.user_labels == {"environment": "production"}
    assert not found.disk_encryption_configuration.kms_key_name
    with pytest.raises(ValueError, match="no fields of an instance: tier"):
        ground.plane.seed(Seed("wrong", settings={"tier": "db-f1-micro"}))


def test_an_operation_is_pending_then_running_then_done(ground: Ground) -> None:
    clone = ground.clone()
    assert (clone.status.name, clone.operation_type.name) == ("PENDING", "CLONE")
    assert clone.target_id == "copy"
    assert ground.get().state is State.PENDING_CREATE
    assert not ground.get().ip_addresses
    ground.estate.clock.move(timedelta(minutes=1))
    assert ground.status_of(clone).status.name == "RUNNING"
    assert ground.done(clone) is None
    assert ground.get().state is State.RUNNABLE
    request = {"project": PROJECT, "instance": "copy"}
    assert [each.name for each in ground.cloud.operations.list(request=request)] == [clone.name]


def test_a_new_instance_and_new_labels_are_seen_late(ground: Ground) -> None:
    ground.estate.faults.lag = 3 * HOUR
    ground.done(ground.clone())
    assert ground.get().name == "copy"
    assert ground.listed() == ["orders"]
    ground.done(ground.patch({"user_labels": {"run": "7"}}))
    assert "run" not in ground.get("orders").settings.user_labels
    ground.estate.clock.move(3 * HOUR)
    assert ground.listed("settings.userLabels.run:7") == ["orders"]
    assert ground.get("orders").settings.user_labels == {
        "team": "shop",
        "environment": "production",
        "run": "7",
    }


def test_a_list_has_filters_pages_and_warnings(ground: Ground) -> None:
    for name in ("a", "b", "c"):
        ground.plane.seed(Seed(name, settings={"settings": {"userLabels": {"team": name}}}))
    assert ground.listed("name:orders OR settings.userLabels.team:b") == ["orders", "b"]
    assert ground.listed("state:RUNNABLE settings.tier:db-perf* settings.userLabels.team:c") == [
        "c"
    ]
    pager = ground.cloud.instances.list(request={"project": PROJECT, "max_results": 3})
    assert [len(page.items) for page in pager.pages] == [3, 1]
    with pytest.raises(ConfigurationRefusedError), gcp_errors("listing"):
        ground.listed("nonsense")
    ground.plane.switches.unreachable_regions.add("europe-west9")
    page = next(iter(ground.cloud.instances.list(request={"project": PROJECT}).pages))
    assert (list(page.items), page.warnings[0].region) == ([], "europe-west9")


def test_one_operation_at_a_time_holds_an_instance(ground: Ground) -> None:
    clone = ground.clone()
    with pytest.raises(BusyError, match="operationInProgress"):
        ground.patch({"tier": "db-custom-2-7680"}, "copy")
    with pytest.raises(BusyError):
        ground.clone("second")
    ground.done(clone)
    ground.plane.switches.clone_holds_source = False
    ground.clone("third")
    ground.clone("fourth")


def test_what_is_not_there_is_missing_or_forbidden(ground: Ground) -> None:
    with pytest.raises(ResourceMissingError, match="instanceDoesNotExist"):
        ground.get("nothing")
    ground.plane.switches.hides_missing = True
    with pytest.raises(AccessDeniedError, match=r"cloudsql\.instances\.get"):
        ground.get("nothing")


def test_too_many_calls_and_too_many_instances_are_told_apart(ground: Ground) -> None:
    ground.plane.switches.quota = 1
    with pytest.raises(QuotaReachedError, match="errorMaxInstancePerLabel"):
        ground.clone()
    for ground.plane.switches.throttled_status in (429, 403):
        ground.estate.faults.throttle_for(HOUR)
        with pytest.raises(ThrottledError, match="rateLimitExceeded"):
            ground.get("orders")
    ground.estate.clock.move(2 * HOUR)
    ground.get("orders")


def test_a_patch_merges_and_an_update_replaces(ground: Ground) -> None:
    version = ground.get("orders").settings.settings_version
    ground.done(
        ground.patch({"settings_version": version, "backup_configuration": {"start_time": "05:00"}})
    )
    changed = ground.get("orders").settings
    assert changed.settings_version == version + 1
    assert changed.backup_configuration.start_time == "05:00"
    assert changed.backup_configuration.backup_retention_settings.retained_backups == 30
    with pytest.raises(BusyError, match="staleData"):
        ground.patch({"settings_version": version, "tier": "db-f1-micro"})
    body = {"settings": {"settings_version": version + 1, "tier": "db-f1-micro"}}
    ground.done(ground.cloud.instances.update(request={**ORDERS, "body": body}))
    replaced = ground.get("orders").settings
    assert (replaced.tier, dict(replaced.user_labels)) == ("db-f1-micro", {})
    del body["settings"]["settings_version"]
    with pytest.raises(ConfigurationRefusedError, match="Settings version"), gcp_errors("updating"):
        ground.cloud.instances.update(request={**ORDERS, "body": body})


def test_settings_that_cannot_be_are_refused(ground: Ground) -> None:
    logs = {"transaction_log_retention_days": 36}
    with pytest.raises(ConfigurationRefusedError, match="between 1 and 35"):
        ground.patch({"backup_configuration": logs})
    with pytest.raises(ConfigurationRefusedError, match="binary logs"):
        ground.patch({"backup_configuration": {"binary_log_enabled": True}})
    with pytest.raises(ConfigurationRefusedError, match="region cannot be changed"), gcp_errors(""):
        ground.cloud.instances.patch(request={**ORDERS, "body": {"region": "europe-west1"}})


def test_a_stopped_instance_stays_runnable_and_leads_nowhere(ground: Ground) -> None:
    ground.done(ground.patch({"activation_policy": "NEVER"}))
    assert ground.get("orders").state is State.RUNNABLE
    assert servers(ground).stopped == {ground.plane.server_of("orders")}
    ground.done(ground.patch({"activation_policy": "ALWAYS"}))
    assert not servers(ground).stopped


def test_a_fault_is_told_as_cloud_sql_tells_it(ground: Ground) -> None:
    ground.estate.faults.refuse("Get", Refusal(503, "backendError", "come back later"), 1)
    with pytest.raises(ProviderUnavailableError, match="backendError: come back later"):
        ground.get("orders")
    ground.get("orders")
    assert ground.wire.count()["Get"] == 2


def test_the_older_version_of_the_api_is_answered_alike(ground: Ground) -> None:
    options: Mapping[str, Any] = {
        "transport": "rest",
        "client_options": {"api_endpoint": ground.wire.url},
        "credentials": AnonymousCredentials(),  # type: ignore[no-untyped-call] # google-auth
    }
    instances = beta.SqlInstancesServiceClient(**options)
    assert instances.get(request=ORDERS).name == "orders"
    settings = {"availability_type": "ZONAL", "activation_policy": "ALWAYS"}
    instances.patch(request={**ORDERS, "body": {"settings": settings}})
    ground.estate.clock.move(HOUR)
    assert ground.get("orders").settings.availability_type.name == "ZONAL"
    users = beta.SqlUsersServiceClient(**options)
    assert [user.name for user in users.list(request=ORDERS).items] == ["refloat"]
    connect = beta.SqlConnectServiceClient(**options)
    told = connect.get_connect_settings(request=ORDERS)
    assert told.ip_addresses[0].ip_address == ground.get("orders").ip_addresses[0].ip_address
    flags = beta.SqlFlagsServiceClient(**options)
    assert "max_connections" in [flag.name for flag in flags.list(request={}).items]
    for client in (instances, users, connect, flags):
        client.transport.close()  # type: ignore[no-untyped-call] # the SDK's
