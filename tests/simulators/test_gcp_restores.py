"""The simulated Cloud SQL clones, backs up, restores and deletes as the provider does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import (
    AccessDeniedError,
    BusyError,
    CapacityMissingError,
    ConfigurationRefusedError,
    KeyUnavailableError,
    NameTakenError,
    PointRefusedError,
    ProviderUnavailableError,
    ResourceMissingError,
    UnknownProviderError,
)
from providers.gcp.errors import gcp_errors, suspension_of
from simulators.estate import Seed
from tests.simulators.gcp_ground import (
    HOUR,
    KEY,
    ORDERS,
    PROJECT,
    Ground,
    Seen,
    State,
    a_minute_ago,
    at,
    servers,
    standing,
)


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    with standing(monkeypatch) as ground:
        yield ground


def test_a_clone_inherits_everything_and_gets_an_address_of_its_own(ground: Ground) -> None:
    assert ground.done(ground.clone(point_in_time=a_minute_ago())) is None
    source, copy = ground.get("orders"), ground.get()
    assert copy.settings == source.settings
    assert copy.settings.deletion_protection_enabled is True
    assert copy.disk_encryption_configuration.kms_key_name == KEY
    assert copy.create_time > source.create_time
    host, _, port = copy.ip_addresses[0].ip_address.partition(":")
    assert (host, copy.ip_addresses[0].type_.name) == ("127.0.0.1", "PRIVATE")
    assert port != source.ip_addresses[0].ip_address.partition(":")[2]
    assert "Servers that exist by name only" in copy.server_ca_cert.cert


def test_a_name_that_is_taken_is_refused(ground: Ground) -> None:
    ground.done(ground.clone())
    with pytest.raises(NameTakenError, match="instanceAlreadyExists"):
        ground.clone()
    with pytest.raises(ConfigurationRefusedError, match="instance name"):
        ground.clone("Copy")


def test_a_moment_outside_the_window_is_refused(ground: Ground) -> None:
    now, window = datetime.now(UTC), ground.window()
    assert window.earliest_recovery_time < now < window.latest_recovery_time
    with pytest.raises(PointRefusedError, match="after the latest recovery time"):
        ground.clone(point_in_time=now + HOUR)
    with pytest.raises(PointRefusedError, match="errorBackupNotFound"):
        ground.clone(point_in_time=now - timedelta(days=2))
    assert ground.listed() == ["orders"]


@pytest.mark.parametrize(
    ("engine", "setting"),
    [("postgresql", "pointInTimeRecoveryEnabled"), ("mysql", "binaryLogEnabled")],
)
def test_nothing_is_recovered_to_a_time_without_logs(
    ground: Ground, engine: str, setting: str
) -> None:
    backups = {"backupConfiguration": {setting: False}}
    ground.plane.seed(Seed("plain", engine=engine, settings={"settings": backups}))
    context = {"destination_instance_name": "copy", "point_in_time": a_minute_ago()}
    with pytest.raises(PointRefusedError, match="not enabled"):
        ground.window("plain")
    with pytest.raises(PointRefusedError, match="not enabled"), gcp_errors("cloning"):
        ground.cloud.instances.clone(request={**at("plain"), "body": {"clone_context": context}})


def test_turning_recovery_to_a_time_off_loses_the_log(ground: Ground) -> None:
    before = ground.window().earliest_recovery_time
    ground.done(ground.patch({"backup_configuration": {"point_in_time_recovery_enabled": False}}))
    ground.done(ground.patch({"backup_configuration": {"point_in_time_recovery_enabled": True}}))
    assert ground.window().earliest_recovery_time > before + timedelta(hours=23)


def test_a_clone_that_fails_leaves_a_failed_instance(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.plane.disable_key()
    assert ground.plane.switches.disabled_keys == {KEY}
    assert isinstance(ground.done(ground.clone("a")), KeyUnavailableError)
    ground.plane.switches.disabled_keys.clear()
    ground.plane.switches.full_zones.add("europe-west9-c")
    failed = ground.done(ground.clone("b", preferred_zone="europe-west9-c"))
    assert isinstance(failed, CapacityMissingError)
    ground.plane.switches.failures["CLONE"] = ("UNKNOWN", "nobody knows")
    assert isinstance(ground.done(ground.clone("c")), UnknownProviderError)

    def refuse(source: str, server: str, moment: datetime | None) -> None:
        raise LookupError(f"{source} {server} {moment}")

    monkeypatch.setattr(servers(ground), "restore", refuse)
    assert isinstance(ground.done(ground.clone("d")), PointRefusedError)
    for name in "abcd":
        assert ground.get(name).state is State.FAILED
        assert not ground.get(name).ip_addresses


def test_a_source_that_is_not_runnable_hands_on_its_size_alone(ground: Ground) -> None:
    ground.plane.force("orders", "MAINTENANCE")
    with pytest.raises(BusyError, match="invalidState"):
        ground.clone()
    ground.done(ground.clone(point_in_time=a_minute_ago()))
    ground.plane.force("orders", "")
    source, copy = ground.get("orders").settings, ground.get().settings
    assert copy.tier == source.tier
    assert not copy.user_labels
    assert copy.deletion_protection_enabled is False


def test_an_instance_without_its_key_is_suspended(ground: Ground) -> None:
    assert suspension_of(ground.get("orders")) is None
    ground.plane.force("orders", "SUSPENDED")
    assert isinstance(suspension_of(ground.get("orders")), KeyUnavailableError)
    assert isinstance(ground.done(ground.clone(point_in_time=a_minute_ago())), KeyUnavailableError)
    ground.plane.force("orders", "SUSPENDED:BILLING_ISSUE")
    assert isinstance(suspension_of(ground.get("orders")), AccessDeniedError)


def test_a_backup_becomes_a_new_instance_with_usual_backups_and_no_flags(ground: Ground) -> None:
    (backup,) = ground.backups("instance:orders AND type:AUTOMATED")
    settings = {"settings": {"tier": "db-perf-optimized-N-8", "data_disk_size_gb": 300}}
    assert (
        ground.done(ground.restore(backup=backup.name, restore_instance_settings=settings)) is None
    )
    made = ground.get().settings
    assert (made.tier, made.data_disk_size_gb) == ("db-perf-optimized-N-8", 300)
    assert not made.database_flags
    assert made.deletion_protection_enabled is False
    assert made.backup_configuration.enabled is False
    assert made.backup_configuration.backup_retention_settings.retained_backups == 7
    small = {"settings": {"data_disk_size_gb": 10}}
    with pytest.raises(ConfigurationRefusedError, match="errorBackupSizeExceedsInstanceSize"):
        ground.restore("small", backup=backup.name, restore_instance_settings=small)


def test_a_backup_overwrites_an_instance_that_exists_however_it_is_named(ground: Ground) -> None:
    (backup,) = ground.backups()
    (run,) = ground.cloud.backup_runs.list(request=ORDERS)
    context = {"backup_run_id": run.id, "instance_id": "orders", "project": PROJECT}
    with pytest.raises(ResourceMissingError):
        ground.restore(restore_backup_context=context)
    ground.done(ground.clone())
    address, ways = (
        ground.get().ip_addresses,
        ({"backup": backup.name}, {"restore_backup_context": context}),
    )
    for way in ways:
        replaced = ground.plane.server_of("copy")
        restore = ground.restore(**way)
        assert ground.get().state is State.MAINTENANCE
        assert ground.done(restore) is None
        assert ground.get().ip_addresses == address
        assert ground.plane.server_of("copy") != replaced
        assert replaced not in servers(ground).running
    assert ground.get().settings.database_flags


def test_a_protected_instance_is_not_deleted(ground: Ground) -> None:
    with pytest.raises(ConfigurationRefusedError, match="deletion_protection_enabled"):
        ground.delete()
    ground.done(ground.patch({"deletion_protection_enabled": False}))
    delete = ground.delete()
    assert ground.get("orders").state is State.PENDING_DELETE
    ground.done(delete)
    assert ground.listed() == []


def test_a_deleted_instance_can_be_restored_while_its_backups_are_retained(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers(ground), "remove", lambda *_, **__: None)
    ground.done(ground.patch({"deletion_protection_enabled": False}))
    options = {"final_backup_ttl_days": 30, "final_backup_description": "the last"}
    ground.done(ground.delete(enable_final_backup=True, **options))
    (final,) = ground.backups("instance:orders AND type:FINAL")
    assert (final.state.name, final.description) == ("SUCCESSFUL", "the last")
    assert final.expiry_time > datetime.now(UTC) + timedelta(days=29)
    assert len(ground.backups()) == 2
    with pytest.raises(ResourceMissingError):
        ground.clone(point_in_time=a_minute_ago())
    deleted, moment = final.instance_deletion_time, a_minute_ago()
    with pytest.raises(ResourceMissingError):
        ground.clone(source_instance_deletion_time=deleted - HOUR, point_in_time=moment)
    with pytest.raises(ConfigurationRefusedError, match="Point in time"):
        ground.clone(source_instance_deletion_time=deleted)
    revive = ground.clone("revived", source_instance_deletion_time=deleted, point_in_time=moment)
    assert ground.done(revive) is None
    assert ground.get("revived").settings.database_flags
    assert ground.done(ground.restore("unpacked", backup=final.name)) is None


def test_nothing_stays_of_an_instance_that_retains_no_backups(ground: Ground) -> None:
    ground.done(
        ground.patch({"deletion_protection_enabled": False, "retain_backups_on_delete": False})
    )
    ground.done(ground.delete())
    assert ground.backups() == []


def test_backups_on_demand_are_runs_and_project_level_backups_at_once(ground: Ground) -> None:
    body = {"description": "drill-7", "location": "eu"}
    take = ground.cloud.backup_runs.insert(request={**ORDERS, "body": body})
    run_id = take.backup_context.backup_id
    assert ground.done(take) is None
    newest: Seen = next(iter(ground.cloud.backup_runs.list(request=ORDERS)))
    assert (newest.id, newest.description, newest.type_.name) == (run_id, "drill-7", "ON_DEMAND")
    assert newest.start_time <= newest.end_time
    asked = {"instance": "orders", "description": "kept", "ttl_days": 7}
    parent = f"projects/{PROJECT}"
    ground.done(ground.cloud.backups.create_backup(request={"parent": parent, "backup": asked}))
    kept = ground.backups("instance:orders AND type:ON_DEMAND")[0]
    assert (kept.description, kept.kms_key) == ("kept", KEY)
    assert ground.cloud.backups.get_backup(request={"name": kept.name}) == kept
    ground.done(ground.cloud.backups.delete_backup(request={"name": kept.name}))
    ground.done(ground.cloud.backup_runs.delete(request={**ORDERS, "id": run_id}))
    with pytest.raises(ResourceMissingError, match="backupRunDoesNotExist"), gcp_errors("reading"):
        ground.cloud.backup_runs.get(request={**ORDERS, "id": run_id})
    assert len(servers(ground).snapshots) == 1


def test_a_call_whose_reply_is_lost_was_carried_out(ground: Ground) -> None:
    ground.estate.faults.lose_reply("Clone")
    with pytest.raises(ProviderUnavailableError):
        ground.clone()
    assert ground.get().state is State.PENDING_CREATE
