"""A simulated Cloud SQL and the real SDK in front of it, for the tests of the stand-in."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from google.cloud import sqladmin_v1 as sql

from domain.errors import RecoveryError
from providers.gcp.client import ENDPOINT, CloudSql
from providers.gcp.errors import failure_of, gcp_errors
from simulators.estate import Estate, Seed
from simulators.gcp.plane import CloudSqlPlane
from simulators.wire import Wire
from tests.simulators.scripted import ScriptedBackends, scripted_estate

Seen: TypeAlias = Any
"""A message of the SDK, which types wrappers and stamps as messages and hands out plain values."""
HOUR = timedelta(hours=1)
PROJECT = "sandbox"
ORDERS = {"project": PROJECT, "instance": "orders"}
KEY = "projects/sandbox/locations/europe-west9/keyRings/databases/cryptoKeys/orders"
State = sql.DatabaseInstance.SqlInstanceState


class Ground:
    """Shortens what the tests do most; every call's errors are translated."""

    def __init__(self, wire: Wire, plane: CloudSqlPlane, cloud: CloudSql) -> None:
        self.wire, self.plane, self.cloud = wire, plane, cloud
        self.estate: Estate = plane.estate

    def clone(self, name: str = "copy", **context: object) -> Seen:
        """Begin a clone of `orders`."""
        body = {"clone_context": {"destination_instance_name": name, **context}}
        with gcp_errors("cloning"):
            return self.cloud.instances.clone(request={**ORDERS, "body": body})

    def patch(self, settings: Mapping[str, object], name: str = "orders") -> Seen:
        """Begin to change settings."""
        with gcp_errors("changing"):
            return self.cloud.instances.patch(request={**at(name), "body": {"settings": settings}})

    def delete(self, **options: object) -> Seen:
        """Begin to delete `orders`."""
        with gcp_errors("deleting"):
            return self.cloud.instances.delete(request={**ORDERS, **options})

    def restore(self, name: str = "copy", **body: object) -> Seen:
        """Begin to restore a backup."""
        with gcp_errors("restoring"):
            return self.cloud.instances.restore_backup(request={**at(name), "body": body})

    def get(self, name: str = "copy") -> Seen:
        """Return an instance."""
        with gcp_errors("reading"):
            return self.cloud.instances.get(request=at(name))

    def listed(self, expression: str = "") -> list[str]:
        """Return the names that a list shows."""
        with gcp_errors("listing"):
            asked = self.cloud.instances.list(request={"project": PROJECT, "filter": expression})
            return [each.name for page in asked.pages for each in page.items]

    def window(self, name: str = "orders") -> Seen:
        """Return from when to when an instance can be recovered."""
        with gcp_errors("asking for the window"):
            return self.cloud.instances.get_latest_recovery_time(request=at(name))

    def backups(self, expression: str = "") -> list[Seen]:
        """Return the project-level backups."""
        request = {"parent": f"projects/{PROJECT}", "filter": expression}
        return list(self.cloud.backups.list_backups(request=request))

    def status_of(self, operation: Seen) -> Seen:
        """Return an operation as it is now."""
        asked = {"project": PROJECT, "operation": operation.name}
        return self.cloud.operations.get(request=asked)

    def done(self, operation: Seen) -> RecoveryError | None:
        """Let an hour pass, wait for the real work, and return how the operation failed."""
        self.estate.clock.move(HOUR)
        until = time.monotonic() + 10
        while (found := self.status_of(operation)).status.name != "DONE":
            assert time.monotonic() < until
            time.sleep(0.01)
        return failure_of(found)


@contextmanager
def standing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """Serve a simulated account with the instance `orders` in it."""
    estate = scripted_estate()
    plane = CloudSqlPlane(estate)
    plane.seed(Seed("orders"))
    wire = Wire(plane)
    monkeypatch.setenv(ENDPOINT, f"{wire.url}/")
    cloud = CloudSql()
    yield Ground(wire, plane, cloud)
    cloud.close()
    wire.close()
    estate.close()


def at(name: str) -> dict[str, str]:
    """Return where an instance is."""
    return {"project": PROJECT, "instance": name}


def servers(ground: Ground, engine: str = "postgresql") -> ScriptedBackends:
    """Return the servers that exist by name only."""
    found = ground.estate.backends[engine]
    assert isinstance(found, ScriptedBackends)
    return found


def a_minute_ago() -> datetime:
    """Return a moment inside every window."""
    return datetime.now(UTC) - timedelta(minutes=1)
