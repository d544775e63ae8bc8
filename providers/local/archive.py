"""One server's archive: sealed log segments, base backups and kept points, and what they reach."""

import os
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import zstandard

from domain.errors import BackupDamagedError, WalDamagedError, WalMissingError
from providers.local.crypto import Sealed, seal, unseal
from providers.local.layout import (
    Layout,
    put_in_place,
    read_mapping,
    read_record,
    write_record,
    write_text,
)
from providers.local.records import (
    ArchiveRecord,
    ArchiveStatus,
    BackupRecord,
    Configuration,
    SnapshotRecord,
)
from providers.local.wal import (
    SEGMENT_NAME,
    LogSummary,
    Names,
    Segments,
    parse_lsn,
)

SEALED = ".zst.aes"
READING = ".read-"


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
        self.spool = layout.spool(server)
        self.layout = layout

    @property
    def record(self) -> ArchiveRecord | None:
        """What this is the archive of, or None before the first byte arrived."""
        return read_record(self.folder / "archive.json", ArchiveRecord)

    @cached_property
    def segments(self) -> Segments:
        """The segment arithmetic of this archive.

        Raises:
            WalMissingError: nothing was ever archived.
        """
        record = self.record
        if record is None:
            raise WalMissingError(f"{self.server}: has no archive yet; is the supervisor running?")
        return Segments(timeline=record.timeline, size=record.segment_bytes)

    def status(self) -> ArchiveStatus | None:
        """Return what the supervisor measured last."""
        return read_record(self.folder / "status.json", ArchiveStatus)

    def backups(self) -> list[BackupRecord]:
        """Return the completed base backups, oldest first."""
        found = (
            read_record(path, BackupRecord) for path in (self.folder / "backups").glob("[!.]*.json")
        )
        return sorted(
            (backup for backup in found if backup), key=lambda backup: parse_lsn(backup.stop_lsn)
        )

    def backup_file(self, backup_id: str) -> Path:
        """Return where the sealed bytes of a backup are."""
        return self.folder / "backups" / f"{backup_id}.tar{SEALED}"

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
        return self.folder / "backups" / f"{backup_id}.conf.aes"

    def remove_backup(self, backup_id: str) -> None:
        """Forget a base backup, its record first."""
        (self.folder / "backups" / f"{backup_id}.json").unlink()
        self.backup_file(backup_id).unlink(missing_ok=True)
        self._configuration_file(backup_id).unlink(missing_ok=True)

    def remove_segment(self, number: int) -> None:
        """Forget a sealed segment."""
        name = self.segments.name(number)
        for suffix in (SEALED, ".zst.sha256", ".json"):
            (self.folder / "wal" / f"{name}{suffix}").unlink(missing_ok=True)

    def remove_snapshot(self, snapshot_id: str) -> None:
        """Forget a kept point; its backup, if it has one, is forgotten by the retention."""
        (self.folder / "snapshots" / f"{snapshot_id}.json").unlink(missing_ok=True)

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

    def snapshots(self) -> list[SnapshotRecord]:
        """Return the kept points, oldest first."""
        found = (
            read_record(path, SnapshotRecord)
            for path in (self.folder / "snapshots").glob("[!.]*.json")
        )
        return sorted((one for one in found if one), key=lambda one: one.taken_at)

    def write_snapshot(self, snapshot: SnapshotRecord) -> None:
        """Keep a point."""
        write_record(self.folder / "snapshots" / f"{snapshot.id}.json", snapshot)

    def names(self) -> Names:
        """Return the relations' names as last noted."""
        return Names(
            by_oid=read_mapping(self.folder / "relations-by-oid.json"),
            by_node=read_mapping(self.folder / "relations-by-node.json"),
            databases=read_mapping(self.folder / "databases.json"),
        )

    def stored(self) -> list[int]:
        """Return the numbers of the sealed segments, ascending."""
        if self.record is None:
            return []
        names = (
            path.name.removesuffix(SEALED) for path in (self.folder / "wal").glob(f"*{SEALED}")
        )
        prefix = f"{self.segments.timeline:08X}"
        return sorted(
            self.segments.number_of(name)
            for name in names
            if SEGMENT_NAME.fullmatch(name) and name.startswith(prefix)
        )

    def tail(self) -> dict[int, Path]:
        """Return the segments that are still in the spool, the open one included."""
        if self.record is None or not self.spool.exists():
            return {}
        found: dict[int, Path] = {}
        for path in sorted(self.spool.iterdir(), reverse=True):
            name = path.name.removesuffix(".partial")
            if SEGMENT_NAME.fullmatch(name) and name.startswith(f"{self.segments.timeline:08X}"):
                found[self.segments.number_of(name)] = path
        return found

    def holds(self, number: int) -> bool:
        """Return whether segment `number` is there, sealed or in the spool."""
        return self.sealed(number).exists() or number in self.tail()

    def sealed(self, number: int) -> Path:
        """Return where segment `number` is, or would be, sealed."""
        return self.folder / "wal" / f"{self.segments.name(number)}{SEALED}"

    def summary(self, number: int) -> LogSummary | None:
        """Return what was summed up of a sealed segment."""
        return read_record(self.folder / "wal" / f"{self.segments.name(number)}.json", LogSummary)

    def store(self, number: int, source: Path, summary: LogSummary, master: bytes) -> Sealed:
        """Seal one finished segment, its summary first, and remove it from the spool."""
        target = self.sealed(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_record(target.with_name(f"{self.segments.name(number)}.json"), summary)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        packed = zstandard.ZstdCompressor(level=1).compress(
            source.read_bytes().ljust(self.segments.size, b"\0")
        )
        with unfinished.open("wb") as sink:
            sealed = seal([packed], sink, master)
            sink.flush()
            os.fsync(sink.fileno())
        write_text(target.with_suffix(".sha256"), sealed.sha256)
        put_in_place(unfinished, target)
        source.unlink()
        return sealed

    def unpack(self, number: int, target: Path, master: bytes) -> None:
        """Write segment `number` in plain to `target`, from the archive or the spool.

        Raises:
            WalMissingError: it is in neither.
            BackupDamagedError: it does not unseal.
        """
        name = self.segments.name(number)
        stored = self.sealed(number)
        plain = self.tail().get(number)
        if stored.exists():
            with stored.open("rb") as source:
                packed = b"".join(unseal(source, master, stored.name))
            content = zstandard.ZstdDecompressor().decompress(
                packed, max_output_size=self.segments.size
            )
            self._require_own(number, content)
        elif plain is not None:
            content = self._open_segment(number, plain)
        else:
            raise WalMissingError(
                f"the archive of {self.server} lacks log segment {name}; choose a point before it "
                f"(`refloat recovery-point list`) or bring the file back to {stored.parent}"
            )
        # the receiver may be filling a new segment up to its size at this moment
        (target / name).write_bytes(content.ljust(self.segments.size, b"\0"))

    def _require_own(self, number: int, content: bytes) -> None:
        """Hold the header of the first page against what the segment should be.

        Raises:
            WalDamagedError: it is of another cluster, or another segment.
        """
        record, name = self.record, self.segments.name(number)
        start, system = struct.unpack_from("=Q8xQ", content, 8)
        if record is not None and str(system) != record.system_identifier:
            raise WalDamagedError(
                f"log segment {name} of {self.server} is of another cluster (system identifier "
                f"{system}, not {record.system_identifier}); bring the right file back to "
                f"{self.sealed(number).parent}, or choose a point before it"
            )
        if start != number * self.segments.size:
            raise WalDamagedError(
                f"the file of log segment {name} of {self.server} holds "
                f"{self.segments.name(start // self.segments.size)}; bring the right file back to "
                f"{self.sealed(number).parent}, or choose a point before it"
            )

    def _open_segment(self, number: int, plain: Path) -> bytes:
        try:
            return plain.read_bytes()
        except FileNotFoundError:  # it was finished and renamed, or sealed, a moment ago
            finished = self.tail().get(number)
            if finished is None:
                raise WalMissingError(
                    f"log segment {self.segments.name(number)} moved while it was read; try again"
                ) from None
            return finished.read_bytes()

    def _damaged(self, number: int) -> bool:
        summary = self.summary(number)
        return summary is not None and bool(summary.damage)

    def stretches(self) -> list[Stretch]:
        """Return the runs of log without a hole that begin with a base backup."""
        present = sorted({*self.stored(), *self.tail()})
        held = set(present)
        found: dict[int, list[BackupRecord]] = {}
        for backup in self.backups():
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
