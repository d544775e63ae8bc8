"""The simulated AWS account answers as RDS, KMS and STS do."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from simulators.aws.plane import RdsPlane
from simulators.estate import Seed
from simulators.wire import Wire
from tests.simulators.aws_ground import HERE, THERE, Ground, code, refused, standing, tags
from tests.simulators.scripted import scripted_estate

SECOND = timedelta(seconds=1)


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


def test_a_seeded_instance_differs_from_every_default(ground: Ground) -> None:
    source = ground.source

    assert source["DBInstanceStatus"] == "available"
    assert source["DbiResourceId"].startswith("db-")
    assert len(source["VpcSecurityGroups"]) == 2
    assert source["DBSubnetGroup"]["DBSubnetGroupName"] == "orders-private"
    assert source["DBParameterGroups"] == [
        {"DBParameterGroupName": "orders-tuned", "ParameterApplyStatus": "in-sync"}
    ]
    assert source["MultiAZ"]
    assert source["DeletionProtection"]
    assert tags(source) == {"environment": "production", "team": "shop"}
    assert (source["StorageType"], source["Iops"]) == ("io1", 4000)
    assert source["IAMDatabaseAuthenticationEnabled"]
    assert source["EnabledCloudwatchLogsExports"] == ["postgresql", "upgrade"]
    assert source["CopyTagsToSnapshot"]
    assert source["MaxAllocatedStorage"] == 1000
    assert source["MonitoringInterval"] == 60
    assert source["PerformanceInsightsEnabled"]
    assert source["PreferredBackupWindow"] == "01:10-01:40"
    assert source["BackupRetentionPeriod"] == 14
    assert source["StorageEncryptionType"] == "sse-kms"
    assert source["PendingModifiedValues"] == {}
    assert source["Endpoint"]["Address"] == "127.0.0.1"
    assert ground.routes["orders.eu-west-1"] == ("127.0.0.1", 1)


def test_a_seed_may_say_otherwise(wire: Wire, session: boto3.Session) -> None:
    with standing(wire, session, MultiAZ=False, StorageEncrypted=False, Tags=None) as ground:
        assert not ground.source["MultiAZ"]
        assert not ground.source["StorageEncrypted"]
        assert "KmsKeyId" not in ground.source
        assert ground.source["StorageEncryptionType"] == "none"
        assert tags(ground.source) == {}


def test_a_seed_tells_its_address_and_may_run_mysql_in_another_region(ground: Ground) -> None:
    settings = {"Region": THERE}
    address = ground.plane.seed(Seed("carts", engine="mysql", settings=settings))

    found = ground.sdk("rds", THERE).describe_db_instances()["DBInstances"]
    assert [(one["DBInstanceIdentifier"], one["Engine"]) for one in found] == [("carts", "mysql")]
    assert (found[0]["Endpoint"]["Address"], found[0]["Endpoint"]["Port"]) == address
    assert found[0]["DBParameterGroups"][0]["DBParameterGroupName"] == "carts-tuned"


def test_parameters_that_a_user_set_are_told_from_the_others(ground: Ground) -> None:
    def described(source: str) -> dict[str, str]:
        told = ground.rds.describe_db_parameters(DBParameterGroupName="orders-tuned", Source=source)
        return {one["ParameterName"]: one["ParameterValue"] for one in told["Parameters"]}

    assert described("user") == {"work_mem": "65536", "log_min_duration_statement": "500"}
    assert described("engine-default") == {}


def test_a_new_instance_is_created_backed_up_and_leaves_available_once_more(
    ground: Ground,
) -> None:
    told = ground.rds.create_db_instance(
        DBInstanceIdentifier="New",
        Engine="postgres",
        DBInstanceClass="db.t3.micro",
        AllocatedStorage=20,
        MasterUsername="owner",
        MasterUserPassword="a-good-one",
    )["DBInstance"]

    assert told["DBInstanceStatus"] == "creating"
    assert {"Endpoint", "InstanceCreateTime", "LatestRestorableTime"} & set(told) == set()
    assert ground.settle("new") == [
        "creating",
        "backing-up",
        "available",
        "modifying",
        "available",
    ]
    made = ground.described("new")
    assert made["DbiResourceId"] in ground.backends.running
    assert made["Endpoint"]["Port"] != ground.source["Endpoint"]["Port"]
    assert made["InstanceCreateTime"] > ground.source["InstanceCreateTime"]
    assert (made["BackupRetentionPeriod"], made["StorageType"], made["EngineVersion"]) == (
        1,
        "gp3",
        "15.7",
    )


def test_instances_are_found_by_the_identity_that_survives_a_rename(ground: Ground) -> None:
    ground.restored()

    by = [{"Name": "dbi-resource-id", "Values": [ground.source["DbiResourceId"]]}]
    found = ground.rds.describe_db_instances(Filters=by)["DBInstances"]

    assert [one["DBInstanceIdentifier"] for one in found] == ["orders"]


def test_unknown_names_are_answered_as_not_found(ground: Ground) -> None:
    rds = ground.rds

    assert refused(lambda: rds.describe_db_instances(DBInstanceIdentifier="no"))[:2] == (
        "DBInstanceNotFound",
        404,
    )
    assert code(lambda: rds.describe_db_snapshots(DBSnapshotIdentifier="no")) == (
        "DBSnapshotNotFound"
    )
    assert code(lambda: rds.modify_db_instance(DBInstanceIdentifier="no")) == "DBInstanceNotFound"
    assert code(lambda: rds.describe_db_parameters(DBParameterGroupName="no")) == (
        "DBParameterGroupNotFound"
    )
    for kind, missing in (("db", "DBInstanceNotFound"), ("snapshot", "DBSnapshotNotFound")):
        arn = f"arn:aws:rds:{HERE}:123456789012:{kind}:no"
        assert code(lambda arn=arn: rds.list_tags_for_resource(ResourceName=arn)) == missing  # type: ignore[misc]


def test_names_that_cannot_be_are_refused_as_values(ground: Ground) -> None:
    rds = ground.rds

    assert code(lambda: rds.list_tags_for_resource(ResourceName="arn:aws:rds:no")) == (
        "InvalidParameterValue"
    )
    filters = [{"Name": "colour", "Values": ["red"]}]
    for call in (rds.describe_db_instances, rds.describe_db_instance_automated_backups):
        assert code(lambda call=call: call(Filters=filters)) == "InvalidParameterValue"  # type: ignore[misc]
    assert (
        code(
            lambda: rds.create_db_instance(
                DBInstanceIdentifier="new", Engine="abacus", DBInstanceClass="db.t3.micro"
            )
        )
        == "InvalidParameterValue"
    )
    assert (
        code(
            lambda: rds.restore_db_instance_from_db_snapshot(
                DBSnapshotIdentifier="arn:no", DBInstanceIdentifier="copy"
            )
        )
        == "DBSnapshotNotFound"
    )


def test_regions_know_nothing_of_each_other(ground: Ground) -> None:
    there = ground.sdk("rds", THERE)

    assert there.describe_db_instances()["DBInstances"] == []
    ground.sdk("kms", THERE)
    key = {"KeyId": ground.source["KmsKeyId"]}
    assert code(lambda: ground.sdk("kms", THERE).describe_key(**key)) == "NotFoundException"


def test_the_window_opens_within_the_retention_and_closes_now(ground: Ground) -> None:
    now = datetime.now(UTC)
    opens, closes = ground.window(DBInstanceIdentifier="orders")

    assert now - timedelta(days=1) <= opens <= now - timedelta(days=1) + 2 * SECOND
    assert now - SECOND <= closes <= datetime.now(UTC)
    assert (opens.microsecond, closes.microsecond) == (0, 0)
    ground.modify(BackupRetentionPeriod=35)
    assert ground.window(DbiResourceId=ground.source["DbiResourceId"])[0] < now


def test_the_latest_restorable_time_moves_in_steps_of_the_lag(ground: Ground) -> None:
    ground.plane.limits.lag = timedelta(minutes=5)

    closes = ground.described("orders")["LatestRestorableTime"]

    assert (closes.minute % 5, closes.second) == (0, 0)
    assert datetime.now(UTC) - closes < timedelta(minutes=5) + SECOND
    assert ground.window(DBInstanceIdentifier="orders")[1] == closes


def test_automated_backups_are_creating_active_or_retained(ground: Ground) -> None:
    def statuses(**by: str) -> list[str]:
        told = ground.rds.describe_db_instance_automated_backups(**by)
        return [one["Status"] for one in told["DBInstanceAutomatedBackups"]]

    copy = ground.begun()
    by_id = {"DbiResourceId": copy["DbiResourceId"]}

    assert statuses(DBInstanceIdentifier="orders") == ["active"]
    assert statuses(**by_id) == ["creating"]
    ground.settle()
    assert sorted(statuses()) == ["active", "active"]
    ground.rds.delete_db_instance(
        DBInstanceIdentifier="copy", SkipFinalSnapshot=True, DeleteAutomatedBackups=False
    )
    ground.settle()
    assert statuses(**by_id) == ["retained"]
    filters = [{"Name": "status", "Values": ["active"]}]
    told = ground.rds.describe_db_instance_automated_backups(Filters=filters)
    assert len(told["DBInstanceAutomatedBackups"]) == 1
    assert code(lambda: statuses(DbiResourceId="db-NO")) == "DBInstanceAutomatedBackupNotFound"


def test_lists_and_tags_lag_behind_what_was_written(ground: Ground) -> None:
    ground.estate.faults.lag = timedelta(minutes=1)
    rds, arn = ground.rds, ground.source["DBInstanceArn"]

    def listed() -> list[str]:
        return [one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]]

    copy = ground.begun(Tags=[{"Key": "run", "Value": "7"}])
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "run", "Value": "7"}])

    assert listed() == ["orders"]
    assert tags(copy) == tags(ground.described("copy")) == {}
    assert "run" not in tags(ground.described("orders"))
    kept = rds.list_tags_for_resource(ResourceName=arn)["TagList"]
    assert {"Key": "run", "Value": "7"} in kept
    ground.estate.clock.move(timedelta(minutes=1))
    assert listed() == ["orders", "copy"]
    assert tags(ground.described("copy")) == {"run": "7"}
    assert tags(ground.described("orders"))["run"] == "7"


def test_tags_can_be_removed(ground: Ground) -> None:
    arn = ground.source["DBInstanceArn"]

    ground.rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["team"])

    assert tags(ground.described("orders")) == {"environment": "production"}


def test_an_account_that_is_full_takes_no_more(ground: Ground) -> None:
    limits = ground.plane.limits
    limits.instances, limits.snapshots = 1, 0

    def snapshot() -> object:
        return ground.rds.create_db_snapshot(
            DBSnapshotIdentifier="s", DBInstanceIdentifier="orders"
        )

    assert code(ground.begun) == "InstanceQuotaExceeded"
    assert code(snapshot) == "SnapshotQuotaExceeded"
    limits.instances, limits.storage = 2, 500
    assert code(ground.begun) == "StorageQuotaExceeded"
    told = ground.rds.describe_account_attributes()["AccountQuotas"]
    quotas = {one["AccountQuotaName"]: (one["Used"], one["Max"]) for one in told}
    assert quotas["DBInstances"] == (1, 2)
    assert quotas["AllocatedStorage"] == (400, 500)
    assert quotas["ManualSnapshots"] == (0, 0)


def test_a_key_tells_whose_it_is_and_how_it_rotates(ground: Ground) -> None:
    kms = ground.sdk("kms")
    key = kms.describe_key(KeyId=ground.source["KmsKeyId"])["KeyMetadata"]
    managed = kms.describe_key(KeyId="alias/aws/rds")["KeyMetadata"]

    assert (key["KeyManager"], key["KeyState"]) == ("CUSTOMER", "Enabled")
    assert managed["KeyManager"] == "AWS"
    rotation = kms.get_key_rotation_status(KeyId=key["KeyId"])
    assert (rotation["KeyRotationEnabled"], rotation["RotationPeriodInDays"]) == (True, 180)
    assert rotation["NextRotationDate"] - key["CreationDate"] == timedelta(days=180)
    kms.disable_key_rotation(KeyId=key["KeyId"])
    assert not kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["RotationPeriodInDays"] == 90
    assert kms.get_key_rotation_status(KeyId=managed["KeyId"])["KeyRotationEnabled"]


def test_an_asymmetric_key_does_not_rotate(ground: Ground) -> None:
    kms = ground.sdk("kms")
    made = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]

    assert code(lambda: kms.get_key_rotation_status(KeyId=made)) == "UnsupportedOperationException"


def test_an_instance_without_its_key_is_inaccessible_and_cannot_be_restored(
    ground: Ground,
) -> None:
    ground.snapshot()
    ground.sdk("kms").disable_key(KeyId=ground.source["KmsKeyId"])

    found = ground.described("orders")

    assert found["DBInstanceStatus"] == "inaccessible-encryption-credentials"
    assert "Endpoint" not in found
    assert ground.routes["orders.eu-west-1"] is None
    assert code(ground.begun) == "KMSKeyNotAccessibleFault"
    assert (
        code(
            lambda: ground.rds.restore_db_instance_from_db_snapshot(
                DBSnapshotIdentifier="kept", DBInstanceIdentifier="copy"
            )
        )
        == "KMSKeyNotAccessibleFault"
    )


def test_the_caller_is_a_user_of_the_account(ground: Ground) -> None:
    told = ground.sdk("sts").get_caller_identity()

    assert told["Account"] == "123456789012"
    assert told["Arn"] == "arn:aws:iam::123456789012:user/refloat"


def test_raw_fields_can_be_read_without_a_call(ground: Ground) -> None:
    assert ground.plane.raw("orders")["DbiResourceId"] == ground.source["DbiResourceId"]
    assert ground.wire.count()["DescribeDBInstances"] == 1
