"""The local engine restores to the very commit that was asked for, or says by name why not."""

import itertools
import random
import re
import time
import uuid
from contextlib import ExitStack
from datetime import datetime, timedelta

import pytest

from domain.checks import Verdict, compare_content
from domain.errors import (
    RecoveryPointUnreachableError,
)
from domain.recovery import RestoreHandle, TargetKind
from domain.resources import Mode, SqlCheck
from providers.local.wal import parse_lsn
from tests.station import Station, no_progress, now, rounds, station, wait_for
from tests.writer import LINE, writing

Commit = tuple[datetime, int, frozenset[int]]
_COMMIT = re.compile(r"COMMIT (\d+) \(at (.+)\)")
_ROW = re.compile(r"INSERT: id\[bigint\]:(\d+)")


def _witnessed(station: Station) -> list[Commit]:
    """Return every commit in the order of the log, as logical decoding tells it: time, place, rows.

    That is PostgreSQL's own account of the source, by another way than the archive's.
    """
    commits: list[Commit] = []
    rows: set[int] = set()
    for lsn, told in station.sql(
        "select (lsn - '0/0')::bigint, data from pg_logical_slot_get_changes('witness', null, null, "
        "'include-timestamp', 'on')"
    ):
        found = _COMMIT.match(told)
        if found:
            commits.append((datetime.fromisoformat(found[2]), int(lsn), frozenset(rows)))
            rows = set()
        elif row := _ROW.search(told):
            rows.add(int(row[1]))
    return commits


_TARGETS = rounds(16, 25)


def _targets(commits: list[Commit], segment: int) -> list[datetime]:
    """Return the targets: beside segment borders, out of order, on a commit, between, in idle time."""
    chance = random.Random(7)
    pairs = list(itertools.pairwise(commits))
    idle = max(pairs, key=lambda pair: pair[1][0] - pair[0][0])
    borders = [pair for pair in pairs if pair[0][1] // segment != pair[1][1] // segment]
    disordered = [pair for pair in pairs if pair[1][0] < pair[0][0]]
    chosen = [idle[0][0] + (idle[1][0] - idle[0][0]) * chance.random() for _ in range(5)]
    chosen += [pair[chance.randrange(2)][0] for pair in (*borders[-6:], *disordered[:3])]
    while len(chosen) < _TARGETS:
        (on, _, _), (following, _, _) = pairs[chance.randrange(20, len(pairs) - 20)]
        chosen.append(on if len(chosen) % 2 else on + (following - on) * chance.random())
    return chosen


def _segment(station: Station) -> int:
    """Return in which segment the source writes now."""
    [(position,)] = station.sql("select (pg_current_wal_lsn() - '0/0')::bigint")
    return int(position) // station.archive.segments.size


@pytest.mark.slow
def test_random_targets_are_each_reached_exactly(fresh: Station) -> None:
    """Eight writers at once; commits out of order and across segment borders; an idle stretch."""
    fresh.sql("select pg_create_logical_replication_slot('witness', 'test_decoding')")
    with ExitStack() as stack:
        writers = [
            stack.enter_context(writing(fresh, pauses=((2.0, 3.5),), payload=7600))
            for _ in range(8)
        ]
        began, first = now(), _segment(fresh)
        wait_for(
            "five seconds of writing over six segments",
            lambda: now() - began > timedelta(seconds=5) and _segment(fresh) - first >= 6,
        )
    time.sleep(1.5)
    commits, segment = _witnessed(fresh), fresh.archive.segments.size
    stamped = {row: at for at, _, rows in commits for row in rows}
    recorded = dict(pair for writer in writers for pair in writer.record)
    assert len(recorded) > 1000
    assert recorded.items() <= stamped.items()
    assert commits[-1][1] // segment - commits[0][1] // segment >= 4
    right = 0
    for target in _targets(commits, segment):
        first_later = next(index for index, commit in enumerate(commits) if commit[0] > target)
        expected = set().union(*(rows for _, _, rows in commits[:first_later]))
        point = fresh.at(target)

        restored = fresh.restore(point, Mode.DRILL)

        found = {
            row[0]
            for writer in writers
            for row in fresh.sql(f"select id from {writer.table}", restored.handle.server)
        }
        findings = fresh.questions.point_reached(
            restored, point, fresh.resource.connection, "refloat.heartbeat"
        )
        fresh.discard(restored.handle)
        assert found == expected, (
            f"{target}: {len(found - expected)} extra, {len(expected - found)} lost"
        )
        assert [one.verdict for one in findings] == [Verdict.PASSED] * 3, findings
        right += 1
    assert right == _TARGETS


def test_a_dropped_table_is_found_and_the_moment_before_it_loses_no_commit(fresh: Station) -> None:
    with writing(fresh) as writer:
        wait_for("some commits", lambda: len(writer.record) > 50)
        time.sleep(2.5)
        began = now()
    fresh.sql(f"drop table {writer.table}")
    wait_for("the suspect", lambda: fresh.provider.points.suspects(fresh.resource, began))

    [suspect, *_] = fresh.provider.points.suspects(fresh.resource, began)
    restored = fresh.restore(fresh.resolve(kind=TargetKind.BEFORE_LSN, lsn=suspect.lsn))

    assert suspect.acts == (f"dropped public.{writer.table}",)
    [(count,)] = fresh.sql(f"select count(*) from {writer.table}", restored.handle.server)
    assert count == len(writer.record)


def test_truncating_and_rewriting_are_suspects_too(shared: Station) -> None:
    began = now()
    shared.sql(f"create table cut ({LINE})")
    shared.sql("insert into cut values (1)")
    time.sleep(2.5)
    shared.sql("truncate cut")
    time.sleep(2.5)
    shared.sql("alter table cut alter id type numeric")

    found = wait_for(
        "both suspects",
        lambda: (
            [
                s
                for s in shared.provider.points.suspects(shared.resource, began)
                if "cut" in str(s.acts)
            ][1:]
            and shared.provider.points.suspects(shared.resource, began)
        ),
    )

    assert sum("truncated or rewrote public.cut" in suspect.acts for suspect in found) == 2
    shared.sql("drop table cut")


def test_a_named_restore_point_is_reached(shared: Station) -> None:
    shared.sql(f"create table named ({LINE})")
    shared.sql("insert into named values (1)")
    shared.sql("select pg_create_restore_point('before-release')")
    shared.sql("insert into named values (2)")
    time.sleep(1.5)

    restored = shared.restore(shared.resolve(kind=TargetKind.RESTORE_POINT, name="before-release"))

    assert shared.sql("select id from named", restored.handle.server) == [(1,)]
    shared.discard(restored.handle)
    shared.sql("drop table named")


def test_a_proof_point_is_restored_with_equal_content_under_load(fresh: Station) -> None:
    with writing(fresh) as writer:
        wait_for("some commits", lambda: len(writer.record) > 30)
        key = uuid.uuid4().hex
        snapshot = fresh.provider.snapshots.create(
            fresh.resource, key=key, name="one", progress=no_progress
        )
        current = fresh.servers.current()
        handle = RestoreHandle(server=current.name, host=current.host, port=current.port, run_id="")
        proof = fresh.questions.take_proof(handle, fresh.resource.connection, no_progress)
        fresh.provider.snapshots.attach_proof(fresh.resource, snapshot.id, proof)
        again = fresh.provider.snapshots.create(
            fresh.resource, key=key, name="one", progress=no_progress
        )
    time.sleep(1.5)

    point = fresh.resolve(kind=TargetKind.SNAPSHOT, name="one")
    restored = fresh.restore(point, Mode.DRILL)
    seen = fresh.questions.content(
        restored.handle, fresh.resource.connection, point.lsn, no_progress, hashed=True
    )

    assert again.id == snapshot.id
    assert compare_content(proof, seen).verdict is Verdict.PASSED
    first = writer.record[0][0]
    fresh.sql(f"update {writer.table} set note = 'x' where id = {first}", restored.handle.server)
    changed = fresh.questions.content(
        restored.handle, fresh.resource.connection, point.lsn, no_progress, hashed=True
    )
    assert compare_content(proof, changed).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("delete from pg_class", "refused"),
        ("with gone as (delete from once returning 1) select count(*) from gone", "would modify"),
        ("select 1; select 2", "multiple commands"),
        ("select pg_sleep(5)", "no answer within"),
        ("select nope", "does not exist"),
    ],
)
def test_a_check_that_is_not_one_quick_read_is_refused(
    shared: Station, query: str, told: str
) -> None:
    shared.sql("create table if not exists once (id int)")
    current = shared.servers.current()
    handle = RestoreHandle(server=current.name, host=current.host, port=current.port, run_id="")
    check = SqlCheck(name="c", query=query, timeout=timedelta(seconds=0.3))

    answer = shared.questions.ask(handle, shared.resource.connection, check)

    assert told in answer.problem


def test_a_time_outside_the_window_is_refused_with_the_nearest(shared: Station) -> None:
    with pytest.raises(RecoveryPointUnreachableError, match="earliest possible time"):
        shared.at(now() - timedelta(days=1))
    with pytest.raises(RecoveryPointUnreachableError, match="in the future"):
        shared.at(now() + timedelta(hours=1))
    with pytest.raises(RecoveryPointUnreachableError, match="outside of what the archive holds"):
        shared.resolve(kind=TargetKind.BEFORE_LSN, lsn="9/0")
    with pytest.raises(RecoveryPointUnreachableError, match="is not an LSN"):
        shared.resolve(kind=TargetKind.BEFORE_LSN, lsn="zzz")
    with pytest.raises(RecoveryPointUnreachableError, match="no snapshot 'x'"):
        shared.resolve(kind=TargetKind.SNAPSHOT, name="x")
    with pytest.raises(RecoveryPointUnreachableError, match="no restore point 'x'"):
        shared.resolve(kind=TargetKind.RESTORE_POINT, name="x")


def test_a_mark_on_a_server_where_nothing_happens_can_be_restored() -> None:
    with station({"heartbeat": False}) as made:
        made.sql("create table before_the_mark (id int)")
        mark = made.provider.snapshots.mark(made.resource, key="m" * 32, name="quiet")
        assert mark is not None
        wanted = parse_lsn(mark.lsn)
        wait_for("it to arrive", lambda: wanted <= _received(made), within=10)

        restored = made.restore(made.resolve(kind=TargetKind.SNAPSHOT, name=mark.id))

        assert made.sql("select count(*) from before_the_mark", restored.handle.server) == [(0,)]


def _received(made: Station) -> int:
    status = made.archive.status()
    return parse_lsn(status.received_lsn) if status and status.received_lsn else 0
