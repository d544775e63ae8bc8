"""Everything that goes wrong is provoked for real, told by name with the way out, and leaves nothing."""

import base64
import io
import os
import re
import secrets as randomness
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from domain.checks import ProofPoint, Verdict, compare_content, judge_sql
from domain.errors import (
    BackupDamagedError,
    PointNotReachedError,
    RecoveryError,
    RecoveryPointUnreachableError,
    SecretUnavailableError,
    ServerFailedError,
    WalDamagedError,
)
from domain.recovery import RecoveryPoint, RecoveryWindow, RestoreHandle, TargetKind
from domain.resources import Mode, ProtectedResource, SqlCheck
from domain.values import show_time
from providers.local.archive import Archive
from providers.local.crypto import seal, unseal
from providers.local.provider import databases
from providers.local.receiver import Receiver, slot_of
from providers.local.wal import parse_lsn
from tests.providers import small_disk
from tests.providers.own_server import installations, own_station, require_nothing_left
from tests.station import Station, no_progress, now, wait_for

needs_namespace = pytest.mark.skipif(
    not small_disk.possible(), reason="this machine gives this account no mount namespace"
)


def _require_failure(
    made: Station,
    point: RecoveryPoint,
    error: type[RecoveryError] | tuple[type[RecoveryError], ...],
    told: str,
) -> None:
    """Restore to a point, hear the named error, discard, and find nothing left behind."""
    handle = made.begin(point)
    with pytest.raises(error, match=told):
        _complete(made, point, handle)
    made.discard(handle)
    require_nothing_left(made)


def _complete(made: Station, point: RecoveryPoint, handle: RestoreHandle) -> None:
    made.transfer(point, handle)
    made.poll(handle)


def _preflight(
    made: Station, point: RecoveryPoint, resource: ProtectedResource | None = None
) -> dict[str, str]:
    """Return what the pre-flight finds wrong: name and what was observed."""
    findings = made.provider.preflight.examine(resource or made.resource, point, Mode.INCIDENT)
    return {
        one.name: f"{one.observed}; {one.advice}"
        for one in findings
        if one.verdict is not Verdict.PASSED
    }


def _grow(made: Station, segments: int) -> None:
    """Write and finish segments, each with a row of its own, and wait until they are sealed."""
    made.sql("create table if not exists grown (id int)")
    before = len(made.archive.stored())
    for number in range(segments):
        made.sql(f"insert into grown values ({number})")
        made.sql("select pg_switch_wal()")
    made.sql("insert into grown values (-1)")
    wait_for("the segments", lambda: len(made.archive.stored()) >= before + segments)
    made.wait_archived()


@contextmanager
def _replaced(path: Path, content: bytes | None) -> Iterator[None]:
    """Hold another content of a file, or none, while the block runs."""
    kept = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(kept)


def _opened(path: Path, key: bytes) -> bytes:
    """Return what a sealed file holds."""
    with path.open("rb") as source:
        packed = b"".join(unseal(source, key, path.name))
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


def _sealed(content: bytes, key: bytes) -> bytes:
    """Return a content as the archive keeps it."""
    target = io.BytesIO()
    seal([zstandard.ZstdCompressor(level=1).compress(content)], target, key)
    return target.getvalue()


# full disks and missing programs


@needs_namespace
def test_a_disk_that_fills_while_unpacking_is_named_and_refused_beforehand() -> None:
    told = small_disk.run("full_while_unpacking")

    assert told["room"]["verdict"] == "failed"
    assert "free room on the disk of" in told["room"]["advice"]
    assert (told["servers before"], told["room"]["others"]) == (["orders-1"], [])
    for name in ("reserved", "error"):
        assert told[name][0] == "DiskFullError", told
        assert "no room on the file system; free some" in told[name][1]
    assert (told["left over at once"], told["left over"], told["source"]) == ([], [], True)
    assert told["restored"] == [[1]]


@needs_namespace
def test_a_disk_that_fills_while_the_log_is_replayed_is_named_and_refused_beforehand() -> None:
    told = small_disk.run("full_while_replaying")

    assert told["transfer"] == ["nothing", "it went well"]
    assert told["error"][0] == "DiskFullError"
    assert "free room and restore again" in told["error"][1]
    assert (told["left over"], told["source"], told["restored"]) == ([], True, [[90000]])
    assert told["room"]["verdict"] == "failed", told["room"]


@needs_namespace
def test_a_full_archive_stops_no_server_is_named_and_heals() -> None:
    told = small_disk.run("full_archive")

    assert "free some" in told["problems"][0], told["problems"]
    assert told["snapshot"][0] == "DiskFullError", told["snapshot"]
    assert told["read"][0] in {"DiskFullError", "nothing"}, told["read"]
    assert (told["rows"], told["restored"], told["windows"]) == ([[3]], [[3]], 1)
    assert told["left over"] == []


@needs_namespace
def test_a_backup_without_programs_of_its_version_is_refused() -> None:
    told = small_disk.run("programs_gone")

    named = f"no programs of PostgreSQL {told['major']} on this machine"
    for name in ("resolve", "error"):
        assert told[name][0] == "VersionMismatchError"
        assert named in told[name][1]
        assert "install that version" in told[name][1]
    [finding] = told["findings"]
    assert (finding["name"], finding["verdict"]) == ("programs", "failed")
    assert finding["advice"] == f"install PostgreSQL {told['major']}"
    assert told["left over"] == []


def test_a_program_that_crashes_is_not_taken_for_a_damaged_backup(shared: Station) -> None:
    newest, folder = installations()[-1], shared.root / "crashing" / "bin"
    folder.mkdir(parents=True)
    for program in newest.folder.iterdir():
        (folder / program.name).symlink_to(program)
    (folder / "pg_verifybackup").unlink()
    (folder / "pg_verifybackup").write_text("#!/bin/sh\nkill -SEGV $$\n")
    (folder / "pg_verifybackup").chmod(0o755)
    entry = shared.catalog.providers["here"].model_copy(update={"binaries": str(folder)})
    crashing = databases("here", entry, shared.root, shared.secrets).recovery
    point = shared.latest()
    handle = shared.begin(point)

    with pytest.raises(ServerFailedError, match=r"pg_verifybackup.*signal 11.*`binaries`"):
        crashing.transfer(shared.resource, point, handle, no_progress)

    shared.discard(handle)
    require_nothing_left(shared)


# targets


def test_a_target_before_the_end_of_the_first_backup_is_refused(shared: Station) -> None:
    first = shared.archive.backups()[0]

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
    with _frozen(_receiver(shared)), refused as no:
        shared.at(now())

    assert "the latest possible time is" in str(no.value)
    assert "`--latest` takes it" in str(no.value)
    assert shared.latest().backup_id


def test_a_time_in_a_gap_is_refused_with_both_bounds(fresh: Station) -> None:
    _grow(fresh, 2)
    early = now()
    _grow(fresh, 1)
    _grow(fresh, 2)
    lost = fresh.archive.stored()[-2:]
    fresh.provider.snapshots.create(fresh.resource, key="k" * 16, name="", progress=no_progress)
    for number in lost:
        fresh.archive.sealed(number).unlink()
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
    assert fresh.latest().backup_id == fresh.archive.backups()[-1].id
    restored = fresh.restore(fresh.at(early), Mode.DRILL)
    assert len(fresh.sql("select id from grown", restored.handle.server)) == 3
    fresh.discard(restored.handle)
    require_nothing_left(fresh)


# files of the archive


def test_a_base_backup_whose_file_was_deleted_is_named(shared: Station) -> None:
    point = shared.latest()
    with _replaced(shared.archive.backup_file(point.backup_id), None):
        assert "file is missing" in _preflight(shared, point)["base backup"]
        _require_failure(shared, point, BackupDamagedError, r"file .* is missing; choose a point")


def test_a_sealed_segment_that_was_cut_is_named(shared: Station) -> None:
    _grow(shared, 2)
    point = shared.latest()
    path = shared.archive.sealed(shared.archive.stored()[-1])
    for size in (len(path.read_bytes()) // 2, 10, 0):
        with _replaced(path, path.read_bytes()[:size]):
            _require_failure(shared, point, BackupDamagedError, f"{path.name}: damaged")


def test_a_wrong_or_missing_key_is_named(shared: Station) -> None:
    _grow(shared, 2)
    point = shared.latest()
    other = shared.root / "other.key"
    other.write_text(base64.b64encode(randomness.token_bytes(32)).decode())
    for reference, error, told in (
        ("file:other.key", BackupDamagedError, r"sealed with key .* but the catalog's key is"),
        ("file:nowhere.key", SecretUnavailableError, "secret file:nowhere.key: No such file"),
        ("file:password", SecretUnavailableError, "not the base64 of 32 bytes; make one with"),
    ):
        policy = shared.resource.backups.model_copy(update={"key": reference})
        resource = shared.resource.model_copy(update={"backups": policy})
        assert [*_preflight(shared, point, resource)] == ["encryption key"]
        handle = shared.begin(point)
        with pytest.raises(error, match=told):
            shared.provider.recovery.transfer(resource, point, handle, no_progress)
        shared.discard(handle)
    require_nothing_left(shared)


def _tampered(backup: bytes) -> tuple[bytes, str]:
    """Return a tar with one bit of the first table's file flipped, and the name of that file."""
    content = bytearray(backup)
    with tarfile.open(fileobj=io.BytesIO(backup)) as archive:
        member = next(
            one for one in archive if re.fullmatch(r"(\./)?base/\d+/\d+", one.name) and one.size
        )
    content[member.offset_data + member.size // 2] ^= 1
    return bytes(content), member.name.removeprefix("./")


def test_a_backup_that_does_not_match_its_manifest_is_named(shared: Station) -> None:
    point = shared.latest()
    path = shared.archive.backup_file(point.backup_id)
    tampered, name = _tampered(_opened(path, shared.key))
    with _replaced(path, _sealed(tampered, shared.key)):
        _require_failure(
            shared, point, BackupDamagedError, f'does not match its manifest: .*"{name}"'
        )


def test_a_segment_of_another_cluster_is_named(shared: Station, fresh: Station) -> None:
    for made in (shared, fresh):
        _grow(made, 2)
    path = shared.archive.sealed(shared.archive.stored()[-1])
    stranger = _opened(fresh.archive.sealed(fresh.archive.stored()[-1]), fresh.key)
    point = shared.latest()

    with _replaced(path, _sealed(stranger, shared.key)):
        _require_failure(shared, point, WalDamagedError, r"another cluster")


def test_a_segment_under_another_ones_name_is_named(shared: Station) -> None:
    _grow(shared, 3)
    *_, older, newer = shared.archive.stored()
    point = shared.latest()

    with _replaced(shared.archive.sealed(newer), shared.archive.sealed(older).read_bytes()):
        _require_failure(
            shared,
            point,
            (WalDamagedError, PointNotReachedError),
            f"holds {shared.archive.segments.name(older)}|segment is missing or damaged",
        )


def _damage(made: Station, number: int, lsn: str, content: bytes) -> bytes:
    """Return a segment with bytes of the record at `lsn` flipped, behind its header."""
    spoilt, at = bytearray(content), parse_lsn(lsn) % made.archive.segments.size + 40
    assert made.archive.segments.number(lsn) == number
    spoilt[at] ^= 0xFF
    return bytes(spoilt)


def _insert_marked(made: Station) -> str:
    """Insert a row and return where its record begins."""
    [(before,)] = made.sql("select pg_current_wal_insert_lsn()::text")
    made.sql("insert into grown values (1000)")
    return str(before)


def test_a_damaged_record_in_the_archive_ends_a_restore_past_it_and_none_before(
    shared: Station,
) -> None:
    _grow(shared, 1)
    early = shared.latest()
    lsn = _insert_marked(shared)
    _grow(shared, 1)
    number = shared.archive.segments.number(lsn)
    path = shared.archive.sealed(number)
    spoilt = _damage(shared, number, lsn, _opened(path, shared.key))

    with _replaced(path, _sealed(spoilt, shared.key)):
        _require_failure(shared, shared.latest(), WalDamagedError, "choose a point before it")
        restored = shared.restore(early, Mode.DRILL)
        assert restored.replayed_to
        shared.discard(restored.handle)
    require_nothing_left(shared)


def test_a_record_that_arrived_damaged_is_told_by_health_and_refused(fresh: Station) -> None:
    _grow(fresh, 1)
    early = fresh.latest()
    fresh.stop(signal.SIGTERM)  # the receiver goes on, and nobody seals
    lsn = _insert_marked(fresh)
    fresh.sql("select pg_switch_wal()")
    fresh.sql("insert into grown values (2)")
    [(behind,)] = fresh.sql("select pg_current_wal_insert_lsn()::text")
    number = fresh.archive.segments.number(lsn)
    path = wait_for("the finished segment", lambda: _finished(fresh.archive, number))
    path.write_bytes(_damage(fresh, number, lsn, path.read_bytes()))
    fresh.start()
    wait_for("it to be sealed", lambda: number in fresh.archive.stored())

    name = fresh.archive.segments.name(number)
    wait_for(
        "health to tell it", lambda: f"damaged: {name}" in " ".join(small_disk.problems(fresh))
    )
    before = _require_a_new_window_after_the_gap(fresh)
    assert "ends at a damaged record" in before.note
    with pytest.raises(RecoveryPointUnreachableError, match="outside of what the archive holds"):
        fresh.resolve(kind=TargetKind.BEFORE_LSN, lsn=behind)
    _require_restorable(fresh, early)
    require_nothing_left(fresh)


def _require_a_new_window_after_the_gap(made: Station) -> RecoveryWindow:
    """Wait for the base backup that opens a window after a gap; return the window before it."""

    def windows() -> list[RecoveryWindow]:
        found = made.provider.points.windows(made.resource)
        return sorted(found, key=lambda one: one.opens_at) if len(found) > 1 else []

    before, after = wait_for("a new window", windows)
    with pytest.raises(RecoveryPointUnreachableError, match="in a gap of the archive"):
        made.at(before.closes_at + (after.opens_at - before.closes_at) / 2)
    return before


def _require_restorable(made: Station, early: RecoveryPoint) -> None:
    """Restore to a point before a gap, and to the latest one after it."""
    made.sql("insert into grown values (9)")
    made.wait_archived()
    for point, expected in ((early, []), (made.latest(), [(9,)])):
        restored = made.restore(point, Mode.DRILL)
        found = made.sql("select id from grown where id = 9", restored.handle.server)
        made.discard(restored.handle)
        assert found == expected


def _finished(archive: Archive, number: int) -> Path | None:
    path = archive.tail().get(number)
    return path if path is not None and path.suffix != ".partial" else None


# the receiver and its slot


def _receiver(made: Station) -> Receiver:
    assert made.supervisor is not None
    return made.supervisor.instances[0].followers[made.servers.current().name].receiver


@contextmanager
def _frozen(receiver: Receiver) -> Iterator[None]:
    receiver.daemon.tell(signal.SIGSTOP)
    try:
        yield
    finally:
        receiver.daemon.tell(signal.SIGCONT)


def _told(made: Station, *words: str) -> Callable[[], list[str]]:
    """Return a question whether health tells all the words in one sentence."""
    return lambda: [one for one in small_disk.problems(made) if all(word in one for word in words)]


def test_an_archive_command_that_lies_adds_nothing_to_the_inventory() -> None:
    lying = {"archive_mode": "on", "archive_command": "/bin/true"}
    with own_station(installations()[-1], settings=lying) as (made, own):
        made.sql("create table grown (id int)")
        made.wait_archived()
        with _frozen(_receiver(made)):
            time.sleep(0.2)
            [before] = made.provider.points.windows(made.resource)
            for _ in range(3):
                own.sql("select pg_switch_wal()")
                own.sql("select pg_create_restore_point('noise')")
            wait_for(
                "the lie", lambda: own.sql("select archived_count from pg_stat_archiver")[0][0] >= 3
            )
            wait_for("the stalled archiver to be told", _told(made, "stalled archiver"), within=15)
            [after] = made.provider.points.windows(made.resource)
            with pytest.raises(RecoveryPointUnreachableError, match="after the recovery window"):
                made.at(now() - timedelta(seconds=2))
        assert (before.closes_lsn, before.closes_at) == (after.closes_lsn, after.closes_at)
        wait_for(
            "the archive to go on",
            lambda: small_disk.closes_after(made, now() - timedelta(seconds=3)),
        )


def test_a_killed_receiver_is_started_again_without_a_hole(fresh: Station) -> None:
    _grow(fresh, 1)
    receiver = _receiver(fresh)
    for _ in range(3):
        first = wait_for("a receiver", lambda: receiver.daemon.pid)
        os.kill(first, signal.SIGKILL)
        fresh.sql("select pg_switch_wal()")
        wait_for("another receiver", lambda: receiver.daemon.pid not in {first, None})  # noqa: B023 - used at once
        fresh.sql("insert into grown values (7)")

    fresh.wait_archived()
    wait_for("health", lambda: small_disk.problems(fresh) == [])
    restored = fresh.restore(fresh.latest(), Mode.DRILL)
    assert fresh.sql("select count(*) from grown where id = 7", restored.handle.server) == [(3,)]
    fresh.discard(restored.handle)
    require_nothing_left(fresh)


def _let_go(made: Station) -> str:
    """End the connection of the receiver that reads the slot; return the slot's name."""
    slot = slot_of(made.servers.current())
    reading = f"from pg_replication_slots where slot_name = '{slot}' and active"
    made.sql(f"select pg_terminate_backend(active_pid) {reading}")
    wait_for("the slot to be free", lambda: not made.sql(f"select 1 {reading}"))
    return slot


def test_a_dropped_slot_is_made_again_while_the_server_has_the_log(fresh: Station) -> None:
    _grow(fresh, 1)
    with _frozen(_receiver(fresh)):
        fresh.sql(f"select pg_drop_replication_slot('{_let_go(fresh)}')")
        fresh.sql("insert into grown values (7)")
        wait_for("it to be told", _told(fresh, "no receiver is connected"), within=10)

    wait_for("the archive to go on", lambda: small_disk.problems(fresh) == [])
    fresh.wait_archived()
    assert len(fresh.provider.points.windows(fresh.resource)) == 1
    restored = fresh.restore(fresh.latest(), Mode.DRILL)
    assert fresh.sql("select id from grown where id = 7", restored.handle.server) == [(7,)]
    fresh.discard(restored.handle)
    require_nothing_left(fresh)


@contextmanager
def _nobody_receiving(made: Station) -> Iterator[None]:
    """End supervisor and receiver while the block runs; the server goes on."""
    pid = _receiver(made).daemon.pid
    assert pid is not None
    made.stop(signal.SIGTERM)
    os.kill(pid, signal.SIGKILL)
    yield
    made.start()


def _lose_slot(made: Station) -> None:
    """Write more log than a slot that nobody reads may keep."""
    for setting in ("max_slot_wal_keep_size = '16MB'", "max_wal_size = '32MB'"):
        made.sql(f"alter system set {setting}")
    made.sql("select pg_reload_conf()")
    lost = "select 1 from pg_replication_slots where wal_status = 'lost'"

    def is_lost() -> bool:
        made.sql("insert into grown values (8)")
        made.sql("select pg_switch_wal()")
        made.sql("checkpoint")
        return bool(made.sql(lost))

    wait_for("the slot to be lost", is_lost)


def test_a_slot_that_lost_its_log_is_named_and_a_new_window_opens_after_the_gap(
    fresh: Station,
) -> None:
    _grow(fresh, 1)
    early = fresh.latest()
    with _nobody_receiving(fresh):
        _lose_slot(fresh)

    wait_for("the gap to be told", _told(fresh, "gap: log segments"))
    _require_a_new_window_after_the_gap(fresh)
    _require_restorable(fresh, early)
    require_nothing_left(fresh)


# checks that prove nothing


def _answer(made: Station, query: str, **expected: Any) -> tuple[Verdict, str]:
    """Return the verdict on one check, and what it observed."""
    current = made.servers.current()
    handle = RestoreHandle(server=current.name, host=current.host, port=current.port, run_id="")
    check = SqlCheck(name="c", query=query, **expected)
    answer = made.questions.ask(handle, made.resource.connection, check)
    finding = judge_sql(check, answer, now())
    return finding.verdict, finding.observed


def test_a_check_that_had_nothing_to_look_at_or_would_write_fails(shared: Station) -> None:
    shared.sql("create table if not exists bare (id int, at timestamptz)")
    shared.sql("create sequence if not exists ticket")
    shared.sql(
        "create or replace function sneaky() returns int language sql volatile as "
        "'insert into bare values (1) returning id'"
    )
    for query, told in {
        "select max(at) from bare": "there was nothing to look at",
        "select id from bare": "0 rows; a check returns exactly one",
        "select generate_series(1, 3)": "a check returns exactly one",
        "select count(*) from nowhere": 'relation "nowhere" does not exist',
        "select nextval('ticket')": "refused: it would modify data",
        "select sneaky()": "refused: it would modify data",
        "select set_config('transaction_read_only', 'off', true), sneaky()": "read-write mode",
        "select id from bare for update": "refused: it would modify data",
        "create table more (id int)": "refused: a check begins with",
        "copy bare to program 'true'": "refused: a check begins with",
        "": "refused: a check begins with",
    }.items():
        verdict, observed = _answer(shared, query)
        assert verdict is Verdict.FAILED, query
        assert told in observed, (query, observed)
    assert _answer(shared, "select count(*) from bare", at_least=1) == (Verdict.FAILED, "0")
    assert shared.sql("select count(*) from bare") == [(0,)]
    shared.sql("drop function sneaky; drop table bare; drop sequence ticket")


def test_a_proof_without_tables_proves_nothing() -> None:
    empty = ProofPoint(lsn="0/1", taken_at=now(), database="postgres", tables=())

    assert compare_content(empty, empty).verdict is Verdict.FAILED
