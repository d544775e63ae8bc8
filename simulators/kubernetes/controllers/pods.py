"""What controllers ask about pods, and how they make them from a template."""

import time

from simulators.kubernetes.controllers.hands import Hands, reference_to
from simulators.kubernetes.kinds import POD
from simulators.kubernetes.values import Json, at, copied, namespace_of, terminating


def condition_of(thing: Json, kind: str) -> Json | None:
    """Return a condition of an object's status."""
    for condition in at(thing, "status", "conditions", default=[]):
        if condition["type"] == kind:
            return dict(condition)
    return None


def is_active(pod: Json) -> bool:
    """Return whether a pod lives and is meant to."""
    return not terminating(pod) and at(pod, "status", "phase") not in ("Failed", "Succeeded")


def is_ready(pod: Json) -> bool:
    """Return whether a pod takes requests."""
    condition = condition_of(pod, "Ready")
    return condition is not None and condition["status"] == "True"


class Availability:
    """Tells how long pods have been ready, more exactly than their status does."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._since: dict[str, float] = {}

    def of(self, pod: Json, owner: Json) -> bool:
        """Return whether a pod has been ready for the owner's `minReadySeconds`."""
        uid = pod["metadata"]["uid"]
        if not is_ready(pod):
            self._since.pop(uid, None)
            return False
        since = self._since.setdefault(uid, time.monotonic())
        wanted = owner["spec"].get("minReadySeconds", 0) * self._hands.cluster.pace.second
        left = since + wanted - time.monotonic()
        if left > 0:
            self._hands.alarm.set(left)
        return bool(left <= 0)

    def forget(self) -> None:
        """Forget pods that are gone."""
        held = {pod["metadata"]["uid"] for pod in self._hands.all(POD)}
        self._since = {uid: since for uid, since in self._since.items() if uid in held}


def pod_from(owner: Json, template: Json, labels: dict[str, str] | None = None) -> Json:
    """Return a pod of a template, controlled by an owner."""
    metadata = copied(template.get("metadata", {}))
    metadata.pop("creationTimestamp", None)
    metadata["namespace"] = namespace_of(owner)
    metadata["ownerReferences"] = [reference_to(owner)]
    if labels:
        metadata["labels"] = {**metadata.get("labels", {}), **labels}
    return {"metadata": metadata, "spec": copied(template["spec"])}


def with_condition(conditions: list[Json], new: Json, *, renew: bool = False) -> list[Json]:
    """Return conditions with one of a type replaced.

    One of the same status and reason stays as it is, unless it is to be renewed; a status that
    stays keeps the time of its last transition.
    """
    held = next((one for one in conditions if one["type"] == new["type"]), None)
    if held is None:
        return [*conditions, new]
    same = held["status"] == new["status"]
    if same and held.get("reason") == new.get("reason") and not renew:
        return conditions
    if same and "lastTransitionTime" in held:
        new = {**new, "lastTransitionTime": held["lastTransitionTime"]}
    return [*(one for one in conditions if one["type"] != new["type"]), new]
