"""One server's archive: sealed log segments, base backups and kept points, and what they reach."""

from dataclasses import dataclass

from providers.local.kept import StoredBackups, StoredSnapshots
from providers.local.layout import (
    Layout,
    read_mapping,
    read_record,
    write_text,
)
from providers.local.records import (
    ArchiveRecord,
    ArchiveStatus,
    BackupRecord,
)
from providers.local.stored_log import StoredLog
from providers.local.wal import (
    Names,
    Segments,
)


@dataclass(frozen=True)
class Stretch:
    """A run of segments without a hole, from the first needed by a backup on."""

    backups: tuple[BackupRecord, ...]
    first: int
    last: int
    reaches_end: bool


class Archive:
    """Reads and writes one server's archive. Knows no server, only files."""

    def __init__(self, layout: Layout, server: str) -> None:
        self.server = server
        self.folder = layout.archive(server)
        self.layout = layout
        self.log = StoredLog(layout, server)
        self.backups = StoredBackups(self.folder / "backups")
        self.snapshots = StoredSnapshots(self.folder / "snapshots")

    @property
    def record(self) -> ArchiveRecord | None:
        """What this is the archive of, or None before the first byte arrived."""
        return self.log.record

    @property
    def segments(self) -> Segments:
        """The segment arithmetic of this archive.

        Raises:
            WalMissingError: nothing was ever archived.
        """
        return self.log.segments

    def status(self) -> ArchiveStatus | None:
        """Return what the supervisor measured last."""
        return read_record(self.folder / "status.json", ArchiveStatus)

    def note_beginning(self, number: int) -> None:
        """Note the first segment from which on nothing may be missing."""
        if number != self.beginning():
            write_text(self.folder / "log-begins", str(number))

    def beginning(self) -> int:
        """Return the first segment from which on nothing may be missing."""
        try:
            return int((self.folder / "log-begins").read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0

    def names(self) -> Names:
        """Return the relations' names as last noted."""
        return Names(
            by_oid=read_mapping(self.folder / "relations-by-oid.json"),
            by_node=read_mapping(self.folder / "relations-by-node.json"),
            databases=read_mapping(self.folder / "databases.json"),
        )

    def _damaged(self, number: int) -> bool:
        summary = self.log.summary(number)
        return summary is not None and bool(summary.damage)

    def stretches(self) -> list[Stretch]:
        """Return the runs of log without a hole that begin with a base backup."""
        present = sorted({*self.log.sealed_numbers(), *self.log.tail()})
        held = set(present)
        found: dict[int, list[BackupRecord]] = {}
        for backup in self.backups.all():
            if backup.timeline != self.segments.timeline:
                continue
            last = self.segments.number(backup.start_lsn)
            if last not in held:
                continue
            while last + 1 in held and not self._damaged(last):
                last += 1
            if last >= self.segments.number(backup.stop_lsn):
                found.setdefault(last, []).append(backup)
        return [
            Stretch(
                backups=tuple(backups),
                first=self.segments.number(backups[0].start_lsn),
                last=last,
                reaches_end=last == present[-1],
            )
            for last, backups in sorted(found.items())
        ]
