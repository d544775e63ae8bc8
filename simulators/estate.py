"""What stands behind every simulated control plane: clock, faults, servers, fronts, background work."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from simulators.backends import Backends
from simulators.clock import SimulatedClock
from simulators.faults import Faults
from simulators.front import Front
from simulators.operations import Operations


@dataclass
class Durations:
    """How long operations last in simulated time; realistic for small instances."""

    create: timedelta = timedelta(minutes=8)
    restore: timedelta = timedelta(minutes=20)
    snapshot: timedelta = timedelta(minutes=4)
    change: timedelta = timedelta(minutes=1)
    rename: timedelta = timedelta(minutes=2)
    delete: timedelta = timedelta(minutes=3)


@dataclass
class Estate:
    """One simulated account's ground: control planes share nothing else."""

    clock: SimulatedClock
    faults: Faults
    operations: Operations
    front: Front
    backends: Mapping[str, Backends]
    durations: Durations = field(default_factory=Durations)

    def close(self) -> None:
        """End everything that runs."""
        self.operations.close()
        self.front.close()
        for backends in self.backends.values():
            backends.close()


@dataclass(frozen=True)
class Seed:
    """An instance that has existed for long, with a running server and an open window."""

    name: str
    engine: str = "postgresql"
    version: str = ""
    user: str = "refloat"
    password: str = ""
    database: str = "shop"
    settings: Mapping[str, object] = field(default_factory=dict)
    """Overrides of the control plane's own production-like settings, in its own field names."""
