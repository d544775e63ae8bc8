"""What a simulated subscription holds: servers, what belongs to them, and operations at them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from simulators.azure.families import Family, Json
from simulators.operations import Operation

READY = "Ready"
UPDATING = "Updating"
PROVISIONING = "Provisioning"
STOPPED = "Stopped"
DROPPING = "Dropping"
DISABLED = "Disabled"
INACCESSIBLE = "Inaccessible"
IN_PROGRESS = "InProgress"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
ALWAYS = timedelta.min
"""When things were made that have existed for long: no lag hides them."""


def nothing() -> None:
    """Change nothing when an operation ends."""


def no_result() -> None:
    """Have no result to show when an operation ends."""


@dataclass
class Tags:
    """The tags of a server with their past, because readers see them late."""

    versions: list[tuple[timedelta, dict[str, str]]]

    def write(self, at: timedelta, tags: dict[str, str]) -> None:
        """Replace the tags."""
        self.versions.append((at, tags))

    @property
    def last(self) -> dict[str, str]:
        """The tags as they were written last."""
        return self.versions[-1][1]

    def seen(self, at: timedelta) -> dict[str, str]:
        """Return what a reader sees who is as late as `at`."""
        known = [tags for written, tags in self.versions if written <= at]
        return known[-1] if known else {}


@dataclass
class Backup:
    """One backup: a name for a moment that the server's log reaches too."""

    name: str
    completed_at: datetime | None
    on_demand: bool = False

    @property
    def kind(self) -> str:
        """The backup's type in the provider's words."""
        return "Customer On-Demand" if self.on_demand else "Full"


@dataclass
class VirtualEndpoint:
    """A name of its own that leads to its member."""

    name: str
    members: list[str]


@dataclass(kw_only=True)
class Server:
    """A flexible server; `sku`, `identity` and `properties` are as the provider writes them."""

    family: Family
    internal: str
    """Id of the real server, which a name that is used again does not share."""
    group: str
    name: str
    location: str
    created_at: datetime
    made_at: timedelta
    """In simulated time, for the lag."""
    tags: Tags
    sku: Json
    identity: Json | None
    properties: Json
    state: str = READY
    held: str = ""
    doing: "Task | None" = None
    parameters: dict[str, str] = field(default_factory=dict)
    """Those that somebody set."""
    pending: set[str] = field(default_factory=set)
    rules: dict[str, Json] = field(default_factory=dict)
    backups: dict[str, Backup] = field(default_factory=dict)
    databases: list[str] = field(default_factory=list)
    administrators: list[Json] = field(default_factory=list)
    connections: dict[str, Json] = field(default_factory=dict)
    endpoint: VirtualEndpoint | None = None

    @property
    def seen_state(self) -> str:
        """The state in which a reader sees the server."""
        doing = self.doing.state if self.doing is not None else ""
        return self.held or doing or self.state

    def copied(self, *names: str) -> Json:
        """Return copies of some of the properties, of those that there are."""
        found = {name: self.properties[name] for name in names if name in self.properties}
        return copy.deepcopy(found)


@dataclass
class Deleted:
    """A server that can be brought back for a while."""

    server: Server
    at: datetime
    elapsed: timedelta


@dataclass
class Task:
    """One asynchronous operation, as its own address tells it."""

    id: str
    kind: str
    server: Server
    operation: Operation
    began_at: datetime
    state: str
    """State in which the server is seen meanwhile; empty when it stays as it is."""
    then: Callable[[], None]
    undo: Callable[[], None]
    result: Callable[[], Json | None]
    status: str = IN_PROGRESS
    error: tuple[int, str, str] = (0, "", "")
    """HTTP status, code and message, when it failed."""
