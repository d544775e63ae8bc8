"""AWS's errors in the words of the domain: one table by the provider's own code.

The codes are those on the wire, some of which end in `Fault` and some do not. The SDK's own
exceptions, raised where no answer came, have a second table.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from botocore import exceptions as sdk
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
    UnsupportedResourceError,
)

SHOWN = 300
_ACTION = re.compile(r"not authorized to perform:? (\S+)")
_SECRETS = re.compile(
    r"((?:secret|token|signature|password|credential|failure message)\w*\"?\s*[=:]\s*\"?)[^\s&\"]+",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(https?://)(?:[^/@\s]*@)?([^/?\s\"]+)\S*")
_PARAMETER = re.compile(r"(?:for param(?:eter)?|parameter in input:) \"?([\w.\[\]]+)")


@dataclass(frozen=True)
class Row:
    """What some codes become, and what they mean to a person."""

    becomes: type[RecoveryError]
    meaning: str
    codes: tuple[str, ...]


ROWS = (
    Row(
        ThrottledError,
        "the account made too many calls; Refloat waits and asks again",
        (
            *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"),
            *("RequestThrottledException", "RequestLimitExceeded", "TooManyRequestsException"),
            *("SlowDown", "BandwidthLimitExceeded", "PriorRequestNotComplete"),
        ),
    ),
    Row(
        ProviderUnavailableError,
        "AWS has a problem of its own; Refloat asks again",
        (
            *("InternalFailure", "InternalError", "InternalServerError", "ServiceUnavailable"),
            *("ServiceUnavailableException", "ServerException", "RequestTimeout"),
            *("RequestTimeoutException", "DependencyTimeoutException", "KMSInternalException"),
        ),
    ),
    Row(
        BusyError,
        "it is in the middle of another operation; Refloat asks again when that is over",
        (
            *("InvalidDBInstanceState", "InvalidDBSnapshotState", "InvalidDBClusterStateFault"),
            *("InvalidDBInstanceAutomatedBackupState", "InvalidDBSecurityGroupState"),
            *("InvalidDBCapacityReservationState", "InvalidDBClusterEndpointStateFault"),
            "ResourceInUseException",
        ),
    ),
    Row(
        NameTakenError,
        "a thing of the name exists already; rename or remove it",
        ("DBInstanceAlreadyExists", "DBSnapshotAlreadyExists", "ImageAlreadyExistsException"),
    ),
    Row(
        CapacityMissingError,
        "AWS has no such instances here now; choose another class or zone, or wait",
        ("InsufficientDBInstanceCapacity",),
    ),
    Row(
        QuotaReachedError,
        "the account may not have more of it; remove what is not needed, or ask AWS for a higher "
        "quota",
        (
            *("InstanceQuotaExceeded", "StorageQuotaExceeded", "SnapshotQuotaExceeded"),
            *("DBInstanceAutomatedBackupQuotaExceeded", "TenantDatabaseQuotaExceeded"),
            *("ResourceLimitExceededException", "LimitExceededException"),
        ),
    ),
    Row(
        ResourceMissingError,
        "AWS knows no such thing in this account and region, or no more",
        (
            *("DBInstanceNotFound", "DBSnapshotNotFound", "DBInstanceAutomatedBackupNotFound"),
            *("DBClusterNotFoundFault", "DBClusterSnapshotNotFoundFault", "DBShardGroupNotFound"),
            *("DBProxyNotFoundFault", "DBProxyEndpointNotFoundFault", "IntegrationNotFoundFault"),
            *("DBProxyTargetGroupNotFoundFault", "BlueGreenDeploymentNotFoundFault"),
            *("DBSnapshotTenantDatabaseNotFoundFault", "TenantDatabaseNotFound"),
        ),
    ),
    Row(
        PointRefusedError,
        "RDS cannot restore to this moment; take one inside the recovery window, and keep backups "
        "for at least a day",
        ("InvalidParameterValue", "PointInTimeRestoreNotEnabled"),
    ),
    Row(
        KeyUnavailableError,
        "the encryption key is disabled, deleted or out of reach; enable it in AWS KMS, or cancel "
        "its deletion",
        (
            *("KMSKeyNotAccessibleFault", "KMSInvalidStateException", "KeyUnavailableException"),
            *("DisabledException", "NotFoundException"),
        ),
    ),
    Row(
        ConfigurationRefusedError,
        "AWS refuses a setting; correct what it names",
        (
            *("InvalidParameterCombination", "MissingParameter", "ValidationError"),
            *("ValidationException", "InvalidQueryParameter", "MalformedQueryString"),
            *("InvalidVPCNetworkStateFault", "InvalidSubnet", "InvalidRestoreFault"),
            *("DBSubnetGroupDoesNotCoverEnoughAZs", "StorageTypeNotSupported"),
            *("ProvisionedIopsNotAvailableInAZFault", "NetworkTypeNotSupported"),
            *("VpcEncryptionControlViolationException", "DBUpgradeDependencyFailure"),
            "InvalidArnException",
        ),
    ),
    Row(
        ConfigurationRefusedError,
        "a setting names something that AWS does not have; make it, or name another",
        (
            *("DBParameterGroupNotFound", "DBSubnetGroupNotFoundFault", "OptionGroupNotFoundFault"),
            *("DBSecurityGroupNotFound", "CertificateNotFound", "DomainNotFoundFault"),
            *("AuthorizationNotFound", "BackupPolicyNotFoundFault"),
            *("CustomAvailabilityZoneNotFound", "DBCapacityReservationNotFound"),
        ),
    ),
    Row(
        ConfigurationRefusedError,
        "what answers does not know this call; correct AWS_ENDPOINT_URL and the region",
        ("InvalidAction", "UnknownOperationException"),
    ),
    Row(
        UnsupportedResourceError,
        "AWS cannot do this for this resource",
        ("UnsupportedOperationException",),
    ),
    Row(
        CredentialsRefusedError,
        "AWS does not accept the worker's credentials: wrong, expired, or signed by a clock that "
        "is wrong; renew them where the worker runs",
        (
            *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "RequestExpired"),
            *("UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
            *("InvalidSignatureException", "IncompleteSignature", "IncompleteSignatureException"),
            *("MissingAuthenticationToken", "MissingAuthenticationTokenException", "AuthFailure"),
            *("RequestTimeTooSkewed", "InvalidIdentityToken", "TokenRefreshRequired"),
        ),
    ),
    Row(
        AccessDeniedError,
        "the credentials lack the permission {permission}; add it to the policy of the worker's "
        "user or role",
        (
            *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"),
            "OptInRequired",
        ),
    ),
)
TABLE: Mapping[str, Row] = {code: row for row in ROWS for code in row.codes}
"""What every known code becomes."""
_UNKNOWN = Row(UnknownProviderError, "an error that Refloat does not know; Refloat asks again", ())
_SETTING = TABLE["InvalidParameterCombination"]
_POINT = "RestoreDBInstanceToPointInTime"


@dataclass(frozen=True)
class Raised:
    """What some exceptions of the SDK become; `quoted` where their text is safe to repeat."""

    becomes: type[RecoveryError]
    meaning: str
    kinds: tuple[type[Exception], ...]
    quoted: bool = True


RAISED = (
    Raised(
        CredentialsRefusedError,
        "the worker has no usable AWS credentials; set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, a profile or a role where it runs",
        (
            *(sdk.NoCredentialsError, sdk.PartialCredentialsError, sdk.CredentialRetrievalError),
            *(sdk.NoAuthTokenError, sdk.TokenRetrievalError, sdk.UnknownTokenProviderError),
            *(sdk.SSOError, sdk.LoginError, sdk.RefreshWithMFAUnsupportedError),
            sdk.UnknownCredentialError,
        ),
        quoted=False,  # some quote what a credential process or a token's service said
    ),
    Raised(
        CredentialsRefusedError,
        "the SDK's own configuration is missing or broken; correct AWS_PROFILE or its files",
        (sdk.ProfileNotFound, sdk.ConfigNotFound, sdk.ConfigParseError, sdk.InvalidConfigError),
    ),
    Raised(
        ConfigurationRefusedError,
        "the region or the endpoint is not known; correct `region` of the provider in the catalog, "
        "or AWS_ENDPOINT_URL",
        (
            *(sdk.BaseEndpointResolverError, sdk.InvalidRegionError, sdk.UnknownRegionError),
            *(sdk.ServiceNotInRegionError, sdk.EndpointProviderError),
            sdk.InvalidEndpointConfigurationError,
        ),
    ),
    Raised(
        ConfigurationRefusedError,
        "the SDK refuses a value; correct the setting",
        (sdk.ParamValidationError, sdk.ValidationError, sdk.MissingParametersError),
        quoted=False,  # they quote the value, which may be a password
    ),
    Raised(
        ProviderUnavailableError,
        "AWS does not answer; Refloat asks again",
        (
            *(sdk.HTTPClientError, sdk.ConnectionError, sdk.IncompleteReadError),
            *(sdk.MetadataRetrievalError, sdk.CapacityNotAvailableError),
        ),
    ),
    Raised(
        ProviderUnavailableError,
        "what answers is not AWS's API, perhaps a proxy before it; Refloat asks again",
        (ResponseParserError,),
        quoted=False,  # it quotes the whole answer
    ),
    Raised(UnknownProviderError, "the SDK failed; Refloat asks again", (sdk.BotoCoreError,)),
)
"""What the SDK's own exceptions become; the first that fits."""


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Translate what the SDK raises while `doing` something into the domain's errors."""
    try:
        yield
    except sdk.ClientError as error:
        raise translated(doing, error) from None  # its text may quote a token: it goes no further
    except (sdk.BotoCoreError, ResponseParserError) as error:
        raise _unanswered(doing, error) from None  # as above
    except ValueError as error:
        if not str(error).startswith("Invalid endpoint"):
            raise
        raise ConfigurationRefusedError(
            f"{doing}: the address of the API is malformed; correct AWS_ENDPOINT_URL"
        ) from None


def translated(doing: str, error: sdk.ClientError) -> RecoveryError:
    """Return the domain's error for an answer that is one, by its code."""
    response: Mapping[str, Any] = error.response
    told: Mapping[str, Any] = response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))
    row = _row(code, error.operation_name, response.get("ResponseMetadata", {}))
    meaning = row.meaning.replace("{permission}", _permission(message, error.operation_name))
    said = ": ".join(part for part in (code, _safe(message)) if part) or "no code"
    sentence = f"{doing}: {meaning} ({said})"
    if row.becomes is ThrottledError:
        return ThrottledError(sentence, _pace(response.get("ResponseMetadata", {})))
    return row.becomes(sentence)


def _row(code: str, operation: str, metadata: Mapping[str, Any]) -> Row:
    """Return the row of a code; a bad value is the moment's fault in a restore to a moment only."""
    if code == "InvalidParameterValue" and operation != _POINT:
        return _SETTING
    if code in TABLE:
        return TABLE[code]
    status = int(metadata.get("HTTPStatusCode", 0))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return TABLE["Throttling"]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return TABLE["InternalFailure"]
    return _UNKNOWN


def _permission(message: str, operation: str) -> str:
    found = _ACTION.search(message)
    return found.group(1).rstrip(".,") if found else f"to call {operation}"


def _pace(metadata: Mapping[str, Any]) -> timedelta | None:
    """Return how long the answer asks to wait, where it does."""
    seconds = str(metadata.get("HTTPHeaders", {}).get("retry-after", ""))
    return timedelta(seconds=int(seconds)) if seconds.isdigit() else None


def _unanswered(doing: str, error: Exception) -> RecoveryError:
    row = next(row for row in RAISED if isinstance(error, row.kinds))
    kind, text = type(error).__name__, str(error)
    said = f"{kind}: {_safe(text)}" if row.quoted else kind
    names = sorted(set(_PARAMETER.findall(text)))
    if row.becomes is ConfigurationRefusedError and not row.quoted and names:
        said = f"{kind}: {', '.join(names)}"
    return row.becomes(f"{doing}: {row.meaning} ({said})")


def _safe(message: str) -> str:
    """Return a message's first line without what may be secret: a signature error quotes a token."""
    line = message.strip().partition("\n")[0]
    line = _SECRETS.sub(r"\1…", _ADDRESS.sub(r"\1\2", line))
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
