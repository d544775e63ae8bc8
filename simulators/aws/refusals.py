"""The errors of the simulated account, in the words and with the status of the real one."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from botocore.model import StructureShape
from moto.core.utils import get_service_model

_COMMON: Mapping[str, int] = {
    "AccessDenied": 403,
    "ExpiredToken": 403,
    "InvalidClientTokenId": 403,
    "MissingAuthenticationToken": 403,
}
_BAD_REQUEST = 400


class ApiError(Exception):
    """An error that the caller gets as the answer."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        """Keep the provider's own code; a status of 0 means the one that belongs to the code."""
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


@lru_cache
def _modelled(service: str) -> Mapping[str, int]:
    """Return the status of every error code in the SDK's model of a service."""
    shapes = get_service_model(service).error_shapes
    told = {
        shape.error_code: shape.metadata.get("error", {})
        for shape in shapes
        if isinstance(shape, StructureShape) and shape.error_code
    }
    return {code: each.get("httpStatusCode", _BAD_REQUEST) for code, each in told.items()}


def status_of(service: str, code: str) -> int:
    """Return the HTTP status by which a service answers a code."""
    known = _modelled(service) if service in {"rds", "kms", "sts"} else {}
    return known.get(code) or _COMMON.get(code, _BAD_REQUEST)


def bad_value(message: str) -> ApiError:
    """Return the refusal of a value that cannot be."""
    return ApiError("InvalidParameterValue", message)


def bad_combination(message: str) -> ApiError:
    """Return the refusal of values that do not go together."""
    return ApiError("InvalidParameterCombination", message)


def instance_missing(identifier: str) -> ApiError:
    """Return what RDS says of an instance that it does not know."""
    return ApiError("DBInstanceNotFound", f"DBInstance {identifier} not found.")


def snapshot_missing(identifier: str) -> ApiError:
    """Return what RDS says of a snapshot that it does not know."""
    return ApiError("DBSnapshotNotFound", f"DBSnapshot {identifier} not found.")


def backup_missing(what: str) -> ApiError:
    """Return what RDS says of automated backups that it does not keep."""
    return ApiError("DBInstanceAutomatedBackupNotFound", f"Automated backup for {what} not found.")


def wrong_state(identifier: str, status: str) -> ApiError:
    """Return the refusal of a call that the instance's state does not allow."""
    return ApiError(
        "InvalidDBInstanceState",
        f"Database instance is not in available state: {identifier} is {status}.",
    )


def wrong_snapshot_state(identifier: str, status: str) -> ApiError:
    """Return the refusal of a call that the snapshot's state does not allow."""
    return ApiError(
        "InvalidDBSnapshotState", f"Snapshot {identifier} is not available: it is {status}."
    )


def key_unusable(key: str) -> ApiError:
    """Return the refusal of a key that is disabled, deleted or elsewhere."""
    return ApiError(
        "KMSKeyNotAccessibleFault",
        f"The specified KMS key [{key}] does not exist, is not enabled or you do not have "
        "permissions to access it.",
    )


def outside(moment: datetime, opens: datetime, closes: datetime) -> ApiError:
    """Return the refusal of a moment that the automated backups do not reach."""
    return bad_value(
        f"The specified restore time {moment.isoformat()} is not within the restore window: "
        f"RestoreTime must be from {opens.isoformat()} to {closes.isoformat()}."
    )


def unknown_action(operation: str, version: str = "2014-10-31") -> ApiError:
    """Return what the query API says of a call that it does not have."""
    return ApiError("InvalidAction", f"Could not find operation {operation} for version {version}")
