"""Which settings a copy at Cloud SQL gets, and which of its answers are told apart."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from domain.checks import Verdict
from domain.errors import (
    BusyError,
    CatalogError,
    ConfigurationRefusedError,
    ProviderUnavailableError,
    RecoveryError,
    UnsupportedResourceError,
)
from domain.resources import Mode
from providers.gcp.databases import GcpInstances
from providers.gcp.settings import GcpCarryOver
from simulators.faults import Refusal
from tests.providers.clouds import GCP, Stand, stand_of
from tests.providers.gcp_stand import (
    deleted,
    findings,
    in_time,
    key,
    of_backup,
    plane_of,
    present,
    raw,
    serving_now,
)
from tests.simulators.scripted import scripted_estate
from tests.station import no_progress

OPEN = {"ipv4Enabled": True, "authorizedNetworks": [{"name": "all", "value": "0.0.0.0/0"}]}
LOG = "restore to a time"


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """Hold one project with one database, `orders`."""
    with stand_of(GCP, scripted_estate(), tmp_path) as made:
        made.seed()
        yield made


def test_an_instance_made_of_a_backup_gets_all_that_backups_lack(stand: Stand) -> None:
    restored = stand.restore(of_backup(stand), key())
    made = raw(stand, restored.handle.server)
    assert len(made["databaseFlags"]) == len(raw(stand, "orders")["databaseFlags"])
    assert made["backupConfiguration"]["pointInTimeRecoveryEnabled"] is True

    assert stand.carry_over(restored) == {"deletion protection": "fixed"}

    stand.settle(
        lambda: stand.provider.cutover.protect(stand.resource, restored.handle, no_progress)
    )
    assert present(stand, restored.handle.server).keeping.kept == 30


def test_a_drill_of_a_backup_gets_only_what_decides_who_gets_in(stand: Stand) -> None:
    restored = stand.restore(of_backup(stand), key(), Mode.DRILL)

    outcomes = stand.carry_over(restored, Mode.DRILL)

    made = raw(stand, restored.handle.server)
    assert made["databaseFlags"]
    assert made["backupConfiguration"]["enabled"] is False
    assert {"deletion protection", "automatic backups"} <= set(outcomes)
    assert set(outcomes.values()) == {"left"}


def test_an_instance_made_of_a_backup_is_never_open_for_a_moment(stand: Stand) -> None:
    network = {**OPEN, "privateNetwork": None, "allocatedIpRange": None}
    stand.seed("wide", settings={"ipConfiguration": network})
    stand.resource = stand.named("wide")
    stand.connect()
    point = of_backup(stand)
    closed = {"privateNetwork": "projects/sandbox/global/networks/new", "ipv4Enabled": False}
    raw(stand, "wide")["ipConfiguration"] = closed

    stand.begin(point, key())

    (made,) = (name for name in stand.instances() if name.startswith("refloat-"))
    assert raw(stand, made)["ipConfiguration"]["ipv4Enabled"] is False
    assert raw(stand, made)["ipConfiguration"]["authorizedNetworks"] == []
    assert raw(stand, made)["ipConfiguration"]["privateNetwork"].rpartition("/")[2] == "new"


def test_a_source_that_does_not_run_hands_on_nothing_and_all_is_repaired(stand: Stand) -> None:
    plane_of(stand).force("orders", "MAINTENANCE")
    handle = stand.begin(in_time(stand), key())
    plane_of(stand).force("orders", "")
    assert raw(stand, handle.server)["ipConfiguration"]["ipv4Enabled"] is True
    restored = stand.poll(handle)

    outcomes = stand.carry_over(restored)

    assert outcomes["public address"] == outcomes["database flags"] == "fixed"
    assert outcomes["labels"] == outcomes["deletion protection"] == "fixed"
    assert set(outcomes.values()) == {"fixed"}
    made, source = raw(stand, handle.server), raw(stand, "orders")
    assert made["ipConfiguration"]["privateNetwork"] == source["ipConfiguration"]["privateNetwork"]
    assert made["ipConfiguration"]["allocatedIpRange"] == "databases"
    assert made["insightsConfig"]["queryInsightsEnabled"] is True


def test_a_copy_of_a_stopped_source_is_started(stand: Stand) -> None:
    raw(stand, "orders")["activationPolicy"] = "NEVER"
    assert present(stand, "orders").told == "STOPPED"

    restored = stand.restore(in_time(stand), key())

    assert raw(stand, restored.handle.server)["activationPolicy"] == "ALWAYS"
    assert stand.carry_over(restored) == {"activation": "left"}
    assert raw(stand, "orders")["activationPolicy"] == "NEVER"


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ({"ipConfiguration": {"authorizedNetworks": OPEN["authorizedNetworks"]}}, "authorized networks"),
        ({"ipConfiguration": {"sslMode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED"}}, "TLS"),
        ({"ipConfiguration": {"ipv4Enabled": True}}, "public address"),
        ({"dataApiAccess": "ALLOW_DATA_API"}, "data API"),
        ({"databaseFlags": [{"name": "log_min_duration_statement", "value": "1"}]}, "database flags"),
        ({"insightsConfig": {"recordClientAddress": True}}, "query insights"),
        ({"maintenanceWindow": {"day": 1, "hour": 1}}, "maintenance window"),
        ({"denyMaintenancePeriods": [{"startDate": "2026-11-01", "endDate": "2026-12-01"}]}, "maintenance pauses"),
        ({"finalBackupConfig": {"enabled": True, "retentionDays": 9}}, "final backup"),
        ({"userLabels": {"theirs": "too"}}, "labels"),
        ({"dataCacheConfig": {"dataCacheEnabled": True}}, "data cache"),
        ({"storageAutoResizeLimit": "500"}, "disk limit"),
        ({"tier": "db-perf-optimized-N-8"}, "tier"),
    ],
)  # fmt: skip
def test_what_a_copy_has_and_its_source_has_not_goes(
    stand: Stand, change: Mapping[str, Any], row: str
) -> None:
    restored = stand.restore(in_time(stand), key())
    settings = raw(stand, restored.handle.server)
    for name, value in change.items():
        kept = settings.get(name)
        settings[name] = {**kept, **value} if isinstance(kept, dict) else value

    assert stand.carry_over(restored) == {row: "fixed"}


def test_a_log_is_never_turned_off(stand: Stand) -> None:
    carry = GcpCarryOver(cast("GcpInstances", stand.account.instances)._client)
    source = present(stand, "orders")
    with pytest.raises(ConfigurationRefusedError, match="never turns a log off"):
        carry.change(source, {"restore to a time": "false"}, source)
    assert present(stand, "orders").keeping.point_in_time


def test_a_log_that_only_the_copy_keeps_stays_and_one_that_only_the_source_keeps_is_repaired(
    stand: Stand,
) -> None:
    keeps = present(stand, "orders")
    without = replace(keeps, settings={**keeps.settings, LOG: "false"})

    assert "never turned off" in stand.account.settings.left(LOG, without, keeps)
    assert not stand.account.settings.left(LOG, keeps, without)


def test_settings_that_somebody_changed_meanwhile_are_read_again(stand: Stand) -> None:
    source = present(stand, "orders")
    before = present(stand, "orders")
    stand.settle(lambda: stand.account.instances.tag(source, {"other": "label"}))
    with pytest.raises(BusyError, match="staleData"):
        stand.account.settings.change(before, {"tier": "db-perf-optimized-N-8"}, before)


def test_a_mysql_instance_is_restored_with_its_binary_log(tmp_path: Path) -> None:
    with stand_of(GCP, scripted_estate(), tmp_path, "mysql") as stand:
        stand.seed()
        assert present(stand, "orders").keeping.point_in_time
        assert stand.carry_over(stand.restore(in_time(stand), key())) == {}
        restored = stand.restore(of_backup(stand), key())
        assert stand.carry_over(restored) == {"deletion protection": "fixed"}
        kept = raw(stand, restored.handle.server)["backupConfiguration"]
        assert kept["binaryLogEnabled"] is True
        assert restored.version == "8.0"


def test_what_is_hidden_is_taken_for_missing_and_nothing_is_lost_by_it(stand: Stand) -> None:
    plane_of(stand).switches.hides_missing = True
    run_id, point = key(), in_time(stand)
    stand.estate.faults.lag = timedelta(minutes=2)
    stand.estate.faults.lose_reply("Clone")
    with pytest.raises(ProviderUnavailableError):
        stand.begin(point, run_id)
    stand.connect()
    restored = stand.restore(point, run_id)
    stand.estate.faults.lag = timedelta()
    cutover = stand.provider.cutover
    stand.settle(lambda: cutover.promote(stand.resource, restored.handle))
    stand.settle(lambda: cutover.demote(stand.resource, restored.handle))
    for _ in range(2):
        stand.settle(lambda: stand.provider.recovery.discard(stand.resource, restored.handle))
    stand.settle(lambda: cutover.demote(stand.resource, restored.handle))
    assert set(stand.instances()) == {"orders"}
    deleted(stand, "orders")
    again = stand.restore(in_time(stand), key())
    assert again.handle.host


def test_a_call_that_is_refused_for_what_exists_is_a_refusal(stand: Stand) -> None:
    denied = Refusal(403, "notAuthorized", "The client is not authorized to make this request.")
    stand.estate.faults.refuse("Get", denied)
    with pytest.raises(RecoveryError, match=r"cloudsql\.instances\.get"):
        stand.account.current(stand.resource)
    assert stand.account.instances.find("nothing") is None


def test_a_pre_flight_tells_allowed_from_forbidden_from_unknown(stand: Stand) -> None:
    point = in_time(stand)
    names = [f"permission to {act}" for act in ("clone", "update", "delete", "back up")]
    told = findings(stand, point)
    assert {told[name].verdict for name in names} == {Verdict.PASSED}
    assert told["credentials"].verdict is Verdict.PASSED
    assert told["instance quota"].verdict is Verdict.NOT_APPLICABLE
    assert told["encryption key"].verdict is Verdict.NOT_APPLICABLE
    assert "permission to restore backups" not in told
    assert findings(stand, of_backup(stand))["permission to restore backups"].verdict is (
        Verdict.PASSED
    )

    plane_of(stand).switches.hides_missing = True
    hidden = findings(stand, point)
    assert {hidden[name].verdict for name in names} == {Verdict.NOT_APPLICABLE}
    assert "either" in hidden["permission to clone"].observed

    named = "Permission 'cloudsql.instances.clone' denied on resource 'orders'"
    stand.estate.faults.refuse("Clone", Refusal(403, "forbidden", named))
    refused = findings(stand, point)["permission to clone"]
    assert refused.verdict is Verdict.FAILED
    assert "cloudsql.instances.clone" in refused.observed
    assert set(stand.instances()) == {"orders"}


def test_a_source_suspended_for_its_key_is_refused_before_anything_is_made(stand: Stand) -> None:
    point = in_time(stand)
    plane_of(stand).force("orders", "SUSPENDED:KMS_KEY_ISSUE")
    told = findings(stand, point)["encryption key"]
    assert told.verdict is Verdict.FAILED
    assert "cryptoKeys/orders" in told.observed


def test_a_region_that_cannot_be_listed_is_not_taken_for_empty(stand: Stand) -> None:
    plane_of(stand).switches.unreachable_regions.add("europe-west9")
    with pytest.raises(ProviderUnavailableError, match="cannot be reached"):
        stand.account.current(stand.resource)
    plane_of(stand).switches.unreachable_regions = {"us-central1"}
    assert serving_now(stand) == "orders"


def test_an_instance_of_another_region_is_told_as_a_mistake_of_the_catalog(stand: Stand) -> None:
    stand.seed("far", region="europe-west1")
    with pytest.raises(CatalogError, match="europe-west1"):
        stand.account.current(stand.named("far"))
    assert set(stand.instances()) == {"orders"}


def test_sql_server_is_left_out(stand: Stand) -> None:
    stand.seed("other")
    plane_of(stand)._account.instances["sandbox", "other"].fields["databaseVersion"] = (
        "SQLSERVER_2019_STANDARD"
    )
    assert set(stand.instances()) == {"orders"}
    with pytest.raises(UnsupportedResourceError, match="SQL Server"):
        stand.account.instances.find("other")
