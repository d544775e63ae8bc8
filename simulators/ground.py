"""Builds the ground of one simulated account: real servers, real ports, a folder that keeps both."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from simulators.backends import Backends
from simulators.clock import SimulatedClock
from simulators.estate import Estate
from simulators.faults import Faults
from simulators.front import Front
from simulators.operations import Operations


class LazyBackends(Mapping[str, Backends]):
    """The servers of each engine, made when an engine is first asked for.

    So a machine without MariaDB still has PostgreSQL. Only the engines that were made are iterated
    over.
    """

    def __init__(self, root: Path, makers: Mapping[str, Callable[[Path], Backends]]) -> None:
        self._root, self._makers = root, makers
        self._made: dict[str, Backends] = {}
        self._lock = threading.Lock()

    def adopt(self) -> None:
        """Make the engines that an earlier process left servers of."""
        for engine in self._makers:
            if (self._root / engine).exists():
                self[engine]

    def __getitem__(self, engine: str) -> Backends:
        """Return the servers of an engine."""
        with self._lock:
            if engine not in self._made:
                self._made[engine] = self._makers[engine](self._root / engine)
            return self._made[engine]

    def __contains__(self, engine: object) -> bool:
        """Return whether there can be servers of an engine; asking makes none."""
        return engine in self._makers

    def __iter__(self) -> Iterator[str]:
        """Yield the engines that were asked for."""
        return iter(list(self._made))

    def __len__(self) -> int:
        """Return how many engines were asked for."""
        return len(self._made)


def make_estate(
    root: Path,
    *,
    scale: float = 1.0,
    first_port: int,
    last_port: int,
    engines: Sequence[str] = ("postgresql", "mysql"),
) -> Estate:
    """Return an estate that goes on with what an earlier one left in `root`.

    The ports are those of endpoints; the servers behind them take any other free ones.

    Raises:
        RecoveryError: somebody else uses the root, or the servers' account cannot reach it.
    """
    root.mkdir(parents=True, exist_ok=True)
    clock = SimulatedClock(scale)
    front = Front(root / "front", first_port, last_port)
    makers = {"postgresql": _postgresql, "mysql": lambda at: _mysql(at, front)}
    backends = LazyBackends(root, {engine: makers[engine] for engine in engines})
    estate = Estate(clock, Faults(clock), Operations(clock), front, backends)
    try:
        backends.adopt()
    except BaseException:
        estate.close()
        raise
    return estate


def _postgresql(root: Path) -> Backends:
    from simulators.postgresql import PostgresqlBackends  # noqa: PLC0415 - made on first use

    return PostgresqlBackends(root)


def _mysql(root: Path, front: Front) -> Backends:
    from simulators.mysql import MysqlBackends  # noqa: PLC0415 - its machine may have no MariaDB

    return MysqlBackends(root, front.certificate())
