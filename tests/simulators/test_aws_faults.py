"""What goes wrong at the simulated AWS account goes wrong as it does at the real one."""

from collections.abc import Iterator
from datetime import timedelta

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, HTTPClientError

from simulators.aws.plane import RdsPlane
from simulators.faults import Refusal
from simulators.wire import Wire
from tests.simulators.aws_ground import Ground, code, refused, standing
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


def test_a_missing_permission_is_told_from_wrong_credentials(ground: Ground) -> None:
    ground.plane.deny("ModifyDBInstance")
    ground.plane.deny("kms:DescribeKey")
    restricted = ground.sdk("rds", key="AKIADENIED1")

    denied = refused(lambda: restricted.modify_db_instance(DBInstanceIdentifier="orders"))

    assert denied[:2] == ("AccessDenied", 403)
    assert denied[2].startswith(
        "User: arn:aws:iam::123456789012:user/refloat is not authorized to perform: "
        "rds:ModifyDBInstance on resource: arn:aws:rds:eu-west-1:123456789012:db:orders"
    )
    assert restricted.describe_db_instances()["DBInstances"]
    ground.rds.modify_db_instance(DBInstanceIdentifier="orders")
    kms = ground.sdk("kms", key="AKIADENIED1")
    key = ground.source["KmsKeyId"]
    assert code(lambda: kms.describe_key(KeyId=key)) == "AccessDeniedException"
    ground.plane.access.allow("rds:ModifyDBInstance")
    restricted.modify_db_instance(DBInstanceIdentifier="orders")


@pytest.mark.parametrize(
    ("key", "expected", "at_kms"),
    [
        ("AKIAUNKNOWN", "InvalidClientTokenId", "UnrecognizedClientException"),
        ("ASIAEXPIRED", "ExpiredToken", "ExpiredTokenException"),
    ],
)
def test_bad_credentials_have_the_codes_of_each_service(
    ground: Ground, key: str, expected: str, at_kms: str
) -> None:
    assert code(ground.sdk("sts", key=key).get_caller_identity) == expected
    assert code(ground.sdk("rds", key=key).describe_db_instances) == expected
    kms = ground.sdk("kms", key=key)
    assert code(lambda: kms.describe_key(KeyId="alias/aws/rds")) == at_kms


def test_calls_that_are_not_simulated_are_refused_properly(ground: Ground) -> None:
    rds = ground.rds

    told = refused(lambda: rds.switchover_read_replica(DBInstanceIdentifier="orders"))

    assert told == (
        "InvalidAction",
        400,
        "Could not find operation SwitchoverReadReplica for version 2014-10-31",
    )
    arn = ground.source["DBInstanceArn"]
    assert (
        code(lambda: rds.start_db_instance_automated_backups_replication(SourceDBInstanceArn=arn))
        == "InvalidAction"
    )


def test_faults_are_answered_in_each_services_own_form(ground: Ground) -> None:
    faults = ground.estate.faults
    faults.throttle_for(timedelta(minutes=1))
    kms = ground.sdk("kms")

    assert refused(ground.rds.describe_db_instances) == ("Throttling", 400, "Rate exceeded")
    assert code(lambda: kms.describe_key(KeyId="alias/aws/rds")) == "ThrottlingException"
    ground.estate.clock.move(timedelta(minutes=1))
    faults.refuse("DescribeDBInstances", Refusal(503, "ServiceUnavailable", "later"), 1)
    assert refused(ground.rds.describe_db_instances) == ("ServiceUnavailable", 503, "later")
    assert ground.rds.describe_db_instances()["DBInstances"]


def test_a_call_whose_answer_is_lost_was_carried_out(ground: Ground) -> None:
    ground.estate.faults.lose_reply("RestoreDBInstanceToPointInTime")

    with pytest.raises((HTTPClientError, EndpointConnectionError)):
        ground.begun()

    assert code(ground.begun) == "DBInstanceAlreadyExists"
    assert ground.state("copy") == "creating"


@pytest.mark.parametrize(
    "state", ["storage-full", "incompatible-network", "failed", "insufficient-capacity", "stopped"]
)
def test_an_instance_is_held_in_a_state_until_it_is_let_go(ground: Ground, state: str) -> None:
    ground.plane.force("orders", state)

    assert ground.state("orders") == state
    assert code(lambda: ground.rds.reboot_db_instance(DBInstanceIdentifier="orders")) == (
        "InvalidDBInstanceState"
    )
    ground.plane.force("orders", "")
    assert ground.state("orders") == "available"


def test_a_state_can_be_held_before_its_instance_is_there(ground: Ground) -> None:
    ground.plane.force("copy", "restore-error")

    assert ground.restored()["DBInstanceStatus"] == "restore-error"
