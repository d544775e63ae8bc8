"""The state of one simulated subscription, and what keeps it moving."""

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from simulators.azure.families import Family, Json
from simulators.azure.refusals import (
    ApiError,
    busy,
    internal,
    missing,
    no_group,
    no_parent,
    not_allowed,
)
from simulators.azure.shapes import (
    ALWAYS,
    DISABLED,
    FAILED,
    INACCESSIBLE,
    READY,
    STOPPED,
    SUCCEEDED,
    Deleted,
    Server,
    Task,
    no_result,
    nothing,
)
from simulators.backends import Backends
from simulators.estate import Estate
from simulators.faults import Refusal

UNREACHABLE = frozenset((STOPPED, DISABLED, INACCESSIBLE))
STANDING = UNREACHABLE | {READY}
"""States that do not pass by themselves."""


@dataclass
class Call:
    """One API call: where it goes, what it says."""

    host: str
    scope: str
    """The resource, group or subscription that the call is about."""
    family: Family
    api_version: str
    kind: str = "flexibleServers"
    """The type that the call is about, such as `flexibleServers/backups`."""
    group: str = ""
    name: str = ""
    child: str = ""
    location: str = ""
    body: Json = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)

    @property
    def properties(self) -> Json:
        """What the body says in `properties`."""
        told = self.body.get("properties") or {}
        return told if isinstance(told, dict) else {}


@dataclass
class Account:
    """Holds everything; callers hold `lock` while they look at it or change it."""

    estate: Estate
    subscription: str
    groups: dict[str, str]
    lock: threading.RLock = field(default_factory=threading.RLock)
    servers: list[Server] = field(default_factory=list)
    deleted: list[Deleted] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    occupied: set[str] = field(default_factory=set)
    failures: dict[str, Refusal] = field(default_factory=dict)
    no_room: set[str] = field(default_factory=set)
    quota: int = 100
    page: int = 50
    retry_after: int = 15
    reserved_for: timedelta = timedelta(hours=1)
    recoverable_for: timedelta = timedelta(days=5)
    accepts_again: bool = False
    keeps_failed: bool = False
    authenticated: bool = True

    def backends(self, server: Server) -> Backends:
        """Return the real servers of a server's family."""
        return self.estate.backends[server.family.engine]

    def find(self, family: Family, group: str, name: str) -> Server | None:
        """Return a server, however its name and group are spelled."""
        for server in self.servers:
            if server.family is family and server.name.lower() == name.lower():
                return server if server.group.lower() == group.lower() else None
        return None

    def server(self, call: Call) -> Server:
        """Return the server that a call is about."""
        self.require_group(call.group)
        found = self.find(call.family, call.group, call.name)
        if found is not None:
            return found
        if "/" in call.kind:
            raise no_parent(call.kind, call.scope)
        raise missing(call.family.kind, call.name, call.group)

    def require_group(self, group: str) -> None:
        """Refuse a resource group that does not exist."""
        if group.lower() not in {one.lower() for one in self.groups}:
            raise no_group(group)

    def id_of(self, server: Server) -> str:
        """Return a server's resource id."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{server.group}"
        return f"{group}/providers/{server.family.kind}/{server.name}"

    def require(self, server: Server, *states: str) -> None:
        """Refuse a change to a server that is not ready, nor in one of `states`."""
        state = server.seen_state
        if state in (READY, *states):
            return
        raise not_allowed(server.name, state) if state in STANDING else busy(server.name)

    def begin(  # noqa: PLR0913 - what is done, how it looks, how it ends
        self,
        server: Server,
        kind: str,
        lasts: timedelta,
        *,
        state: str = "",
        work: Callable[[], None] | None = None,
        then: Callable[[], None] = nothing,
        undo: Callable[[], None] = nothing,
        result: Callable[[], Json | None] = no_result,
    ) -> Task:
        """Begin an operation; with a state nothing else can be done to the server meanwhile."""
        if (refusal := self.failures.pop(kind, None)) is not None:
            work = _failing(refusal)
        operation = self.estate.operations.begin(kind, lasts, work)
        began_at = self.estate.clock.now()
        task = Task(str(uuid.uuid4()), kind, server, operation, began_at, state, then, undo, result)
        self.tasks[task.id] = task
        if state:
            server.doing = task
        return task

    def settle(self) -> None:
        """End what is over, and give up what was kept long enough."""
        for task in [*self.tasks.values()]:
            if task.status in (SUCCEEDED, FAILED):
                continue
            if task.operation.failed is not None:
                _end(task, FAILED)
                task.error = _told(task.operation.failed)
                task.undo()
            elif task.operation.over:
                _end(task, SUCCEEDED)
                task.then()
        for gone in [*self.deleted]:
            if self.estate.clock.elapsed() - gone.elapsed > self.recoverable_for:
                self.deleted.remove(gone)
                self.backends(gone.server).remove(gone.server.internal, retain=False)

    def seen_until(self) -> timedelta:
        """Return up to when writes are seen by readers who come late."""
        return self.estate.clock.elapsed() - self.estate.faults.lag

    def listed(self, family: Family) -> Iterator[Server]:
        """Yield the servers of a family that lists know already."""
        until = self.seen_until()
        for server in self.servers:
            if server.family is family and (server.made_at == ALWAYS or server.made_at <= until):
                yield server


def is_free(account: Account, family: Family, name: str) -> bool:
    """Return whether a server can have a name, which is unique in the world."""
    wanted, now = name.lower(), account.estate.clock.elapsed()
    used = {one.name.lower() for one in account.servers if one.family is family}
    reserved = {
        gone.server.name.lower()
        for gone in account.deleted
        if gone.server.family is family and now - gone.elapsed < account.reserved_for
    }
    return wanted not in used | reserved | {one.lower() for one in account.occupied}


def _end(task: Task, status: str) -> None:
    task.status = status
    if task.server.doing is task:
        task.server.doing = None


def _failing(refusal: Refusal) -> Callable[[], None]:
    def fail() -> None:
        raise ApiError(refusal.status, refusal.code, refusal.message)

    return fail


def _told(error: BaseException) -> tuple[int, str, str]:
    """Return what an operation says of its failure; the real reason stays with the provider."""
    told = error if isinstance(error, ApiError) else internal()
    return told.status, told.code, told.message
