"""What is particular to restores at Azure: keys, closed networks, deleted servers, its activity log."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import (
    BusyError,
    CapacityMissingError,
    NotYetError,
    PointRefusedError,
    ProviderUnavailableError,
    QuotaReachedError,
    RecoveryError,
    RecoveryPointUnreachableError,
    ServerFailedError,
    UnsupportedResourceError,
)
from domain.recovery import RecoveryPoint, TargetKind
from domain.resources import Engine
from providers.managed.names import name_of
from simulators.faults import Refusal
from tests.providers import azure_stand
from tests.providers.azure_stand import OPEN, account_of, sent_by
from tests.providers.clouds import Stand
from tests.providers.test_cloud_contract import a_point, key

bare, stand, mysql = azure_stand.bare, azure_stand.stand, azure_stand.mysql


def creation(stand: Stand, point: RecoveryPoint | None = None) -> tuple[str, dict[str, Any]]:
    """Return API version and body by which a restore is begun."""
    chosen = point or a_point(stand)
    sent = sent_by(stand, lambda: stand.settle(lambda: stand.begin(chosen, key())))
    return next((version, body) for verb, _, version, body in sent if verb == "PUT")


def test_a_closed_and_keyed_server_is_restored_closed_and_keyed(stand: Stand) -> None:
    version, body = creation(stand)

    assert version == "2026-10-01"
    assert body["properties"]["network"] == {"publicNetworkAccess": "Disabled"}
    assert body["properties"]["dataEncryption"]["primaryKeyURI"].endswith("/keys/databases")
    assert len(body["identity"]["userAssignedIdentities"]) == 1


def test_a_plain_server_is_restored_through_the_older_package(bare: Stand) -> None:
    bare.seed(**OPEN)

    version, body = creation(bare)

    assert version == "2021-06-01"
    assert set(body["properties"]) == {"createMode", "sourceServerResourceId", "pointInTimeUTC"}


def test_a_server_in_a_network_of_its_own_is_restored_into_it(bare: Stand) -> None:
    network = {
        "publicNetworkAccess": "Disabled",
        "delegatedSubnetResourceId": "/subscriptions/s/subnets/databases",
        "privateDnsZoneArmResourceId": "/subscriptions/s/privateDnsZones/shop",
    }
    bare.seed(**{**OPEN, "network": network})

    version, body = creation(bare)

    assert version == "2021-06-01"
    del network["publicNetworkAccess"]
    assert body["properties"]["network"] == network


def test_a_moment_arrives_to_the_microsecond(stand: Stand) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    at = at.replace(microsecond=123456)

    _, body = creation(stand, stand.point(kind=TargetKind.TIME, time=at))

    assert datetime.fromisoformat(body["properties"]["pointInTimeUTC"]) == at


def failed(stand: Stand, *, crashed: bool = False) -> RecoveryError:
    """Return how a restore is told that Azure accepted and could not carry out."""
    account_of(stand).failures["restore"] = Refusal(409, "SkuNotAvailable", "No such size here.")
    handle = stand.settle(lambda: stand.begin(a_point(stand), key()))
    if crashed:
        stand.connect()
    with pytest.raises(RecoveryError) as told:
        stand.poll(handle)
    return told.value


@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize("keeps", [False, True])
def test_a_failed_restore_is_told_with_azures_reason(
    stand: Stand, *, keeps: bool, crashed: bool
) -> None:
    account_of(stand).keeps_failed = keeps

    assert isinstance(failed(stand, crashed=crashed), CapacityMissingError)


def test_what_failed_by_azures_own_fault_is_not_waited_for(stand: Stand) -> None:
    account_of(stand).failures["restore"] = Refusal(503, "ServiceUnavailable", "Later.")
    handle = stand.settle(lambda: stand.begin(a_point(stand), key()))

    with pytest.raises(ServerFailedError, match="start a new restore"):
        stand.poll(handle)


def test_azures_own_error_is_a_wrong_moment_only_near_the_ends_of_the_window(stand: Stand) -> None:
    stand.estate.faults.refuse("Servers_Create", Refusal(500, "InternalServerError", "Oh."))
    now = datetime.now(UTC)

    with pytest.raises(ProviderUnavailableError):
        stand.begin(stand.point(kind=TargetKind.TIME, time=now - timedelta(hours=3)), key())
    with pytest.raises(PointRefusedError):
        stand.begin(stand.point(kind=TargetKind.LATEST), key())


def test_a_moment_that_left_the_window_since_it_was_planned_is_refused(stand: Stand) -> None:
    point = a_point(stand).model_copy(update={"at": datetime.now(UTC) - timedelta(days=20)})

    with pytest.raises(PointRefusedError, match="plan again"):
        stand.begin(point, key())


def test_a_name_that_somebody_else_has_is_told_and_not_waited_for_in_silence(stand: Stand) -> None:
    run_id = key()
    account_of(stand).occupied.add(name_of(run_id, "orders"))

    with pytest.raises(BusyError, match="somebody else has the name"):
        stand.begin(a_point(stand), run_id)


def test_the_window_closes_five_minutes_ago(stand: Stand) -> None:
    window = stand.provider.points.windows(stand.resource)[0]

    late = datetime.now(UTC) - window.closes_at
    assert timedelta(minutes=5) <= late < timedelta(minutes=6)


def test_a_server_that_was_just_made_has_no_window_yet(stand: Stand) -> None:
    backends: Any = stand.estate.backends["postgresql"]
    backends.window = lambda _server: (datetime.now(UTC) - timedelta(minutes=4), datetime.now(UTC))

    assert stand.provider.points.windows(stand.resource) == []


@pytest.fixture
def gone(stand: Stand) -> Stand:
    """Hold a subscription whose only server is deleted."""
    source = stand.instances()["orders"]
    stand.account.instances.delete(source, final_backup="last-of-orders")
    stand.estate.clock.move(timedelta(hours=1))
    assert stand.instances() == {}
    return stand


def test_a_deleted_server_can_be_had_as_it_was_last_and_at_no_other_time(gone: Stand) -> None:
    with pytest.raises(RecoveryPointUnreachableError, match="before the recovery window opens"):
        a_point(gone)
    window = gone.provider.points.windows(gone.resource)[0]
    version, body = creation(gone, gone.point(kind=TargetKind.LATEST))

    assert window.opens_at == window.closes_at
    assert version == "2026-10-01"
    assert body["properties"]["createMode"] == "ReviveDropped"
    stamp = datetime.fromisoformat(body["properties"]["pointInTimeUTC"])
    assert stamp == window.closes_at


def test_a_deleted_server_of_mysql_is_restored_to_its_last_moment(mysql: Stand) -> None:
    source = mysql.instances()["orders"]
    mysql.account.instances.delete(source, final_backup="")
    mysql.estate.clock.move(timedelta(hours=1))

    version, body = creation(mysql, mysql.point(kind=TargetKind.LATEST))

    assert (version, body["properties"]["createMode"]) == ("2021-05-01", "PointInTimeRestore")


def test_a_deletion_that_nobody_may_read_of_is_told_with_what_to_do(gone: Stand) -> None:
    gone.estate.faults.refuse("ActivityLogs_List", Refusal(403, "AuthorizationFailed", "no"))

    with pytest.raises(UnsupportedResourceError, match="Restore a deleted server"):
        gone.provider.points.windows(gone.resource)


def test_a_deletion_that_failed_makes_no_window(stand: Stand) -> None:
    account_of(stand).failures["delete"] = Refusal(409, "ServerIsBusy", "Busy.")
    source = stand.instances()["orders"]
    stand.account.instances.delete(source, final_backup="")
    stand.estate.clock.move(timedelta(hours=1))

    assert "orders" in stand.instances()
    assert stand.account.backups.window("orders", None) is None


def test_a_burstable_server_waits_for_its_first_backup_and_takes_none_on_demand(
    bare: Stand,
) -> None:
    small = {"name": "Standard_B2s", "tier": "Burstable"}
    bare.seed(sku=small, automaticBackups=0, highAvailability={"mode": "Disabled"})
    source, plane = bare.instances()["orders"], bare.plane

    with pytest.raises(BusyError, match="first automatic one"):
        bare.account.backups.take(source, "mine")
    known: Any = plane
    known.back_up("orders")
    with pytest.raises(UnsupportedResourceError, match="on demand"):
        bare.account.backups.take(source, "mine")


def test_one_backup_too_many_is_told_before_azure_calls_it_its_own_fault(stand: Stand) -> None:
    source = stand.instances()["orders"]
    for number in range(7):
        stand.settle(lambda number=number: taken(stand, f"mine-{number}"))  # type: ignore[misc]

    with pytest.raises(QuotaReachedError, match="7 backups"):
        stand.account.backups.take(source, "mine-7")
    backups = stand.account.backups
    one = next(kept for kept in backups.all("orders", source) if kept.name == "mine-0")
    backups.delete(one)
    stand.estate.clock.move(timedelta(minutes=5))
    assert "mine-0" not in {kept.name for kept in backups.all("orders", source)}


def taken(stand: Stand, name: str) -> None:
    """Take a backup, and wait until it is listed."""
    source = stand.instances()["orders"]
    stand.account.backups.take(source, name)
    if name not in {kept.name for kept in stand.account.backups.all("orders", source)}:
        raise NotYetError(name)


def test_automatic_backups_and_those_of_mysql_stay(stand: Stand, mysql: Stand) -> None:
    for one in (stand, mysql):
        source = one.instances()["orders"]
        kept = one.account.backups.all("orders", source)[0]

        assert kept.automatic
        with pytest.raises(UnsupportedResourceError, match="retention"):
            one.account.backups.delete(kept)
        with pytest.raises(UnsupportedResourceError, match="paired region"):
            one.account.backups.copy(kept, "francesouth")


def test_an_engine_that_the_subscription_never_had_is_no_obstacle(stand: Stand) -> None:
    plane: Any = stand.plane
    answer = plane.answer

    def without_mysql(request: Any) -> Any:
        if "DBforMySQL" in request.path:
            return plane.render(
                request, Refusal(409, "MissingSubscriptionRegistration", "Register.")
            )
        return answer(request)

    plane.answer = without_mysql

    assert set(stand.instances()) == {"orders"}
    assert stand.account.instances.find("nothing") is None


def test_the_engine_of_a_name_is_asked_once(mysql: Stand) -> None:
    find = mysql.account.instances.find
    first = sent_by(mysql, lambda: find("orders"))
    second = sent_by(mysql, lambda: find("orders"))

    assert (len(first), len(second)) == (2, 1)


def test_of_two_servers_of_one_name_the_path_means_that_of_its_engine(mysql: Stand) -> None:
    mysql.engine = "postgresql"
    mysql.seed()
    mysql.connect()

    now = mysql.account.current(mysql.resource)

    assert now is not None
    assert now.engine is Engine.MYSQL


def test_a_copy_that_is_stopped_is_told_with_its_state(stand: Stand) -> None:
    handle = stand.settle(lambda: stand.begin(a_point(stand), key()))
    stand.estate.clock.move(timedelta(hours=1))
    plane: Any = stand.plane
    plane.force(handle.server, "Stopped")

    with pytest.raises(ServerFailedError, match="'Stopped'; start it"):
        stand.poll(handle)


def test_a_busy_server_is_asked_again_no_sooner_than_azure_wants(stand: Stand) -> None:
    point = a_point(stand)
    stand.estate.faults.refuse("Servers_Create", Refusal(409, "ServerIsBusy", "busy"))

    with pytest.raises(BusyError) as told:
        stand.begin(point, key())

    assert told.value.pace == timedelta(seconds=15)
