"""Server-side apply of a configuration's objects: on trial, in earnest, and what is pruned."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    ConflictError,
    NotYetError,
    PermanentError,
    RecoveryError,
    ResourceMissingError,
)
from providers.kubernetes.client import MANAGER, Cluster, Json, Kind
from providers.kubernetes.discovery import Discovery
from providers.kubernetes.errors import FieldsOwnedError
from providers.kubernetes.manifests import LABEL, Manifest

_HOLDS_DATA = {
    "Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim",
}  # fmt: skip
"""What is not pruned: with it would go what no repository can bring back."""
_NOT_OURS_TO_SAY = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
_TRIES = 3


@dataclass(frozen=True)
class Placed:
    """One object with its kind and namespace; `kind` is None while its definition is to come."""

    manifest: Manifest
    kind: Kind | None
    namespace: str

    @property
    def told(self) -> str:
        """The object as people name it."""
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{where}{self.manifest.kind.lower()}/{self.manifest.name}"

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What it is, in whichever version."""
        group = self.manifest.api_version.rpartition("/")[0]
        return (group, self.manifest.kind, self.namespace, self.manifest.name)


@dataclass(frozen=True)
class Trial:
    """How one object fared on trial: whether it would change, or why it is refused."""

    placed: Placed
    live: Json | None = None
    result: Json | None = None
    refused: RecoveryError | None = None

    @property
    def changes(self) -> bool:
        """Whether applying it changes anything; what could not be tried is new."""
        return self.result is None or differs(self.live, self.result)


class ServerSide:
    """Applies a configuration's objects to one cluster under its label."""

    def __init__(self, cluster: Cluster, discovery: Discovery, label: str, namespace: str) -> None:
        self._cluster, self._discovery = cluster, discovery
        self._label, self._namespace = label, namespace

    def place(self, found: Sequence[Manifest]) -> list[Placed]:
        """Return the objects with their kinds, as the cluster knows them or a file defines them."""
        defined = dict(_defined(found))
        placed = []
        for one in found:
            kind = self._discovery.find(one.api_version, one.kind)
            group = one.api_version.rpartition("/")[0]
            if kind is None and (group, one.kind) not in defined:
                kind = self._discovery.require(one.api_version, one.kind, one.source)
            namespaced = kind.namespaced if kind is not None else defined[group, one.kind]
            namespace = (one.namespace or self._namespace) if namespaced else ""
            placed.append(Placed(one, kind, namespace))
        return placed

    def trials(self, placed: Sequence[Placed]) -> list[Trial]:
        """Return how each object fares on trial; nothing is changed."""
        coming = {one.manifest.name for one in placed if one.manifest.kind == "Namespace"}
        return [self._trial(one, coming) for one in placed]

    def _trial(self, placed: Placed, coming: set[str]) -> Trial:
        if placed.kind is None:
            return Trial(placed)
        live = None
        try:
            live = self._live(placed.kind, placed)
            self._require_own(placed, live)
            return Trial(placed, live, self._apply(placed.kind, placed, dry=True))
        except ResourceMissingError as error:
            missing = live is None and placed.namespace in coming
            return Trial(placed, refused=None if missing else error)
        except PermanentError as error:
            return Trial(placed, live, refused=error)

    def apply(self, placed: Placed) -> Json:
        """Apply one object in earnest.

        Raises:
            NotYetError: its kind was defined a moment ago and is not served yet.
        """
        one = placed.manifest
        kind = placed.kind or self._discovery.find(one.api_version, one.kind)
        if kind is None:
            raise NotYetError(f"the cluster to serve the kind {one.kind} of {one.api_version}")
        return self._apply(kind, placed, dry=False)

    def _apply(self, kind: Kind, placed: Placed, *, dry: bool) -> Json:
        body = placed.manifest.labelled(self._label, placed.namespace)
        place = (placed.namespace, placed.manifest.name)
        try:
            return self._cluster.patch(kind, place, body, "apply", dry=dry)
        except FieldsOwnedError as error:
            raise ConflictError(_owned(placed, error)) from error
        except PermanentError as error:
            said = placed.manifest.quoted(f"{placed.manifest.source}: {error}")
            raise type(error)(said) from None  # what the server said may quote a Secret

    def _live(self, kind: Kind, placed: Placed) -> Json | None:
        try:
            return self._cluster.get(kind, placed.namespace, placed.manifest.name)
        except ResourceMissingError:
            return None

    def _require_own(self, placed: Placed, live: Json | None) -> None:
        label = ((live or {}).get("metadata", {}).get("labels") or {}).get(LABEL, self._label)
        if label != self._label:
            raise ConflictError(
                f"{placed.told} belongs to another configuration of Refloat, {label}; take it out of "
                "one of the two"
            )

    def superfluous(self, placed: Sequence[Placed]) -> list[tuple[Kind, Json]]:
        """Return what only we made for this configuration and the files no longer name."""
        wanted = {one.identity for one in placed}
        namespaces = sorted({self._namespace, *(one.namespace for one in placed)} - {""})
        kinds = [one for one in self._discovery.removable() if one.kind not in _HOLDS_DATA]
        found: dict[str, tuple[Kind, Json]] = {}
        for kind in kinds:
            for one in self._labelled(kind, namespaces):
                meta = one["metadata"]
                identity = (kind.group, kind.kind, str(meta.get("namespace") or ""), meta["name"])
                if identity not in wanted and only_ours(one, self._label):
                    found.setdefault(meta["uid"], (kind, one))
        return list(found.values())

    def _labelled(self, kind: Kind, namespaces: Sequence[str]) -> Iterator[Json]:
        """Yield the configuration's objects of a kind, where they may be listed."""
        query = f"{LABEL}={self._label}"
        try:
            yield from self._cluster.all_of(kind, labels=query)
        except PermanentError:
            for namespace in namespaces if kind.namespaced else ():
                try:
                    yield from self._cluster.all_of(kind, namespace, labels=query)
                except PermanentError:  # what may not be listed was not applied by this account
                    continue

    def prune(self, kind: Kind, found: Json) -> bool:
        """Delete one superfluous object, unless somebody has taken it over; return whether."""
        meta = found["metadata"]
        namespace = str(meta.get("namespace") or "")
        for _ in range(_TRIES):
            try:
                self._cluster.delete(kind, namespace, found)
            except ConflictError:  # its status moved, or somebody has changed it: look again
                try:
                    found = self._cluster.get(kind, namespace, meta["name"])
                except ResourceMissingError:
                    return False
                if found["metadata"]["uid"] != meta["uid"] or not only_ours(found, self._label):
                    return False
            except ResourceMissingError:
                return False
            else:
                return True
        return False


def only_ours(found: Json, label: str) -> bool:
    """Return whether nobody but Refloat applied an object, and it is of this configuration."""
    meta = found["metadata"]
    appliers = {
        str(one.get("manager")) for one in meta.get("managedFields") or ()
        if one.get("operation") == "Apply" and not one.get("subresource")
    }  # fmt: skip
    labelled = (meta.get("labels") or {}).get(LABEL) == label
    return labelled and appliers == {MANAGER} and not meta.get("deletionTimestamp")


def differs(live: Json | None, result: Json) -> bool:
    """Return whether an object is another one than before, but for what the server counts itself."""
    return live is None or _said(live) != _said(result)


def _said(found: Json) -> Json:
    said = copy.deepcopy(found)
    said.pop("status", None)
    for name in _NOT_OURS_TO_SAY:
        said["metadata"].pop(name, None)
    return said


def _owned(placed: Placed, error: FieldsOwnedError) -> str:
    """Return which fields others own, and what can be done about each owner."""
    said = "; ".join(f'{placed.told} {name} is owned by "{owner}"' for name, owner in error.owned)
    owners = sorted({owner for _, owner in error.owned})
    advice = f"take the field out of the manifest, or let {' and '.join(owners)} give it up"
    if "kubectl-client-side-apply" in owners:
        advice += (
            "; what was made by `kubectl apply` is handed over once by `kubectl apply --server-side "
            f"--field-manager={MANAGER} --force-conflicts -f {placed.manifest.source}`"
        )
    elif MANAGER in owners:
        advice += "; it was set by the rollback of an application: write in the manifest what runs"
    return f"{placed.manifest.source}: {said}; {advice}"


def _defined(found: Sequence[Manifest]) -> Iterator[tuple[tuple[str, str], bool]]:
    """Yield the kinds that the files themselves define, and whether each is in namespaces."""
    for one in found:
        if one.kind == "CustomResourceDefinition":
            spec = one.body.get("spec") or {}
            kind = (spec.get("names") or {}).get("kind")
            if not kind:
                raise ConfigurationRefusedError(f"{one.source}: spec.names.kind is missing")
            yield (str(spec.get("group")), str(kind)), spec.get("scope") == "Namespaced"


def refused_all(trials: Sequence[Trial]) -> RecoveryError | None:
    """Return what refuses the trials, as one error of the kind of the first."""
    errors = [one.refused for one in trials if one.refused is not None]
    if not errors:
        return None
    first = next((one for one in errors if isinstance(one, AccessDeniedError)), errors[0])
    sentences = dict.fromkeys(str(one) for one in errors)
    return type(first)("; ".join(sentences) + ". Nothing was changed")
