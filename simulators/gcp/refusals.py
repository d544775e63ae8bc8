"""The errors of Cloud SQL, in its own statuses, reasons and words."""

import json
from datetime import datetime

from werkzeug.wrappers import Response

from simulators.faults import Refusal
from simulators.gcp.stamps import written


class RefusedError(Exception):
    """A call is answered with an error; nothing was carried out."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(status, reason, message)


def response_of(refusal: Refusal) -> Response:
    """Return an error as Cloud SQL writes it."""
    told = {"message": refusal.message, "domain": "global", "reason": refusal.code}
    body = {"error": {"code": refusal.status, "message": refusal.message, "errors": [told]}}
    return Response(json.dumps(body), status=refusal.status, mimetype="application/json")


def throttled(status: int) -> Refusal:
    """Return the error by which too many calls are refused."""
    return Refusal(
        status,
        "rateLimitExceeded",
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of"
        " service 'sqladmin.googleapis.com' for consumer 'project_number:1234567890'.",
    )


def missing(reason: str, what: str) -> RefusedError:
    """Return the error for a thing that is not there."""
    return RefusedError(404, reason, f"The Cloud SQL {what} does not exist.")


def not_authorized() -> RefusedError:
    """Return the error for what the caller may not do, or may not even know of."""
    return RefusedError(403, "notAuthorized", "The client is not authorized to make this request.")


def invalid(what: str) -> RefusedError:
    """Return the error for a request that can never be carried out."""
    return RefusedError(400, "invalid", f"Invalid request: {what}.")


def required(what: str) -> RefusedError:
    """Return the error for a request without something that it needs."""
    return RefusedError(400, "required", f"Missing parameter: {what}.")


def exists() -> RefusedError:
    """Return the error for a name that is taken."""
    return RefusedError(409, "instanceAlreadyExists", "The Cloud SQL instance already exists.")


def in_progress() -> RefusedError:
    """Return the error for an instance that another operation holds."""
    return RefusedError(
        409,
        "operationInProgress",
        "Operation failed because another operation was already in progress."
        " Try your request after the current operation is complete.",
    )


def wrong_state() -> RefusedError:
    """Return the error for an instance in whose state this cannot be done."""
    return RefusedError(
        409,
        "invalidState",
        "The instance or operation is not in an appropriate state to handle the request.",
    )


def stale() -> RefusedError:
    """Return the error for a settings version that is not the newest."""
    return RefusedError(412, "staleData", "Condition does not match.")


def protected() -> RefusedError:
    """Return the error for the deletion of a protected instance."""
    return RefusedError(
        400,
        "errorProtectedInstanceDeletionFailure",
        "The instance is protected. Please disable the deletion protection and try again."
        " To disable deletion protection, update the instance settings with"
        " deletionProtectionEnabled set to false.",
    )


def too_many_instances() -> RefusedError:
    """Return the error for an instance more than the project may have: a quota, not a rate."""
    return RefusedError(
        429,
        "errorMaxInstancePerLabel",
        "Failed to create instance because the project has reached the max instance per project"
        " limit.",
    )


def no_backup() -> RefusedError:
    """Return the error for a moment before the earliest backup."""
    return RefusedError(
        400,
        "errorBackupNotFound",
        "A successful backup that's required for carrying out the CLONE operation can't be found,"
        " or a backup that was created before the restored timestamp can't be found."
        " Modify the ID or timestamp for the backup.",
    )


def too_late(latest: datetime) -> RefusedError:
    """Return the error for a moment that the log does not reach."""
    return RefusedError(
        400,
        "invalid",
        "The timestamp for point-in-time recovery is after the latest recovery time of"
        f" {written(latest)}. Clone the instance with a time that's earlier than this recovery"
        " time.",
    )
