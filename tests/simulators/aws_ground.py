"""A simulated AWS account for tests, with the real SDK pointed at it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from simulators.aws.course import Course
from simulators.aws.plane import RdsPlane
from simulators.estate import Seed
from simulators.wire import Wire
from tests.simulators.scripted import ScriptedBackends, ScriptedFront, scripted_estate

HERE, THERE = "eu-west-1", "eu-central-1"
STEP = timedelta(seconds=20)
TURNS = 500


class Ground:
    """A served account with one seeded instance, and the SDK pointed at it."""

    def __init__(self, wire: Wire, session: boto3.Session, **settings: object) -> None:
        self.estate = scripted_estate()
        self.plane = RdsPlane(self.estate)
        self.wire, self._session = wire, session
        wire.plane = self.plane
        wire.calls.clear()
        self.rds = self.sdk("rds")
        self.plane.seed(Seed("orders", user="owner", database="shop", settings=settings))
        self.source = self.described("orders")

    def sdk(self, service: str, region: str = HERE, key: str = "simulated") -> Any:
        """Return the SDK's client that does not retry by itself."""
        client = cast("Any", self._session.client)
        return client(
            service,
            region_name=region,
            endpoint_url=self.wire.url,
            aws_access_key_id=key,
            aws_secret_access_key="simulated",
            config=Config(retries={"total_max_attempts": 1}),
        )

    @property
    def backends(self) -> ScriptedBackends:
        """The scripted servers of PostgreSQL."""
        return cast("ScriptedBackends", self.estate.backends["postgresql"])

    @property
    def routes(self) -> dict[str, tuple[str, int] | None]:
        """Where the endpoints lead."""
        return cast("ScriptedFront", self.estate.front).routes

    def described(self, name: str) -> dict[str, Any]:
        """Return one instance as the SDK reads it."""
        found = self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
        return cast("dict[str, Any]", found[0])

    def state(self, name: str) -> str:
        """Return the state of one instance."""
        return str(self.described(name)["DBInstanceStatus"])

    def settle(self, watched: str = "") -> list[str]:
        """Let time pass until nothing goes on; return the states that an instance went through."""
        seen: list[str] = []
        for _ in range(TURNS):
            self.plane.settle()
            state = self.state(watched) if watched else ""
            seen += [state] if seen[-1:] != [state] else []
            if not any(course.is_going for course in self._courses()):
                return seen
            self.estate.clock.move(STEP)
            time.sleep(0.001)  # the background work is real
        raise AssertionError(f"it never settles: {seen}")

    def _courses(self) -> Iterator[Course]:
        for region in self.plane.regions.values():
            yield from (one.course for one in region.instances.values())
            yield from (one.course for one in region.snapshots.values())

    def restored(self, name: str = "copy", **asked: Any) -> dict[str, Any]:
        """Restore the seeded instance to the latest moment; return the copy when it is there."""
        self.begun(name, **asked)
        self.settle()
        return self.described(name)

    def begun(self, name: str = "copy", **asked: Any) -> dict[str, Any]:
        """Begin to restore the seeded instance, to the latest moment unless told otherwise."""
        when = {} if "RestoreTime" in asked else {"UseLatestRestorableTime": True}
        source = {} if "SourceDbiResourceId" in asked else {"SourceDBInstanceIdentifier": "orders"}
        told = self.rds.restore_db_instance_to_point_in_time(
            TargetDBInstanceIdentifier=name, **source, **when, **asked
        )
        return cast("dict[str, Any]", told["DBInstance"])

    def snapshot(self, name: str = "kept", **asked: Any) -> dict[str, Any]:
        """Take a snapshot of the seeded instance; return it when it is there."""
        self.rds.create_db_snapshot(
            DBSnapshotIdentifier=name, DBInstanceIdentifier="orders", **asked
        )
        self.settle()
        found = self.rds.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]
        return cast("dict[str, Any]", found[0])

    def modify(self, name: str = "orders", **asked: Any) -> dict[str, Any]:
        """Modify an instance at once, unless told otherwise; return the answer."""
        given = {"ApplyImmediately": True, **asked}
        told = self.rds.modify_db_instance(DBInstanceIdentifier=name, **given)
        return cast("dict[str, Any]", told["DBInstance"])

    def window(self, **by: str) -> tuple[datetime, datetime]:
        """Return the restore window of the first automated backup."""
        told = self.rds.describe_db_instance_automated_backups(**by)["DBInstanceAutomatedBackups"]
        window = told[0]["RestoreWindow"]
        return window["EarliestTime"], window["LatestTime"]


@contextmanager
def standing(wire: Wire, session: boto3.Session, **settings: object) -> Iterator[Ground]:
    """Hold a fresh account behind a server that goes on."""
    ground = Ground(wire, session, **settings)
    try:
        yield ground
    finally:
        ground.estate.close()


def refused(call: Callable[[], object]) -> tuple[str, int, str]:
    """Return code, status and message of the error that a call is answered with."""
    with pytest.raises(ClientError) as caught:
        call()
    response: Any = caught.value.response
    error, metadata = response["Error"], response["ResponseMetadata"]
    return error["Code"], metadata["HTTPStatusCode"], error["Message"]


def code(call: Callable[[], object]) -> str:
    """Return the code of the error that a call is answered with."""
    return refused(call)[0]


def tags(told: dict[str, Any]) -> dict[str, str]:
    """Return the tags of an instance or a snapshot."""
    return {one["Key"]: one["Value"] for one in told["TagList"]}
