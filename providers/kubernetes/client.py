"""The way to an API server: JSON in and out, each request with an end, each error named."""

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import quote

import urllib3
from kubernetes.client import ApiClient

from domain.errors import CredentialsRefusedError, ProviderUnavailableError
from domain.pacing import Pacing
from providers.kubernetes.config import Access, load
from providers.kubernetes.errors import kubernetes_errors

CONNECT, ANSWER = 10.0, 60.0
"""Seconds; the API server itself ends a request after a minute."""
MANAGER = "refloat"
"""The field manager under which Refloat changes what it was asked to."""
OBSERVER = "refloat-observer"
"""The field manager under which Refloat notes what it saw."""

Json = dict[str, Any]
Patch = Literal["json", "merge", "apply"]
_PATCHES: Mapping[Patch, str] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_PAGE = 500


class Place(Protocol):
    """Where a catalog says that something runs."""

    @property
    def context(self) -> str:
        """Context of the kubeconfig, or nothing for its current one."""
        ...

    @property
    def kubeconfig(self) -> str:
        """Its path, or nothing for the usual places."""
        ...


class Kind(NamedTuple):
    """A kind of object as addresses name it."""

    group_version: str
    plural: str
    kind: str
    namespaced: bool = True
    verbs: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The API group, empty for the core."""
        return self.group_version.rpartition("/")[0]

    def path(self, namespace: str = "", name: str = "") -> str:
        """Return the address of one object, or of all in a namespace or the cluster."""
        root = "/apis" if "/" in self.group_version else "/api"
        parts = [root, self.group_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        return "/".join(parts + ([quote(name, safe="")] if name else []))

    def told(self, name: str) -> str:
        """Return the object as kubectl writes it."""
        return f"{self.kind.lower()}/{name}"


PODS = Kind("v1", "pods", "Pod")
EVENTS = Kind("v1", "events", "Event")
REPLICA_SETS = Kind("apps/v1", "replicasets", "ReplicaSet")
CONTROLLER_REVISIONS = Kind("apps/v1", "controllerrevisions", "ControllerRevision")
AUTOSCALERS = Kind("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
REVIEWS = Kind(
    "authorization.k8s.io/v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    namespaced=False,
)


class Cluster:
    """One cluster as one account; objects are JSON as the API server writes it.

    The client's own models are passed by: they drop every field that is newer than they are, and a
    template that comes back must be whole.
    """

    def __init__(self, base: Path, place: Place, scale: float = 1.0) -> None:
        self._base, self._kubeconfig, self._context = base, place.kubeconfig, place.context
        self.pacing = Pacing(scale=scale)
        self._lock = threading.Lock()
        self._made: tuple[Access, ApiClient] | None = None

    def get(self, kind: Kind, namespace: str, name: str) -> Json:
        """Return one object."""
        doing = f"reading {kind.told(name)}"
        return _parsed(self._send("GET", kind.path(namespace, name), doing), doing)

    def read(self, path: str, doing: str) -> Json:
        """Return what an address answers."""
        return _parsed(self._send("GET", path, doing), doing)

    def all_of(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[Json]:
        """Return all objects of a kind, in a namespace or in the cluster, in as many pages."""
        found: list[Json] = []
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(_PAGE)}
        while True:
            doing = f"listing {kind.plural}"
            answer = self._send("GET", kind.path(namespace), doing, query=query.items())
            page = _parsed(answer, doing)
            found += page.get("items") or ()
            query["continue"] = str((page.get("metadata") or {}).get("continue") or "")
            if not query["continue"]:
                return found

    def create(self, kind: Kind, namespace: str, body: Json) -> Json:
        """Create an object."""
        doing = f"creating a {kind.kind}"
        return _parsed(self._send("POST", kind.path(namespace), doing, body=body), doing)

    def patch(
        self,
        kind: Kind,
        place: tuple[str, str],
        body: object,
        how: Patch,
        *,
        manager: str = MANAGER,
        dry: bool = False,
    ) -> Json:
        """Change the object of a namespace and name, and return what it is then."""
        query = [("fieldManager", manager), *((("dryRun", "All"),) if dry else ())]
        doing = f"{'trying a change of' if dry else 'changing'} {kind.told(place[1])}"
        path, content = kind.path(*place), _PATCHES[how]
        return _parsed(
            self._send("PATCH", path, doing, query=query, body=body, content=content), doing
        )

    def delete(self, kind: Kind, namespace: str, found: Json) -> None:
        """Delete an object as it was found: one that was replaced or changed since stays."""
        meta = found["metadata"]
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
        }
        doing = f"deleting {kind.told(meta['name'])}"
        self._send("DELETE", kind.path(namespace, meta["name"]), doing, body=body)

    def log(self, namespace: str, pod: str, query: Iterable[tuple[str, str]]) -> str:
        """Return what a container wrote."""
        path = f"{PODS.path(namespace, pod)}/log"
        return self._send("GET", path, f"reading the log of pod/{pod}", query=query)

    def _send(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        body: object = None,
        content: str = "application/json",
    ) -> str:
        """Send one request and return its answer.

        Credentials may have been renewed since they were read, so a refusal of them is believed of
        fresh ones alone.
        """
        asked = [(name, value) for name, value in query if value]
        with self._lock:
            known = self._made is not None
        try:
            return self._once(method, path, doing, asked, body, content)
        except CredentialsRefusedError:
            with self._lock:
                self._made = None
            if not known:
                raise
            return self._once(method, path, doing, asked, body, content)

    def _once(
        self,
        method: str,
        path: str,
        doing: str,
        query: list[tuple[str, str]],
        body: object,
        content: str,
    ) -> str:
        with kubernetes_errors(doing):
            access, client = self._connected()
            headers = urllib3.HTTPHeaderDict(
                {"Accept": "application/json, */*", "Content-Type": content, "User-Agent": MANAGER}
            )
            for name, value in access.headers:
                headers.add(name, value)
            client.update_params_for_auth(headers, query, ["BearerToken"])
            # not `call_api`: it fails on a failed handshake, and logs every answer
            answer = client.request(
                method,
                access.settings.host + path,
                query_params=query,
                headers=headers,
                body=body,
                _preload_content=False,
                _request_timeout=(CONNECT, ANSWER),
            )
            return str(answer.data.decode("utf-8", errors="replace"))

    def _connected(self) -> tuple[Access, ApiClient]:
        with self._lock:
            if self._made is None or not self._made[0].usable():
                access = load(self._base, self._kubeconfig, self._context)
                self._made = (access, ApiClient(access.settings))
            return self._made


def _parsed(answer: str, doing: str) -> Json:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProviderUnavailableError(
            f"{doing}: what answers is no API server, perhaps a proxy before it; Refloat asks again"
        )
    return found


class Clusters:
    """The clusters in use, one client for each kubeconfig and context."""

    def __init__(self, base: Path, scale: float = 1.0) -> None:
        self._base, self._scale = base, scale
        self._known: dict[tuple[str, str], Cluster] = {}
        self._lock = threading.Lock()

    def of(self, place: Place) -> Cluster:
        """Return the cluster of a context."""
        with self._lock:
            key = (place.kubeconfig, place.context)
            if key not in self._known:
                self._known[key] = Cluster(self._base, place, self._scale)
            return self._known[key]
