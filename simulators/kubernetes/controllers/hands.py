"""What a controller does to the cluster, always through the rules that calls go through too."""

import contextlib
import time
from dataclasses import dataclass, field

from simulators.kubernetes.cluster import Cluster
from simulators.kubernetes.controllers.recording import Recorder
from simulators.kubernetes.deleting import Deletion, delete
from simulators.kubernetes.kinds import Kind
from simulators.kubernetes.refusals import ApiError
from simulators.kubernetes.selecting import selects
from simulators.kubernetes.values import (
    Json,
    annotations_of,
    copied,
    labels_of,
    name_of,
    namespace_of,
    terminating,
)
from simulators.kubernetes.writing import Asked, named

MANAGER = "kube-controller-manager"


@dataclass
class Alarm:
    """When somebody has to look again, though nothing happened."""

    at: float | None = None

    def set(self, seconds: float) -> None:
        """Wake within some seconds."""
        when = time.monotonic() + max(seconds, 0.0)
        self.at = when if self.at is None else min(self.at, when)


@dataclass
class Hands:
    """The means of one controller. Controllers hold the store's lock while they step."""

    cluster: Cluster
    alarm: Alarm
    component: str
    """Whom its events come from."""
    manager: str = MANAGER
    recorder: Recorder = field(init=False)

    def __post_init__(self) -> None:
        """Take a pen of its own."""
        self.recorder = Recorder(self.cluster, self.component, self.manager)

    def all(self, kind: Kind, namespace: str = "") -> list[Json]:
        """Return the objects of a kind."""
        return self.cluster.store.all(kind, namespace)

    def fresh(self, kind: Kind, thing: Json) -> Json | None:
        """Return the latest state of an object, unless it is gone."""
        return self.cluster.store.get(kind, namespace_of(thing), name_of(thing))

    def create(self, kind: Kind, thing: Json) -> Json:
        """Make an object; what refuses it comes out."""
        namespace = namespace_of(thing)
        return self.cluster.writer.create(kind, namespace, thing, Asked(self.manager))

    def update(self, kind: Kind, thing: Json) -> Json:
        """Replace an object by a changed copy."""
        return self.cluster.writer.update(named(thing, kind), thing, Asked(self.manager))

    def set_status(
        self, kind: Kind, thing: Json, status: Json, annotations: dict[str, str] | None = None
    ) -> Json:
        """Write an object's status, and annotations beside those it has."""
        held = annotations_of(thing)
        if thing.get("status") == status and {**held, **(annotations or {})} == held:
            return thing
        new = copied(thing)
        new["metadata"].pop("resourceVersion", None)
        if annotations:
            new["metadata"]["annotations"] = {**annotations_of(thing), **annotations}
        new["status"] = status
        return self.cluster.writer.update(named(thing, kind), new, Asked(self.manager, "status"))

    def remove(self, kind: Kind, thing: Json) -> None:
        """Delete an object, unless somebody did."""
        with contextlib.suppress(ApiError):
            delete(self.cluster.store, named(thing, kind), Deletion())

    def owned(self, kind: Kind, owner: Json) -> list[Json]:
        """Return the objects that an owner controls; those it selects and nobody has become its."""
        found = []
        uid = owner["metadata"]["uid"]
        selector = None if terminating(owner) else owner["spec"].get("selector")
        for thing in self.all(kind, namespace_of(owner)):
            holder = controller_of(thing)
            if holder is not None and holder["uid"] == uid:
                found.append(thing)
            elif holder is None and not terminating(thing) and selects(selector, labels_of(thing)):
                found.append(self._adopt(kind, thing, owner))
        return found

    def tell(self, thing: Json, kind: str, reason: str, message: str) -> None:
        """Record an event about an object; its kind is `Normal` or `Warning`."""
        self.recorder.record(thing, kind, reason, message)

    def _adopt(self, kind: Kind, thing: Json, owner: Json) -> Json:
        new = copied(thing)
        held = new["metadata"].get("ownerReferences", [])
        new["metadata"]["ownerReferences"] = [*held, reference_to(owner)]
        return self.update(kind, new)


def controller_of(thing: Json) -> Json | None:
    """Return an object's reference to what controls it."""
    for reference in thing["metadata"].get("ownerReferences", []):
        if reference.get("controller"):
            return dict(reference)
    return None


def reference_to(owner: Json) -> Json:
    """Return the reference by which an owner controls an object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
