"""Base backups by age, and what may be forgotten: nothing that the policy or a kept point needs."""

import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from domain.resources import BackupPolicy
from providers.local.archive import Archive
from providers.local.layout import remove_tree
from providers.local.records import BackupRecord, SnapshotRecord, Tenure
from providers.local.wal import parse_lsn


def backup_due(backups: Sequence[BackupRecord], policy: BackupPolicy, now: datetime) -> bool:
    """Return whether a new base backup is due: none yet, or 9/10 of the allowed age is over."""
    return not backups or now - backups[-1].completed_at > policy.max_age * 0.9


def _kept_by_policy(archive: Archive, policy: BackupPolicy, now: datetime) -> list[BackupRecord]:
    """Return the backups within the retention, the one it opens with, and always the newest."""
    pinned = _pinned(archive)
    backups = [
        one for one in archive.backups.all() if one.id not in pinned
    ] or archive.backups.all()
    horizon = now - policy.retention
    older = [backup for backup in backups if backup.completed_at <= horizon]
    return [*older[-1:], *(one for one in backups if one.completed_at > horizon)]


def _pinned(archive: Archive) -> dict[str, SnapshotRecord]:
    """Return the snapshots that have a backup of their own, by its id."""
    return {one.backup_id: one for one in archive.snapshots.all() if one.backup_id}


def apply_retention(archive: Archive, policy: BackupPolicy, now: datetime) -> list[str]:
    """Delete what neither the policy nor a snapshot needs; return the names of what went."""
    if archive.record is None or not archive.backups.all():
        return []
    kept = {one.id for one in _kept_by_policy(archive, policy, now)}
    removed = []
    for backup in archive.backups.all():
        if backup.id not in kept and backup.id not in _pinned(archive):
            archive.backups.remove(backup.id)
            removed.append(backup.id)
    removed += _prune_log(archive)
    if policy.max_size is not None:
        removed += _prune_to_size(archive, policy.max_size)
    return removed


def _prune_log(archive: Archive) -> list[str]:
    """Delete the log before the first regular backup, but for what snapshots need to be restored."""
    pinned, number = _pinned(archive), archive.segments.number
    regular = [
        one for one in archive.backups.all() if one.id not in pinned
    ] or archive.backups.all()
    begins = min(number(backup.start_lsn) for backup in regular)
    needed: set[int] = set()
    for backup in archive.backups.all():
        snapshot = pinned.get(backup.id)
        if snapshot is not None:
            last = max(number(snapshot.lsn), number(backup.stop_lsn)) + 1
            needed.update(range(number(backup.start_lsn), last + 1))
    archive.note_beginning(begins)
    removed = []
    for one in archive.log.sealed_numbers():
        if one < begins and one not in needed:
            archive.log.remove(one)
            removed.append(archive.segments.name(one))
    for snapshot in archive.snapshots.all():
        if snapshot.backup_id is None and number(snapshot.lsn) < begins:
            archive.snapshots.remove(snapshot.id)
            removed.append(snapshot.id)
    return removed


def stored_bytes(archive: Archive) -> int:
    """Return how many bytes an archive takes."""
    sizes = (_size_of(path) for path in archive.folder.rglob("*"))
    return sum(sizes)


def _size_of(path: Path) -> int:
    try:
        status = path.lstat()
    except FileNotFoundError:  # an unfinished file that got its name meanwhile
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _prune_to_size(archive: Archive, limit: int) -> list[str]:
    """Drop the oldest regular backup and its log while the archive is over `limit`; one stays."""
    removed: list[str] = []
    while stored_bytes(archive) > limit:
        pinned = _pinned(archive)
        backups = sorted(archive.backups.all(), key=lambda backup: parse_lsn(backup.start_lsn))
        loose = [backup for backup in backups[:-1] if backup.id not in pinned]
        if not loose:
            break
        archive.backups.remove(loose[0].id)
        removed += [loose[0].id, *_prune_log(archive)]
    return removed


def forget_released(archive: Archive, tenure: Tenure, policy: BackupPolicy, now: datetime) -> bool:
    """Delete the archive of a released server once its last moment is out of the retention."""
    over = tenure.released and tenure.until and now - tenure.until > policy.retention
    if not over or _pinned(archive):
        return False
    for folder in (archive.log.spool, archive.folder):
        remove_tree(folder)
    return True
