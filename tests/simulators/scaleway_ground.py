"""A simulated Scaleway account for tests, with the real SDK pointed at it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import pytest
from scaleway import Client, ScalewayException
from scaleway.rdb.v1 import RdbV1API
from scaleway.rdb.v1.content import INSTANCE_TRANSIENT_STATUSES, SNAPSHOT_TRANSIENT_STATUSES
from scaleway.rdb.v1.types import (
    Endpoint,
    EndpointSpec,
    EndpointSpecLoadBalancer,
    EndpointSpecPrivateNetwork,
    Instance,
    Snapshot,
    VolumeType,
)

from simulators.estate import Seed
from simulators.reached import PROJECT
from simulators.scaleway.plane import ScalewayPlane
from simulators.scaleway.seeding import PRIVATE_NETWORK_ID
from simulators.wire import Wire
from tests.simulators.scripted import ScriptedBackends, ScriptedFront, scripted_estate

T = TypeVar("T", Instance, Snapshot)
GB = 1_000_000_000
HOUR = timedelta(hours=1)
TOKEN = "2d6ec2a5-9f0c-4a3e-8a0e-6c5f0b4b3e11"


class Ground:
    """A served account with one seeded instance, and the SDK pointed at it."""

    def __init__(self, wire: Wire) -> None:
        self.estate = scripted_estate()
        self.plane = ScalewayPlane(self.estate)
        self.wire = wire
        wire.plane = self.plane
        wire.calls.clear()
        self.api = self.sdk()
        self.plane.seed(Seed("shop", user="owner", database="shop"))
        self.source = self.named("shop")

    def sdk(self, token: str = TOKEN, region: str = "fr-par", project: str = PROJECT) -> RdbV1API:
        """Return the SDK for a key, a region and a project."""
        return RdbV1API(
            Client(
                access_key="SCW" + 17 * "A",
                secret_key=token,
                api_url=self.wire.url,
                default_region=region,
                default_project_id=project,
            )
        )

    def named(self, name: str) -> Instance:
        """Return the one instance of a name."""
        (found,) = [one for one in self.api.list_instances_all(name=name) if one.name == name]
        return found

    def settled(self, instance: Instance) -> Instance:
        """Let the time pass that an instance's operation needs."""
        get = self.api.get_instance
        return self._settled(get, INSTANCE_TRANSIENT_STATUSES, instance_id=instance.id)

    def kept(self, snapshot: Snapshot) -> Snapshot:
        """Let the time pass that a snapshot's operation needs."""
        get = self.api.get_snapshot
        return self._settled(get, SNAPSHOT_TRANSIENT_STATUSES, snapshot_id=snapshot.id)

    def _settled(self, get: Callable[..., T], passing: list[Any], **which: str) -> T:
        for _ in range(500):
            found = get(**which)
            if found.status not in passing:
                return found
            self.estate.clock.move(HOUR)
            time.sleep(0.01)
        raise AssertionError(f"still {found.status}")

    def gone(self, get: Callable[..., Any], **which: str) -> None:
        """Let time pass until a thing does not exist."""
        for _ in range(500):
            self.estate.clock.move(HOUR)
            try:
                get(**which)
            except ScalewayException as error:
                if error.response.json()["type"] == "not_found":
                    return
                raise
            time.sleep(0.01)
        raise AssertionError("still there")

    def newest(self) -> Snapshot:
        """Return the newest automatic snapshot of the seeded instance."""
        return self.api.list_snapshots_all(instance_id=self.source.id)[-1]

    def restored(self, name: str = "copy", **more: Any) -> Instance:
        """Return a ready copy of the newest snapshot."""
        begun = self.api.create_instance_from_snapshot(
            snapshot_id=self.newest().id, instance_name=name, **more
        )
        return self.settled(begun)

    @property
    def backends(self) -> ScriptedBackends:
        """The scripted PostgreSQL servers."""
        return cast("ScriptedBackends", self.estate.backends["postgresql"])

    @property
    def front(self) -> ScriptedFront:
        """The scripted ports."""
        return cast("ScriptedFront", self.estate.front)


@contextmanager
def standing(wire: Wire) -> Iterator[Ground]:
    """Put an account of its own behind a wire that many tests share."""
    ground = Ground(wire)
    yield ground
    ground.estate.close()


def wait_until(true: Callable[[], bool]) -> None:
    """Return when background work has made something true."""
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come true")


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[int, dict[str, Any]]:
    """Return status and body of the error that a call gets."""
    with pytest.raises(ScalewayException) as caught:
        call(**arguments)
    return caught.value.response.status_code, caught.value.response.json()


def only(endpoints: list[Endpoint], kind: str) -> Endpoint:
    (found,) = [one for one in endpoints if getattr(one, kind) is not None]
    return found


LOAD_BALANCER = EndpointSpec(load_balancer=EndpointSpecLoadBalancer())
PRIVATE = EndpointSpec(private_network=EndpointSpecPrivateNetwork(PRIVATE_NETWORK_ID))


def create(ground: Ground, **more: Any) -> Instance:
    chosen: dict[str, Any] = {
        "name": "new", "engine": "PostgreSQL-16", "user_name": "me", "password": "s3cret-Word",
        "node_type": "DB-DEV-S", "is_ha_cluster": False, "disable_backup": False,
        "volume_type": VolumeType.SBS_5K, "volume_size": 10 * GB, "backup_same_region": False,
    }  # fmt: skip
    return ground.api.create_instance(**(chosen | more))
