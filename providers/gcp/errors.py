"""What Cloud SQL's errors mean: the SDK's exceptions and failed operations become the domain's errors.

Cloud SQL writes one code in three ways: `ERROR_BACKUP_NOT_FOUND` in its documentation and in
operations, `errorBackupNotFound` in answers, and without `ERROR_` at times. The table holds the
documented one (cloud.google.com/sql/docs/mysql/admin-api-error-messages); they are compared in
one spelling.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import requests
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
from google.auth import exceptions as auth
from google.cloud import sqladmin_v1 as sql
from google.protobuf.json_format import ParseError

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
from providers.gcp.permissions import permission_of
from providers.managed.refusals import Row, Told

LONGEST = 400
"""Characters kept of a message: a proxy's page is one too."""
TOO_MANY = "too many calls for the project's quota; asked again more slowly"
NO_ROOM = "no room for this machine type in the zone now; take another zone or type, or wait"
KEY_GONE = "the encryption key is disabled, destroyed or out of reach; have it enabled in Cloud KMS"
OWN_PROBLEM = "Cloud SQL has a problem of its own; asked again"
MISSING = "Cloud SQL knows no such thing"


TABLE = (
    Row(
        ThrottledError,
        TOO_MANY,
        codes=("RATE_LIMIT_EXCEEDED", "USER_RATE_LIMIT_EXCEEDED"),
    ),
    Row(
        ThrottledError,
        TOO_MANY,
        codes=("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED"),
        says=r"quota metric|per minute|per 100 ?s|USER-100s|\brate\b",
    ),
    Row(
        QuotaReachedError,
        "the project may not have more of this; have the quota raised, or remove what is not needed",
        codes=(
            "ERROR_MAX_INSTANCE_PER_LABEL",
            "ERROR_MAX_FREE_INSTANCE_PER_LABEL",
            "ERROR_GCE_QUOTA_EXCEEDED",
            "QUOTA_EXCEEDED",
            "DAILY_LIMIT_EXCEEDED",
            "LIMIT_EXCEEDED",
        ),
    ),
    Row(
        ThrottledError,
        "too many restores of one backup in half an hour; asked again later",
        says=r"(maximum|limit|too many|exceed).*\brestore operations",
    ),
    Row(
        CapacityMissingError,
        NO_ROOM,
        codes=("ERROR_GCE_STOCKOUT", "STOCKOUT", "ZONE_RESOURCE_POOL_EXHAUSTED"),
    ),
    Row(
        CapacityMissingError,
        NO_ROOM,
        says=r"stockout|sufficient resources|resource.pool.exhausted",
    ),
    Row(
        NameTakenError,
        "an instance of this name exists, or was deleted a short time ago",
        codes=("INSTANCE_ALREADY_EXISTS", "ERROR_INSTANCE_NAME_CONFLICT", "ALREADY_EXISTS"),
    ),
    Row(
        BusyError,
        "another operation of the instance is not over; asked again after it",
        codes=("OPERATION_IN_PROGRESS",),
    ),
    Row(
        BusyError,
        "the instance is not in a state for this now; asked again later",
        codes=("INVALID_STATE",),
    ),
    Row(
        BusyError,
        "somebody else changed the settings meanwhile; read again and repeat",
        codes=("STALE_DATA", "CONDITION_NOT_MET"),
    ),
    Row(
        ConfigurationRefusedError,
        "the instance is protected against deletion; turn deletion_protection_enabled off first",
        codes=("ERROR_PROTECTED_INSTANCE_DELETION_FAILURE",),
    ),
    Row(
        ConfigurationRefusedError,
        "the setting is refused; correct it",
        codes=(
            "ERROR_INVALID_FLAG_NAME",
            "ERROR_INVALID_FLAG_VALUE",
            "ERROR_INVALID_FLAG_DATABASE_TYPE",
            "INVALID_INSTANCE_PROPERTY",
            "ERROR_DISK_ENCRYPTION_UNSUPPORTED",
            "ERROR_BACKUP_SIZE_EXCEEDS_INSTANCE_SIZE",
            "ERROR_MATCHING_SOURCE_DESTINATION_INSTANCE_NAME",
            "UNSUPPORTED_OPERATION",
            "INVALID_OPERATION",
        ),
    ),
    Row(
        KeyUnavailableError,
        KEY_GONE,
        codes=("CLOUD_KMS_KEY_ERROR", "KMS_KEY_ISSUE", "CLOUD_KMS_KEY_DESTROYED"),
    ),
    Row(
        KeyUnavailableError,
        KEY_GONE,
        says=r"\bKMS\b|\bCMEK\b|cloudkms|cryptoKey",
    ),
    Row(
        PointRefusedError,
        "no backup that succeeded holds this; take a moment inside the recovery window",
        codes=("ERROR_BACKUP_NOT_FOUND",),
    ),
    Row(
        PointRefusedError,
        "the moment cannot be restored to; take one inside the recovery window",
        statuses=(400,),
        says=r"timestamp|recovery time|recovery (is not|isn't) enabled|clone_context.point_in_time",
    ),
    Row(
        AccessDeniedError,
        "the project's billing account has a problem; have it resolved",
        codes=("INVALID_BILLING_ACCOUNT_STATE", "BILLING_ISSUE", "BILLING_DISABLED"),
    ),
    Row(
        AccessDeniedError,
        "the Cloud SQL Admin API is not enabled in the project; enable sqladmin.googleapis.com",
        codes=("ACCESS_NOT_CONFIGURED", "SERVICE_DISABLED"),
    ),
    Row(
        ResourceMissingError,
        MISSING,
        codes=(
            "INSTANCE_DOES_NOT_EXIST",
            "OPERATION_DOES_NOT_EXIST",
            "BACKUP_RUN_DOES_NOT_EXIST",
            "NOT_FOUND",
        ),
    ),
    Row(ResourceMissingError, MISSING, statuses=(404,)),
    Row(
        CredentialsRefusedError,
        "Google does not accept the worker's credentials; renew them or name others",
        statuses=(401,),
    ),
    Row(
        AccessDeniedError,
        "the credentials lack the permission {permission}, or there is no such instance:"
        " Cloud SQL answers both alike",
        statuses=(403,),
    ),
    Row(
        ProviderUnavailableError,
        OWN_PROBLEM,
        codes=("SERVER_EXCEPTION", "RETRY_TRANSIENT_ERROR", "INTERNAL_ERROR", "BACKEND_ERROR"),
    ),
    Row(
        ProviderUnavailableError,
        OWN_PROBLEM,
        statuses=(408, 500, 502, 503, 504),
    ),
    Row(
        ThrottledError,
        TOO_MANY,
        statuses=(429,),
    ),
    Row(BusyError, "another change is in the way; asked again later", statuses=(409, 412)),
    Row(
        ConfigurationRefusedError,
        "the request is refused; correct the setting that it names",
        statuses=(400, 405, 413, 422, 501),
    ),
    Row(
        ProviderUnavailableError,
        "Google could not be reached; asked again",
        raised=(requests.RequestException, auth.TransportError, auth.TimeoutError),
    ),
    Row(
        ProviderUnavailableError,
        "the answer was not Cloud SQL's; asked again, and a proxy may be in the way",
        raised=(ParseError,),
    ),
    Row(
        CredentialsRefusedError,
        "no usable Google credentials; set GOOGLE_APPLICATION_CREDENTIALS or give the machine a"
        " service account",
        raised=(auth.GoogleAuthError,),
    ),
)


@contextmanager
def gcp_errors(doing: str) -> Iterator[None]:
    """Turn what the SDK raises inside into an error of the domain that begins with `doing`."""
    try:
        yield
    except GoogleAPICallError as error:
        raise translated(doing, _told(error), _pace(error)) from error
    except (requests.RequestException, auth.GoogleAuthError, GoogleAPIError, ParseError) as error:
        if isinstance(error, auth.GoogleAuthError) and error.retryable:
            error = auth.TransportError(str(error))  # type: ignore[no-untyped-call] # google-auth
        raise translated(doing, Told(message=str(error), raised=error)) from error


def failure_of(operation: sql.Operation) -> RecoveryError | None:
    """Return why an operation failed, or None when it did not, or is not over.

    The operation stays as it is: where the error is transient, begin another one.
    """
    for error in operation.error.errors:
        told = Told(codes=(error.code,), message=error.message)
        return translated(f"{operation.operation_type.name} of {operation.target_id}", told)
    return None


def suspension_of(instance: sql.DatabaseInstance) -> RecoveryError | None:
    """Return why an instance is suspended, or None when it is not."""
    if instance.state is not sql.DatabaseInstance.SqlInstanceState.SUSPENDED:
        return None
    reasons = tuple(reason.name for reason in instance.suspension_reason)
    return translated(f"{instance.name} is suspended", Told(codes=reasons, message="suspended"))


def translated(doing: str, told: Told, pace: timedelta | None = None) -> RecoveryError:
    """Return the domain's error for what is known of one, by the first row that fits."""
    row = next((row for row in TABLE if row.fits(told)), None)
    row = row or Row(UnknownProviderError, "an error that Refloat does not know")
    said = ": ".join(part for part in (", ".join(told.codes), _short(told.message)) if part)
    meaning = row.meaning.replace("{permission}", permission_of(told.raised, told.message))
    sentence = f"{doing}: {meaning} ({said or told.status})"
    return (
        ThrottledError(sentence, pace) if row.becomes is ThrottledError else row.becomes(sentence)
    )


def _told(error: GoogleAPICallError) -> Told:
    said = next((each for each in error.errors if isinstance(each, dict)), {})
    codes = tuple(str(code) for code in (said.get("reason"), error.reason) if code)
    message = str(said.get("message") or re.sub(r"^[A-Z]+ \S+: ", "", error.message))
    return Told(codes=codes, message=message, status=error.code or 0, raised=error)


def _pace(error: GoogleAPICallError) -> timedelta | None:
    """Return how long the answer asks to wait, where it does."""
    seconds = getattr(error.response, "headers", {}).get("Retry-After", "")
    return timedelta(seconds=int(seconds)) if seconds.isdigit() else None


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
