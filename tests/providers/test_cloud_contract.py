"""What every cloud's provider promises, over the real SDK and a simulated control plane.

The servers behind these instances exist by name only: what is asked here is what the provider
does, not what the data is. The contract with real data is in `test_contract.py`.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.checks import Verdict
from domain.errors import (
    AccessDeniedError,
    KeyUnavailableError,
    NotOursError,
    NotYetError,
    PermanentError,
    ProviderUnavailableError,
    QuotaReachedError,
    RecoveryPointUnreachableError,
    ThrottledError,
    UnknownProviderError,
)
from domain.recovery import RecoveryPoint, TargetKind
from domain.resources import Mode
from providers.managed.names import RUN, name_of
from simulators.faults import Refusal
from tests.providers.clouds import CLOUD_TABLE, Stand, stand_of
from tests.simulators.scripted import ScriptedBackends, scripted_estate
from tests.station import Notes, no_progress

DAY = timedelta(days=1)


@pytest.fixture(params=tuple(CLOUD_TABLE))
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    """Hold one account with one database, `orders`."""
    with stand_of(CLOUD_TABLE[request.param], scripted_estate(), tmp_path) as made:
        made.seed()
        yield made


@pytest.fixture
def in_time(stand: Stand) -> Stand:
    """Hold an account whose provider restores to a time."""
    if not stand.cloud.point_in_time:
        pytest.skip("this provider keeps snapshots only")
    return stand


def an_hour_ago() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


def a_point(stand: Stand) -> RecoveryPoint:
    """Return a point that the provider can restore to: a time, or its newest snapshot."""
    if stand.cloud.point_in_time:
        return stand.point(kind=TargetKind.TIME, time=an_hour_ago())
    return stand.point(kind=TargetKind.LATEST)


def create_call(stand: Stand) -> str:
    return stand.cloud.clone_call if stand.cloud.point_in_time else stand.cloud.restore_call


def key() -> str:
    return uuid.uuid4().hex


def test_a_restore_makes_one_new_instance_of_our_name_and_leaves_the_source(stand: Stand) -> None:
    run_id = key()

    restored = stand.restore(a_point(stand), run_id)

    assert restored.handle.server == name_of(run_id, "orders")
    assert set(stand.instances()) == {"orders", name_of(run_id, "orders")}
    assert stand.instances()[name_of(run_id, "orders")].tags[RUN] == run_id


def test_a_restore_from_a_snapshot_makes_one_new_instance(stand: Stand) -> None:
    asked, run_id = key(), key()
    taken = stand.settle(
        lambda: stand.provider.snapshots.create(
            stand.resource, key=asked, name="mine", progress=no_progress
        )
    )

    stand.restore(stand.point(kind=TargetKind.SNAPSHOT, name=taken.id), run_id)

    assert set(stand.instances()) == {"orders", name_of(run_id, "orders")}


def test_a_snapshot_asked_for_twice_with_one_key_is_taken_once(stand: Stand) -> None:
    asked = key()
    before = len(stand.provider.points.snapshots(stand.resource))

    for _ in range(2):
        stand.settle(
            lambda: stand.provider.snapshots.create(
                stand.resource, key=asked, name="mine", progress=no_progress
            )
        )

    assert len(stand.provider.points.snapshots(stand.resource)) == before + 1


def test_a_time_before_the_window_is_refused_with_the_earliest(in_time: Stand) -> None:
    with pytest.raises(RecoveryPointUnreachableError, match="before the recovery window opens"):
        in_time.point(kind=TargetKind.TIME, time=datetime.now(UTC) - 400 * DAY)


def test_a_time_after_the_window_is_refused_with_the_latest(in_time: Stand) -> None:
    backends = in_time.estate.backends["postgresql"]
    assert isinstance(backends, ScriptedBackends)
    backends.behind = timedelta(hours=2)

    with pytest.raises(RecoveryPointUnreachableError, match=r"after the recovery window.*--latest"):
        in_time.point(kind=TargetKind.TIME, time=datetime.now(UTC) - timedelta(minutes=1))


def test_a_time_is_refused_where_the_log_is_off(in_time: Stand) -> None:
    if in_time.cloud.without_log is None:
        pytest.skip("this provider keeps a log always")
    in_time.seed("plain", **in_time.cloud.without_log)
    in_time.resource = in_time.named("plain")
    in_time.connect()

    with pytest.raises(RecoveryPointUnreachableError, match="keeps no log for this database"):
        in_time.point(kind=TargetKind.TIME, time=an_hour_ago())


def test_a_time_in_the_future_is_refused(stand: Stand) -> None:
    with pytest.raises(RecoveryPointUnreachableError):
        stand.point(kind=TargetKind.TIME, time=datetime.now(UTC) + DAY)


def test_a_time_is_refused_with_snapshots_where_there_is_no_log(stand: Stand) -> None:
    if stand.cloud.point_in_time:
        pytest.skip("this provider keeps its log")

    with pytest.raises(RecoveryPointUnreachableError, match="--snapshot"):
        stand.point(kind=TargetKind.TIME, time=datetime.now(UTC))


def test_a_position_in_the_log_is_refused(stand: Stand) -> None:
    with pytest.raises(RecoveryPointUnreachableError, match="log"):
        stand.point(kind=TargetKind.BEFORE_LSN, lsn="0/3000000")


def test_starting_twice_with_one_key_starts_one_restore(stand: Stand) -> None:
    run_id, point = key(), a_point(stand)

    first = stand.settle(lambda: stand.begin(point, run_id))
    stand.connect()
    again = stand.settle(lambda: stand.begin(point, run_id))

    assert (first.server, first.id) == (again.server, again.id)
    assert len(stand.instances()) == 2


def test_an_answer_that_is_lost_does_not_make_a_second_copy(stand: Stand) -> None:
    run_id, point = key(), a_point(stand)
    stand.estate.faults.lose_reply(create_call(stand))

    with pytest.raises(ProviderUnavailableError):
        stand.begin(point, run_id)
    stand.connect()
    stand.restore(point, run_id)

    assert set(stand.instances()) == {"orders", name_of(run_id, "orders")}


def test_an_answer_that_is_lost_makes_no_second_copy_while_lists_lag(stand: Stand) -> None:
    run_id, point = key(), a_point(stand)
    stand.estate.faults.lag = timedelta(minutes=2)
    stand.estate.faults.lose_reply(create_call(stand))

    with pytest.raises(ProviderUnavailableError):
        stand.begin(point, run_id)
    stand.connect()
    stand.restore(point, run_id)
    stand.estate.clock.move(timedelta(minutes=5))

    assert set(stand.instances()) == {"orders", name_of(run_id, "orders")}


def test_a_stranger_under_our_name_is_refused_and_left_alone(stand: Stand) -> None:
    run_id, point = key(), a_point(stand)
    stand.seed(name_of(run_id, "orders"))

    with pytest.raises(NotOursError, match="left alone"):
        stand.settle(lambda: stand.begin(point, run_id))
    handle = stand.account.handle_of(stand.instances()[name_of(run_id, "orders")], run_id)
    stand.provider.recovery.discard(
        stand.resource, handle.model_copy(update={"requested_at": point.resolved_at})
    )

    assert name_of(run_id, "orders") in stand.instances()


def test_a_minute_of_throttling_passes(stand: Stand) -> None:
    point = a_point(stand)
    stand.estate.faults.throttle_for(timedelta(minutes=1))

    with pytest.raises(ThrottledError):
        stand.begin(point, key())
    restored = stand.restore(point, key())

    assert restored.handle.host


def test_a_copy_that_never_gets_ready_is_told_with_the_providers_word(stand: Stand) -> None:
    for state in stand.cloud.terminal:
        handle = stand.settle(lambda: stand.begin(a_point(stand), key()))
        stand.plane.force(handle.server, state)

        with pytest.raises(PermanentError) as told:
            stand.poll(handle)

        assert not isinstance(told.value, UnknownProviderError)
        assert state.lower() in str(told.value).lower() or isinstance(
            told.value, KeyUnavailableError
        )
        stand.plane.force(handle.server, "")


def test_a_state_nobody_knows_is_waited_for(stand: Stand) -> None:
    handle = stand.settle(lambda: stand.begin(a_point(stand), key()))
    stand.plane.force(handle.server, "polishing")

    with pytest.raises(NotYetError):
        stand.provider.recovery.poll_restore(stand.resource, handle)


def test_a_quota_that_is_reached_is_told_to_a_person(stand: Stand) -> None:
    status, code = stand.cloud.quota
    point = a_point(stand)
    stand.estate.faults.refuse(create_call(stand), Refusal(status, code, "quota exceeded"))

    with pytest.raises(QuotaReachedError):
        stand.begin(point, key())


def test_a_disabled_key_ends_the_restore_with_its_name(stand: Stand) -> None:
    point = a_point(stand)
    stand.cloud.disable_key(stand.plane)

    findings = stand.provider.preflight.examine(stand.resource, point, Mode.INCIDENT)
    told = [one for one in findings if one.verdict is Verdict.FAILED]
    if not told:
        with pytest.raises(KeyUnavailableError):
            stand.restore(point, key())


def test_a_discarded_copy_is_gone_and_nothing_else(stand: Stand) -> None:
    run_id = key()
    restored = stand.restore(a_point(stand), run_id)

    for _ in range(2):
        stand.settle(lambda: stand.provider.recovery.discard(stand.resource, restored.handle))

    assert set(stand.instances()) == {"orders"}


def test_a_run_that_wrote_nothing_down_finds_its_copy_to_discard(stand: Stand) -> None:
    run_id, point = key(), a_point(stand)
    begun = stand.settle(lambda: stand.begin(point, run_id))
    bare = begun.model_copy(update={"id": "", "host": "", "port": 0})

    stand.settle(lambda: stand.provider.recovery.discard(stand.resource, bare))

    assert set(stand.instances()) == {"orders"}


def test_every_setting_that_a_restore_drops_is_found_and_repaired(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())

    outcomes = stand.carry_over(restored)

    left = {row.name for row in stand.account.settings.table if row.left}
    assert {name for name, outcome in outcomes.items() if outcome != "fixed"} <= left
    source = stand.instances()["orders"].settings
    copy = stand.instances()[restored.handle.server].settings
    differing = {
        row.name
        for row in stand.account.settings.table
        if source.get(row.name) != copy.get(row.name)
    }
    assert differing <= left
    assert stand.carry_over(restored) in ({}, dict.fromkeys(differing, "left"))


def test_a_drill_repairs_only_what_decides_who_gets_in(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key(), Mode.DRILL)

    outcomes = stand.carry_over(restored, Mode.DRILL)

    essential = {row.name for row in stand.account.settings.table if row.essential}
    fixed = {name for name, outcome in outcomes.items() if outcome == "fixed"}
    assert fixed <= essential
    source = stand.instances()["orders"].settings
    copy = stand.instances()[restored.handle.server].settings
    assert all(source.get(name) == copy.get(name) for name in essential)


def test_a_deleted_source_can_still_be_restored(stand: Stand) -> None:
    point = a_point(stand)
    source = stand.instances()["orders"]
    stand.settle(lambda: _deleted(stand, source.name))

    run_id = key()
    again = (
        stand.point(kind=TargetKind.TIME, time=point.at)
        if stand.cloud.point_in_time and stand.cloud.revives_to_a_time
        else stand.point(kind=TargetKind.LATEST)
    )
    restored = stand.restore(again, run_id)

    assert restored.handle.host
    assert set(stand.instances()) == {name_of(run_id, "orders")}


def _deleted(stand: Stand, name: str) -> None:
    found = stand.instances().get(name)
    if found is None:
        return
    if found.state.value != "going":
        stand.account.instances.delete(found, final_backup="last-of-orders")
    message = "the deletion"
    raise NotYetError(message)


def test_a_missing_permission_ends_the_restore_before_anything_is_made(stand: Stand) -> None:
    point = a_point(stand)
    stand.estate.faults.refuse(create_call(stand), Refusal(*stand.cloud.denied, "not allowed"))

    with pytest.raises(AccessDeniedError):
        stand.begin(point, key())

    assert set(stand.instances()) == {"orders"}


def test_a_snapshot_nobody_has_is_refused_with_those_that_there_are(stand: Stand) -> None:
    first = stand.provider.points.snapshots(stand.resource)[0].id
    for act in (
        lambda: stand.provider.snapshots.copy(stand.resource, "nothing", "elsewhere"),
        lambda: stand.provider.snapshots.remove(stand.resource, "nothing", Notes()),
    ):
        with pytest.raises(RecoveryPointUnreachableError, match="no snapshot 'nothing'") as refused:
            act()
        assert first in refused.value.offers
    with pytest.raises(RecoveryPointUnreachableError, match="no snapshot ''"):
        stand.provider.snapshots.remove(stand.resource, "", Notes())


def test_a_snapshot_is_deleted_once_and_a_second_attempt_of_the_step_is_content(
    stand: Stand,
) -> None:
    made, memory, snapshots = key(), Notes(), stand.provider.snapshots
    taken = stand.settle(
        lambda: snapshots.create(stand.resource, key=made, name="", progress=no_progress)
    )

    stand.settle(lambda: snapshots.remove(stand.resource, taken.id, memory))
    stand.estate.clock.move(timedelta(minutes=10))
    stand.settle(lambda: snapshots.remove(stand.resource, taken.id, memory))

    assert taken.id not in {one.id for one in stand.provider.points.snapshots(stand.resource)}


CORE = (
    test_a_restore_makes_one_new_instance_of_our_name_and_leaves_the_source,
    test_a_restore_from_a_snapshot_makes_one_new_instance,
    test_starting_twice_with_one_key_starts_one_restore,
    test_an_answer_that_is_lost_makes_no_second_copy_while_lists_lag,
    test_a_stranger_under_our_name_is_refused_and_left_alone,
    test_a_run_that_wrote_nothing_down_finds_its_copy_to_discard,
    test_every_setting_that_a_restore_drops_is_found_and_repaired,
    test_a_drill_repairs_only_what_decides_who_gets_in,
    test_a_deleted_source_can_still_be_restored,
)
"""What the same cloud is asked once more where it behaves in another way."""
