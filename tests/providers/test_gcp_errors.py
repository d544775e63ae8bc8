"""Every error of Cloud SQL becomes the right error of the domain, in a sentence that says what to do."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import requests
from google.api_core.exceptions import GoogleAPIError
from google.auth import exceptions as auth
from google.cloud import sqladmin_v1 as sql
from google.protobuf.json_format import ParseError

from domain import errors
from providers.gcp.errors import (
    LONGEST,
    TABLE,
    failure_of,
    gcp_errors,
    suspension_of,
)
from providers.gcp.rest import refusal_of
from providers.managed.refusals import Told

AUTH: Any = auth  # google-auth's constructors have no types
URL = "https://sqladmin.googleapis.com/v1/projects/shop/instances/orders"


def answered(
    status: int, body: Any, *, verb: str = "GET", url: str = URL, wait: str = ""
) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    response.headers["Retry-After"] = wait
    response.request = requests.Request(verb, url).prepare()
    return response


def told(status: int, reason: str = "", message: str = "said", **more: Any) -> dict[str, Any]:
    listed = [{"reason": reason, "message": message, "domain": "global"}] if reason else []
    return {"error": {"code": status, "message": message, "errors": listed, **more}}


def became(error: Exception) -> errors.RecoveryError:
    with pytest.raises(errors.RecoveryError) as caught, gcp_errors("cloning orders"):
        raise error
    assert str(caught.value).startswith("cloning orders: ")
    return caught.value


def refused(status: int, reason: str = "", message: str = "said") -> errors.RecoveryError:
    return became(refusal_of(answered(status, told(status, reason, message))))


def failed(code: str, message: str = "said") -> errors.RecoveryError | None:
    error = {"errors": [{"code": code, "message": message}]}
    clone = sql.Operation.SqlOperationType.CLONE
    return failure_of(sql.Operation(operation_type=clone, target_id="copy", error=error))


ANSWERS = (
    (429, "rateLimitExceeded", "", errors.ThrottledError),
    (403, "rateLimitExceeded", "", errors.ThrottledError),
    (403, "userRateLimitExceeded", "", errors.ThrottledError),
    (403, "quotaExceeded", "Quota exceeded for quota metric 'Queries'", errors.ThrottledError),
    (429, "", "slow down", errors.ThrottledError),
    (400, "invalid", "maximum of three restore operations reached", errors.ThrottledError),
    (403, "quotaExceeded", "no more instances", errors.QuotaReachedError),
    (429, "errorMaxInstancePerLabel", "", errors.QuotaReachedError),
    (500, "errorGceQuotaExceeded", "", errors.QuotaReachedError),
    (500, "errorGceStockout", "", errors.CapacityMissingError),
    (503, "backendError", "the zone has a stockout", errors.CapacityMissingError),
    (409, "instanceAlreadyExists", "", errors.NameTakenError),
    (400, "errorInstanceNameConflict", "", errors.NameTakenError),
    (409, "operationInProgress", "", errors.BusyError),
    (403, "operationInProgress", "", errors.BusyError),
    (409, "invalidState", "", errors.BusyError),
    (412, "staleData", "", errors.BusyError),
    (409, "conflict", "", errors.BusyError),
    (404, "instanceDoesNotExist", "", errors.ResourceMissingError),
    (404, "", "", errors.ResourceMissingError),
    (400, "errorBackupNotFound", "", errors.PointRefusedError),
    (400, "invalid", "The timestamp is after the latest recovery time", errors.PointRefusedError),
    (400, "invalid", "The KMS key is disabled", errors.KeyUnavailableError),
    (403, "forbidden", "Permission cloudkms.cryptoKeys.get denied", errors.KeyUnavailableError),
    (400, "invalid", "Invalid flag", errors.ConfigurationRefusedError),
    (404, "errorInvalidFlagName", "", errors.ConfigurationRefusedError),
    (422, "invalidInstanceProperty", "", errors.ConfigurationRefusedError),
    (501, "errorDiskEncryptionUnsupported", "no KMS key here", errors.ConfigurationRefusedError),
    (400, "errorProtectedInstanceDeletionFailure", "", errors.ConfigurationRefusedError),
    (401, "authError", "", errors.CredentialsRefusedError),
    (403, "notAuthorized", "", errors.AccessDeniedError),
    (403, "accessNotConfigured", "", errors.AccessDeniedError),
    (403, "invalidBillingAccountState", "", errors.AccessDeniedError),
    (500, "serverException", "", errors.ProviderUnavailableError),
    (500, "", "", errors.ProviderUnavailableError),
    (502, "", "", errors.ProviderUnavailableError),
    (503, "backendError", "", errors.ProviderUnavailableError),
    (504, "", "", errors.ProviderUnavailableError),
    (418, "teapot", "", errors.UnknownProviderError),
)
OPERATIONS = (
    ("CLOUD_KMS_KEY_ERROR", "", errors.KeyUnavailableError),
    ("ERROR_GCE_STOCKOUT", "", errors.CapacityMissingError),
    ("GCE_STOCKOUT", "", errors.CapacityMissingError),
    ("GCE_QUOTA_EXCEEDED", "", errors.QuotaReachedError),
    ("ERROR_BACKUP_NOT_FOUND", "", errors.PointRefusedError),
    ("INTERNAL_ERROR", "", errors.ProviderUnavailableError),
    ("UNKNOWN", "the CMEK cannot be used", errors.KeyUnavailableError),
    ("UNKNOWN", "", errors.UnknownProviderError),
)
RAISED = (
    (requests.ConnectionError("refused"), errors.ProviderUnavailableError),
    (requests.Timeout("30 s"), errors.ProviderUnavailableError),
    (ParseError("no JSON"), errors.ProviderUnavailableError),
    (AUTH.TransportError("no metadata server"), errors.ProviderUnavailableError),
    (AUTH.RefreshError("later", retryable=True), errors.ProviderUnavailableError),
    (AUTH.RefreshError("invalid_grant"), errors.CredentialsRefusedError),
    (AUTH.DefaultCredentialsError("none"), errors.CredentialsRefusedError),
    (GoogleAPIError("something"), errors.UnknownProviderError),
)


@pytest.mark.parametrize(("status", "reason", "message", "expected"), ANSWERS)
def test_an_answer_becomes_the_right_error(
    status: int, reason: str, message: str, expected: type[errors.RecoveryError]
) -> None:
    error = refused(status, reason, message)
    assert type(error) is expected
    assert reason in str(error)
    assert message in str(error)


@pytest.mark.parametrize(("code", "message", "expected"), OPERATIONS)
def test_a_failed_operation_becomes_the_right_error(
    code: str, message: str, expected: type[errors.RecoveryError]
) -> None:
    error = failed(code, message)
    assert type(error) is expected
    assert str(error).startswith("CLONE of copy: ")
    assert code in str(error)


@pytest.mark.parametrize(("raised", "expected"), RAISED)
def test_what_is_raised_before_an_answer_becomes_the_right_error(
    raised: Exception, expected: type[errors.RecoveryError]
) -> None:
    error = became(raised)
    assert type(error) is expected
    assert str(raised) in str(error)


def test_every_row_of_the_table_is_reached() -> None:
    known = [
        *(Told((reason,), message, status) for status, reason, message, _ in ANSWERS),
        *(Told((code,), message) for code, message, _ in OPERATIONS),
        *(Told(message=str(raised), raised=raised) for raised, _ in RAISED),
    ]
    reached = {next((row for row in TABLE if row.fits(each)), None) for each in known}
    assert [row for row in TABLE if row not in reached] == []


def test_an_operation_without_an_error_did_not_fail() -> None:
    assert failure_of(sql.Operation(name="op")) is None


def test_a_suspended_instance_tells_why() -> None:
    state = sql.DatabaseInstance.SqlInstanceState
    reason = sql.SqlSuspensionReason.KMS_KEY_ISSUE
    held = sql.DatabaseInstance(name="orders", state=state.SUSPENDED, suspension_reason=[reason])
    error = suspension_of(held)
    assert isinstance(error, errors.KeyUnavailableError)
    assert str(error).startswith("orders is suspended: ")
    assert suspension_of(sql.DatabaseInstance(state=state.RUNNABLE)) is None


def test_a_throttled_call_waits_as_long_as_it_is_told() -> None:
    error = became(refusal_of(answered(429, told(429, "rateLimitExceeded"), wait="17")))
    assert isinstance(error, errors.ThrottledError)
    assert error.pace == timedelta(seconds=17)
    assert getattr(refused(429), "pace", "") is None


@pytest.mark.parametrize(
    ("verb", "path", "permission"),
    [
        ("POST", "/clone", "cloudsql.instances.clone"),
        ("POST", "/restoreBackup", "cloudsql.instances.restoreBackup"),
        ("PATCH", "", "cloudsql.instances.update"),
        ("DELETE", "?enableFinalBackup=true", "cloudsql.instances.delete"),
        ("POST", "/backupRuns", "cloudsql.backupRuns.create"),
        ("DELETE", "/backupRuns/7", "cloudsql.backupRuns.delete"),
        ("GET", "/backupRuns", "cloudsql.backupRuns.list"),
        ("GET", "", "cloudsql.instances.get"),
    ],
)
def test_a_denied_call_names_the_permission_that_it_needs(
    verb: str, path: str, permission: str
) -> None:
    body = told(403, "notAuthorized", "The client is not authorized to make this request.")
    error = became(refusal_of(answered(403, body, verb=verb, url=f"{URL}{path}")))
    assert f"the permission {permission}," in str(error)


def test_a_permission_that_google_names_is_believed() -> None:
    message = "Permission 'compute.networks.get' denied on the network"
    assert "the permission compute.networks.get," in str(refused(403, "forbidden", message))
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    metadata = {"permission": "cloudsql.instances.list"}
    detail = {"@type": kind, "reason": "IAM_PERMISSION_DENIED", "metadata": metadata}
    error = became(refusal_of(answered(403, told(403, details=[detail]))))
    assert "the permission cloudsql.instances.list," in str(error)
    assert "IAM_PERMISSION_DENIED" in str(error)


@pytest.mark.parametrize("body", ["<html>" + "x" * 1000, {"error": "Bad Gateway"}, ["a"], "", "3"])
def test_an_answer_of_a_proxy_is_still_told_by_its_status(body: Any) -> None:
    error = became(refusal_of(answered(502, body)))
    assert type(error) is errors.ProviderUnavailableError
    assert len(str(error)) < LONGEST + 100


def test_errors_of_the_domain_and_our_own_mistakes_pass() -> None:
    for error in (errors.NotYetError("this"), KeyError("bug")):
        with pytest.raises(type(error)) as caught, gcp_errors("cloning"):
            raise error
        assert caught.value is error


def test_a_code_is_known_in_every_spelling() -> None:
    for code in ("ERROR_GCE_STOCKOUT", "GCE_STOCKOUT", "errorGceStockout", "gceStockout"):
        assert isinstance(failed(code), errors.CapacityMissingError)
    details: Mapping[str, Any] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
    }
    error = became(refusal_of(answered(403, told(403, details=[details]))))
    assert isinstance(error, errors.ThrottledError)
