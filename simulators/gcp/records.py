"""What the stand-in remembers of its instances, backups and operations."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulators.backends import Master
from simulators.gcp.shapes import Engine, engine_of
from simulators.gcp.spelling import Json
from simulators.operations import Operation


@dataclass
class Labels:
    """The labels that lists and descriptions still show, and since when that is wrong."""

    shown: Json
    changed: timedelta | None = None


@dataclass
class Instance:
    """One instance, or what is left of it."""

    project: str
    name: str
    server: str
    """Id of the real server; a restore over an instance gives it another."""
    fields: Json
    """What callers set: settings, version, region, zones, key."""
    master: Master
    state: str
    created_at: datetime
    appeared: timedelta
    """Simulated time at which it was made; lists lag behind it."""
    labels: Labels
    made: bool = False
    """Whether there was ever a server; only then it has an address."""
    settings_version: int = 1
    logged_since: datetime | None = None
    """When recovery to a time was turned on, where that was after the creation."""
    deleted_at: datetime | None = None
    reached: tuple[datetime, datetime] | None = None
    """From when to when it could be recovered when it was deleted: its log goes no further."""

    def become(self, state: str) -> None:
        """Change to another state of its own."""
        self.state, self.made = state, self.made or state == "RUNNABLE"

    @property
    def engine(self) -> Engine:
        """Return the name of the engine among the estate's backends."""
        return engine_of(self.fields["databaseVersion"])

    @property
    def settings(self) -> Json:
        """Return the settings as they are, whatever lists still show."""
        found: Json = self.fields["settings"]
        return found

    @property
    def key(self) -> str:
        """Return the name of the customer's key, or nothing."""
        return str(self.fields.get("diskEncryptionConfiguration", {}).get("kmsKeyName", ""))


@dataclass
class Backup:
    """One backup; backup runs and project-level backups are two views of it."""

    id: str
    run: int
    project: str
    instance: str
    engine: Engine
    kind: str
    """AUTOMATED, ON_DEMAND or FINAL."""
    fields: Json
    master: Master
    description: str = ""
    location: str = ""
    enqueued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    state: str = "ENQUEUED"
    error: str = ""
    expires_at: datetime | None = None
    instance_deleted_at: datetime | None = None

    @property
    def name(self) -> str:
        """Return the resource name."""
        return f"projects/{self.project}/backups/{self.id}"


@dataclass
class Job:
    """One operation resource."""

    name: str
    kind: str
    """CLONE, UPDATE and so on."""
    project: str
    target: str
    holds: frozenset[tuple[str, str]]
    """Projects and names of the instances that no other operation may touch meanwhile."""
    work: Operation
    inserted_at: datetime
    finish: Callable[[], None]
    fail: Callable[[], None]
    planned_error: tuple[str, str] | None = None
    error: tuple[str, str] | None = None
    backup: Backup | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def status(self) -> str:
        """Return PENDING, RUNNING or DONE."""
        if self.ended_at is not None:
            return "DONE"
        return "PENDING" if self.started_at is None else "RUNNING"
