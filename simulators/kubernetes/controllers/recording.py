"""Events as controllers record them: one object for what happens again and again, counted."""

import contextlib

from simulators.kubernetes.cluster import Cluster
from simulators.kubernetes.kinds import EVENT
from simulators.kubernetes.refusals import ApiError
from simulators.kubernetes.values import Json, copied, moment, name_of, namespace_of
from simulators.kubernetes.writing import Asked, Place


class Recorder:
    """Records the events of one component."""

    def __init__(self, cluster: Cluster, component: str, manager: str) -> None:
        self._cluster, self._component, self._manager = cluster, component, manager
        self._names: dict[tuple[str, ...], str] = {}

    def record(self, thing: Json, kind: str, reason: str, message: str, field: str = "") -> None:
        """Record that something happened to an object, or to a field of it."""
        key = (thing["metadata"]["uid"], kind, reason, message, field)
        namespace = namespace_of(thing) or "default"
        name = self._names.get(key)
        held = self._cluster.store.get(EVENT, namespace, name) if name else None
        with contextlib.suppress(ApiError):  # a namespace on its way out takes no events
            if held is not None:
                new = copied(held)
                new |= {"count": held["count"] + 1, "lastTimestamp": moment()}
                place = Place(EVENT, namespace, name_of(held))
                self._cluster.writer.update(place, new, Asked(self._manager))
                return
            event = self._new(thing, kind, reason, message)
            if field:
                event["involvedObject"]["fieldPath"] = field
            self._names[key] = event["metadata"]["name"]
            self._cluster.writer.create(EVENT, namespace, event, Asked(self._manager))

    def _new(self, thing: Json, kind: str, reason: str, message: str) -> Json:
        metadata = thing["metadata"]
        suffix = f"{self._cluster.store.version:016x}"
        about = {
            "kind": thing["kind"],
            "apiVersion": thing["apiVersion"],
            "namespace": namespace_of(thing),
            "name": name_of(thing),
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        namespace = namespace_of(thing) or "default"
        return {
            "metadata": {"name": f"{name_of(thing)}.{suffix}", "namespace": namespace},
            "involvedObject": {name: value for name, value in about.items() if value},
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": moment(),
            "lastTimestamp": moment(),
            "source": {"component": self._component},
            "reportingComponent": self._component,
        }
