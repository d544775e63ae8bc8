"""Who may do what: everything, less what a test has denied."""

from dataclasses import dataclass

from simulators.kubernetes.kinds import Kind
from simulators.kubernetes.refusals import ApiError, forbidden
from simulators.kubernetes.values import Json

USER = "system:serviceaccount:refloat:refloat"


@dataclass(frozen=True)
class Access:
    """One act on one resource."""

    verb: str
    group: str
    resource: str
    """The plural, with `/<subresource>` where one is meant."""
    namespace: str = ""
    name: str = ""


class Rights:
    """The table of what is denied. `*` stands for every verb, group, resource or namespace."""

    def __init__(self) -> None:
        self._denied: set[Access] = set()

    def deny(self, access: Access) -> None:
        """Deny an act from now on."""
        self._denied.add(access)

    def allow(self, access: Access) -> None:
        """Take a denial back."""
        self._denied.discard(access)

    def permits(self, asked: Access) -> bool:
        """Return whether an act is permitted."""
        return not any(_covers(denied, asked) for denied in [*self._denied])

    def require(self, kind: Kind, asked: Access) -> None:
        """Refuse an act that is denied.

        Raises:
            ApiError: as the server says it.
        """
        if not self.permits(asked):
            raise _refusal(kind, asked)


def _covers(denied: Access, asked: Access) -> bool:
    pairs = (
        (denied.verb, asked.verb),
        (denied.group, asked.group),
        (denied.resource, asked.resource),
        (denied.namespace or "*", asked.namespace),
        (denied.name or "*", asked.name),
    )
    return all(one in ("*", other) for one, other in pairs)


def _refusal(kind: Kind, asked: Access) -> ApiError:
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    why = (
        f'User "{USER}" cannot {asked.verb} resource "{asked.resource}" in API group '
        f'"{asked.group}" {where}'
    )
    return forbidden(kind, asked.name, why)


def reviewed(rights: Rights, review: Json) -> Json:
    """Return a `SelfSubjectAccessReview` with its answer."""
    asked = review.get("spec", {}).get("resourceAttributes", {})
    subresource = asked.get("subresource")
    resource = asked.get("resource", "")
    access = Access(
        asked.get("verb", ""),
        asked.get("group", ""),
        f"{resource}/{subresource}" if subresource else resource,
        asked.get("namespace", ""),
        asked.get("name", ""),
    )
    allowed = rights.permits(access)
    status: Json = {"allowed": allowed}
    if allowed:
        status["reason"] = 'RBAC: allowed by ClusterRoleBinding "refloat" of ClusterRole "refloat"'
    metadata = {"creationTimestamp": None, **review.get("metadata", {})}
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": metadata,
        "spec": review.get("spec", {}),
        "status": status,
    }
