"""What is missing or damaged in an archive is told by name; no restore passes over it."""

import base64
import io
import re
import secrets as randomness
import signal
import tarfile
import time
from pathlib import Path

import pytest

from domain.errors import (
    BackupDamagedError,
    PointNotReachedError,
    RecoveryPointUnreachableError,
    SecretUnavailableError,
    WalDamagedError,
    WalMissingError,
)
from domain.recovery import TargetKind
from domain.resources import Mode
from domain.values import show_time
from providers.local.archive import Archive
from providers.local.wal import parse_lsn
from tests.providers import small_disk
from tests.providers.failing import (
    grow,
    opened,
    preflight,
    replaced,
    require_a_new_window_after_the_gap,
    require_failure,
    require_restorable,
    sealed,
)
from tests.providers.own_server import require_nothing_left
from tests.station import Station, no_progress, now, wait_for


def test_a_base_backup_whose_file_was_deleted_is_named(shared: Station) -> None:
    point = shared.latest()
    with replaced(shared.archive.backups.file(point.backup_id), None):
        assert "file is missing" in preflight(shared, point)["base backup"]
        require_failure(shared, point, BackupDamagedError, r"file .* is missing; choose a point")


def test_a_sealed_segment_that_was_cut_is_named(shared: Station) -> None:
    grow(shared, 2)
    point = shared.latest()
    path = shared.archive.log.file(shared.archive.log.sealed_numbers()[-1])
    for size in (len(path.read_bytes()) // 2, 10, 0):
        with replaced(path, path.read_bytes()[:size]):
            require_failure(shared, point, BackupDamagedError, f"{path.name}: damaged")


def test_a_wrong_or_missing_key_is_named(shared: Station) -> None:
    grow(shared, 2)
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
        assert [*preflight(shared, point, resource)] == ["encryption key"]
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
    path = shared.archive.backups.file(point.backup_id)
    tampered, name = _tampered(opened(path, shared.key))
    with replaced(path, sealed(tampered, shared.key)):
        require_failure(
            shared, point, BackupDamagedError, f'does not match its manifest: .*"{name}"'
        )


def test_a_segment_of_another_cluster_is_named(shared: Station, fresh: Station) -> None:
    for made in (shared, fresh):
        grow(made, 2)
    path = shared.archive.log.file(shared.archive.log.sealed_numbers()[-1])
    stranger = opened(fresh.archive.log.file(fresh.archive.log.sealed_numbers()[-1]), fresh.key)
    point = shared.latest()

    with replaced(path, sealed(stranger, shared.key)):
        require_failure(shared, point, WalDamagedError, r"another cluster")


def test_a_segment_under_another_ones_name_is_named(shared: Station) -> None:
    grow(shared, 3)
    *_, older, newer = shared.archive.log.sealed_numbers()
    point = shared.latest()

    with replaced(shared.archive.log.file(newer), shared.archive.log.file(older).read_bytes()):
        require_failure(
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
    grow(shared, 1)
    early = shared.latest()
    lsn = _insert_marked(shared)
    grow(shared, 1)
    number = shared.archive.segments.number(lsn)
    path = shared.archive.log.file(number)
    spoilt = _damage(shared, number, lsn, opened(path, shared.key))

    with replaced(path, sealed(spoilt, shared.key)):
        require_failure(shared, shared.latest(), WalDamagedError, "choose a point before it")
        restored = shared.restore(early, Mode.DRILL)
        assert restored.replayed_to
        shared.discard(restored.handle)
    require_nothing_left(shared)


def test_a_record_that_arrived_damaged_is_told_by_health_and_refused(fresh: Station) -> None:
    grow(fresh, 1)
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
    wait_for("it to be sealed", lambda: number in fresh.archive.log.sealed_numbers())

    name = fresh.archive.segments.name(number)
    wait_for(
        "health to tell it", lambda: f"damaged: {name}" in " ".join(small_disk.problems(fresh))
    )
    before = require_a_new_window_after_the_gap(fresh)
    assert "ends at a damaged record" in before.note
    with pytest.raises(RecoveryPointUnreachableError, match="outside of what the archive holds"):
        fresh.resolve(kind=TargetKind.BEFORE_LSN, lsn=behind)
    require_restorable(fresh, early)
    require_nothing_left(fresh)


def _finished(archive: Archive, number: int) -> Path | None:
    path = archive.log.tail().get(number)
    return path if path is not None and path.suffix != ".partial" else None


def test_a_hole_in_the_archive_is_named_healed_and_times_in_it_are_refused(fresh: Station) -> None:
    grow(fresh, 3)
    before = now()
    time.sleep(1.2)
    grow(fresh, 6)
    inside = now()
    for lost in fresh.archive.log.sealed_numbers()[-3:]:
        fresh.archive.log.file(lost).unlink()
    wait_for("a backup beyond the hole", lambda: len(fresh.archive.stretches()) > 1)
    time.sleep(2.5)

    described = fresh.provider.points.describe(fresh.resource)

    assert described.archive is not None
    assert any("gap" in problem for problem in described.archive.problems)
    newer, older = fresh.provider.points.windows(fresh.resource)
    told = f"gap of the archive, from {show_time(older.closes_at)} to {show_time(newer.opens_at)}"
    with pytest.raises(RecoveryPointUnreachableError, match=re.escape(told)):
        fresh.at(inside)
    assert fresh.at(before).backup_id == fresh.archive.backups.all()[0].id
    assert fresh.latest().backup_id == fresh.archive.backups.all()[-1].id


def test_a_segment_that_vanishes_after_the_plan_is_named(fresh: Station) -> None:
    grow(fresh, 4)
    point = fresh.latest()
    fresh.archive.log.file(fresh.archive.log.sealed_numbers()[-1]).unlink()
    handle = fresh.begin(point)

    with pytest.raises(WalMissingError, match="lacks log segment"):
        fresh.transfer(point, handle)

    fresh.discard(handle)
    assert [record.name for record in fresh.servers.all()] == ["orders-1"]


def test_one_flipped_bit_in_a_backup_or_a_segment_is_named(fresh: Station) -> None:
    grow(fresh, 3)
    point = fresh.latest()
    for path in (
        fresh.archive.backups.file(point.backup_id),
        fresh.archive.log.file(fresh.archive.log.sealed_numbers()[-1]),
    ):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        intact = path.read_bytes()
        path.write_bytes(content)
        handle = fresh.begin(point)

        with pytest.raises(BackupDamagedError, match=path.name):
            fresh.transfer(point, handle)

        fresh.discard(handle)
        path.write_bytes(intact)
    assert fresh.restore(point).timeline == 2
