"""DaemonSets: one pod on every node, replaced a few nodes at a time."""

import time
from collections import defaultdict

from simulators.kubernetes.controllers.hands import Hands
from simulators.kubernetes.controllers.pods import Availability, is_ready, pod_from
from simulators.kubernetes.controllers.revisions import POD_LABEL, Revisions
from simulators.kubernetes.controllers.rollout import share_of
from simulators.kubernetes.kinds import DAEMON_SET, NODE, POD
from simulators.kubernetes.refusals import ApiError
from simulators.kubernetes.values import Json, annotations_of, at, labels_of, name_of, terminating

_GENERATION = "deprecated.daemonset.template.generation"


class DaemonSets:
    """The controller of DaemonSets."""

    def __init__(self, hands: Hands) -> None:
        self._hands, self._revisions = hands, Revisions(hands, POD_LABEL)
        self._availability = Availability(hands)
        self._refused: dict[str, float] = {}
        """When pods of a set may be tried again that were refused."""

    def step(self) -> None:
        """Do what is to be done now."""
        self._availability.forget()
        for owner in self._hands.all(DAEMON_SET):
            self._reconcile(owner)

    def _reconcile(self, owner: Json) -> None:
        latest, held = self._revisions.latest(owner)
        mark = self._revisions.hash_of(latest)
        nodes = [name_of(node) for node in self._hands.all(NODE)]
        if not terminating(owner):
            self._fill(owner, mark, nodes)
            if owner["spec"]["updateStrategy"]["type"] == "RollingUpdate":
                self._update(owner, mark, nodes)
        pods = self._pods(owner)
        self._tell(owner, mark, nodes, pods)
        marks = {labels_of(pod).get(POD_LABEL) for one in pods.values() for pod in one}
        used = {name_of(one) for one in held if self._revisions.hash_of(one) in marks}
        self._revisions.clean_up(owner, held, used | {name_of(latest)})

    def _pods(self, owner: Json) -> dict[str, list[Json]]:
        found = defaultdict(list)
        for pod in self._hands.owned(POD, owner):
            found[_node_of(pod)].append(pod)
        return found

    def _fill(self, owner: Json, mark: str, nodes: list[str]) -> None:
        """Make a pod for every node that has none."""
        uid, pods = owner["metadata"]["uid"], self._pods(owner)
        wait = self._refused.get(uid, 0.0) - time.monotonic()
        missing = [node for node in nodes if not pods[node]]
        if missing and wait > 0:
            self._hands.alarm.set(wait)
            return
        for node in missing:
            try:
                made = self._hands.create(POD, _pod(owner, mark, node))
            except ApiError as error:
                back_off = self._hands.cluster.pace.back_off_seconds
                self._refused[uid] = time.monotonic() + back_off
                self._hands.alarm.set(back_off)
                message = f"Error creating: {error.message}"
                self._hands.tell(owner, "Warning", "FailedCreate", message)
                return
            message = f"Created pod: {name_of(made)}"
            self._hands.tell(owner, "Normal", "SuccessfulCreate", message)

    def _update(self, owner: Json, mark: str, nodes: list[str]) -> None:
        """Delete pods of other revisions: those that serve nobody, and as many more as may be."""
        pods = self._pods(owner)
        most = owner["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"]
        room = max(1, share_of(most, len(nodes), up=True))
        down = sum(not any(self._is_up(pod, owner) for pod in pods[node]) for node in nodes)
        old = [
            pod
            for node in nodes
            for pod in pods[node]
            if labels_of(pod).get(POD_LABEL) != mark and not terminating(pod)
        ]
        for pod in sorted(old, key=lambda one: self._is_up(one, owner)):
            if self._is_up(pod, owner):
                if down >= room:
                    return
                down += 1
            self._hands.remove(POD, pod)
            message = f"Deleted pod: {name_of(pod)}"
            self._hands.tell(owner, "Normal", "SuccessfulDelete", message)

    def _is_up(self, pod: Json, owner: Json) -> bool:
        return not terminating(pod) and self._availability.of(pod, owner)

    def _tell(self, owner: Json, mark: str, nodes: list[str], pods: dict[str, list[Json]]) -> None:
        serving = [[pod for pod in pods.get(node, []) if not terminating(pod)] for node in nodes]
        firsts = [found[0] for found in serving if found]
        available = sum(self._availability.of(pod, owner) for pod in firsts)
        updated = sum(labels_of(pod).get(POD_LABEL) == mark for pod in firsts)
        numbers = {
            "updatedNumberScheduled": updated,
            "numberAvailable": available,
            "numberUnavailable": len(nodes) - available,
        }
        status = {
            "currentNumberScheduled": len(firsts),
            "numberMisscheduled": 0,
            "desiredNumberScheduled": len(nodes),
            "numberReady": sum(is_ready(pod) for pod in firsts),
            "observedGeneration": owner["metadata"]["generation"],
            **{name: number for name, number in numbers.items() if number},
        }
        self._hands.set_status(DAEMON_SET, owner, status)


def _node_of(pod: Json) -> str:
    """Return the node that a pod is made for, whether it is there yet or not."""
    terms = pod["spec"]["affinity"]["nodeAffinity"]
    required = terms["requiredDuringSchedulingIgnoredDuringExecution"]
    return str(required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])


def _pod(owner: Json, mark: str, node: str) -> Json:
    generation = annotations_of(owner).get(_GENERATION, "1")
    labels = {POD_LABEL: mark, "pod-template-generation": generation}
    pod = pod_from(owner, owner["spec"]["template"], labels)
    pod["metadata"]["generateName"] = f"{name_of(owner)}-"
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"nodeSelectorTerms": [term]}
    held = at(pod, "spec", "affinity", default={})
    pod["spec"]["affinity"] = {
        **held,
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required},
    }
    return pod
