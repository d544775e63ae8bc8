"""What is refused after rights and before the object is kept: namespaces, and images' behaviour."""

from simulators.kubernetes.images import Refused, Registry
from simulators.kubernetes.kinds import APPS, NAMESPACE, POD, REPLICA_SET, REVISION, Kind
from simulators.kubernetes.refusals import forbidden, not_found
from simulators.kubernetes.store import Store
from simulators.kubernetes.values import Json, at, name_of, namespace_of, terminating


def images_of(thing: Json) -> list[str]:
    """Return the images that a pod, or a workload's template, names."""
    spec = at(thing, "spec", "template", "spec") or thing.get("spec", {})
    containers = [*spec.get("initContainers", []), *spec.get("containers", [])]
    return [container["image"] for container in containers if "image" in container]


class Admission:
    """Refuses what the cluster's rules do not let in."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store, self._registry = store, registry

    def admit_new(self, kind: Kind, thing: Json) -> None:
        """Refuse a new object whose namespace takes none, or whose images are not let in."""
        if kind.namespaced:
            name = namespace_of(thing)
            namespace = self._store.get(NAMESPACE, "", name)
            if namespace is None:
                raise not_found(NAMESPACE, name)
            if terminating(namespace):
                why = f"unable to create new content in namespace {name} because it is being terminated"
                raise forbidden(kind, name_of(thing), why)
        self.admit_change(kind, thing)

    def admit_change(self, kind: Kind, thing: Json) -> None:
        """Refuse a pod, or a workload, whose images are not let in."""
        workload = kind.group == APPS and kind not in (REVISION, REPLICA_SET)
        if kind != POD and not workload:
            return
        for image in images_of(thing):
            behaviour = self._registry.behaviour_of(image)
            if isinstance(behaviour, Refused) and (behaviour.workloads or kind == POD):
                raise forbidden(kind, name_of(thing), behaviour.message)
