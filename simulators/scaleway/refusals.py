"""Errors in the provider's own form."""

import json
from collections.abc import Iterable

from werkzeug.wrappers import Response

from simulators.faults import Refusal
from simulators.scaleway.shapes import Json

TOO_MANY = 429
SERVER_ERROR = 500
PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
STATES = frozenset(
    (
        "provisioning", "configuring", "deleting", "error", "autohealing", "locked", "initializing",
        "disk_full", "backuping", "snapshotting", "restarting", "creating", "restoring", "exporting",
    )
)  # fmt: skip


class ApiError(Exception):
    """A call that the provider refuses."""

    def __init__(self, status: int, kind: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"message": message, "type": kind, **more}

    def response(self) -> Response:
        """Return the error as it travels."""
        content = json.dumps(dict(sorted(self.body.items())))
        answer = Response(content, self.status, mimetype="application/json")
        if self.status == TOO_MANY:
            answer.headers["X-Ratelimit-Limit"] = "50, 50;w=1"
            answer.headers["X-Ratelimit-Remaining"] = "0"
            answer.headers["X-Ratelimit-Reset"] = "1"
        return answer


def not_found(resource: str, resource_id: str) -> ApiError:
    """Return the error for a thing that does not exist, in this region, or no more."""
    return ApiError(
        404, "not_found", "resource is not found", resource=resource, resource_id=resource_id
    )


def transient_state(resource: str, resource_id: str, state: str) -> ApiError:
    """Return the error for a thing that cannot be changed in its state."""
    return ApiError(
        409,
        "transient_state",
        "resource is in a transient state",
        current_state=state,
        resource=resource,
        resource_id=resource_id,
    )


def invalid(argument: str, reason: str, help_message: str) -> ApiError:
    """Return the error for an argument that does not do; `reason` is one of the provider's words."""
    detail = {"argument_name": argument, "help_message": help_message, "reason": reason}
    return ApiError(400, "invalid_arguments", "invalid argument(s)", details=[detail])


def out_of_stock(node_type: str) -> ApiError:
    """Return the error for a node type of which there is none left."""
    return ApiError(412, "out_of_stock", "resource is out of stock", resource=node_type)


def precondition(name: str, help_message: str) -> ApiError:
    """Return the error for a call that something else must precede."""
    return ApiError(
        412,
        "precondition_failed",
        "precondition is not respected",
        precondition=name,
        help_message=help_message,
    )


def quota_reached(resource: str, current: int, quota: int) -> ApiError:
    """Return the error for one thing more than the project may have."""
    detail = {"current": current, "quota": quota, "resource": f"rdb_{resource}s"}
    return ApiError(403, "quotas_exceeded", "quota(s) exceeded", details=[detail])


def denied(reason: str) -> ApiError:
    """Return the error for a key that the provider does not know or accept."""
    return ApiError(
        401, "denied_authentication", "authentication is denied", method="api_key", reason=reason
    )


def rendered(refusal: Refusal, subject: tuple[str, str, str]) -> Response:
    """Return a fault that somebody switched on, as a call on `subject` would meet it.

    `subject` is the resource, its id and the action. An empty code, or `html`, gives a page as
    a proxy in front of the API does. A state as the message of `transient_state` is its
    `current_state`.
    """
    if refusal.code in ("", "html"):
        page = PAGE.format(f"{refusal.status} {refusal.message}".strip())
        return Response(page, refusal.status, mimetype="text/html")
    more = dict(_more(refusal, subject))
    message = str(more.pop("message", refusal.message))
    return ApiError(refusal.status, refusal.code, message, **more).response()


def _more(refusal: Refusal, subject: tuple[str, str, str]) -> Iterable[tuple[str, object]]:
    resource, resource_id, action = subject
    if refusal.code == "permissions_denied":
        yield "details", [{"action": action, "resource": f"rdb_{resource}"}]
    elif refusal.code == "quotas_exceeded":
        yield "details", [{"current": 1, "quota": 1, "resource": f"rdb_{resource}s"}]
    elif refusal.code == "invalid_arguments":
        yield "details", [_detail(refusal.message)]
        yield "message", "invalid argument(s)"
    elif refusal.code == "denied_authentication":
        yield from (("method", "api_key"), ("reason", "not_found"))
    elif refusal.code in ("not_found", "locked", "transient_state", "resource_expired"):
        yield from (("resource", resource), ("resource_id", resource_id))
    elif refusal.code == "out_of_stock":
        yield "resource", resource
    elif refusal.code == "precondition_failed":
        yield from (("precondition", "unknown_precondition"), ("help_message", refusal.message))
    if refusal.code == "transient_state":
        told = refusal.message in STATES
        yield "current_state", refusal.message if told else "configuring"
        yield "message", "resource is in a transient state" if told else refusal.message


def _detail(help_message: str) -> Json:
    return {"argument_name": "", "help_message": help_message, "reason": "constraint"}
