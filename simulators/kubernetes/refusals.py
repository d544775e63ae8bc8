"""The errors of the API: `Status` objects with the server's own reasons and sentences."""

from collections.abc import Sequence

from simulators.kubernetes.kinds import Kind
from simulators.kubernetes.values import Json


class ApiError(Exception):
    """A call that the server refuses, and the `Status` it answers with."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details
        self.retry_after: int | None = None

    @property
    def status(self) -> Json:
        """The answer's body."""
        told: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            told["details"] = self.details
        return {**told, "code": self.code}


def details_of(kind: Kind, name: str = "") -> Json:
    """Return what a `Status` says about the object it is about."""
    told = {"name": name, "group": kind.group, "kind": kind.plural}
    return {key: value for key, value in told.items() if value}


def unknown_path() -> ApiError:
    """Return the refusal of an address that nothing serves."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def not_found(kind: Kind, name: str) -> ApiError:
    """Return the refusal of an object that is not there."""
    message = f'{kind.qualified} "{name}" not found'
    return ApiError(404, "NotFound", message, details_of(kind, name))


def already_exists(kind: Kind, name: str) -> ApiError:
    """Return the refusal to make an object twice."""
    message = f'{kind.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details_of(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> ApiError:
    """Return the refusal of a change to a version that is no longer the latest."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, details_of(kind, name))


def wrong_uid(kind: Kind, name: str, asked: str, found: str) -> ApiError:
    """Return the refusal of a call that is about an earlier object of the name."""
    why = f"Precondition failed: UID in precondition: {asked}, UID in object meta: {found}"
    return conflict(kind, name, why)


def forbidden(kind: Kind, name: str, why: str) -> ApiError:
    """Return the refusal of what rights or admission do not allow."""
    about = f'{kind.qualified} "{name}"' if name else kind.qualified
    return ApiError(403, "Forbidden", f"{about} is forbidden: {why}", details_of(kind, name))


def bad_request(message: str) -> ApiError:
    """Return the refusal of a call that makes no sense."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """Return the refusal of a caller whose token is not known."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def not_allowed() -> ApiError:
    """Return the refusal of a verb that the resource does not have."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, details={})


def unsupported(accepted: Sequence[str]) -> ApiError:
    """Return the refusal of a body in a format that is not known."""
    listed = ", ".join(accepted)
    message = (
        f"the body of the request was in an unknown format - accepted media types include: {listed}"
    )
    return ApiError(415, "UnsupportedMediaType", message, details={})


def expired(message: str) -> ApiError:
    """Return the refusal of a version whose history has been compacted."""
    return ApiError(410, "Expired", message)


def too_old(asked: int, oldest: int) -> ApiError:
    """Return the refusal of a watch that would begin in compacted history."""
    return expired(f"too old resource version: {asked} ({oldest})")


_CAUSES = {
    "Required value": "FieldValueRequired",
    "Invalid value": "FieldValueInvalid",
    "Duplicate value": "FieldValueDuplicate",
    "Unsupported value": "FieldValueNotSupported",
    "Not found": "FieldValueNotFound",
    "Forbidden": "FieldValueForbidden",
}


def invalid(kind: Kind, name: str, problems: Sequence[tuple[str, str]]) -> ApiError:
    """Return the refusal of an object whose fields (path and problem each) cannot be accepted."""
    causes = [
        {"reason": _CAUSES[problem.partition(":")[0]], "message": problem, "field": field}
        for field, problem in problems
    ]
    sentences = [f"{field}: {problem}" for field, problem in problems]
    listed = sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]"
    details = {**details_of(kind, name), "kind": kind.kind, "causes": causes}
    message = f'{kind.qualified_kind} "{name}" is invalid: {listed}'
    return ApiError(422, "Invalid", message, details)


def unprocessable(message: str) -> ApiError:
    """Return the refusal of a patch that cannot be carried out on what is there."""
    causes = [{"reason": "UnexpectedServerResponse", "message": message}]
    return ApiError(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
        {"causes": causes},
    )


def bad_patch_options(field: str, problem: str) -> ApiError:
    """Return the refusal of an option that does not go with the kind of patch."""
    causes = [{"reason": _CAUSES[problem.partition(":")[0]], "message": problem, "field": field}]
    message = f'PatchOptions.meta.k8s.io "" is invalid: {field}: {problem}'
    details = {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": causes}
    return ApiError(422, "Invalid", message, details)
