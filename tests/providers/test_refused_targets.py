"""A target that no backup and log reach is refused with what can be reached instead."""

from datetime import timedelta

import pytest

from domain.checks import Verdict
from domain.errors import (
    RecoveryPointUnreachableError,
)
from domain.recovery import TargetKind
from domain.resources import Mode
from domain.values import show_time
from tests.providers.failing import (
    frozen,
    grow,
    receiver_of,
)
from tests.providers.own_server import require_nothing_left
from tests.station import Station, no_progress, now


def test_a_target_before_the_end_of_the_first_backup_is_refused(shared: Station) -> None:
    first = shared.archive.backups.all()[0]

    for lsn in (first.start_lsn, "0/1000028"):
        with pytest.raises(
            RecoveryPointUnreachableError, match="outside of what the archive"
        ) as no:
            shared.resolve(kind=TargetKind.BEFORE_LSN, lsn=lsn)
        assert f"orders-1 holds {first.stop_lsn} to " in str(no.value)
    with pytest.raises(
        RecoveryPointUnreachableError, match="before the recovery window opens"
    ) as no:
        shared.at(first.completed_at - timedelta(microseconds=1))
    assert f"the earliest possible time is {show_time(first.completed_at)}" in str(no.value)
    assert shared.at(first.completed_at).backup_id == first.id


def test_a_time_after_the_window_closes_is_refused_and_latest_is_offered(shared: Station) -> None:
    refused = pytest.raises(RecoveryPointUnreachableError, match="after the recovery window closes")
    with frozen(receiver_of(shared)), refused as no:
        shared.at(now())

    assert "the latest possible time is" in str(no.value)
    assert "`--latest` takes it" in str(no.value)
    assert shared.latest().backup_id


def test_a_place_inside_a_record_is_refused_and_one_between_commits_is_reached(
    fresh: Station,
) -> None:
    fresh.sql("create table kept (id int); insert into kept values (1)")
    between = fresh.sql("select pg_current_wal_insert_lsn()::text")[0][0]
    fresh.sql("insert into kept select generate_series(2, 3)")
    fresh.wait_archived()
    high, low = (int(part, 16) for part in between.split("/"))
    with pytest.raises(RecoveryPointUnreachableError, match="no record of the log begins at") as no:
        fresh.resolve(kind=TargetKind.BEFORE_LSN, lsn=f"{high:X}/{low + 1:X}")
    assert "--before" in str(no.value)

    point = fresh.resolve(kind=TargetKind.BEFORE_LSN, lsn=f"{high:X}/{low + 16:X}")
    restored = fresh.restore(point, Mode.DRILL)

    assert fresh.sql("select id from kept", restored.handle.server) == [(1,)]
    absent = fresh.questions.point_reached(restored, point, fresh.resource.connection, None)
    assert [one.verdict for one in absent] == [Verdict.PASSED, Verdict.PASSED]
    fresh.discard(restored.handle)


def test_a_name_that_two_snapshots_carry_is_refused_with_both_ids(shared: Station) -> None:
    made = [
        shared.provider.snapshots.create(
            shared.resource, key=key * 16, name="twice", progress=no_progress
        )
        for key in "xy"
    ]

    with pytest.raises(RecoveryPointUnreachableError, match="several snapshots are called") as no:
        shared.resolve(kind=TargetKind.SNAPSHOT, name="twice")

    assert all(one.id in str(no.value) for one in made)
    assert shared.resolve(kind=TargetKind.SNAPSHOT, name=made[0].id)


def test_a_time_in_a_gap_is_refused_with_both_bounds(fresh: Station) -> None:
    grow(fresh, 2)
    early = now()
    grow(fresh, 1)
    grow(fresh, 2)
    lost = fresh.archive.log.sealed_numbers()[-2:]
    fresh.provider.snapshots.create(fresh.resource, key="k" * 16, name="", progress=no_progress)
    for number in lost:
        fresh.archive.log.file(number).unlink()
    fresh.wait_archived()

    before, after = sorted(
        fresh.provider.points.windows(fresh.resource), key=lambda one: one.opens_at
    )
    with pytest.raises(RecoveryPointUnreachableError, match="in a gap of the archive") as no:
        fresh.at(after.opens_at - timedelta(milliseconds=1))

    assert before.closes_at < after.opens_at
    for told in (
        f"from {show_time(before.closes_at)} to {show_time(after.opens_at)}",
        f"the last time before it is {show_time(before.closes_at)}",
        f"the first after it is {show_time(after.opens_at)}",
    ):
        assert told in str(no.value)
    assert fresh.latest().backup_id == fresh.archive.backups.all()[-1].id
    restored = fresh.restore(fresh.at(early), Mode.DRILL)
    assert len(fresh.sql("select id from grown", restored.handle.server)) == 3
    fresh.discard(restored.handle)
    require_nothing_left(fresh)
