"""Reads the log of an archive: what each segment holds, and the commits around a point."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.errors import ProviderUnavailableError, WalMissingError
from domain.recovery import CommitMark, RecoveryWindow, Suspect
from providers.local.archive import Archive, Stretch
from providers.local.binaries import Binaries
from providers.local.processes import own_mark, sweep
from providers.local.programs import disk_named
from providers.local.records import ArchiveStatus
from providers.local.wal import LogSummary, Reading, Summing, commit_of, parse_lsn

READING = ".read-"


@contextmanager
def readable(archive: Archive, first: int, last: int, master: bytes) -> Iterator[Path]:
    """Hold segments `first` to `last` in plain while the block runs, where the open one is plain too.

    Those after the first may be missing: a record that goes on there is then not read.
    """
    archive.log.spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    sweep(archive.log.spool, READING)
    with TemporaryDirectory(
        prefix=f"{READING}{own_mark()}-", dir=archive.log.spool, ignore_cleanup_errors=True
    ) as folder:
        with disk_named(f"read the log of {archive.server} in {archive.log.spool}"):
            for number in range(first, last + 1):
                archive.log.unpack(number, Path(folder), master)
        yield Path(folder)


@dataclass(frozen=True)
class Summed:
    """What the segments `first` to `last` hold; more than one only at the open end of the log."""

    first: int
    last: int
    summary: LogSummary


@dataclass(frozen=True)
class LogReader:
    """Finds commits in an archive."""

    archive: Archive
    binaries: Binaries
    master: bytes

    def sum_up(self, number: int, *, last: int | None = None) -> LogSummary:
        """Return what the records hold that begin in segments `number` to `last`.

        A record at the end may go on in the segment after `last`, where there is one.

        Raises:
            ProviderUnavailableError: the reading was cut short; read again.
        """
        segments, archive = self.archive.segments, self.archive
        last = number if last is None else last
        follows = archive.log.holds(last + 1)
        before = archive.log.summary(number - 1)
        with readable(archive, number, last + follows, self.master) as folder:
            reading = Reading(self.binaries, folder, segments, number, last + follows)
            summing = Summing(archive.names(), before.creating if before else ())
            end, newest = (last + 1) * segments.size, None
            for record in reading:
                if parse_lsn(record.lsn) < end:
                    summing.add(record)
                    newest = record.lsn
        if reading.interrupted:
            raise ProviderUnavailableError("pg_waldump was interrupted while it read the log")
        summary = summing.result(reading)
        last_good = parse_lsn(reading.last_record) if reading.last_record else 0
        whole = reading.complete or last_good >= end
        return summary.model_copy(
            update={
                "last_record": newest if follows else (reading.last_record or newest),
                "damage": "" if whole else summary.damage,
                "read_to_end": whole,
            }
        )

    def summaries(self, stretch: Stretch) -> Iterator[Summed]:
        """Yield what a stretch holds, in order: sealed segments, then all of the open end at once.

        What is the open end is decided once: a segment that is sealed meanwhile stays part of it.
        """
        for number in range(stretch.first, stretch.last + 1):
            if not self.archive.log.file(number).exists():
                yield Summed(number, stretch.last, self.sum_up(number, last=stretch.last))
                return
            summary = self.archive.log.summary(number) or self.sum_up(number)
            yield Summed(number, number, summary)

    def window(self, stretch: Stretch, status: ArchiveStatus | None) -> RecoveryWindow | None:
        """Return what a stretch can be restored to, or None while it holds no commit."""
        opens = stretch.backups[0]
        newest, last_lsn, damage = opens.completed_at, opens.stop_lsn, ""
        for summed in self.summaries(stretch):
            newest = max(newest, summed.summary.newest_at or newest)
            last_lsn = summed.summary.last_record or last_lsn
            if summed.summary.damage:
                damage = f"ends at a damaged record: {summed.summary.damage}"
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
        for summed in self.summaries(stretch):
            newest = summed.summary.newest_at
            if newest is None or newest <= moment:
                before = summed.summary.last_commit or before
                continue
            for mark in self._commits(summed):
                if mark.at > moment:
                    return before, mark
                before = mark
        return before, None

    def around_lsn(self, stretch: Stretch, lsn: str) -> tuple[CommitMark | None, CommitMark | None]:
        """Return the last commit whose record begins before `lsn`, and the first at or after it."""
        wanted = parse_lsn(lsn)
        before: CommitMark | None = None
        for summed in self.summaries(stretch):
            last = summed.summary.last_commit
            if last is None or parse_lsn(last.lsn) < wanted:
                before = last or before
                continue
            for mark in self._commits(summed):
                if parse_lsn(mark.lsn) >= wanted:
                    return before, mark
                before = mark
        return before, None

    def _commits(self, summed: Summed) -> Iterator[CommitMark]:
        """Yield the commits whose records begin in the segments of `summed`."""
        segments = self.archive.segments
        end = (summed.last + 1) * segments.size
        until = summed.last + self.archive.log.holds(summed.last + 1)
        with readable(self.archive, summed.first, until, self.master) as folder:
            reading = Reading(
                self.binaries, folder, segments, summed.first, until, ("Transaction",)
            )
            for record in reading:
                found = commit_of(record)
                if found and parse_lsn(record.lsn) < end:
                    yield found[0]

    def last_record(self, stretch: Stretch) -> str:
        """Return where the last complete record of a stretch begins.

        Raises:
            WalMissingError: the stretch holds none.
        """
        last: str | None = None
        for summed in self.summaries(stretch):
            last = summed.summary.last_record or last
            if summed.summary.damage:
                break
        if last is None:
            raise WalMissingError(f"the archive of {self.archive.server} holds no complete record")
        return last

    def suspects(self, stretches: Sequence[Stretch], since: datetime) -> list[Suspect]:
        """Return the suspects since a moment, newest first."""
        found: dict[str, Suspect] = {}
        for stretch in stretches:
            for summed in self.summaries(stretch):
                for suspect in summed.summary.suspects:
                    if suspect.at >= since:
                        told = suspect.model_copy(update={"source": self.archive.server})
                        found[suspect.lsn] = told
        return sorted(found.values(), key=lambda suspect: parse_lsn(suspect.lsn), reverse=True)
