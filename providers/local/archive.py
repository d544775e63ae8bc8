"""One server's archive: sealed log segments, base backups and kept points, and what they reach."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import zstandard

from domain.errors import BackupDamagedError, WalMissingError
from domain.recovery import CommitMark, RecoveryWindow, Suspect
from providers.local.binaries import Binaries
from providers.local.crypto import Sealed, seal, unseal
from providers.local.layout import (
    Layout,
    put_in_place,
    read_mapping,
    read_record,
    remove_tree,
    write_record,
    write_text,
)
from providers.local.processes import started_at
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
    Reading,
    Segments,
    Summing,
    commit_of,
    parse_lsn,
)

SEALED = ".zst.aes"


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
        packed = zstandard.ZstdCompressor(level=1).compress(source.read_bytes())
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
        elif plain is not None:
            content = self._open_segment(number, plain)
        else:
            raise WalMissingError(
                f"the archive of {self.server} lacks log segment {name}; choose a point before it "
                f"(`refloat recovery-point list`) or bring the file back to {stored.parent}"
            )
        (target / name).write_bytes(content)

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
            while last + 1 in held:
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


@contextmanager
def readable(archive: Archive, first: int, last: int, master: bytes) -> Iterator[Path]:
    """Hold segments `first` to `last` in plain while the block runs, where the open one is plain too."""
    archive.spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    _forget_abandoned(archive.spool)
    own = f".read-{os.getpid()}-{started_at(os.getpid()) or 0:.2f}-"
    with TemporaryDirectory(prefix=own, dir=archive.spool, ignore_cleanup_errors=True) as folder:
        for number in range(first, last + 1):
            archive.unpack(number, Path(folder), master)
        yield Path(folder)


def _forget_abandoned(spool: Path) -> None:
    """Remove the plain copies that a reader which was killed could not remove itself."""
    for path in spool.glob(".read-*"):
        _, pid, created, _ = path.name.removeprefix(".").split("-", 3)
        if f"{started_at(int(pid)) or 0:.2f}" != created:
            remove_tree(path)


@dataclass(frozen=True)
class LogReader:
    """Finds commits in an archive."""

    archive: Archive
    binaries: Binaries
    master: bytes

    def sum_up(self, number: int, folder: Path, before: LogSummary | None) -> LogSummary:
        """Return the summary of segment `number`, whose successor is readable in `folder` too."""
        segments = self.archive.segments
        reading = Reading(self.binaries, folder, segments, number, number + 1)
        summing = Summing(self.archive.names(), before.creating if before else ())
        end = (number + 1) * segments.size
        last: str | None = None
        for record in reading:
            if parse_lsn(record.lsn) < end:
                summing.add(record)
                last = record.lsn
        summary = summing.result(reading)
        damaged_here = bool(summary.damage) and parse_lsn(reading.last_record or "0/0") < end
        return summary.model_copy(
            update={"last_record": last, "damage": summary.damage if damaged_here else ""}
        )

    def tail_summary(self, stretch: Stretch) -> LogSummary:
        """Return the summary of what a stretch holds in the spool."""
        tail = sorted(number for number in self.archive.tail() if number <= stretch.last)
        unsealed = [number for number in tail if not self.archive.sealed(number).exists()]
        if not unsealed:
            return LogSummary()
        segments = self.archive.segments
        before = self.archive.summary(unsealed[0] - 1)
        with readable(self.archive, unsealed[0], unsealed[-1], self.master) as folder:
            reading = Reading(self.binaries, folder, segments, unsealed[0], unsealed[-1])
            summing = Summing(self.archive.names(), before.creating if before else ())
            last: str | None = None
            for record in reading:
                summing.add(record)
                last = record.lsn
        summary = summing.result(reading)
        return summary.model_copy(update={"last_record": summary.last_record or last})

    def summaries(self, stretch: Stretch) -> Iterator[tuple[int, LogSummary]]:
        """Yield the summaries of a stretch in order, that of the spool last."""
        for number in range(stretch.first, stretch.last + 1):
            summary = self.archive.summary(number) if self.archive.sealed(number).exists() else None
            if summary is None:
                yield number, self.tail_summary(stretch)
                return
            yield number, summary

    def window(self, stretch: Stretch, status: ArchiveStatus | None) -> RecoveryWindow | None:
        """Return what a stretch can be restored to, or None while it holds no commit."""
        opens = stretch.backups[0]
        newest, last_lsn, damage = opens.completed_at, opens.stop_lsn, ""
        for _, summary in self.summaries(stretch):
            newest = max(newest, summary.newest_at or newest)
            last_lsn = summary.last_record or last_lsn
            if summary.damage:
                damage = f"ends at a damaged record: {summary.damage}"
                break
        if stretch.reaches_end and not damage and status and status.complete_to:
            newest = max(newest, status.complete_to)
        return RecoveryWindow(
            opens_at=opens.completed_at,
            closes_at=newest,
            source=self.archive.server,
            opens_lsn=opens.stop_lsn,
            closes_lsn=last_lsn,
            note=damage,
        )

    def around_time(
        self, stretch: Stretch, moment: datetime
    ) -> tuple[CommitMark | None, CommitMark | None]:
        """Return the last commit before, in log order, the first one stamped after `moment`, and it."""
        before: CommitMark | None = None
        for number, summary in self.summaries(stretch):
            if summary.newest_at is None or summary.newest_at <= moment:
                before = summary.last_commit or before
                continue
            for mark in self._commits(stretch, number):
                if mark.at > moment:
                    return before, mark
                before = mark
        return before, None

    def around_lsn(self, stretch: Stretch, lsn: str) -> tuple[CommitMark | None, CommitMark | None]:
        """Return the last commit whose record begins before `lsn`, and the first at or after it."""
        wanted = parse_lsn(lsn)
        before: CommitMark | None = None
        for number, summary in self.summaries(stretch):
            last = summary.last_commit
            if last is None or parse_lsn(last.lsn) < wanted:
                before = last or before
                continue
            for mark in self._commits(stretch, number):
                if parse_lsn(mark.lsn) >= wanted:
                    return before, mark
                before = mark
        return before, None

    def _commits(self, stretch: Stretch, number: int) -> Iterator[CommitMark]:
        """Yield the commits of segment `number`, or from there to the end if it is in the spool."""
        segments = self.archive.segments
        open_end = not self.archive.sealed(number).exists()
        last = stretch.last if open_end else min(number + 1, stretch.last)
        with readable(self.archive, number, last, self.master) as folder:
            for record in Reading(self.binaries, folder, segments, number, last, ("Transaction",)):
                found = commit_of(record)
                inside = open_end or parse_lsn(record.lsn) < (number + 1) * segments.size
                if found and inside:
                    yield found[0]

    def last_record(self, stretch: Stretch) -> str:
        """Return where the last complete record of a stretch begins.

        Raises:
            WalMissingError: the stretch holds none.
        """
        last: str | None = None
        for _, summary in self.summaries(stretch):
            last = summary.last_record or last
        if last is None:
            raise WalMissingError(f"the archive of {self.archive.server} holds no complete record")
        return last

    def suspects(self, stretches: Sequence[Stretch], since: datetime) -> list[Suspect]:
        """Return the suspects since a moment, newest first."""
        found: dict[str, Suspect] = {}
        for stretch in stretches:
            for _, summary in self.summaries(stretch):
                for suspect in summary.suspects:
                    if suspect.at >= since:
                        found[suspect.lsn] = suspect
        return sorted(found.values(), key=lambda suspect: parse_lsn(suspect.lsn), reverse=True)
