"""Servers that exist by name only, for the tests of a control plane's own answers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from simulators.backends import Backends, Master
from simulators.clock import SimulatedClock
from simulators.estate import Estate
from simulators.faults import Faults
from simulators.front import Front
from simulators.operations import Operations
from simulators.piping import Protocol

DAY = timedelta(days=1)


class ScriptedBackends(Backends):
    """Remembers what was asked, and answers at once."""

    def __init__(self) -> None:
        self.running: dict[str, datetime | None] = {}
        self.snapshots: dict[str, datetime] = {}
        self.stopped: set[str] = set()
        self.behind = timedelta()
        """How far the windows close before now."""

    def create(self, server: str, *, version: str, master: Master) -> None:
        self.running[server] = None

    def restore(self, source: str, server: str, moment: datetime | None) -> None:
        self.running[server] = moment or datetime.now(UTC)

    def take(self, source: str, snapshot: str) -> datetime:
        return self.snapshots.setdefault(snapshot, datetime.now(UTC))

    def restore_snapshot(self, snapshot: str, server: str) -> None:
        self.running[server] = self.snapshots[snapshot]

    def forget(self, snapshot: str) -> None:
        self.snapshots.pop(snapshot, None)

    def window(self, server: str) -> tuple[datetime, datetime] | None:
        now = datetime.now(UTC)
        return (now - DAY, now - self.behind) if server in self.running else None

    def address(self, server: str) -> tuple[str, int] | None:
        return ("127.0.0.1", 1) if server in self.running else None

    def stop(self, server: str) -> None:
        self.stopped.add(server)

    def start(self, server: str) -> None:
        self.stopped.discard(server)

    def remove(self, server: str, *, retain: bool) -> None:
        self.running.pop(server, None)

    def close(self) -> None:
        self.running.clear()


class ScriptedFront(Front):
    """Gives numbers and opens nothing."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.routes: dict[str, tuple[str, int] | None] = {}

    @property
    def authority(self) -> Path:
        return Path(__file__)

    def open(self, name: str, protocol: Protocol = "postgresql") -> int:
        return self.names.setdefault(name, 30000 + len(self.names))

    def route(self, name: str, address: tuple[str, int] | None) -> None:
        self.routes[name] = address

    def forget(self, name: str) -> None:
        self.names.pop(name, None)

    def close(self) -> None:
        self.names.clear()


def scripted_estate(scale: float = 1.0) -> Estate:
    """Return an estate without a single real server."""
    clock = SimulatedClock(scale)
    return Estate(
        clock=clock,
        faults=Faults(clock),
        operations=Operations(clock),
        front=ScriptedFront(),
        backends={"postgresql": ScriptedBackends(), "mysql": ScriptedBackends()},
    )
