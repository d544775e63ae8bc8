"""What an archive keeps beside its log: base backups with their configuration, and kept points."""

import os
from collections.abc import Sequence
from pathlib import Path

from domain.errors import BackupDamagedError, RecoveryPointUnreachableError
from domain.recovery import Target, TargetKind
from domain.values import show_time
from providers.local.crypto import seal, unseal
from providers.local.layout import put_in_place, read_record, write_record
from providers.local.records import BackupRecord, Configuration, SnapshotRecord
from providers.local.wal import parse_lsn


class StoredBackups:
    """The base backups of one archive: sealed bytes, record, and sealed configuration of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[BackupRecord]:
        """Return the completed base backups, oldest first."""
        found = (read_record(path, BackupRecord) for path in self.folder.glob("[!.]*.json"))
        return sorted(
            (backup for backup in found if backup), key=lambda backup: parse_lsn(backup.stop_lsn)
        )

    def file(self, backup_id: str) -> Path:
        """Return where the sealed bytes of a backup are."""
        return self.folder / f"{backup_id}.tar.zst.aes"

    def write(self, backup: BackupRecord) -> None:
        """Note a completed backup: from now on it counts."""
        write_record(self.folder / f"{backup.id}.json", backup)

    def remove(self, backup_id: str) -> None:
        """Forget a base backup, its record first."""
        (self.folder / f"{backup_id}.json").unlink()
        self.file(backup_id).unlink(missing_ok=True)
        self._configuration_file(backup_id).unlink(missing_ok=True)

    def store_configuration(
        self, backup_id: str, configuration: Configuration, master: bytes
    ) -> None:
        """Keep what the server was configured with beside a backup, sealed like it."""
        target = self._configuration_file(backup_id)
        unfinished = target.with_name(f".{target.name}")
        with unfinished.open("wb") as sink:
            seal([configuration.model_dump_json().encode()], sink, master)
            sink.flush()
            os.fsync(sink.fileno())
        put_in_place(unfinished, target)

    def configuration(self, backup_id: str, master: bytes) -> Configuration:
        """Return what the server was configured with at a backup.

        Raises:
            BackupDamagedError: it does not unseal, or is missing.
        """
        stored = self._configuration_file(backup_id)
        try:
            with stored.open("rb") as source:
                content = b"".join(unseal(source, master, stored.name))
        except FileNotFoundError:
            raise BackupDamagedError(
                f"{stored.name}: missing beside its base backup; choose another backup"
            ) from None
        return Configuration.model_validate_json(content)

    def _configuration_file(self, backup_id: str) -> Path:
        return self.folder / f"{backup_id}.conf.aes"


class StoredSnapshots:
    """The kept points of one archive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[SnapshotRecord]:
        """Return the kept points, oldest first."""
        found = (read_record(path, SnapshotRecord) for path in self.folder.glob("[!.]*.json"))
        return sorted((one for one in found if one), key=lambda one: one.taken_at)

    def write(self, snapshot: SnapshotRecord) -> None:
        """Keep a point."""
        write_record(self.folder / f"{snapshot.id}.json", snapshot)

    def remove(self, snapshot_id: str) -> None:
        """Forget a kept point; its backup, if it has one, is forgotten by the retention."""
        (self.folder / f"{snapshot_id}.json").unlink(missing_ok=True)


def chosen_snapshot(path: str, records: Sequence[SnapshotRecord], target: Target) -> SnapshotRecord:
    """Return the kept point that a target names by id or name, or the newest one with a proof.

    Raises:
        RecoveryPointUnreachableError: none is called so, or several are.
    """
    wanted = [
        one
        for one in records
        if (target.name in {one.id, one.name} if target.name else one.proof is not None)
    ]
    if len(wanted) > 1 and target.kind is TargetKind.SNAPSHOT:
        raise RecoveryPointUnreachableError(
            path,
            f"several snapshots are called {target.name!r}",
            [f"{one.id} of {show_time(one.taken_at)}" for one in wanted],
        )
    if not wanted:
        offers = [
            f"{one.id}{f' ({one.name})' if one.name else ''} of {show_time(one.taken_at)}"
            for one in records[:3]
        ]
        if len(records) > len(offers):
            offers.append("older ones that `refloat recovery-point list` shows")
        missing = f"no snapshot {target.name!r}" if target.name else "no proof point was ever taken"
        raise RecoveryPointUnreachableError(
            path, missing, offers or ["take one with `refloat snapshot create`"]
        )
    return wanted[0]
