"""Every protocol the outside must fulfil, on one page: the contents of the system.

All of them raise only `domain.errors.RecoveryError`; another exception that escapes is a bug in
the implementation. A second call with the same arguments finds what the first one made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from domain.checks import Finding, ProofPoint, SqlAnswer
from domain.recovery import (
    Progress,
    RecoveryPoint,
    RecoveryWindow,
    RestoredResource,
    RestoreHandle,
    ServerDescription,
    SettingDifference,
    Snapshot,
    Superseded,
    Suspect,
    Target,
)
from domain.report import RunReport
from domain.resources import Connection, Consumer, Mode, ProtectedResource, SqlCheck

ReportProgress: TypeAlias = Callable[[Progress], None]
"""Called often during long work; raises `StoppedError` when the work should end now."""


class Memory(Protocol):
    """What earlier attempts of a step wrote down; it outlives the worker, and is small."""

    def recall(self) -> tuple[str, ...]:
        """Return what was noted last, or nothing."""
        ...

    def note(self, what: Sequence[str]) -> None:
        """Write down what a later attempt must know, before doing what would make it unknowable."""
        ...


class RecoveryPoints(Protocol):
    """Tells what a resource can be restored to, live."""

    def describe(self, resource: ProtectedResource) -> ServerDescription:
        """Return the server that the path means now, whether it runs or not."""
        ...

    def windows(self, resource: ProtectedResource) -> Sequence[RecoveryWindow]:
        """Return every span without a hole that the resource can be restored to."""
        ...

    def snapshots(self, resource: ProtectedResource) -> Sequence[Snapshot]:
        """Return the named points that are kept, newest first."""
        ...

    def resolve(self, resource: ProtectedResource, target: Target) -> RecoveryPoint:
        """Return the exact point that `target` names; never a neighbour instead.

        Raises `RecoveryPointUnreachableError` with offers.
        """
        ...

    def suspects(self, resource: ProtectedResource, since: datetime) -> Sequence[Suspect]:
        """Return the commits since then that dropped, truncated or rewrote relations, newest first.

        Raises `UnsupportedResourceError` where the log cannot be read.
        """
        ...


class Preflight(Protocol):
    """Finds out whether a restore can work before anything is made."""

    def examine(
        self, resource: ProtectedResource, point: RecoveryPoint, mode: Mode
    ) -> Sequence[Finding]:
        """Return one finding per precondition: access, keys, room, a free place, log complete."""
        ...


class ResourceRecovery(Protocol):
    """Makes the copy of a resource as of a point, beside the original and never over it."""

    def start_restore(
        self, resource: ProtectedResource, point: RecoveryPoint, *, run_id: str, mode: Mode
    ) -> RestoreHandle:
        """Begin, and return what the new resource is called.

        A second call with the same `run_id` returns the handle of the first. A thing of the wanted
        name that another run made is refused with `NotOursError`.
        """
        ...

    def transfer(
        self,
        resource: ProtectedResource,
        point: RecoveryPoint,
        handle: RestoreHandle,
        progress: ReportProgress,
    ) -> None:
        """Do the part that this process does itself; return at once where the provider does it all."""
        ...

    def poll_restore(self, resource: ProtectedResource, handle: RestoreHandle) -> RestoredResource:
        """Return what was restored, or raise `NotYetError` with what it waits for."""
        ...

    def discard(self, resource: ProtectedResource, handle: RestoreHandle) -> None:
        """Remove everything that the run of `handle` made; fine when there is nothing."""
        ...


class Snapshots(Protocol):
    """Makes named points that are kept."""

    def create(
        self, resource: ProtectedResource, *, key: str, name: str, progress: ReportProgress
    ) -> Snapshot:
        """Take a snapshot; a second call with the same `key` returns the first one."""
        ...

    def mark(self, resource: ProtectedResource, *, key: str, name: str) -> Snapshot | None:
        """Mark the present moment of a server that still answers, cheaply; None if it does not."""
        ...

    def attach_proof(
        self, resource: ProtectedResource, snapshot_id: str, proof: ProofPoint
    ) -> None:
        """Keep the content hashes with a snapshot; its point becomes the proof's LSN."""
        ...

    def proof(self, resource: ProtectedResource, point: RecoveryPoint) -> ProofPoint | None:
        """Return the proof taken at exactly this point, or None."""
        ...

    def copy(self, resource: ProtectedResource, snapshot_id: str, region: str) -> str:
        """Begin a copy of a snapshot in another region, and return its name there.

        A second call returns the first one's. Raises `UnsupportedResourceError` where there is no
        such thing, and `RecoveryPointUnreachableError` with the known ones for an unknown one.
        """
        ...

    def remove(self, resource: ProtectedResource, snapshot_id: str, memory: Memory) -> None:
        """Delete a snapshot that somebody took; fine when an earlier attempt did.

        Raises `UnsupportedResourceError` for one that the provider took by itself, and
        `RecoveryPointUnreachableError` with the known ones for one that there never was.
        """
        ...

    def last_proof(self, resource: ProtectedResource, point: RecoveryPoint) -> ProofPoint | None:
        """Return the newest proof at or before the point, or None."""
        ...


class Settings(Protocol):
    """Brings over what a restore does not carry."""

    def carry_over(
        self,
        resource: ProtectedResource,
        restored: RestoredResource,
        mode: Mode,
        memory: Memory,
    ) -> Sequence[SettingDifference]:
        """Compare source and copy, repair what may be repaired, and return every difference.

        What the source does not let in is shut first. Raises `NotYetError` while changes take
        effect; what was different before is in `memory`.
        """
        ...


class Cutover(Protocol):
    """Makes a restored resource the one that its path means."""

    def protect(
        self, resource: ProtectedResource, handle: RestoreHandle, progress: ReportProgress
    ) -> None:
        """Give the new server its own archive and base backup; return when both are complete."""
        ...

    def keep(self, resource: ProtectedResource, handle: RestoreHandle) -> None:
        """Note that a run ended without cutover and its server stays until it is released."""
        ...

    def promote(self, resource: ProtectedResource, handle: RestoreHandle) -> Superseded:
        """Fence the old server, softly and reversibly, and make the new one what the path means.

        An old server that does not answer cannot be fenced now: the answer says so, and it is
        fenced when it comes back.
        """
        ...

    def demote(self, resource: ProtectedResource, handle: RestoreHandle) -> None:
        """Undo `promote`: the old server is what the path means, and it takes writes again."""
        ...

    def superseded(self, resource: ProtectedResource) -> Sequence[str]:
        """Return the names of the servers that wait for their release."""
        ...

    def release(self, resource: ProtectedResource, memory: Memory) -> Sequence[str]:
        """Delete the superseded servers and nothing else; return their names once they are gone."""
        ...


class Consumers(Protocol):
    """Points the applications that use a database to another server."""

    def address(self, consumer: Consumer) -> str:
        """Return the `host:port` that the consumer's setting names now."""
        ...

    def switch(self, consumer: Consumer, address: str, key: str) -> None:
        """Point the consumer to `host:port` and restart it, also where it points there already.

        A second call with the same key restarts it only where the first did not get so far.
        """
        ...

    def require_healthy(self, consumer: Consumer) -> None:
        """Return when the restarted consumer works; raise `NotYetError` with what it says instead."""
        ...


class Questions(Protocol):
    """Asks a database that answers SQL."""

    def ask(self, server: RestoreHandle, connection: Connection, check: SqlCheck) -> SqlAnswer:
        """Return the answer to one read-only statement; a write or a failure is told in `problem`."""
        ...

    def take_proof(
        self, server: RestoreHandle, connection: Connection, progress: ReportProgress
    ) -> ProofPoint:
        """Hash every table under an exported snapshot with its LSN, without blocking writers."""
        ...

    def content(
        self,
        server: RestoreHandle,
        connection: Connection,
        lsn: str,
        progress: ReportProgress,
        *,
        hashed: bool,
    ) -> ProofPoint:
        """Count, and when `hashed` also hash, every table of a server that nobody writes to."""
        ...

    def integrity(
        self, server: RestoreHandle, connection: Connection, progress: ReportProgress
    ) -> Sequence[Finding]:
        """Read every page and index and return what is broken; leaves nothing in the database."""
        ...

    def point_reached(
        self,
        restored: RestoredResource,
        point: RecoveryPoint,
        connection: Connection,
        table: str | None,
    ) -> Sequence[Finding]:
        """Prove from the data that the point was reached and not passed."""
        ...


class Reports(Protocol):
    """Keeps run reports and what can be learnt from them."""

    def store(self, report: RunReport) -> str:
        """Keep the report, once per run id, and return where it is."""
        ...

    def of_resource(self, path: str) -> Sequence[RunReport]:
        """Return the newest kept reports of a resource, oldest first."""
        ...

    def find(self, run_id: str) -> RunReport | None:
        """Return the report of a run by its id or the beginning of it, or None.

        For a resource path it is the newest report of the resource.
        """
        ...


@dataclass(frozen=True)
class DatabaseProvider:
    """What one account at one provider can do with databases."""

    points: RecoveryPoints
    preflight: Preflight
    recovery: ResourceRecovery
    snapshots: Snapshots
    settings: Settings
    cutover: Cutover
