"""A simulated Azure subscription for tests, with the real SDKs pointed at it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.rdbms.mysql_flexibleservers import models as mysql
from azure.mgmt.rdbms.postgresql_flexibleservers import models as postgresql

from providers.azure.client import AzureDatabases, Begun
from simulators.azure.plane import SUBSCRIPTION, ArmPlane
from simulators.estate import Seed
from simulators.wire import Wire
from tests.simulators.scripted import ScriptedBackends, ScriptedFront, scripted_estate

HOUR = timedelta(hours=1)
GROUP, REGION = "sandbox", "francecentral"


@dataclass
class Ground:
    """A served subscription with one server of each engine, and the clients that ask it.

    The clients are `Any`: nearly every field of the newer models may be None to a type checker.
    """

    plane: ArmPlane
    wire: Wire
    clients: AzureDatabases

    def __post_init__(self) -> None:
        """Put the parts at hand."""
        self.postgresql: Any = self.clients.postgresql
        self.mysql: Any = self.clients.mysql
        self.account, self.estate = self.plane.account, self.plane.estate

    def pass_time(self, span: timedelta = HOUR) -> None:
        """Let simulated time pass, and background work end."""
        self.estate.clock.move(span)
        for task in [*self.account.tasks.values()]:
            until = time.monotonic() + 5
            while not (task.operation.over or task.operation.failed) and time.monotonic() < until:
                time.sleep(0.002)
        with self.account.lock:
            self.account.settle()

    def restore(self, name: str = "copy", **changes: Any) -> str:
        """Begin a restore of PostgreSQL, to a minute ago; return the operation's address."""
        chosen = {
            "location": REGION,
            "create_mode": "PointInTimeRestore",
            "source_server_resource_id": self.id_of("orders"),
            "point_in_time_utc": ago(minutes=1),
            **changes,
        }
        begun = Begun()
        self.postgresql.servers.begin_create(
            GROUP, name, postgresql.Server(**chosen), polling=False, raw_response_hook=begun
        )
        return begun.url

    def restored(self, **changes: Any) -> Any:
        """Return a finished restore of PostgreSQL."""
        self.restore(**changes)
        self.pass_time()
        return self.postgresql.whole.get(GROUP, "copy")

    def restore_mysql(self, name: str = "copy", **changes: Any) -> None:
        """Begin a restore of MySQL, to a minute ago."""
        chosen = {
            "location": changes.get("location", REGION),
            "create_mode": "PointInTimeRestore",
            "source_server_resource_id": changes.get("source") or self.id_of("carts"),
            "restore_point_in_time": changes.get("at", ago(minutes=1)),
            "tags": changes.get("tags"),
        }
        self.mysql.servers.begin_create(GROUP, name, mysql.Server(**chosen), polling=False)

    def delete(self, name: str) -> None:
        """Delete a server of PostgreSQL and wait until it is gone."""
        self.postgresql.servers.begin_delete(GROUP, name, polling=False)
        self.pass_time()

    def id_of(self, name: str) -> str:
        """Return the resource id of a server."""
        return self.account.id_of(self.plane.server(name))

    def backends(self, engine: str = "postgresql") -> ScriptedBackends:
        """Return the servers behind."""
        found = self.estate.backends[engine]
        assert isinstance(found, ScriptedBackends)
        return found

    def route_of(self, address: str) -> object:
        """Return where the front leads an address."""
        front = self.estate.front
        assert isinstance(front, ScriptedFront)
        port = int(address.partition(":")[2])
        return front.routes[next(name for name, known in front.names.items() if known == port)]


@contextmanager
def simulated() -> Iterator[Ground]:
    """Hold a ground."""
    estate = scripted_estate()
    plane = ArmPlane(estate)
    wire = Wire(plane)
    clients = AzureDatabases(SUBSCRIPTION, wire.url)
    plane.account.retry_after = 0
    plane.seed(Seed("orders", password="p"))
    plane.seed(Seed("carts", engine="mysql", password="p"))
    yield Ground(plane, wire, clients)
    clients.close()
    wire.close()
    estate.close()


def ago(**span: float) -> datetime:
    """Return a moment before now."""
    return datetime.now(UTC) - timedelta(**span)


def refusal_of(act: Callable[[], object]) -> tuple[int | None, str | None]:
    """Return the status and the code by which a call is refused."""
    with pytest.raises(HttpResponseError) as caught:
        act()
    assert caught.value.error is not None
    return caught.value.status_code, caught.value.error.code
