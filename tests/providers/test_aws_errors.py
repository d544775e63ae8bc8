"""Every error of AWS becomes one of the domain's, with a sentence that says what to do."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import botocore.session
import pytest
from botocore import exceptions as sdk
from botocore.config import Config
from botocore.model import StructureShape
from botocore.parsers import ResponseParserError

from domain.errors import (
    AccessDeniedError,
    BusyError,
    CapacityMissingError,
    ConfigurationRefusedError,
    CredentialsRefusedError,
    KeyUnavailableError,
    NameTakenError,
    PointRefusedError,
    ProviderUnavailableError,
    QuotaReachedError,
    RecoveryError,
    ResourceMissingError,
    ThrottledError,
    UnknownProviderError,
)
from providers.aws.errors import ROWS, SHOWN, TABLE, aws_errors

POINT = "RestoreDBInstanceToPointInTime"
USED = {
    "rds": (
        "DescribeDBInstances",
        "DescribeDBSnapshots",
        "DescribeDBInstanceAutomatedBackups",
        "DescribeDBParameters",
        "DescribeAccountAttributes",
        "RestoreDBInstanceToPointInTime",
        "RestoreDBInstanceFromDBSnapshot",
        "CreateDBSnapshot",
        "CopyDBSnapshot",
        "DeleteDBSnapshot",
        "ModifyDBInstance",
        "RebootDBInstance",
        "DeleteDBInstance",
        "AddTagsToResource",
        "RemoveTagsFromResource",
        "ListTagsForResource",
    ),
    "kms": ("DescribeKey", "GetKeyRotationStatus"),
    "sts": ("GetCallerIdentity",),
}
EXPECTED: dict[str, type[RecoveryError]] = {
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "TooManyRequestsException": ThrottledError,
    "InternalFailure": ProviderUnavailableError,
    "ServiceUnavailable": ProviderUnavailableError,
    "RequestTimeout": ProviderUnavailableError,
    "InvalidDBInstanceState": BusyError,
    "InvalidDBSnapshotState": BusyError,
    "InvalidDBInstanceAutomatedBackupState": BusyError,
    "ResourceInUseException": BusyError,
    "DBInstanceAlreadyExists": NameTakenError,
    "DBSnapshotAlreadyExists": NameTakenError,
    "ImageAlreadyExistsException": NameTakenError,
    "InsufficientDBInstanceCapacity": CapacityMissingError,
    "InstanceQuotaExceeded": QuotaReachedError,
    "StorageQuotaExceeded": QuotaReachedError,
    "SnapshotQuotaExceeded": QuotaReachedError,
    "DBInstanceAutomatedBackupQuotaExceeded": QuotaReachedError,
    "ResourceLimitExceededException": QuotaReachedError,
    "DBInstanceNotFound": ResourceMissingError,
    "DBSnapshotNotFound": ResourceMissingError,
    "DBInstanceAutomatedBackupNotFound": ResourceMissingError,
    "InvalidParameterValue": PointRefusedError,
    "PointInTimeRestoreNotEnabled": PointRefusedError,
    "KMSKeyNotAccessibleFault": KeyUnavailableError,
    "KMSInvalidStateException": KeyUnavailableError,
    "DisabledException": KeyUnavailableError,
    "InvalidParameterCombination": ConfigurationRefusedError,
    "InvalidVPCNetworkStateFault": ConfigurationRefusedError,
    "InvalidSubnet": ConfigurationRefusedError,
    "DBSubnetGroupDoesNotCoverEnoughAZs": ConfigurationRefusedError,
    "StorageTypeNotSupported": ConfigurationRefusedError,
    "InvalidRestoreFault": ConfigurationRefusedError,
    "ProvisionedIopsNotAvailableInAZFault": ConfigurationRefusedError,
    "DBParameterGroupNotFound": ConfigurationRefusedError,
    "ExpiredToken": CredentialsRefusedError,
    "InvalidClientTokenId": CredentialsRefusedError,
    "UnrecognizedClientException": CredentialsRefusedError,
    "AccessDenied": AccessDeniedError,
    "AccessDeniedException": AccessDeniedError,
}


def answer(code: str, message: str = "said", status: int = 400, **headers: str) -> sdk.ClientError:
    told: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return sdk.ClientError(told, POINT)


def raised(error: Exception) -> RecoveryError:
    with pytest.raises(RecoveryError) as caught, aws_errors("restore orders"):
        raise error
    return caught.value


def modelled() -> Iterator[str]:
    session = botocore.session.get_session()
    for service, operations in USED.items():
        model = session.get_service_model(service)
        for name in operations:
            for shape in model.operation_model(name).error_shapes:
                assert isinstance(shape, StructureShape)
                assert shape.error_code
                yield shape.error_code


@pytest.mark.parametrize(("code", "becomes"), EXPECTED.items())
def test_a_code_becomes_what_decides_what_to_do_next(
    code: str, becomes: type[RecoveryError]
) -> None:
    assert type(raised(answer(code))) is becomes


@pytest.mark.parametrize("code", TABLE)
def test_a_sentence_tells_the_act_the_meaning_and_the_providers_own_words(code: str) -> None:
    sentence = str(raised(answer(code, "its own words")))

    meaning = TABLE[code].meaning.partition("{")[0]
    assert sentence.startswith(f"restore orders: {meaning}")
    assert sentence.endswith(f"({code}: its own words)")
    assert "{" not in sentence


def test_every_code_modelled_for_a_call_that_is_used_is_known() -> None:
    assert {code for code in modelled() if code not in TABLE} == set()


def test_no_code_stands_in_two_rows() -> None:
    assert len(TABLE) == sum(len(row.codes) for row in ROWS)


def test_a_bad_value_outside_a_restore_to_a_moment_is_a_setting() -> None:
    told: Any = {"Error": {"Code": "InvalidParameterValue", "Message": "retention 99"}}

    error = raised(sdk.ClientError(told, "ModifyDBInstance"))

    assert type(error) is ConfigurationRefusedError


def test_a_denial_names_the_missing_permission() -> None:
    message = (
        "User: arn:aws:iam::123456789012:user/x is not authorized to perform: "
        "rds:RestoreDBInstanceToPointInTime on resource: arn:aws:rds:eu-west-1:123456789012:db:y"
    )

    sentence = str(raised(answer("AccessDenied", message, 403)))

    assert "lack the permission rds:RestoreDBInstanceToPointInTime;" in sentence


def test_a_denial_without_an_action_names_the_call() -> None:
    assert f"permission to call {POINT};" in str(raised(answer("AccessDenied", "no")))


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        (503, ProviderUnavailableError),
        (500, ProviderUnavailableError),
        (408, ProviderUnavailableError),
        (429, ThrottledError),
        (418, UnknownProviderError),
    ],
)
def test_an_unknown_code_is_judged_by_its_status(status: int, becomes: type[RecoveryError]) -> None:
    error = raised(answer("Novel", "new words", status))

    assert type(error) is becomes
    assert "(Novel: new words)" in str(error)


def test_an_answer_without_a_code_is_told_as_such() -> None:
    assert str(raised(sdk.ClientError({}, POINT))).endswith("(no code)")


def test_a_throttled_call_keeps_the_pace_that_was_asked_for() -> None:
    error = raised(answer("Throttling", "slow", 400, **{"retry-after": "7"}))

    assert isinstance(error, ThrottledError)
    assert error.pace == timedelta(seconds=7)
    plain = raised(answer("Throttling"))
    assert isinstance(plain, ThrottledError)
    assert plain.pace is None


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (sdk.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), ProviderUnavailableError),
        (sdk.ReadTimeoutError(endpoint_url="http://x"), ProviderUnavailableError),
        (sdk.ConnectTimeoutError(endpoint_url="http://x"), ProviderUnavailableError),
        (sdk.ConnectionClosedError(endpoint_url="http://x"), ProviderUnavailableError),
        (
            sdk.SSLError(endpoint_url="https://x", error=OSError("self-signed")),
            ProviderUnavailableError,
        ),
        (sdk.ProxyConnectionError(proxy_url="http://p"), ProviderUnavailableError),
        (sdk.HTTPClientError(error="reset"), ProviderUnavailableError),
        (sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2), ProviderUnavailableError),
        (sdk.MetadataRetrievalError(error_msg="none"), ProviderUnavailableError),
        (ResponseParserError("Unable to parse <html>"), ProviderUnavailableError),
        (sdk.NoCredentialsError(), CredentialsRefusedError),
        (
            sdk.PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"),
            CredentialsRefusedError,
        ),
        (sdk.CredentialRetrievalError(provider="process", error_msg="x"), CredentialsRefusedError),
        (sdk.TokenRetrievalError(provider="sso", error_msg="x"), CredentialsRefusedError),
        (sdk.NoAuthTokenError(), CredentialsRefusedError),
        (sdk.UnauthorizedSSOTokenError(), CredentialsRefusedError),
        (sdk.SSOTokenLoadError(error_msg="x"), CredentialsRefusedError),
        (sdk.ProfileNotFound(profile="prod"), CredentialsRefusedError),
        (sdk.ConfigParseError(path="/x"), CredentialsRefusedError),
        (sdk.NoRegionError(), ConfigurationRefusedError),
        (sdk.InvalidRegionError(region_name="eu west"), ConfigurationRefusedError),
        (ValueError("Invalid endpoint: nowhere"), ConfigurationRefusedError),
        (sdk.ParamValidationError(report="x"), ConfigurationRefusedError),
        (sdk.BotoCoreError(), UnknownProviderError),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else each.__name__,
)
def test_what_the_sdk_raises_without_an_answer_is_translated(
    error: Exception, becomes: type[RecoveryError]
) -> None:
    found = raised(error)

    assert type(found) is becomes
    assert str(found).startswith("restore orders: ")


def test_a_mistake_of_our_own_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="ours"), aws_errors("restore"):
        raise ValueError("ours")
    with pytest.raises(BusyError), aws_errors("restore"):
        raise BusyError("kept")


@pytest.mark.parametrize(
    "error",
    [
        answer("SignatureDoesNotMatch", "The signature does not match.\nx-amz-token:PLANTED"),
        answer("AccessDenied", "no. Encoded authorization failure message: PLANTED"),
        answer("InvalidParameterValue", 'MasterUserPassword="PLANTED" is too short'),
        sdk.EndpointConnectionError(endpoint_url="https://user:PLANTED@x/?X-Amz-Signature=PLANTED"),
        sdk.CredentialRetrievalError(provider="process", error_msg="SecretAccessKey PLANTED"),
        sdk.TokenRetrievalError(provider="sso", error_msg="PLANTED"),
        ResponseParserError("<html>PLANTED</html>"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_secret_gets_into_a_sentence_or_its_cause(error: Exception) -> None:
    found = raised(error)

    assert "PLANTED" not in str(found)
    assert found.__cause__ is None


def test_a_refused_argument_is_named_without_its_value() -> None:
    client = boto3.client(
        "rds",
        region_name="eu-west-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="simulated",
        aws_secret_access_key="simulated",
    )
    wrong: Any = ["PLANTED"]

    with pytest.raises(ConfigurationRefusedError) as caught, aws_errors("modify orders"):
        client.modify_db_instance(DBInstanceIdentifier="orders", MasterUserPassword=wrong)

    assert "(ParamValidationError: MasterUserPassword)" in str(caught.value)
    assert "PLANTED" not in str(caught.value)


def test_nobody_listening_is_told_with_the_address() -> None:
    client = boto3.client(
        "sts",
        region_name="eu-west-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="simulated",
        aws_secret_access_key="simulated",
        config=Config(retries={"total_max_attempts": 1}),
    )

    with pytest.raises(ProviderUnavailableError, match=r"http://127\.0\.0\.1:1"), aws_errors("ask"):
        client.get_caller_identity()


def test_a_long_message_is_cut() -> None:
    assert len(str(raised(answer("Novel", "x" * 10_000)))) < SHOWN + 200
