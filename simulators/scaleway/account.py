"""The state of one simulated account, and what keeps it moving."""

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from simulators.backends import Backends
from simulators.estate import Estate
from simulators.scaleway.refusals import ApiError, not_found, quota_reached, transient_state
from simulators.scaleway.shapes import (
    DISK_FULL,
    ERROR,
    LOCKED,
    READY,
    Backup,
    Doing,
    Endpoint,
    Instance,
    Json,
    Snapshot,
    Thing,
)

T = TypeVar("T", bound=Thing)
NAMES = {Instance: "instance", Snapshot: "instance_snapshot", Backup: "database_backup"}


@dataclass
class Call:
    """One API call: where it goes, what it says."""

    region: str
    ids: Mapping[str, str]
    body: Json
    query: Mapping[str, str]
    tags: tuple[str, ...] = ()

    def required(self, name: str) -> str:
        """Return a text that the call must give."""
        given = self.body.get(name)
        if not isinstance(given, str) or not given:
            detail = {"argument_name": name, "help_message": "", "reason": "required"}
            raise ApiError(400, "invalid_arguments", "invalid argument(s)", details=[detail])
        return given


def nothing() -> None:
    """Change nothing when an operation ends."""


@dataclass
class Account:
    """Holds everything; callers hold `lock` while they look at it or change it."""

    estate: Estate
    lock: threading.RLock = field(default_factory=threading.RLock)
    instances: dict[str, Instance] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    backups: dict[str, Backup] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    key_enabled: bool = True
    quota: int = 100
    """Instances that the project may have."""
    tags_restored: bool = False
    stock: dict[str, str] = field(default_factory=dict)

    def add(self, instance: Instance) -> None:
        """Take an instance in, if the project may have one more.

        Raises:
            ApiError: it may not.
        """
        if len(self.instances) >= self.quota:
            raise quota_reached("instance", len(self.instances), self.quota)
        self.instances[instance.id] = instance

    def backends(self, instance: Instance) -> Backends:
        """Return the servers of an instance's engine."""
        return self.estate.backends[instance.engine]

    def find(self, things: Mapping[str, T], kind: type[T], region: str, thing_id: str) -> T:
        """Return one thing of a region."""
        found = things.get(thing_id)
        if found is None or found.region != region:
            raise not_found(NAMES[kind], thing_id)
        return found

    def instance(self, call: Call, thing_id: str = "") -> Instance:
        """Return the instance that a call is about."""
        wanted = thing_id or call.ids["instance_id"]
        return self.find(self.instances, Instance, call.region, wanted)

    def begin(  # noqa: PLR0913 - what is done, how it looks, how it ends
        self,
        thing: Thing,
        kind: str,
        lasts: timedelta,
        *,
        status: str,
        work: Callable[[], None] | None = None,
        then: Callable[[], None] = nothing,
        harmless: bool = False,
    ) -> None:
        """Begin an operation at a thing."""
        operation = self.estate.operations.begin(kind, lasts, work)
        thing.doing = Doing(operation, status, then, harmless)

    def change(self, instance: Instance, *, status: str = "configuring") -> None:
        """Show that an instance takes over what was changed."""
        self.begin(instance, "change", self.estate.durations.change, status=status)

    def settle(self) -> None:
        """End what is over, and drop what has expired."""
        for thing in [*self.instances.values(), *self.snapshots.values(), *self.backups.values()]:
            _settle(thing)
        now = self.estate.clock.now()
        for snapshot in [*self.snapshots.values()]:
            if snapshot.doing is None and snapshot.expires_at <= now:
                del self.snapshots[snapshot.id]
                self._forget(snapshot)

    def _forget(self, snapshot: Snapshot) -> None:
        """Delete the data of an expired snapshot, which may wait for its server."""
        backends = self.backends(snapshot.source)
        self.estate.operations.begin("delete", timedelta(), lambda: backends.forget(snapshot.id))

    def status(self, thing: Thing) -> str:
        """Return the state in which a reader sees a thing."""
        if thing.held:
            return thing.held
        if not self.key_enabled and _encrypted(thing):
            return LOCKED
        return thing.doing.status if thing.doing is not None else thing.status

    def require(self, thing: Thing, *states: str) -> None:
        """Refuse a change to a thing that is not ready, nor in one of `states`."""
        status = self.status(thing)
        if status not in (READY, *states):
            raise transient_state(NAMES[type(thing)], thing.id, status)

    def addresses(self, instance: Instance) -> list[Endpoint]:
        """Return the endpoints that lead to an instance."""
        return [found for found in self.endpoints.values() if found.instance == instance.id]


def _settle(thing: Thing) -> None:
    doing = thing.doing
    if doing is None:
        return
    if doing.operation.failed is not None:
        thing.doing, thing.status = None, READY if doing.harmless else ERROR
    elif doing.operation.over:
        thing.doing, thing.status = None, READY
        doing.then()


def _encrypted(thing: Thing) -> bool:
    if isinstance(thing, Snapshot):
        return thing.source.encrypted
    return isinstance(thing, Instance) and thing.encrypted


def release_full_disk(instance: Instance) -> None:
    """Let an instance go on whose disk was full."""
    if instance.held == DISK_FULL:
        instance.held = ""


def new_id() -> str:
    """Return an id that nothing has."""
    return str(uuid.uuid4())


def expiry(call: Call, default: datetime) -> datetime:
    """Return when the thing that a call makes expires."""
    given = call.body.get("expires_at")
    return datetime.fromisoformat(str(given)) if given else default
