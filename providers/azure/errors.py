"""What Azure's errors mean: the SDK's exceptions and failed operations become the domain's errors.

Azure documents few codes of the flexible servers, so rows go from what is sure to what is likely:
by code, then by what the message says, at last by status. A failed operation has the status 200 of
the answer that told it, so its code must do.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    DeserializationError,
    HttpResponseError,
    ODataV4Format,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

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
from providers.managed.refusals import Row, Told

LONGEST = 400
"""Characters kept of a message: a proxy's page is one too."""
AGAIN = timedelta(seconds=15)
"""How soon Azure lets itself be asked about a server that is at work; other errors pass sooner."""
INTERNAL = "InternalServerError"
TOO_MANY = "too many calls for the subscription; asked again more slowly"
NO_ROOM = "no room for this size in the region or zone now; take another, or wait"
NO_QUOTA = "the subscription may not have more of this; have the quota raised, or remove some"
BUSY = "another operation of the server is not over; asked again after it"
TAKEN = "something of this name exists, or a deleted server's name is not free yet"
MISSING = "Azure knows no such thing"
OWN_PROBLEM = "Azure has a problem of its own; asked again"
KEY_GONE = "the encryption key is disabled, deleted or out of reach; have it enabled in Key Vault"
BAD_MOMENT = "the moment cannot be restored to; take one inside the recovery window"
BACKING_UP = "another backup is not over, or one of this name exists; list them, and take one later"
REFUSED = "Azure does not accept the worker's credentials; renew them or name others"
NOBODY = (
    "no usable Azure credentials; set AZURE_CLIENT_ID and the like, or give the machine an identity"
)
STRANGE = "the answer was not Azure's; asked again, and a proxy may be in the way"


class Quirk(Enum):
    """What an `InternalServerError` means where Azure answers it to a caller's own mistake."""

    MOMENT = (PointRefusedError, f"{BAD_MOMENT}: Azure tells a wrong one as an error of its own")
    BACKUP = (BusyError, f"{BACKING_UP}: Azure tells both as an error of its own")


TABLE = (
    Row(ThrottledError, TOO_MANY, like=r"^TooManyRequests$|Throttled$|RateLimit"),
    Row(
        ConfigurationRefusedError,
        "a management lock forbids it; remove the lock of {lock} first",
        codes=("ScopeLocked",),
    ),
    Row(
        ConfigurationRefusedError,
        "a policy of the subscription forbids it; change what it names, or have it exempted",
        codes=("RequestDisallowedByPolicy",),
    ),
    Row(
        AccessDeniedError,
        "the credentials may not do {action}; assign a role that has it",
        codes=(
            "AuthorizationFailed",
            "LinkedAuthorizationFailed",
            "AuthorizationPermissionMismatch",
        ),
    ),
    Row(
        AccessDeniedError,
        "the subscription is disabled or only readable; have it enabled",
        codes=("ReadOnlyDisabledSubscription", "DisallowedOperation", "SubscriptionDisabled"),
    ),
    Row(
        CredentialsRefusedError,
        REFUSED,
        like=r"^(Invalid|Expired|Missing)AuthenticationToken|^AuthenticationFailed$",
    ),
    Row(KeyUnavailableError, KEY_GONE, like=r"KeyVault|EncryptionKey|CustomerManagedKey"),
    Row(
        NameTakenError,
        TAKEN,
        like=r"AlreadyExists?$|^NameNotAvailable$|AlreadyInUse$",
    ),
    Row(
        QuotaReachedError,
        NO_QUOTA,
        codes=("OperationNotAllowed", "Conflict", "BadRequest"),
        says=r"quota|exceed\w* (approved|the limit)",
    ),
    Row(QuotaReachedError, NO_QUOTA, like=r"Quota\w*(Exceeded|Reached)|LimitExceeded$"),
    Row(
        CapacityMissingError,
        NO_ROOM,
        like=r"^SkuNotAvailable$|Capacity|AllocationFailed|OfferRestricted$|^Overconstrained",
    ),
    Row(
        PointRefusedError,
        BAD_MOMENT,
        like=r"RestorePoint|PointInTime|RestoreTime",
    ),
    Row(
        ConfigurationRefusedError,
        "the subscription cannot have such servers yet; register the resource provider named",
        codes=("MissingSubscriptionRegistration", "NoRegisteredProviderFound"),
    ),
    Row(
        ConfigurationRefusedError,
        "Azure does not know this kind of resource in this API version",
        codes=("InvalidResourceType", "InvalidApiVersionParameter"),
    ),
    Row(
        BusyError,
        BUSY,
        codes=("ServerIsBusy", "Conflict", "OperationNotAllowed", "ServerIsNotReady"),
    ),
    Row(BusyError, BUSY, like=r"InProgress$|Conflicting|ServerBusy|InvalidServerState"),
    Row(ResourceMissingError, MISSING, like=r"NotFound$|DoesNotExist$"),
    Row(
        ProviderUnavailableError,
        OWN_PROBLEM,
        codes=(INTERNAL, "ServiceUnavailable", "GatewayTimeout"),
    ),
    Row(ProviderUnavailableError, OWN_PROBLEM, like=r"Timeout$|^ServerTimeout|Unavailable$"),
    Row(CredentialsRefusedError, NOBODY, raised=(CredentialUnavailableError,)),
    Row(
        CredentialsRefusedError,
        NOBODY,
        says="failed to retrieve a token",
        raised=(ClientAuthenticationError,),
    ),
    Row(CredentialsRefusedError, REFUSED, raised=(ClientAuthenticationError,)),
    Row(
        PointRefusedError,
        BAD_MOMENT,
        statuses=(400,),
        says=r"restore ?point|point.?in.?time|restore (time|date)",
    ),
    Row(KeyUnavailableError, KEY_GONE, statuses=(400, 409), says=r"key vault|encryption key"),
    Row(NameTakenError, TAKEN, statuses=(409,), says=r"already (exists|used|taken|in use)"),
    Row(ThrottledError, TOO_MANY, statuses=(429,)),
    Row(CredentialsRefusedError, REFUSED, statuses=(401,)),
    Row(
        AccessDeniedError,
        "the credentials may not do {action}; assign a role that has it",
        statuses=(403,),
    ),
    Row(ResourceMissingError, MISSING, statuses=(404,)),
    Row(BusyError, "another change is in the way; asked again later", statuses=(409, 412, 423)),
    Row(ProviderUnavailableError, OWN_PROBLEM, statuses=(408, 500, 502, 503, 504)),
    Row(
        ConfigurationRefusedError,
        "the request is refused; correct the setting that it names",
        statuses=(400, 405, 413, 415, 422),
    ),
    Row(
        ProviderUnavailableError,
        "Azure could not be reached; asked again",
        raised=(ServiceRequestError,),
    ),
    Row(
        ProviderUnavailableError,
        "the connection broke before the answer; the call may have been carried out, so look first",
        raised=(ServiceResponseError,),
    ),
    Row(ProviderUnavailableError, STRANGE, raised=(DecodeError, DeserializationError)),
)


@contextmanager
def azure_errors(doing: str, quirk: Quirk | None = None) -> Iterator[None]:
    """Turn what the SDK raises inside into an error of the domain that begins with `doing`.

    `quirk` says what the caller knows of an `InternalServerError` that may be its own fault.
    """
    try:
        yield
    except HttpResponseError as error:
        raise translated(doing, _told(error), _pace(error), quirk) from error
    except (AzureError, DeserializationError) as error:
        raise translated(doing, Told(message=str(error), raised=error)) from error


def failure_of(
    operation: Mapping[str, Any], doing: str, quirk: Quirk | None = None
) -> RecoveryError | None:
    """Return why an operation failed, as its own address tells it; None when it did not, or not yet.

    Where the error is transient, begin another operation.
    """
    if operation.get("status") not in {"Failed", "Canceled"}:
        return None
    said = operation.get("error") or {"code": operation["status"]}
    found = _parsed(said)
    told = Told(codes=_codes(found), message=_message(found))
    return translated(doing, told, quirk=quirk)


def translated(
    doing: str, told: Told, pace: timedelta | None = None, quirk: Quirk | None = None
) -> RecoveryError:
    """Return the domain's error for what is known of one, by the first row that fits."""
    row = next((row for row in TABLE if row.fits(told)), None)
    row = row or Row(UnknownProviderError, "an error that Refloat does not know")
    if quirk is not None and INTERNAL in told.codes:
        row = Row(*quirk.value)
    said = ": ".join(part for part in (", ".join(told.codes), _short(told.message)) if part)
    meaning = row.meaning.format(action=_action(told), lock=_lock(told.message))
    sentence = f"{doing}: {meaning} ({said or told.status})"
    if row.becomes is ThrottledError:
        return ThrottledError(sentence, pace)
    error = row.becomes(sentence)
    if isinstance(error, BusyError):
        error.pace = AGAIN
    return error


def _told(error: HttpResponseError) -> Told:
    status = error.status_code or 0
    strange = error.error is None and error.response is not None
    message = error.message if strange else _message(error.error) or error.message
    return Told(_codes(error.error), message, status, error)


def _parsed(said: Mapping[str, Any]) -> ODataV4Format | None:
    try:
        return ODataV4Format(said)
    except ValueError:
        return None


def _codes(error: ODataV4Format | None) -> tuple[str, ...]:
    """Return the code of an error and those within: deployments wrap the one that matters."""
    if error is None:
        return ()
    within = [code for detail in error.details for code in _codes(detail)]
    return tuple(dict.fromkeys(str(code) for code in (error.code, *within) if code))


def _message(error: ODataV4Format | None) -> str:
    if error is None:
        return ""
    parts = (error.message, *(_message(detail) for detail in error.details))
    return " ".join(dict.fromkeys(part for part in parts if part))


def _pace(error: HttpResponseError) -> timedelta | None:
    """Return how long the answer asks to wait, where it does."""
    seconds = getattr(error.response, "headers", {}).get("Retry-After", "")
    return timedelta(seconds=int(seconds)) if seconds.isdigit() else None


def _action(told: Told) -> str:
    """Return the action that a refusal names, with its scope."""
    found = re.search(r"action '([^']+)'(?: over scope '([^']+)')?", told.message)
    if found is None:
        return "this"
    return found[1] + (f" on {found[2]}" if found[2] else "")


def _lock(message: str) -> str:
    found = re.search(r"locked:?\s*'([^']+)'", message)
    return found[1] if found else "the server or its resource group"


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
