"""The simulated RDS restores as the real one does: few settings come along."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from simulators.aws.plane import RdsPlane
from simulators.wire import Wire
from tests.simulators.aws_ground import Ground, code, refused, standing, tags
from tests.simulators.scripted import ScriptedBackends, scripted_estate

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


def broken(*_: object, **__: object) -> None:
    raise LookupError("out of reach")


def kept(told: dict[str, Any]) -> dict[str, object]:
    """Return the settings that a restore may or may not carry."""
    return {
        "groups": len(told["VpcSecurityGroups"]),
        "parameters": told["DBParameterGroups"][0]["DBParameterGroupName"],
        "subnets": told["DBSubnetGroup"]["DBSubnetGroupName"],
        "multi-AZ": told["MultiAZ"],
        "protection": told["DeletionProtection"],
        "storage": told["StorageType"],
        "IAM": told["IAMDatabaseAuthenticationEnabled"],
        "logs": told["EnabledCloudwatchLogsExports"],
        "copy tags": told["CopyTagsToSnapshot"],
        "limit": told.get("MaxAllocatedStorage"),
        "monitoring": told["MonitoringInterval"],
        "role": told.get("MonitoringRoleArn"),
        "insights": told["PerformanceInsightsEnabled"],
        "retention": told["BackupRetentionPeriod"],
        "key": told["KmsKeyId"],
        "class": told["DBInstanceClass"],
        "size": told["AllocatedStorage"],
        "user": told["MasterUsername"],
    }


def defaults(source: dict[str, Any]) -> dict[str, object]:
    """Return what a restore makes of the settings when none is passed."""
    return {
        "groups": 1,
        "parameters": "default.postgres15",
        "subnets": "default",
        "multi-AZ": False,
        "protection": False,
        "storage": "gp3",
        "IAM": False,
        "logs": [],
        "copy tags": False,
        "limit": None,
        "monitoring": 0,
        "role": None,
        "insights": False,
        "retention": 14,
        "key": source["KmsKeyId"],
        "class": "db.m6g.large",
        "size": 400,
        "user": "owner",
    }


def test_a_restore_to_a_moment_is_creating_until_its_server_runs(ground: Ground) -> None:
    copy = ground.begun()

    assert copy["DBInstanceStatus"] == "creating"
    assert "Endpoint" not in copy
    assert copy["DbiResourceId"] != ground.source["DbiResourceId"]
    assert ground.settle("copy") == [
        "creating",
        "backing-up",
        "available",
        "modifying",
        "available",
    ]
    assert ground.described("copy")["Endpoint"]["Port"] == 30001
    assert ground.routes["copy.eu-west-1"] == ("127.0.0.1", 1)


def test_a_restore_to_a_moment_carries_few_settings(ground: Ground) -> None:
    copy = ground.restored()

    assert kept(copy) == defaults(ground.source)
    assert tags(copy) == {}
    assert (copy["Iops"], copy["StorageThroughput"]) == (3000, 125)
    ours = {group["VpcSecurityGroupId"] for group in ground.source["VpcSecurityGroups"]}
    assert {group["VpcSecurityGroupId"] for group in copy["VpcSecurityGroups"]} & ours == set()


def test_a_restore_to_a_moment_takes_every_setting_that_is_passed(ground: Ground) -> None:
    source = ground.source
    groups = [one["VpcSecurityGroupId"] for one in source["VpcSecurityGroups"]]

    copy = ground.restored(
        VpcSecurityGroupIds=groups,
        DBParameterGroupName="orders-tuned",
        DBSubnetGroupName="orders-private",
        OptionGroupName=source["OptionGroupMemberships"][0]["OptionGroupName"],
        MultiAZ=True,
        DeletionProtection=True,
        StorageType="io1",
        Iops=4000,
        EnableIAMDatabaseAuthentication=True,
        EnableCloudwatchLogsExports=["postgresql", "upgrade"],
        CopyTagsToSnapshot=True,
        MaxAllocatedStorage=1000,
        BackupRetentionPeriod=7,
        Tags=RUN,
    )

    assert kept(copy) == kept(source) | {
        "monitoring": 0,
        "role": None,
        "insights": False,
        "retention": 7,
    }
    assert copy["VpcSecurityGroups"] == source["VpcSecurityGroups"]
    assert tags(copy) == {"run": "7"}


def test_overrides_of_false_and_nothing_are_honoured(ground: Ground) -> None:
    copy = ground.restored(
        MultiAZ=False, DeletionProtection=False, BackupRetentionPeriod=0, CopyTagsToSnapshot=False
    )

    assert (copy["MultiAZ"], copy["DeletionProtection"], copy["BackupRetentionPeriod"]) == (
        False,
        False,
        0,
    )
    assert "LatestRestorableTime" not in copy


def test_iops_without_a_storage_type_make_it_io1(ground: Ground) -> None:
    assert ground.begun(Iops=5000)["StorageType"] == "io1"


def test_the_moment_must_be_within_the_window(ground: Ground) -> None:
    opens, closes = ground.window(DBInstanceIdentifier="orders")

    for moment in (opens - timedelta(seconds=1), closes + timedelta(hours=1)):
        told = refused(lambda moment=moment: ground.begun(RestoreTime=moment))  # type: ignore[misc]
        assert told[:2] == ("InvalidParameterValue", 400)
        assert "restore window" in told[2]
    copy = ground.begun(RestoreTime=opens + timedelta(hours=1, milliseconds=700))
    ground.settle()
    assert ground.backends.running[copy["DbiResourceId"]] == opens + timedelta(hours=1)


def test_a_moment_that_the_lag_hides_is_refused(ground: Ground) -> None:
    ground.plane.limits.lag = timedelta(minutes=5)
    closes = ground.described("orders")["LatestRestorableTime"]

    late = closes + timedelta(seconds=1)
    assert code(lambda: ground.begun(RestoreTime=late)) == "InvalidParameterValue"
    copy = ground.begun(RestoreTime=closes)
    ground.settle()
    assert ground.backends.running[copy["DbiResourceId"]] == closes


def test_exactly_one_of_moment_and_latest_is_needed(ground: Ground) -> None:
    def restore(**when: object) -> object:
        return ground.rds.restore_db_instance_to_point_in_time(
            SourceDBInstanceIdentifier="orders", TargetDBInstanceIdentifier="copy", **when
        )

    assert code(restore) == "InvalidParameterCombination"
    both = {"RestoreTime": datetime.now(UTC), "UseLatestRestorableTime": True}
    assert code(lambda: restore(**both)) == "InvalidParameterCombination"
    assert code(lambda: restore(UseLatestRestorableTime=False)) == "InvalidParameterCombination"


def test_names_are_checked_before_anything_begins(ground: Ground) -> None:
    assert code(lambda: ground.begun("orders")) == "DBInstanceAlreadyExists"
    assert code(lambda: ground.begun("double--hyphen")) == "InvalidParameterValue"
    assert code(lambda: ground.begun(DBParameterGroupName="no")) == "DBParameterGroupNotFound"
    assert code(lambda: ground.begun(DBSubnetGroupName="no")) == "DBSubnetGroupNotFoundFault"
    assert code(lambda: ground.begun(OptionGroupName="no")) == "OptionGroupNotFoundFault"
    assert code(lambda: ground.begun(AllocatedStorage=100)) == "InvalidParameterValue"
    assert code(lambda: ground.begun(BackupRetentionPeriod=36)) == "InvalidParameterValue"
    assert (
        code(
            lambda: ground.rds.restore_db_instance_to_point_in_time(
                SourceDBInstanceIdentifier="no",
                TargetDBInstanceIdentifier="copy",
                UseLatestRestorableTime=True,
            )
        )
        == "DBInstanceNotFound"
    )
    assert [
        one["DBInstanceIdentifier"] for one in ground.rds.describe_db_instances()["DBInstances"]
    ] == ["orders"]


def test_no_retention_means_no_moment_to_restore_to(ground: Ground) -> None:
    ground.modify(BackupRetentionPeriod=0)
    ground.settle()

    assert code(ground.begun) == "PointInTimeRestoreNotEnabled"
    assert "LatestRestorableTime" not in ground.described("orders")
    told = ground.rds.describe_db_instance_automated_backups()["DBInstanceAutomatedBackups"]
    assert told == []
    assert ground.rds.describe_db_snapshots(SnapshotType="automated")["DBSnapshots"] == []


def test_an_instance_without_a_window_yet_is_no_source(ground: Ground) -> None:
    ground.begun("first")

    assert (
        code(
            lambda: ground.rds.restore_db_instance_to_point_in_time(
                SourceDBInstanceIdentifier="first",
                TargetDBInstanceIdentifier="second",
                UseLatestRestorableTime=True,
            )
        )
        == "InvalidDBInstanceState"
    )


def test_a_restore_whose_server_cannot_be_made_ends_in_an_error(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedBackends, "restore", broken)

    assert ground.restored()["DBInstanceStatus"] == "restore-error"
    assert "Endpoint" not in ground.described("copy")


def test_a_deleted_source_is_restored_from_its_retained_backups(ground: Ground) -> None:
    identity = ground.source["DbiResourceId"]
    ground.modify(DeletionProtection=False)
    ground.settle()
    ground.rds.delete_db_instance(
        DBInstanceIdentifier="orders", SkipFinalSnapshot=True, DeleteAutomatedBackups=False
    )
    ground.settle()

    assert code(ground.begun) == "DBInstanceNotFound"
    opens, closes = ground.window(DbiResourceId=identity)
    copy = ground.begun(SourceDbiResourceId=identity, RestoreTime=closes)
    ground.settle()
    assert opens < closes
    assert ground.state("copy") == "available"
    assert kept(copy) == defaults(ground.source)
    assert code(lambda: ground.begun("other", SourceDbiResourceId="db-NO")) == (
        "DBInstanceAutomatedBackupNotFound"
    )


def test_a_source_is_found_by_the_arn_of_its_backups(ground: Ground) -> None:
    told = ground.rds.describe_db_instance_automated_backups()["DBInstanceAutomatedBackups"]

    made = ground.rds.restore_db_instance_to_point_in_time(
        SourceDBInstanceAutomatedBackupsArn=told[0]["DBInstanceAutomatedBackupsArn"],
        TargetDBInstanceIdentifier="copy",
        UseLatestRestorableTime=True,
    )["DBInstance"]

    assert made["DBInstanceIdentifier"] == "copy"


def test_a_restore_from_a_snapshot_carries_tags_and_little_else(ground: Ground) -> None:
    ground.snapshot()

    ground.rds.restore_db_instance_from_db_snapshot(
        DBSnapshotIdentifier="kept", DBInstanceIdentifier="copy"
    )
    ground.settle()

    copy = ground.described("copy")
    assert kept(copy) == defaults(ground.source)
    assert tags(copy) == tags(ground.source)


def test_a_restore_from_a_snapshot_with_tags_has_those_alone(ground: Ground) -> None:
    ground.snapshot()

    made = ground.rds.restore_db_instance_from_db_snapshot(
        DBSnapshotIdentifier="kept", DBInstanceIdentifier="copy", Tags=RUN, MultiAZ=True
    )["DBInstance"]

    assert tags(made) == {"run": "7"}
    assert made["MultiAZ"]


def test_only_an_available_snapshot_can_be_used(ground: Ground) -> None:
    ground.rds.create_db_snapshot(DBSnapshotIdentifier="kept", DBInstanceIdentifier="orders")

    def restore(name: str) -> object:
        return ground.rds.restore_db_instance_from_db_snapshot(
            DBSnapshotIdentifier=name, DBInstanceIdentifier="copy"
        )

    assert code(lambda: restore("kept")) == "InvalidDBSnapshotState"
    assert code(lambda: restore("no")) == "DBSnapshotNotFound"
    assert code(lambda: ground.rds.delete_db_snapshot(DBSnapshotIdentifier="kept")) == (
        "InvalidDBSnapshotState"
    )
