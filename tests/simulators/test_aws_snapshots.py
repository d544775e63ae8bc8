"""The simulated RDS takes, copies and deletes snapshots as the real one does."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from simulators.aws.plane import RdsPlane
from simulators.wire import Wire
from tests.simulators.aws_ground import HERE, THERE, Ground, code, standing, tags
from tests.simulators.scripted import scripted_estate

RUN = [{"Key": "run", "Value": "7"}]


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    wire = Wire(RdsPlane(scripted_estate()))
    yield wire
    wire.close()


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    return boto3.Session()


@pytest.fixture
def ground(wire: Wire, session: boto3.Session) -> Iterator[Ground]:
    with standing(wire, session) as ground:
        yield ground


def test_a_snapshot_is_creating_before_it_is_available(ground: Ground) -> None:
    began = datetime.now(UTC)
    made = ground.rds.create_db_snapshot(
        DBSnapshotIdentifier="kept", DBInstanceIdentifier="orders"
    )["DBSnapshot"]

    assert (made["Status"], made["SnapshotType"]) == ("creating", "manual")
    assert "SnapshotCreateTime" not in made
    assert ground.state("orders") == "backing-up"
    ground.estate.clock.move(ground.estate.durations.snapshot / 2)
    half = ground.rds.describe_db_snapshots(DBSnapshotIdentifier="kept")["DBSnapshots"][0]
    assert half["PercentProgress"] in range(50, 60)
    ground.settle()
    done = ground.rds.describe_db_snapshots(DBSnapshotIdentifier="kept")["DBSnapshots"][0]
    assert (done["Status"], done["PercentProgress"]) == ("available", 100)
    assert began <= done["SnapshotDatabaseTime"] <= done["SnapshotCreateTime"]
    assert done["DbiResourceId"] == ground.source["DbiResourceId"]
    assert tags(done) == tags(ground.source)


def test_tags_of_a_snapshot_replace_those_of_its_source(ground: Ground) -> None:
    assert tags(ground.snapshot(Tags=RUN)) == {"run": "7"}


def test_a_snapshot_needs_an_available_source_and_a_free_name(ground: Ground) -> None:
    ground.snapshot()

    def again() -> object:
        return ground.rds.create_db_snapshot(
            DBSnapshotIdentifier="kept", DBInstanceIdentifier="orders"
        )

    assert code(again) == "DBSnapshotAlreadyExists"
    ground.plane.force("orders", "modifying")
    assert code(again) == "InvalidDBInstanceState"


def test_snapshots_are_listed_by_kind_and_identity(ground: Ground) -> None:
    ground.snapshot()

    def listed(**by: str) -> list[str]:
        found = ground.rds.describe_db_snapshots(**by)["DBSnapshots"]
        return [one["DBSnapshotIdentifier"] for one in found]

    automated = listed(SnapshotType="automated")
    assert [name.startswith("rds:orders-") for name in automated] == [True]
    assert listed(SnapshotType="manual") == ["kept"]
    identity = ground.source["DbiResourceId"]
    assert sorted(listed(DbiResourceId=identity)) == sorted([*automated, "kept"])
    assert listed(DbiResourceId="db-NO") == []
    ground.begun()
    assert len(listed(SnapshotType="automated")) == 1
    ground.settle()
    assert len(listed(SnapshotType="automated")) == 2


def test_an_automated_snapshot_restores_the_moment_that_it_holds(ground: Ground) -> None:
    snapshot = ground.rds.describe_db_snapshots(SnapshotType="automated")["DBSnapshots"][0]

    made = ground.rds.restore_db_instance_from_db_snapshot(
        DBSnapshotIdentifier=snapshot["DBSnapshotIdentifier"], DBInstanceIdentifier="copy"
    )["DBInstance"]
    ground.settle()

    assert ground.backends.running[made["DbiResourceId"]] == snapshot["SnapshotDatabaseTime"]


def test_a_copy_in_another_region_needs_a_key_of_that_region(ground: Ground) -> None:
    snapshot = ground.snapshot()
    there = ground.sdk("rds", THERE)
    key = ground.sdk("kms", THERE).create_key()["KeyMetadata"]["Arn"]

    def copy(name: str, **asked: str) -> Any:
        return there.copy_db_snapshot(
            SourceDBSnapshotIdentifier=snapshot["DBSnapshotArn"],
            TargetDBSnapshotIdentifier=name,
            SourceRegion=HERE,
            CopyTags=True,
            **asked,
        )["DBSnapshot"]

    assert code(lambda: copy("kept")) == "InvalidParameterCombination"
    foreign = snapshot["KmsKeyId"]
    assert code(lambda: copy("kept", KmsKeyId=foreign)) == "KMSKeyNotAccessibleFault"
    assert copy("kept", KmsKeyId=key)["Status"] == "creating"
    ground.settle()
    done = there.describe_db_snapshots(DBSnapshotIdentifier="kept")["DBSnapshots"][0]
    assert (done["Status"], done["KmsKeyId"], done["SourceRegion"]) == ("available", key, HERE)
    assert done["SourceDBSnapshotIdentifier"] == snapshot["DBSnapshotArn"]
    assert done["OriginalSnapshotCreateTime"] == snapshot["SnapshotCreateTime"]
    assert done["SnapshotCreateTime"] > snapshot["SnapshotCreateTime"]
    assert tags(done) == tags(ground.source)
    ground.rds.delete_db_snapshot(DBSnapshotIdentifier="kept")
    made = there.restore_db_instance_from_db_snapshot(
        DBSnapshotIdentifier="kept", DBInstanceIdentifier="copy"
    )["DBInstance"]
    ground.settle()
    assert made["KmsKeyId"] == key
    assert ground.backends.running[made["DbiResourceId"]] == snapshot["SnapshotDatabaseTime"]


def test_an_automated_snapshot_can_be_copied_and_outlives_its_source(ground: Ground) -> None:
    automated = ground.rds.describe_db_snapshots(SnapshotType="automated")["DBSnapshots"][0]
    there = ground.sdk("rds", THERE)

    there.copy_db_snapshot(
        SourceDBSnapshotIdentifier=automated["DBSnapshotArn"],
        TargetDBSnapshotIdentifier="kept",
        KmsKeyId="alias/aws/rds",
        SourceRegion=HERE,
    )
    ground.settle()

    done = there.describe_db_snapshots(DBSnapshotIdentifier="kept")["DBSnapshots"][0]
    assert (done["Status"], done["SnapshotType"]) == ("available", "manual")
    assert done["SnapshotDatabaseTime"] == automated["SnapshotDatabaseTime"]
    assert len(ground.backends.snapshots) == 1
    assert set(ground.backends.running) == {ground.source["DbiResourceId"]}


def test_more_copies_than_five_at_a_time_are_refused(ground: Ground) -> None:
    ground.snapshot()

    def copy(name: str) -> object:
        return ground.rds.copy_db_snapshot(
            SourceDBSnapshotIdentifier="kept", TargetDBSnapshotIdentifier=name
        )

    for number in range(5):
        copy(f"copy-{number}")
    assert code(lambda: copy("copy-5")) == "SnapshotQuotaExceeded"
    ground.settle()
    copy("copy-5")


def test_a_deleted_snapshot_is_gone_with_its_data(ground: Ground) -> None:
    ground.snapshot()

    ground.rds.delete_db_snapshot(DBSnapshotIdentifier="kept")

    assert code(lambda: ground.rds.describe_db_snapshots(DBSnapshotIdentifier="kept")) == (
        "DBSnapshotNotFound"
    )
    ground.estate.operations.close()
    assert ground.backends.snapshots == {}


def test_automated_snapshots_cannot_be_deleted(ground: Ground) -> None:
    automated = ground.rds.describe_db_snapshots(SnapshotType="automated")["DBSnapshots"][0]

    name = automated["DBSnapshotIdentifier"]
    assert code(lambda: ground.rds.delete_db_snapshot(DBSnapshotIdentifier=name)) == (
        "InvalidDBSnapshotState"
    )
