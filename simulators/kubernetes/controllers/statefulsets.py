"""StatefulSets: pods with a number each, made and replaced one after the other."""

import contextlib
import time
from dataclasses import dataclass

from simulators.kubernetes.controllers.hands import Hands
from simulators.kubernetes.controllers.pods import Availability, is_ready, pod_from
from simulators.kubernetes.controllers.revisions import POD_LABEL, Revisions
from simulators.kubernetes.kinds import CLAIM, POD, STATEFUL_SET
from simulators.kubernetes.refusals import ApiError
from simulators.kubernetes.values import (
    Json,
    at,
    copied,
    labels_of,
    name_of,
    namespace_of,
    terminating,
)

HASH = "controller.kubernetes.io/hash"


@dataclass
class Turn:
    """One look at a StatefulSet."""

    owner: Json
    pods: dict[int, Json]
    current: Json
    update: Json

    @property
    def in_order(self) -> bool:
        """Whether each pod waits for the one before it."""
        return str(self.owner["spec"]["podManagementPolicy"]) == "OrderedReady"

    @property
    def wanted(self) -> range:
        """The numbers of the pods that are wanted."""
        first = at(self.owner, "spec", "ordinals", "start", default=0)
        return range(first, first + self.owner["spec"]["replicas"])

    def first_updated(self) -> int:
        """Return the lowest number whose pod gets the new template."""
        strategy = self.owner["spec"]["updateStrategy"]
        partition = at(strategy, "rollingUpdate", "partition", default=0)
        return self.wanted.start + int(partition)


class StatefulSets:
    """The controller of StatefulSets."""

    def __init__(self, hands: Hands) -> None:
        self._hands, self._revisions = hands, Revisions(hands, HASH)
        self._availability = Availability(hands)
        self._refused: dict[str, float] = {}
        """When pods of a set may be tried again that were refused."""

    def step(self) -> None:
        """Do what is to be done now."""
        self._availability.forget()
        for owner in self._hands.all(STATEFUL_SET):
            self._reconcile(owner)

    def _reconcile(self, owner: Json) -> None:
        update, held = self._revisions.latest(owner)
        name = at(owner, "status", "currentRevision", default="")
        current = next((one for one in held if name_of(one) == name), update)
        turn = Turn(owner, self._pods(owner), current, update)
        if not terminating(owner) and self._keep(turn):
            self._update(turn)
        turn.pods = self._pods(owner)
        self._tell(turn)
        labels = [labels_of(pod).get(POD_LABEL, "") for pod in turn.pods.values()]
        used = {name_of(current), name_of(update), *labels}
        self._revisions.clean_up(owner, held, used)

    def _pods(self, owner: Json) -> dict[int, Json]:
        found = {}
        for pod in self._hands.owned(POD, owner):
            base, _, number = name_of(pod).rpartition("-")
            if base == name_of(owner) and number.isdigit():
                found[int(number)] = pod
        return dict(sorted(found.items()))

    def _keep(self, turn: Turn) -> bool:
        """Make what is missing and remove what is too much; return whether updates may go on."""
        for number in turn.wanted:
            pod = turn.pods.get(number)
            if pod is not None and at(pod, "status", "phase") in ("Failed", "Succeeded"):
                self._hands.remove(POD, pod)
                return False
            if pod is None and not self._make(turn, number):
                return False
            if turn.in_order and (pod is None or not self._is_up(pod, turn.owner)):
                return False
        for number in sorted(set(turn.pods) - set(turn.wanted), reverse=True):
            pod = turn.pods[number]
            if not terminating(pod):
                self._remove(turn, pod)
            if turn.in_order:
                return False
        return all(number in turn.pods for number in turn.wanted)

    def _update(self, turn: Turn) -> None:
        """Delete the highest pod of another revision, once those above it are up."""
        if turn.owner["spec"]["updateStrategy"]["type"] != "RollingUpdate":
            return
        for number in reversed(turn.wanted):
            if number < turn.first_updated():
                return
            pod = turn.pods[number]
            if labels_of(pod).get(POD_LABEL) != name_of(turn.update) and not terminating(pod):
                self._remove(turn, pod)
                return
            if not self._is_up(pod, turn.owner):
                return

    def _is_up(self, pod: Json, owner: Json) -> bool:
        return not terminating(pod) and is_ready(pod) and self._availability.of(pod, owner)

    def _make(self, turn: Turn, number: int) -> bool:
        """Make a pod; return whether it could be made."""
        owner, uid = turn.owner, turn.owner["metadata"]["uid"]
        wait = self._refused.get(uid, 0.0) - time.monotonic()
        if wait > 0:
            self._hands.alarm.set(wait)
            return False
        name = f"{name_of(owner)}-{number}"
        try:
            self._claim(owner, name)
            self._hands.create(POD, self._pod(turn, number, name))
        except ApiError as error:
            back_off = self._hands.cluster.pace.back_off_seconds
            self._refused[uid] = time.monotonic() + back_off
            self._hands.alarm.set(back_off)
            message = (
                f"create Pod {name} in StatefulSet {name_of(owner)} failed error: {error.message}"
            )
            self._hands.tell(owner, "Warning", "FailedCreate", message)
            return False
        message = f"create Pod {name} in StatefulSet {name_of(owner)} successful"
        self._hands.tell(owner, "Normal", "SuccessfulCreate", message)
        return True

    def _pod(self, turn: Turn, number: int, name: str) -> Json:
        updated = number >= turn.first_updated()
        revision = turn.update if updated else turn.current
        labels = {
            POD_LABEL: name_of(revision),
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(number),
        }
        template = {k: v for k, v in revision["data"]["spec"]["template"].items() if k != "$patch"}
        pod = pod_from(turn.owner, template, labels)
        pod["metadata"]["name"] = name
        pod["spec"]["hostname"] = name
        claims = [
            claim["metadata"]["name"]
            for claim in turn.owner["spec"].get("volumeClaimTemplates", [])
        ]
        others = [one for one in pod["spec"].get("volumes", []) if one["name"] not in claims]
        mine = [
            {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}"}}
            for claim in claims
        ]
        if others or mine:
            pod["spec"]["volumes"] = [*others, *mine]
        return pod

    def _claim(self, owner: Json, name: str) -> None:
        """Make the volumes of a pod, unless they are there; they outlive it."""
        for template in owner["spec"].get("volumeClaimTemplates", []):
            claim = copied({"metadata": template["metadata"], "spec": template.get("spec", {})})
            claim["metadata"]["name"] = f"{template['metadata']['name']}-{name}"
            claim["metadata"]["namespace"] = namespace_of(owner)
            claim["metadata"]["labels"] = dict(owner["spec"]["selector"].get("matchLabels", {}))
            with contextlib.suppress(ApiError):
                made = self._hands.create(CLAIM, claim)
                self._hands.set_status(CLAIM, made, {"phase": "Bound"})

    def _remove(self, turn: Turn, pod: Json) -> None:
        owner, name = name_of(turn.owner), name_of(pod)
        self._hands.remove(POD, pod)
        message = f"delete Pod {name} in StatefulSet {owner} successful"
        self._hands.tell(turn.owner, "Normal", "SuccessfulDelete", message)

    def _tell(self, turn: Turn) -> None:
        owner, pods = turn.owner, turn.pods.values()
        living = [labels_of(pod).get(POD_LABEL) for pod in pods if not terminating(pod)]
        up = [pod for pod in pods if is_ready(pod)]
        current, update = name_of(turn.current), name_of(turn.update)
        counts = {name: living.count(name) for name in (current, update)}
        rolling = owner["spec"]["updateStrategy"]["type"] == "RollingUpdate"
        done = counts[update] == len(pods) == len(up) == owner["spec"]["replicas"]
        if rolling and done:
            current = update
        numbers = {
            "readyReplicas": len(up),
            "currentReplicas": counts[current],
            "updatedReplicas": counts[update],
        }
        status = {
            "observedGeneration": owner["metadata"]["generation"],
            "replicas": len(pods),
            **{name: number for name, number in numbers.items() if number},
            "availableReplicas": sum(self._availability.of(pod, owner) for pod in pods),
            "currentRevision": current,
            "updateRevision": update,
            "collisionCount": at(owner, "status", "collisionCount", default=0),
        }
        self._hands.set_status(STATEFUL_SET, owner, status)
