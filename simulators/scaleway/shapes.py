"""What a simulated account holds: instances, endpoints, snapshots and logical backups."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from simulators.backends import Master
from simulators.operations import Operation

Json: TypeAlias = dict[str, Any]

READY = "ready"
ERROR = "error"
LOCKED = "locked"
DISK_FULL = "disk_full"
DELETING = "deleting"
ALWAYS = timedelta.min
"""When things were made that have existed for long: no lag hides them."""

LOAD_BALANCER = "load_balancer"
PRIVATE_NETWORK = "private_network"


@dataclass
class Doing:
    """What is under way at a thing, and what is true when it is over."""

    operation: Operation
    status: str
    then: Callable[[], None]
    harmless: bool = False
    """Whether the thing is well again when the work failed."""


@dataclass
class Thing:
    """What has a status."""

    id: str
    region: str
    name: str
    created_at: datetime
    made_at: timedelta
    """In simulated time, for the lag."""
    status: str = READY
    doing: Doing | None = None
    held: str = ""


@dataclass
class Schedule:
    """When automatic backups are made, in hours, and how long they are kept, in days."""

    frequency: int = 24
    retention: int = 7
    disabled: bool = False
    next_run_at: datetime | None = None


@dataclass
class LogsPolicy:
    """How long logs are kept, in days, and how much of them, in bytes."""

    max_age_retention: int | None = 30
    total_disk_retention: int | None = None


@dataclass
class Volume:
    """Where the data of an instance is, in bytes."""

    type: str
    size: int


@dataclass
class Rule:
    """One range of addresses that may connect."""

    ip: str
    description: str


@dataclass
class Endpoint:
    """An address of an instance; it keeps its port when it moves to another."""

    id: str
    instance: str
    kind: str
    port: int
    private_network: str = ""
    service_ip: str = ""


@dataclass
class Tags:
    """The tags of an instance with their past, because readers see them late."""

    versions: list[tuple[timedelta, tuple[str, ...]]]

    def write(self, at: timedelta, tags: tuple[str, ...]) -> None:
        """Replace the tags."""
        self.versions.append((at, tags))

    def seen(self, at: timedelta) -> tuple[str, ...]:
        """Return what a reader sees who is as late as `at`."""
        known = [tags for written, tags in self.versions if written <= at]
        return known[-1] if known else self.versions[0][1]


@dataclass(kw_only=True)
class Instance(Thing):
    """A database instance."""

    project: str
    engine: str
    version: str
    node_type: str
    high_availability: str
    volume: Volume
    encrypted: bool
    master: Master
    tags: Tags
    settings: dict[str, str] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=lambda: [Rule("0.0.0.0/0", "Allow all")])
    schedule: Schedule = field(default_factory=Schedule)
    logs_policy: LogsPolicy = field(default_factory=LogsPolicy)
    same_region: bool = False


@dataclass(kw_only=True)
class Snapshot(Thing):
    """The volume of an instance at a moment, and what of the instance is kept with it."""

    instance: str
    expires_at: datetime
    source: Instance
    """The instance as it was when the snapshot was begun."""
    updated_at: datetime | None = None
    held_at: datetime | None = None
    """The moment whose data it holds; None until it is taken."""


@dataclass(kw_only=True)
class Backup(Thing):
    """A logical backup of one database; no data stand behind it."""

    instance: str
    instance_name: str
    project: str
    database: str
    same_region: bool
    expires_at: datetime
    exported: bool = False
