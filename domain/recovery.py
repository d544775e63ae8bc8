"""Points in time: what can be reached, what was asked for, what was chosen."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from domain.resources import Mode, ProtectedResource
from domain.values import UtcDatetime, Value, show_bytes, show_time

POINT_IN_TIME_RTO = timedelta(minutes=60)
SNAPSHOT_RTO = timedelta(minutes=30)


class TargetKind(StrEnum):
    """The ways to name a recovery point."""

    TIME = "time"
    BEFORE_LSN = "before-lsn"
    RESTORE_POINT = "restore-point"
    SNAPSHOT = "snapshot"
    LATEST = "latest"
    LATEST_PROOF = "latest-proof"


class Target(Value):
    """The point as it was asked for; never silently replaced by another."""

    kind: TargetKind
    time: UtcDatetime | None = None
    lsn: str | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        needed = {
            TargetKind.TIME: self.time,
            TargetKind.BEFORE_LSN: self.lsn,
            TargetKind.RESTORE_POINT: self.name,
            TargetKind.SNAPSHOT: self.name,
        }
        if self.kind in needed and needed[self.kind] is None:
            message = f"a target of kind {self.kind} needs its value"
            raise ValueError(message)
        return self

    def __str__(self) -> str:
        """Return the target in the words of the command line."""
        if self.kind is TargetKind.TIME and self.time:
            return show_time(self.time)
        if self.kind is TargetKind.BEFORE_LSN:
            return f"just before {self.lsn}"
        if self.kind is TargetKind.LATEST:
            return "the latest possible moment"
        if self.kind is TargetKind.LATEST_PROOF:
            return "the latest proof point"
        return f"{self.kind.value.replace('-', ' ')} {self.name}"


class CommitMark(Value):
    """One commit in the provider's log: where it stands, when it was stamped, by which transaction."""

    lsn: str
    at: UtcDatetime
    xid: int


class RecoveryWindow(Value):
    """A span without a hole that the provider can restore to, both ends included.

    A snapshot is a window that opens and closes at once.
    """

    opens_at: UtcDatetime
    closes_at: UtcDatetime
    source: str
    source_id: str = ""
    opens_lsn: str | None = None
    closes_lsn: str | None = None
    note: str = ""

    @property
    def log(self) -> str:
        """The span in the log, where it can be read."""
        return f"{self.opens_lsn} … {self.closes_lsn}" if self.opens_lsn else ""

    def holds(self, moment: datetime) -> bool:
        """Return whether `moment` lies inside."""
        return self.opens_at <= moment <= self.closes_at


class Snapshot(Value):
    """A named point that is kept until somebody deletes it."""

    id: str
    taken_at: UtcDatetime
    lsn: str
    source: str
    name: str = ""
    size_bytes: int | None = None
    proven: bool = False
    unproven_because: str = ""
    automatic: bool = False


class RecoveryPointList(Value):
    """What a resource can be restored to."""

    windows: tuple[RecoveryWindow, ...]
    snapshots: tuple[Snapshot, ...]


class RecoveryPoint(Value):
    """The exact point a restore goes to, with what proves that it got there."""

    target: Target
    source: str
    source_id: str = ""
    backup_id: str
    lsn: str = ""
    inclusive: bool = True
    last_commit: CommitMark | None = None
    first_after: CommitMark | None = None
    snapshot_id: str | None = None
    at: UtcDatetime | None = Field(
        default=None, description="the moment asked of a provider whose log cannot be read"
    )
    granularity: timedelta = timedelta()
    resolved_at: UtcDatetime | None = None
    typical: timedelta | None = Field(
        default=None, description="how long the provider usually takes, where it does the work"
    )
    backup_bytes: int = 0
    restored_bytes: int = 0
    log_bytes: int = 0

    @property
    def time(self) -> datetime | None:
        """Where the data will stand, UTC: at its last commit, else the moment asked of the provider."""
        return self.last_commit.at if self.last_commit else self.at

    @property
    def told(self) -> str:
        """The point in one line."""
        if self.at is not None:
            what = f"snapshot {self.snapshot_id} of" if self.snapshot_id else "every commit until"
            return f"{what} {show_time(self.at)}, from {self.source}"
        last = f"last commit {show_time(self.time)}" if self.time else "no commit since the backup"
        side = "included" if self.inclusive else "excluded"
        return f"{self.lsn} {side}, {last}, from {self.source}"


class Suspect(Value):
    """A commit that removed or replaced the files of relations: a disaster, or somebody's migration.

    `before` is what `restore --before` takes to go to the moment just before it.
    """

    lsn: str
    at: UtcDatetime
    xid: int
    acts: tuple[str, ...]
    source: str = ""
    before: str = ""


class RestoreRequest(Value):
    """One recovery of one database, as it was asked for."""

    id: str
    resource: ProtectedResource
    target: Target
    mode: Mode = Mode.INCIDENT
    cutover: bool = True
    requested_at: UtcDatetime
    requested_by: str
    incident_at: UtcDatetime | None = None
    reason: str = ""
    part_of: str = ""

    @property
    def rto(self) -> timedelta:
        """The catalog's recovery time objective, else the default for this kind of target."""
        if self.resource.objectives.rto is not None:
            return self.resource.objectives.rto
        kept = self.target.kind in {TargetKind.SNAPSHOT, TargetKind.LATEST_PROOF}
        return SNAPSHOT_RTO if kept else POINT_IN_TIME_RTO

    @property
    def started_counting_at(self) -> datetime:
        """Moment from which the recovery clock counts: the impact, else the request."""
        return self.incident_at or self.requested_at

    @property
    def cuts_over(self) -> bool:
        """Whether this run ends with the consumers on the new server; a drill never does."""
        return self.cutover and self.mode is Mode.INCIDENT


class ServerDescription(Value):
    """The server that a path means now."""

    name: str
    host: str
    port: int
    version: str = ""
    state: str = ""
    timeline: int | None = None
    size_bytes: int | None = None
    superseded: tuple[str, ...] = ()
    archive: "ArchiveHealth | None" = None
    engine: str = "postgresql"
    tls: "Tls | None" = None
    facts: tuple[str, ...] = ()

    @property
    def about(self) -> tuple[str, ...]:
        """Engine, version and size in one line where the server tells, then its further facts."""
        if not self.version:
            return self.facts
        size = show_bytes(self.size_bytes) if self.size_bytes else "size unknown"
        timeline = f"timeline {self.timeline}, " if self.timeline is not None else ""
        name = {"postgresql": "PostgreSQL", "mysql": "MySQL"}.get(self.engine, self.engine)
        return (f"{name} {self.version}, {timeline}{size}", *self.facts)

    @property
    def handle(self) -> "RestoreHandle":
        """How the server is asked."""
        return RestoreHandle(
            server=self.name,
            host=self.host,
            port=self.port,
            run_id="",
            engine=self.engine,
            tls=self.tls,
        )


class ArchiveHealth(Value):
    """Whether the archive follows the server: lag, holes and the newest base backup."""

    healthy: bool
    problems: tuple[str, ...] = ()
    lag: timedelta | None = None
    lag_bytes: int | None = None
    newest_backup_at: UtcDatetime | None = None
    stored_bytes: int = 0


class Tls(Value):
    """How a server proves who it is; without any of it the system's certificates decide.

    `ca` is the text of the certificates (PEM), `ca_file` a file with them where the worker runs.
    `verify` is `ca` only where a provider's certificates cannot name the address.
    """

    ca: str = ""
    ca_file: str = ""
    verify: Literal["full", "ca"] = "full"


class RestoreHandle(Value):
    """What a restore in progress is called at its provider, and how it is reached.

    `id` is the provider's own name, where that outlives a rename. `requested_at` is when the run
    was asked for, and so before anything of it was made; `began_at` and `expected` tell when the
    restore began and how long it should take, so that it is asked about at the right pace.
    """

    server: str
    host: str
    port: int
    run_id: str
    id: str = ""
    engine: str = "postgresql"
    tls: Tls | None = None
    requested_at: UtcDatetime | None = None
    began_at: UtcDatetime | None = None
    expected: timedelta | None = None

    @property
    def address(self) -> str:
        """Where it is reached, as `host:port`."""
        return f"{self.host}:{self.port}"


class Progress(Value):
    """How far a step is, where that is known.

    `waited` counts only while somebody asked; `noted` is what the step wrote down for a later
    attempt of itself.
    """

    what: str
    done_bytes: int | None = None
    total_bytes: int | None = None
    noted: tuple[str, ...] = ()
    waited: timedelta = timedelta()
    asked_at: UtcDatetime | None = None

    def __str__(self) -> str:
        """Return the step with its percentage, when the total is known."""
        if self.done_bytes is None or not self.total_bytes:
            return self.what
        return f"{self.what} {min(100, 100 * self.done_bytes // self.total_bytes)} %"


class RestoredResource(Value):
    """A restored server that accepts writes, with what recovery itself said of the point reached."""

    handle: RestoreHandle
    ready_at: UtcDatetime
    replayed_to: str = ""
    last_replayed_commit_at: UtcDatetime | None = None
    timeline: int | None = None
    stopped_because: str
    version: str

    @property
    def ended(self) -> str:
        """Where the restore ended, in the log where it can be read, else in the provider's words."""
        return f"replay ended at {self.replayed_to}" if self.replayed_to else self.stopped_because


class SettingDifference(Value):
    """One setting that the restored server had otherwise than the source, and what was done."""

    name: str
    source: str
    restored: str
    outcome: str
    why: str = ""

    @property
    def told(self) -> str:
        """The setting, what became of it, and why or from what."""
        why = self.why or f"was {self.restored}, the source has {self.source}"
        return f"{self.name}: {self.outcome} ({why})"


class Superseded(Value):
    """The server that a path meant before a cutover, and whether it is kept from taking writes.

    `last_commit_at` is when it committed last, where it answers and knows. `address` is the
    `host:port` at which the path is reached now, `notes` what a reader of the report should know.
    """

    server: str | None
    fenced: bool = True
    last_commit_at: UtcDatetime | None = None
    address: str = ""
    notes: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """What a reader of the report should know, the last commit of the old server included."""
        if self.last_commit_at is None:
            return self.notes
        until = show_time(self.last_commit_at)
        stays = "what it committed after the point stays on it until it is released"
        return (*self.notes, f"{self.server} took commits until {until}: {stays}")


class CutoverRecord(Value):
    """What a cutover changed, enough to turn it back."""

    consumer: str
    before: str
    after: str
