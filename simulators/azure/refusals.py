"""Errors in the form of Azure Resource Manager. Codes of the flexible servers are mostly undocumented."""

import json
import uuid

from werkzeug.wrappers import Response

from simulators.faults import Refusal

CLIENT = "7c1d3a52-9f0e-4b3c-8a76-2d5e4f1b9c08"
"""Object id of whoever calls."""
UNAUTHORIZED, TOO_MANY = 401, 429
CHALLENGE = (
    'Bearer authorization_uri="https://login.windows.net/b7a3c1de-4f20-4c57-8d1e-6f0a9e2d5b31",'
    ' error="invalid_token", error_description="The access token is invalid."'
)
PAGE = "<html><head><title>{0}</title></head><body><h2>{0}</h2></body></html>"


class ApiError(Exception):
    """A call that the provider refuses."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def response(self, retry_after: int = 0) -> Response:
        """Return the error as it travels."""
        content = json.dumps({"error": {"code": self.code, "message": self.message}})
        answer = Response(content, self.status, mimetype="application/json")
        if self.status == TOO_MANY:
            answer.headers["Retry-After"] = str(retry_after)
        if self.status == UNAUTHORIZED:
            answer.headers["WWW-Authenticate"] = CHALLENGE
        return answer


def missing(kind: str, name: str, group: str) -> ApiError:
    """Return the error for a resource that does not exist."""
    return ApiError(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. For more"
        " details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def no_parent(kind: str, parent: str) -> ApiError:
    """Return the error for something that would belong to a server that does not exist."""
    return ApiError(
        404,
        "ParentResourceNotFound",
        f"Failed to perform 'read' on resource(s) of type '{kind}', because the parent resource"
        f" '{parent}' could not be found.",
    )


def no_group(group: str) -> ApiError:
    """Return the error for a resource group that does not exist."""
    return ApiError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")


def taken(name: str) -> ApiError:
    """Return the error for a name that somebody in the world has."""
    message = f"Specified server name '{name}' is already used."
    return ApiError(409, "ServerNameAlreadyExists", message)


def busy(name: str) -> ApiError:
    """Return the error for a server in the middle of an operation."""
    return ApiError(
        409,
        "ServerIsBusy",
        f"Cannot complete operation because server '{name}' is busy processing another operation.",
    )


def not_allowed(name: str, state: str) -> ApiError:
    """Return the error for a server whose state does not change by itself."""
    message = f"The operation is not allowed on the server '{name}' in the state '{state}'."
    return ApiError(409, "OperationNotAllowed", message)


def invalid(what: str, message: str) -> ApiError:
    """Return the error for a value that does not do."""
    return ApiError(
        400, "InvalidParameterValue", f"Invalid value given for parameter {what}. {message}"
    )


def internal() -> ApiError:
    """Return the error by which the provider tells a mistake of its own, and some of others."""
    return ApiError(
        500,
        "InternalServerError",
        f"An unexpected error occured while processing the request. Tracking ID: '{uuid.uuid4()}'",
    )


def locked(action: str, scope: str, locks: str) -> ApiError:
    """Return the error for what a management lock forbids."""
    return ApiError(
        409,
        "ScopeLocked",
        f"The scope '{scope}' cannot perform {action} operation because following scope(s) are"
        f" locked: '{locks}'. Please remove the lock and try again.",
    )


def denied(action: str, scope: str) -> ApiError:
    """Return the error for what the caller's roles do not allow."""
    return ApiError(
        403,
        "AuthorizationFailed",
        f"The client '{CLIENT}' with object id '{CLIENT}' does not have authorization to perform"
        f" action '{action}' over scope '{scope}' or the scope is invalid. If access was recently"
        " granted, please refresh your credentials.",
    )


def unauthenticated() -> ApiError:
    """Return the error for a token that is none."""
    return ApiError(401, "InvalidAuthenticationToken", "The access token is invalid.")


def rendered(refusal: Refusal, action: str, scope: str, retry_after: int) -> Response:
    """Return a fault that somebody switched on, as a call meets it.

    An empty code, or `html`, gives a page as a proxy or gateway does. Without a message,
    `AuthorizationFailed` and `ScopeLocked` name what the call wanted.
    """
    if refusal.code in ("", "html"):
        page = PAGE.format(f"{refusal.status} {refusal.message}".strip())
        return Response(page, refusal.status, mimetype="text/html")
    if not refusal.message and refusal.code == "AuthorizationFailed":
        return denied(action, scope).response()
    if not refusal.message and refusal.code == "ScopeLocked":
        return locked(action.rsplit("/", 1)[-1], scope, scope).response()
    return ApiError(refusal.status, refusal.code, refusal.message).response(retry_after)
