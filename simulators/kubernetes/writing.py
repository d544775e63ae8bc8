"""Creating and changing objects: versions, generations, owners of fields, and what is refused."""

import uuid
from dataclasses import dataclass

from simulators.kubernetes.admission import Admission
from simulators.kubernetes.applying import applied, applier
from simulators.kubernetes.defaults import fill_in
from simulators.kubernetes.kinds import DAEMON_SET, DEPLOYMENT, POD, Kind
from simulators.kubernetes.managed import Manager, same_but_for_times, take_over
from simulators.kubernetes.patching import patched
from simulators.kubernetes.refusals import (
    already_exists,
    bad_request,
    conflict,
    not_found,
    wrong_uid,
)
from simulators.kubernetes.schema import root_of
from simulators.kubernetes.store import Store
from simulators.kubernetes.validating import validate
from simulators.kubernetes.values import (
    Json,
    Value,
    annotations_of,
    at,
    copied,
    moment,
    name_of,
    random_suffix,
    without_nulls,
)

_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_SERVERS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
"""Members of `metadata` that the server alone writes."""


@dataclass(frozen=True)
class Asked:
    """How a write is asked for: by whom, through which door, and whether it is a rehearsal."""

    manager: str
    subresource: str = ""
    dry_run: bool = False


@dataclass(frozen=True)
class Place:
    """Where an object is."""

    kind: Kind
    namespace: str
    name: str


class Writer:
    """Writes objects as the server does, whoever asks."""

    def __init__(self, store: Store, admission: Admission) -> None:
        self._store, self._admission = store, admission

    def create(self, kind: Kind, namespace: str, body: Json, asked: Asked) -> Json:
        """Make an object and return it.

        Raises:
            ApiError: there is one of the name, or the object is not accepted.
        """
        thing = _received(kind, namespace, body)
        if kind.has_status:
            thing.pop("status", None)
        _name(thing)
        with self._store.lock:
            self._begin(kind, thing)
            take_over(None, thing, kind, Manager(asked.manager, subresource=asked.subresource))
            return thing if asked.dry_run else self._store.put(kind, thing)

    def update(self, place: Place, body: Json, asked: Asked) -> Json:
        """Replace an object and return its new state.

        Raises:
            ApiError: it is not there, was changed meanwhile, or the new state is not accepted.
        """
        new = _received(place.kind, place.namespace, body)
        if new["metadata"].get("name") != place.name:
            given = new["metadata"].get("name", "")
            raise bad_request(
                f"the name of the object ({given}) does not match the name on the URL ({place.name})"
            )
        with self._store.lock:
            live = self._live(place)
            _check(place, live, body)
            return self._change(place.kind, live, new, asked)

    def patch(self, place: Place, patch: Value, how: str, asked: Asked) -> Json:
        """Change an object by a patch and return its new state.

        Raises:
            ApiError: it is not there, the patch names a version that is not the latest, cannot
                be carried out, or leaves something that is not accepted.
        """
        with self._store.lock:
            live = self._live(place)
            new = patched(live, patch, how, root_of(place.kind))
            _check(place, live, new)
            return self._change(place.kind, live, without_nulls(new), asked)

    def apply(self, place: Place, config: Json, asked: Asked, *, force: bool) -> tuple[Json, bool]:
        """Apply a configuration; return the object's new state and whether it was made by it.

        Raises:
            ApiError: another owner of a field wants another value, or what comes out is refused.
        """
        config = _received(place.kind, place.namespace, config)
        if config["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        with self._store.lock:
            live = self._store.get(place.kind, place.namespace, place.name)
            manager = applier(asked.manager, asked.subresource)
            if live is None:
                return self._apply_new(place, config, asked), True
            _check(place, live, config)
            new = applied(live, config, place.kind, manager, force=force)
            return self._change(place.kind, live, new, asked, noted=True), False

    def bind(self, pod: Json, node: str) -> Json:
        """Give a pod to a node, as the scheduler does by the subresource `binding`."""
        with self._store.lock:
            new = copied(pod)
            new["spec"]["nodeName"] = node
            return self._store.put(POD, new)

    def _apply_new(self, place: Place, config: Json, asked: Asked) -> Json:
        if "resourceVersion" in config["metadata"]:
            raise conflict(place.kind, place.name)
        if asked.subresource:
            raise not_found(place.kind, place.name)
        empty: Json = {"metadata": {}}
        manager = applier(asked.manager)
        thing = applied(empty, config, place.kind, manager, force=True)
        thing["metadata"].setdefault("name", place.name)
        if place.kind.has_status:
            thing.pop("status", None)
        self._begin(place.kind, thing)
        return thing if asked.dry_run else self._store.put(place.kind, thing)

    def _live(self, place: Place) -> Json:
        live = self._store.get(place.kind, place.namespace, place.name)
        if live is None:
            raise not_found(place.kind, place.name)
        return live

    def _begin(self, kind: Kind, thing: Json) -> None:
        """Make a received object one of the server's."""
        metadata = thing["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        fill_in(kind, thing)
        validate(kind, thing)
        self._admission.admit_new(kind, thing)
        if self._store.get(kind, namespace, name) is not None:
            raise already_exists(kind, name)
        metadata["uid"], metadata["creationTimestamp"] = str(uuid.uuid4()), moment()
        if kind.counted:
            metadata["generation"] = 1
        if kind == DAEMON_SET:
            metadata.setdefault("annotations", {})[_TEMPLATE_GENERATION] = "1"

    def _change(
        self, kind: Kind, live: Json, new: Json, asked: Asked, *, noted: bool = False
    ) -> Json:
        """Put a new state in an object's place; `noted` when its owners are noted already."""
        new = _as_asked(kind, live, new, asked.subresource)
        fill_in(kind, new)
        if asked.subresource != "status":
            validate(kind, new, live)
            if new.get("spec") != live.get("spec"):
                self._admission.admit_change(kind, new)
            _count(kind, live, new)
        if not noted:
            take_over(
                _seen(live, new), new, kind, Manager(asked.manager, subresource=asked.subresource)
            )
        new["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        if same_but_for_times(live, new):
            return live
        if asked.dry_run:
            return new
        metadata = new["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers") and kind != POD:
            self._store.remove(kind, new)
            return new
        return self._store.put(kind, new)


def _name(thing: Json) -> None:
    """Give a new object its name, and take from it what only the server writes."""
    metadata = thing["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = f"{metadata['generateName']}{random_suffix()}"
    for name in (*_SERVERS, "resourceVersion", "generation", "managedFields"):
        metadata.pop(name, None)


def _received(kind: Kind, namespace: str, body: Json) -> Json:
    """Return a body as an object of a kind at a place; refuse one that is about something else."""
    if not isinstance(body, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    thing: Json = without_nulls(body)
    version, name = thing.get("apiVersion", kind.api_version), thing.get("kind", kind.kind)
    if (version, name) != (kind.api_version, kind.kind):
        raise bad_request(
            f"the API version in the data ({version}, Kind={name}) does not match the expected API"
            f" version ({kind.api_version}, Kind={kind.kind})"
        )
    metadata = thing.setdefault("metadata", {})
    if kind.namespaced:
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    return thing


def _check(place: Place, live: Json, asked: Json) -> None:
    """Refuse a change to another version of an object, or to another object of its name."""
    metadata = at(asked, "metadata", default={})
    uid, found = metadata.get("uid"), live["metadata"]["uid"]
    if uid and uid != found:
        raise wrong_uid(place.kind, place.name, uid, found)
    version = metadata.get("resourceVersion")
    if version and version not in ("0", live["metadata"]["resourceVersion"]):
        raise conflict(place.kind, place.name)


def _as_asked(kind: Kind, live: Json, new: Json, subresource: str) -> Json:
    """Return the new state with what the door does not write, and what nobody may, as it was."""
    if subresource == "status":
        metadata = {**copied(live["metadata"])}
        if annotations := annotations_of(new):
            metadata["annotations"] = annotations
        return {**copied(live), "metadata": metadata, "status": copied(new.get("status", {}))}
    new = copied(new)
    if kind.has_status:
        new.pop("status", None)
        if "status" in live:
            new["status"] = copied(live["status"])
    for name in (*_SERVERS, "generation"):
        new["metadata"].pop(name, None)
        if name in live["metadata"]:
            new["metadata"][name] = live["metadata"][name]
    return new


def _count(kind: Kind, live: Json, new: Json) -> None:
    """Count a change of the specification; a Deployment's annotations go to its ReplicaSets too."""
    changed = new.get("spec") != live.get("spec")
    if kind == DEPLOYMENT and annotations_of(new) != annotations_of(live):
        changed = True
    if kind.counted and changed:
        new["metadata"]["generation"] = live["metadata"].get("generation", 0) + 1
    if kind == DAEMON_SET:
        held = annotations_of(live).get(_TEMPLATE_GENERATION, "1")
        same = at(new, "spec", "template") == at(live, "spec", "template")
        count = held if same else str(int(held) + 1)
        new["metadata"].setdefault("annotations", {})[_TEMPLATE_GENERATION] = count


def _seen(live: Json, new: Json) -> Json:
    """Return the former state as owners are tracked against it; `[{}]` clears them."""
    if new["metadata"].get("managedFields") == [{}]:
        return {**live, "metadata": {**live["metadata"], "managedFields": []}}
    return live


def named(thing: Json, kind: Kind) -> Place:
    """Return where an object is."""
    return Place(kind, thing["metadata"].get("namespace", ""), name_of(thing))
