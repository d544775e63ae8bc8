"""The simulated RDS changes, renames, reboots and deletes instances as the real one does."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest

from simulators.aws.plane import RdsPlane
from simulators.wire import Wire
from tests.simulators.aws_ground import Ground, code, refused, standing
from tests.simulators.scripted import ScriptedBackends, scripted_estate


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


def test_what_is_asked_for_at_once_is_pending_while_it_is_modifying(ground: Ground) -> None:
    told = ground.modify(MultiAZ=False, DBInstanceClass="db.m6g.xlarge")

    assert told["DBInstanceStatus"] == "modifying"
    assert told["MultiAZ"]
    assert told["PendingModifiedValues"] == {
        "MultiAZ": False,
        "DBInstanceClass": "db.m6g.xlarge",
    }
    ground.settle()
    found = ground.described("orders")
    assert (found["MultiAZ"], found["DBInstanceClass"]) == (False, "db.m6g.xlarge")
    assert found["PendingModifiedValues"] == {}


def test_what_is_not_asked_for_at_once_waits(ground: Ground) -> None:
    told = ground.modify(
        ApplyImmediately=False, MultiAZ=False, EnableIAMDatabaseAuthentication=False
    )
    ground.settle()

    waiting = {"MultiAZ": False, "IAMDatabaseAuthenticationEnabled": False}
    found = ground.described("orders")
    assert told["PendingModifiedValues"] == found["PendingModifiedValues"] == waiting
    assert (found["MultiAZ"], found["DBInstanceStatus"]) == (True, "available")
    ground.modify(DBInstanceClass="db.m6g.xlarge")
    ground.settle()
    after = ground.described("orders")
    assert (after["MultiAZ"], after["IAMDatabaseAuthenticationEnabled"]) == (False, False)
    assert after["PendingModifiedValues"] == {}


def test_some_changes_never_wait_for_the_maintenance_window(ground: Ground) -> None:
    groups = [ground.source["VpcSecurityGroups"][0]["VpcSecurityGroupId"]]
    told = ground.modify(
        ApplyImmediately=False,
        DeletionProtection=False,
        CopyTagsToSnapshot=False,
        MaxAllocatedStorage=2000,
        MonitoringInterval=0,
        EnablePerformanceInsights=False,
        BackupRetentionPeriod=7,
        PreferredBackupWindow="02:10-02:40",
        VpcSecurityGroupIds=groups,
        CloudwatchLogsExportConfiguration={
            "DisableLogTypes": ["upgrade", "never-there"],
            "EnableLogTypes": ["postgresql"],
        },
    )

    assert told["PendingModifiedValues"] == {}
    assert told["VpcSecurityGroups"] == [{"VpcSecurityGroupId": groups[0], "Status": "adding"}]
    ground.settle()
    found = ground.described("orders")
    assert (found["DeletionProtection"], found["CopyTagsToSnapshot"]) == (False, False)
    assert (found["MaxAllocatedStorage"], found["MonitoringInterval"]) == (2000, 0)
    assert "MonitoringRoleArn" not in found
    assert not found["PerformanceInsightsEnabled"]
    assert (found["BackupRetentionPeriod"], found["PreferredBackupWindow"]) == (7, "02:10-02:40")
    assert found["VpcSecurityGroups"] == [{"VpcSecurityGroupId": groups[0], "Status": "active"}]
    assert found["EnabledCloudwatchLogsExports"] == ["postgresql"]


def test_to_ask_for_what_is_so_already_changes_nothing(ground: Ground) -> None:
    source = ground.source

    told = ground.modify(
        MultiAZ=True,
        DBParameterGroupName="orders-tuned",
        DBSubnetGroupName="orders-private",
        VpcSecurityGroupIds=[one["VpcSecurityGroupId"] for one in source["VpcSecurityGroups"]],
        NewDBInstanceIdentifier="orders",
        CloudwatchLogsExportConfiguration={"EnableLogTypes": [], "DisableLogTypes": []},
        OptionGroupName=source["OptionGroupMemberships"][0]["OptionGroupName"],
    )

    assert told["DBInstanceStatus"] == "available"
    assert told["PendingModifiedValues"] == {}


def test_another_parameter_group_is_in_force_after_a_reboot(ground: Ground) -> None:
    def group(told: dict[str, Any]) -> tuple[str, str]:
        found = told["DBParameterGroups"][0]
        return found["DBParameterGroupName"], found["ParameterApplyStatus"]

    ground.restored()

    assert group(ground.modify("copy", DBParameterGroupName="orders-tuned")) == (
        "orders-tuned",
        "applying",
    )
    ground.settle()
    assert group(ground.described("copy")) == ("orders-tuned", "pending-reboot")
    told = ground.rds.reboot_db_instance(DBInstanceIdentifier="copy")["DBInstance"]
    assert told["DBInstanceStatus"] == "rebooting"
    assert ground.routes.get("copy.eu-west-1") is None
    ground.settle()
    assert group(ground.described("copy")) == ("orders-tuned", "in-sync")
    assert ground.routes["copy.eu-west-1"] == ("127.0.0.1", 1)
    ground.modify("copy", DBParameterGroupName="default.postgres15")
    assert code(lambda: ground.modify(DBParameterGroupName="no")) == "DBParameterGroupNotFound"


def test_changed_storage_is_optimized_before_it_can_change_again(ground: Ground) -> None:
    ground.modify(StorageType="gp3", AllocatedStorage=500)
    ground.estate.clock.move(ground.estate.durations.change)

    found = ground.described("orders")
    assert (found["DBInstanceStatus"], found["StorageType"], found["AllocatedStorage"]) == (
        "storage-optimization",
        "gp3",
        500,
    )
    assert code(lambda: ground.modify(AllocatedStorage=600)) == "InvalidParameterCombination"
    ground.modify(MultiAZ=False)
    ground.settle()
    assert ground.state("orders") == "available"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"BackupRetentionPeriod": 36}, "InvalidParameterValue"),
        ({"BackupRetentionPeriod": -1}, "InvalidParameterValue"),
        ({"NewDBInstanceIdentifier": "9lives"}, "InvalidParameterValue"),
        ({"NewDBInstanceIdentifier": "ends-"}, "InvalidParameterValue"),
        ({"MonitoringRoleArn": "", "MonitoringInterval": 30}, "InvalidParameterCombination"),
        ({"AllocatedStorage": 100}, "InvalidParameterCombination"),
        ({"MaxAllocatedStorage": 100}, "InvalidParameterCombination"),
        ({"DBSubnetGroupName": "no"}, "DBSubnetGroupNotFoundFault"),
    ],
)
def test_values_that_cannot_be_are_refused(
    ground: Ground, asked: dict[str, Any], expected: str
) -> None:
    assert code(lambda: ground.modify(**asked)) == expected
    assert ground.described("orders") | {"LatestRestorableTime": 0} == ground.source | {
        "LatestRestorableTime": 0
    }


def test_an_instance_that_is_busy_is_not_changed(ground: Ground) -> None:
    ground.begun()

    assert refused(lambda: ground.modify("copy", MultiAZ=True))[:2] == (
        "InvalidDBInstanceState",
        400,
    )


def test_a_password_is_pending_and_never_shown(ground: Ground) -> None:
    told = ground.modify(ApplyImmediately=False, MasterUserPassword="PLANTED-PASSWORD")

    assert told["PendingModifiedValues"] == {"MasterUserPassword": "****"}
    ground.settle()
    assert ground.described("orders")["PendingModifiedValues"] == {}


def test_a_rename_takes_the_endpoint_at_once_and_comes_through_renaming(ground: Ground) -> None:
    source = ground.source
    told = ground.modify(NewDBInstanceIdentifier="Orders-Old")

    assert told["DBInstanceStatus"] == "renaming"
    assert told["PendingModifiedValues"] == {"DBInstanceIdentifier": "Orders-Old"}
    assert "Endpoint" not in told
    assert ground.routes["orders.eu-west-1"] is None
    ground.estate.clock.move(ground.estate.durations.rename / 2)
    assert code(lambda: ground.described("orders")) == "DBInstanceNotFound"
    assert ground.state("orders-old") == "renaming"
    ground.settle()
    found = ground.described("orders-old")
    assert found["DBInstanceStatus"] == "available"
    assert found["DbiResourceId"] == source["DbiResourceId"]
    assert found["DBInstanceArn"].endswith(":db:orders-old")
    assert found["TagList"] == source["TagList"]
    assert found["Endpoint"]["Port"] != source["Endpoint"]["Port"]
    assert ground.routes["orders-old.eu-west-1"] == ("127.0.0.1", 1)
    assert found["PendingModifiedValues"] == {}
    identity = source["DbiResourceId"]
    snapshots = ground.rds.describe_db_snapshots(DbiResourceId=identity)["DBSnapshots"]
    assert len(snapshots) == 1


def test_the_endpoint_follows_the_name_to_another_instance(ground: Ground) -> None:
    copy = ground.restored()
    ground.modify(NewDBInstanceIdentifier="orders-old")
    ground.settle()
    ground.modify("copy", NewDBInstanceIdentifier="orders")
    ground.settle()

    found = ground.described("orders")
    assert found["DbiResourceId"] == copy["DbiResourceId"]
    assert found["Endpoint"] == ground.source["Endpoint"]


def test_a_rename_never_takes_a_name_that_is_taken(ground: Ground) -> None:
    ground.restored()
    identity = ground.source["DbiResourceId"]

    def rename() -> object:
        return ground.modify("copy", NewDBInstanceIdentifier="ORDERS")

    assert code(rename) == "DBInstanceAlreadyExists"
    ground.modify(NewDBInstanceIdentifier="orders-old")
    assert code(rename) == "DBInstanceAlreadyExists"
    assert code(lambda: ground.begun("orders-old")) == "DBInstanceAlreadyExists"
    ground.settle()
    rename()
    ground.settle()
    assert ground.described("orders-old")["DbiResourceId"] == identity


def test_a_rename_that_is_not_asked_for_at_once_waits(ground: Ground) -> None:
    told = ground.modify(ApplyImmediately=False, NewDBInstanceIdentifier="orders-old")
    ground.settle()

    assert told["DBInstanceStatus"] == "available"
    assert told["PendingModifiedValues"] == {"DBInstanceIdentifier": "orders-old"}
    assert ground.state("orders") == "available"
    ground.begun("orders-old")
    assert code(lambda: ground.modify(MultiAZ=False)) == "DBInstanceAlreadyExists"


def test_a_protected_instance_is_not_deleted(ground: Ground) -> None:
    def delete() -> object:
        return ground.rds.delete_db_instance(DBInstanceIdentifier="orders", SkipFinalSnapshot=True)

    assert code(delete) == "InvalidParameterCombination"
    ground.modify(DeletionProtection=False)
    delete()
    assert ground.state("orders") == "deleting"
    assert "Endpoint" not in ground.described("orders")
    assert code(delete) == "InvalidDBInstanceState"
    assert code(ground.begun) == "InvalidDBInstanceState"
    ground.settle()
    assert code(delete) == "DBInstanceNotFound"
    assert ground.backends.running == {}
    assert ground.rds.describe_db_snapshots()["DBSnapshots"] == []


def test_a_deletion_says_what_is_to_be_kept_last(ground: Ground) -> None:
    ground.restored()

    def delete(**asked: object) -> object:
        return ground.rds.delete_db_instance(DBInstanceIdentifier="copy", **asked)

    assert code(delete) == "InvalidParameterCombination"
    both = {"SkipFinalSnapshot": True, "FinalDBSnapshotIdentifier": "last"}
    assert code(lambda: delete(**both)) == "InvalidParameterCombination"
    ground.snapshot("last")
    assert code(lambda: delete(FinalDBSnapshotIdentifier="last")) == "DBSnapshotAlreadyExists"
    ground.plane.force("copy", "incompatible-network")
    assert code(lambda: delete(FinalDBSnapshotIdentifier="other")) == "InvalidDBInstanceState"
    assert ground.state("copy") == "incompatible-network"


def test_a_final_snapshot_outlives_its_instance(ground: Ground) -> None:
    copy = ground.restored()
    ground.rds.delete_db_instance(DBInstanceIdentifier="copy", FinalDBSnapshotIdentifier="last")
    found = ground.rds.describe_db_snapshots(DBSnapshotIdentifier="last")["DBSnapshots"][0]
    assert found["Status"] == "creating"
    ground.settle()

    found = ground.rds.describe_db_snapshots(DBSnapshotIdentifier="last")["DBSnapshots"][0]
    assert (found["Status"], found["DbiResourceId"]) == ("available", copy["DbiResourceId"])
    ground.rds.restore_db_instance_from_db_snapshot(
        DBSnapshotIdentifier="last", DBInstanceIdentifier="copy"
    )
    ground.settle()
    assert ground.state("copy") == "available"


def test_automated_backups_that_stay_keep_their_snapshots(ground: Ground) -> None:
    copy = ground.restored()
    ground.rds.delete_db_instance(
        DBInstanceIdentifier="copy", SkipFinalSnapshot=True, DeleteAutomatedBackups=False
    )
    ground.settle()
    again = ground.restored()

    def snapshots(told: dict[str, Any]) -> int:
        found = ground.rds.describe_db_snapshots(DbiResourceId=told["DbiResourceId"])
        return len(found["DBSnapshots"])

    assert (snapshots(copy), snapshots(again)) == (1, 1)
    ground.rds.delete_db_instance(DBInstanceIdentifier="copy", SkipFinalSnapshot=True)
    ground.settle()
    assert (snapshots(copy), snapshots(again)) == (1, 0)


def test_an_instance_can_be_deleted_while_it_is_being_made(ground: Ground) -> None:
    ground.begun()

    ground.rds.delete_db_instance(DBInstanceIdentifier="copy", SkipFinalSnapshot=True)
    ground.settle()

    assert set(ground.backends.running) == {ground.source["DbiResourceId"]}
    assert code(lambda: ground.state("copy")) == "DBInstanceNotFound"


def test_a_failed_creation_is_a_failed_instance(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(ScriptedBackends, "create", broken)
    ground.rds.create_db_instance(
        DBInstanceIdentifier="new", Engine="mysql", DBInstanceClass="db.t3.micro"
    )
    ground.settle()

    assert ground.state("new") == "failed"


def test_an_instance_is_stopped_and_started(ground: Ground) -> None:
    identity = ground.source["DbiResourceId"]
    ground.rds.stop_db_instance(DBInstanceIdentifier="orders")
    ground.settle()

    assert ground.state("orders") == "stopped"
    assert identity in ground.backends.stopped
    assert code(lambda: ground.modify(MultiAZ=False)) == "InvalidDBInstanceState"
    ground.rds.start_db_instance(DBInstanceIdentifier="orders")
    ground.settle()
    assert ground.state("orders") == "available"
    assert identity not in ground.backends.stopped


def test_a_failover_by_reboot_needs_two_zones(ground: Ground) -> None:
    ground.restored()

    def fail_over(name: str) -> object:
        return ground.rds.reboot_db_instance(DBInstanceIdentifier=name, ForceFailover=True)

    assert code(lambda: fail_over("copy")) == "InvalidParameterCombination"
    fail_over("orders")
    ground.settle()
    assert ground.state("orders") == "available"


def test_a_port_is_given_to_others_when_a_copy_is_gone_but_not_a_seeded_one(
    ground: Ground,
) -> None:
    ground.restored()
    names = set(ground.plane.regions["eu-west-1"].instances)
    ground.modify(DeletionProtection=False)
    ground.settle()
    for name in names:
        ground.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    ground.settle()

    assert ground.estate.front.open("orders.eu-west-1") == ground.source["Endpoint"]["Port"]
    assert "copy.eu-west-1" not in vars(ground.estate.front)["names"]


def test_time_that_passed_between_two_looks_counts_for_every_state(ground: Ground) -> None:
    ground.modify(NewDBInstanceIdentifier="orders-old", MultiAZ=False)

    ground.estate.clock.move(timedelta(hours=1))

    assert ground.state("orders-old") == "available"
