"""ReplicaSets: as many pods of one template as are asked for."""

import time

from simulators.kubernetes.controllers.hands import Hands
from simulators.kubernetes.controllers.pods import (
    Availability,
    condition_of,
    is_active,
    is_ready,
    pod_from,
)
from simulators.kubernetes.kinds import POD, REPLICA_SET
from simulators.kubernetes.refusals import ApiError
from simulators.kubernetes.values import Json, at, labels_of, moment, name_of, terminating


class ReplicaSets:
    """The controller of ReplicaSets."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._availability = Availability(hands)
        self._refused: dict[str, float] = {}
        """When pods of a set may be tried again that were refused."""

    def step(self) -> None:
        """Do what is to be done now."""
        self._availability.forget()
        for replica_set in self._hands.all(REPLICA_SET):
            self._reconcile(replica_set)

    def _reconcile(self, owner: Json) -> None:
        pods = [pod for pod in self._hands.owned(POD, owner) if is_active(pod)]
        failure = condition_of(owner, "ReplicaFailure")
        if not terminating(owner):
            missing = owner["spec"]["replicas"] - len(pods)
            if missing > 0:
                failure = self._create(owner, missing, failure)
            else:
                failure = None
                for pod in sorted(pods, key=_keeps)[:-missing]:
                    self._hands.remove(POD, pod)
                    message = f"Deleted pod: {name_of(pod)}"
                    self._hands.tell(owner, "Normal", "SuccessfulDelete", message)
        pods = [pod for pod in self._hands.owned(POD, owner) if is_active(pod)]
        self._hands.set_status(REPLICA_SET, owner, self._status(owner, pods, failure))

    def _create(self, owner: Json, count: int, failure: Json | None) -> Json | None:
        """Make pods; return the condition that tells why not."""
        uid = owner["metadata"]["uid"]
        wait = self._refused.get(uid, 0.0) - time.monotonic()
        if wait > 0:
            self._hands.alarm.set(wait)
            return failure
        for _ in range(count):
            pod = pod_from(owner, owner["spec"]["template"])
            pod["metadata"]["generateName"] = f"{name_of(owner)}-"
            try:
                made = self._hands.create(POD, pod)
            except ApiError as error:
                return self._failed(owner, error, failure)
            message = f"Created pod: {name_of(made)}"
            self._hands.tell(owner, "Normal", "SuccessfulCreate", message)
        self._refused.pop(uid, None)
        return None

    def _failed(self, owner: Json, error: ApiError, failure: Json | None) -> Json:
        back_off = self._hands.cluster.pace.back_off_seconds
        self._refused[owner["metadata"]["uid"]] = time.monotonic() + back_off
        self._hands.alarm.set(back_off)
        message = f"Error creating: {error.message}"
        self._hands.tell(owner, "Warning", "FailedCreate", message)
        return failure or {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": moment(),
            "reason": "FailedCreate",
            "message": error.message,
        }

    def _status(self, owner: Json, pods: list[Json], failure: Json | None) -> Json:
        labels = labels_of(owner["spec"]["template"])
        labelled = [pod for pod in pods if labels.items() <= labels_of(pod).items()]
        counts = {
            "fullyLabeledReplicas": len(labelled),
            "readyReplicas": sum(is_ready(pod) for pod in pods),
            "availableReplicas": sum(self._availability.of(pod, owner) for pod in pods),
        }
        status: Json = {
            "replicas": len(pods),
            **{name: count for name, count in counts.items() if count},
            "observedGeneration": owner["metadata"]["generation"],
        }
        return {**status, "conditions": [failure]} if failure else status


def _keeps(pod: Json) -> tuple[bool, bool, bool, str]:
    """Order pods by how much they are worth keeping: those without a node, or not ready, go first."""
    running = at(pod, "status", "phase") == "Running"
    unborn = not at(pod, "spec", "nodeName")
    age = pod["metadata"]["creationTimestamp"]
    return (not unborn, running, is_ready(pod), "".join(chr(255 - ord(one)) for one in age))
