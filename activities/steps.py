"""What the steps of a restore are given and what they answer, where no domain type says it."""

from collections.abc import Sequence
from datetime import timedelta

from domain.checks import Finding
from domain.clock import Phase, PhaseEstimate
from domain.recovery import (
    RecoveryPoint,
    RecoveryWindow,
    RestoredResource,
    RestoreHandle,
    Snapshot,
)
from domain.resources import Consumer, Mode, ProtectedResource, SqlCheck
from domain.values import UtcDatetime, Value


class StartRestore(Value):
    """Begin a restore; the run's id is the idempotency key."""

    resource: ProtectedResource
    point: RecoveryPoint
    run_id: str
    mode: Mode
    requested_at: UtcDatetime | None = None
    expected: timedelta | None = None


class OnServer(Value):
    """Act on the server that a run made."""

    resource: ProtectedResource
    handle: RestoreHandle


class TransferRestore(Value):
    """Do this process's own part of a restore."""

    resource: ProtectedResource
    point: RecoveryPoint
    handle: RestoreHandle


class OnRestored(Value):
    """Act on what was restored."""

    resource: ProtectedResource
    point: RecoveryPoint
    restored: RestoredResource
    mode: Mode


class Examine(Value):
    """Look at the preconditions of a restore."""

    resource: ProtectedResource
    point: RecoveryPoint
    mode: Mode


class Examination(Value):
    """What pre-flight found, and up to when everything could be recovered at that moment."""

    findings: tuple[Finding, ...]
    recoverable_to: UtcDatetime | None
    examined_at: UtcDatetime
    versions: dict[str, str] = {}


class Estimate(Value):
    """Ask how long each phase should take."""

    path: str
    phases: tuple[Phase, ...]
    restored_bytes: int
    log_bytes: int
    typical: timedelta | None = None


class Estimates(Value):
    """How long each phase should take."""

    phases: tuple[PhaseEstimate, ...]


class TakeSnapshot(Value):
    """Take or mark a point; `key` makes asking twice harmless."""

    resource: ProtectedResource
    key: str
    name: str


class CopySnapshot(Value):
    """Copy a snapshot to another region."""

    resource: ProtectedResource
    snapshot_id: str
    region: str


class DeleteSnapshot(Value):
    """Delete a snapshot."""

    resource: ProtectedResource
    snapshot_id: str


class MarkedPoint(Value):
    """The point that was marked, or None when the server did not answer."""

    snapshot: Snapshot | None


class SwitchConsumer(Value):
    """Point a consumer to the `host:port` of a server; once for each `key`."""

    consumer: Consumer
    address: str
    key: str = ""


class Address(Value):
    """Where a consumer points, as `host:port`."""

    address: str


class AskPresent(Value):
    """Ask the server that a path means now one read-only statement."""

    resource: ProtectedResource
    check: SqlCheck


class SuspectSearch(Value):
    """Look for suspects since a moment."""

    resource: ProtectedResource
    since: UtcDatetime


def newest(windows: Sequence[RecoveryWindow]) -> UtcDatetime | None:
    """Return up to when the windows reach, or None where there is none."""
    return max((window.closes_at for window in windows), default=None)
