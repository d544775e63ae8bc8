"""What each server's log reaches, and while which time the path meant that server."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.recovery import RecoveryWindow, Snapshot, Suspect
from providers.local.archive import Stretch
from providers.local.reader import LogReader
from providers.local.records import SnapshotRecord, Tenure
from providers.local.wal import parse_lsn


@dataclass(frozen=True)
class Span:
    """A stretch of one server's log, with the time during which the path meant that server."""

    reader: LogReader
    stretch: Stretch
    window: RecoveryWindow
    tenure: Tenure

    def covers(self, lsn: str) -> bool:
        """Return whether `lsn` lies in the log, and not after the server was superseded."""
        opens, closes = self.window.opens_lsn or "0/0", self.window.closes_lsn or "0/0"
        if not parse_lsn(opens) <= parse_lsn(lsn) <= parse_lsn(closes):
            return False
        before, _ = self.reader.around_lsn(self.stretch, lsn)
        return before is None or self.tenure.until is None or before.at <= self.tenure.until


def told(suspect: Suspect, spans: Sequence[Span]) -> str:
    """Return how a suspect is named where the logs of several servers hold its position."""
    servers = {span.reader.archive.server for span in spans if span.covers(suspect.lsn)}
    return suspect.lsn if servers == {suspect.source} else f"{suspect.source}@{suspect.lsn}"


def as_snapshot(record: SnapshotRecord) -> Snapshot:
    """Return what the outside sees of a kept point."""
    return Snapshot(
        id=record.id,
        taken_at=record.taken_at,
        lsn=record.lsn,
        source=record.server,
        name=record.name,
        size_bytes=record.stored_bytes,
        proven=record.proof is not None,
    )
