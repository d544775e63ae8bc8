"""Base backups by age, and what may be forgotten: nothing that the policy or a kept point needs."""

from collections.abc import Sequence
from datetime import datetime

from domain.resources import BackupPolicy
from providers.local.archive import SEALED, Archive
from providers.local.records import BackupRecord
from providers.local.wal import parse_lsn


def backup_due(backups: Sequence[BackupRecord], policy: BackupPolicy, now: datetime) -> bool:
    """Return whether a new base backup is due: none yet, or 9/10 of the allowed age is over."""
    return not backups or now - backups[-1].completed_at > policy.max_age * 0.9


def _needed(archive: Archive, policy: BackupPolicy, now: datetime) -> set[str]:
    """Return the ids of the backups to keep: those in the retention, and the one it opens with."""
    backups = archive.backups()
    if not backups:
        return set()
    horizon = now - policy.retention
    older = [backup for backup in backups if backup.completed_at <= horizon]
    kept = {backup.id for backup in backups if backup.completed_at > horizon}
    if older:
        kept.add(older[-1].id)
    pinned = {snapshot.backup_id for snapshot in archive.snapshots()}
    return kept | {backups[-1].id} | {one for one in pinned if one}


def apply_retention(archive: Archive, policy: BackupPolicy, now: datetime) -> list[str]:
    """Delete what neither the policy nor a kept point needs; return the names of what went."""
    if archive.record is None:
        return []
    kept = _needed(archive, policy, now)
    removed = []
    for backup in archive.backups():
        if backup.id not in kept:
            archive.remove_backup(backup.id)
            removed.append(backup.id)
    removed += _prune_log(archive)
    if policy.max_size is not None:
        removed += _prune_to_size(archive, policy.max_size)
    return removed


def _prune_log(archive: Archive) -> list[str]:
    backups = archive.backups()
    if not backups:
        return []
    first_kept = min(archive.segments.number(backup.start_lsn) for backup in backups)
    removed = []
    for number in archive.stored():
        if number < first_kept:
            name = archive.segments.name(number)
            for suffix in (SEALED, ".zst.sha256", ".json"):
                (archive.folder / "wal" / f"{name}{suffix}").unlink(missing_ok=True)
            removed.append(name)
    return removed


def stored_bytes(archive: Archive) -> int:
    """Return how many bytes an archive takes."""
    return sum(path.stat().st_size for path in archive.folder.rglob("*") if path.is_file())


def _prune_to_size(archive: Archive, limit: int) -> list[str]:
    """Drop the oldest backup and its log while the archive is over `limit`; the newest stays."""
    removed: list[str] = []
    while stored_bytes(archive) > limit:
        pinned = {snapshot.backup_id for snapshot in archive.snapshots()}
        backups = sorted(archive.backups(), key=lambda backup: parse_lsn(backup.start_lsn))
        loose = [backup for backup in backups[:-1] if backup.id not in pinned]
        if not loose:
            break
        archive.remove_backup(loose[0].id)
        removed += [loose[0].id, *_prune_log(archive)]
    return removed
