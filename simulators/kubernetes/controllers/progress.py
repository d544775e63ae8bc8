"""What a Deployment tells of its rollout: numbers, `Available`, and whether it progresses."""

import time

from simulators.kubernetes.controllers.hands import Hands
from simulators.kubernetes.controllers.pods import condition_of, with_condition
from simulators.kubernetes.controllers.rollout import Rollout, bounds_of, counted, replicas_of
from simulators.kubernetes.kinds import DEPLOYMENT
from simulators.kubernetes.values import Json, at, moment, name_of

_NO_DEADLINE = 2**31 - 1
DONE, CREATED, FOUND = "NewReplicaSetAvailable", "NewReplicaSetCreated", "FoundNewReplicaSet"
_UPDATED, _TIMED_OUT = "ReplicaSetUpdated", "ProgressDeadlineExceeded"
_PAUSED, _RESUMED = "DeploymentPaused", "DeploymentResumed"


def condition(kind: str, status: str, reason: str, message: str) -> Json:
    """Return a condition of a Deployment as of now."""
    now = moment()
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def has_deadline(deployment: Json) -> bool:
    """Return whether a Deployment's progress is measured."""
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    return deadline is not None and deadline != _NO_DEADLINE


def is_complete(deployment: Json, status: Json) -> bool:
    """Return whether a rollout has come to its end."""
    wanted = replicas_of(deployment)
    counts = (status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas"))
    observed = int(status.get("observedGeneration", 0))
    return all(count == wanted for count in counts) and observed >= int(
        deployment["metadata"]["generation"]
    )


def conditions_of(deployment: Json) -> list[Json]:
    """Return a Deployment's conditions."""
    return list(at(deployment, "status", "conditions", default=[]))


class Progress:
    """Writes the status of Deployments."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._since: dict[str, tuple[Json, float]] = {}
        """The last condition `Progressing` of each, and since when it has been the last."""

    def tell(self, rollout: Rollout) -> None:
        """Write what there is to tell of a rollout."""
        deployment = rollout.deployment
        status = _numbers(rollout)
        progressing = condition_of(deployment, "Progressing")
        if not has_deadline(deployment):
            progressing = None
            status["conditions"] = [c for c in status["conditions"] if c["type"] != "Progressing"]
        else:
            self._judge(rollout, status, progressing)
        self._tell_failure(rollout, status)
        self._hands.set_status(DEPLOYMENT, deployment, status)

    def tell_numbers(self, rollout: Rollout) -> None:
        """Write the numbers alone: of a Deployment that is paused or being scaled."""
        self._hands.set_status(DEPLOYMENT, rollout.deployment, _numbers(rollout))

    def note_pause(self, deployment: Json) -> Json:
        """Write that a Deployment was paused or resumed; return its latest state."""
        if not has_deadline(deployment):
            return deployment
        held = condition_of(deployment, "Progressing")
        if held is not None and held["reason"] == _TIMED_OUT:
            return deployment
        was_paused = held is not None and held["reason"] == _PAUSED
        paused = bool(deployment["spec"].get("paused"))
        if paused == was_paused:
            return deployment
        what = (_PAUSED, "Deployment is paused") if paused else (_RESUMED, "Deployment is resumed")
        return self.note(deployment, condition("Progressing", "Unknown", *what))

    def note(self, deployment: Json, new: Json) -> Json:
        """Write a condition; return the Deployment's latest state."""
        conditions = with_condition(conditions_of(deployment), new)
        status = {**deployment.get("status", {}), "conditions": conditions}
        return self._hands.set_status(DEPLOYMENT, deployment, status)

    def _judge(self, rollout: Rollout, status: Json, held: Json | None) -> None:
        """Set the condition `Progressing` of a rollout that is not known to be complete."""
        since = self._last_news(rollout.deployment, held)
        known = held is not None and held["reason"] == DONE
        if known and status.get("replicas", 0) == status.get("updatedReplicas", 0):
            return
        deployment = rollout.deployment
        what = f'Deployment "{name_of(deployment)}"'
        if rollout.new is not None:
            what = f'ReplicaSet "{name_of(rollout.new)}"'
        new, renew = None, False
        if is_complete(deployment, status):
            new = condition("Progressing", "True", DONE, f"{what} has successfully progressed.")
        elif _moved(deployment, status):
            new, renew = condition("Progressing", "True", _UPDATED, f"{what} is progressing."), True
        elif held is not None and self._timed_out(deployment, held, since):
            new = condition(
                "Progressing", "False", _TIMED_OUT, f"{what} has timed out progressing."
            )
        if new is not None:
            status["conditions"] = with_condition(status["conditions"], new, renew=renew)
            if renew:
                self._since[deployment["metadata"]["uid"]] = (new, time.monotonic())

    def _last_news(self, deployment: Json, held: Json | None) -> float:
        uid = deployment["metadata"]["uid"]
        known, since = self._since.get(uid, (None, 0.0))
        if held is None or known is None or known["reason"] != held["reason"]:
            since = time.monotonic()
            self._since[uid] = (held or {"reason": ""}, since)
        return since

    def _timed_out(self, deployment: Json, held: Json, since: float) -> bool:
        if held["reason"] in (DONE, _PAUSED):
            return False
        if held["reason"] == _TIMED_OUT:
            return True
        deadline = deployment["spec"]["progressDeadlineSeconds"]
        left = since + deadline * self._hands.cluster.pace.second - time.monotonic()
        if left > 0:
            self._hands.alarm.set(left)
        return bool(left <= 0)

    def _tell_failure(self, rollout: Rollout, status: Json) -> None:
        """Pass on why a ReplicaSet cannot make pods, the new one first."""
        sets = [*([rollout.new] if rollout.new else []), *rollout.old]
        failures = [found for one in sets if (found := condition_of(one, "ReplicaFailure"))]
        status["conditions"] = [c for c in status["conditions"] if c["type"] != "ReplicaFailure"]
        if failures:
            held = condition_of(rollout.deployment, "ReplicaFailure")
            first = failures[0]
            new = condition("ReplicaFailure", "True", first["reason"], first["message"])
            same = held is not None and held["reason"] == new["reason"]
            status["conditions"].append(held if same and held else new)


def _moved(deployment: Json, status: Json) -> bool:
    """Return whether a rollout got on since its last status."""
    old, new = deployment.get("status", {}), status
    fields = ("updatedReplicas", "readyReplicas", "availableReplicas")
    if any(new.get(name, 0) > old.get(name, 0) for name in fields):
        return True
    left, before = (one.get("replicas", 0) - one.get("updatedReplicas", 0) for one in (new, old))
    return bool(left < before)


def _numbers(rollout: Rollout) -> Json:
    """Return a status with its numbers and the condition `Available`."""
    deployment = rollout.deployment
    available = sum(counted(one, "availableReplicas") for one in rollout.all)
    numbers = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": sum(counted(one, "replicas") for one in rollout.all),
        "updatedReplicas": counted(rollout.new, "replicas") if rollout.new else 0,
        "readyReplicas": sum(counted(one, "readyReplicas") for one in rollout.all),
        "availableReplicas": available,
        "unavailableReplicas": max(0, rollout.total() - available),
        "collisionCount": counted(deployment, "collisionCount"),
    }
    if available >= rollout.wanted - bounds_of(deployment).unavailable:
        what = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        reason = "MinimumReplicasUnavailable"
        what = ("False", reason, "Deployment does not have minimum availability.")
    conditions = with_condition(conditions_of(deployment), condition("Available", *what))
    status: Json = {name: number for name, number in numbers.items() if number}
    return {**status, "conditions": conditions}
