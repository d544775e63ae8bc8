"""Deployments: one ReplicaSet for each template, and the way from one to the next."""

from simulators.kubernetes.controllers.hands import Hands, controller_of, reference_to
from simulators.kubernetes.controllers.pods import condition_of
from simulators.kubernetes.controllers.progress import (
    CREATED,
    FOUND,
    Progress,
    condition,
    has_deadline,
    is_complete,
)
from simulators.kubernetes.controllers.rollout import (
    DESIRED,
    MAXIMUM,
    Rollout,
    bounds_of,
    counted,
    replicas_of,
)
from simulators.kubernetes.kinds import DEPLOYMENT, POD, REPLICA_SET
from simulators.kubernetes.refusals import ApiError
from simulators.kubernetes.values import (
    Json,
    annotations_of,
    copied,
    name_of,
    namespace_of,
    short_hash,
    terminating,
)

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
_OWN = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    )
)
"""Annotations that a ReplicaSet does not take over from its Deployment."""


class Deployments:
    """The controller of Deployments."""

    def __init__(self, hands: Hands) -> None:
        self._hands, self._progress = hands, Progress(hands)

    def step(self) -> None:
        """Do what is to be done now."""
        for deployment in self._hands.all(DEPLOYMENT):
            self._reconcile(deployment)

    def _reconcile(self, deployment: Json) -> None:
        owned = self._hands.owned(REPLICA_SET, deployment)
        owned.sort(key=lambda one: (revision_of(one), one["metadata"]["creationTimestamp"]))
        if terminating(deployment):
            self._progress.tell_numbers(_rollout(deployment, owned))
            return
        deployment = self._progress.note_pause(deployment)
        if deployment["spec"].get("paused") or _was_scaled(deployment, owned):
            self._scale(deployment, owned)
        elif deployment["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(deployment, owned)
        else:
            self._roll(deployment, owned)

    def _scale(self, deployment: Json, owned: list[Json]) -> None:
        rollout = self._synced(deployment, owned, create=False)
        for name, size in rollout.scaled().items():
            self._resize(rollout, name, size)
        for one in rollout.active:  # their size may fit: what they note of the whole does not
            self._resize(rollout, name_of(one), replicas_of(one))
        self._progress.tell_numbers(rollout)

    def _recreate(self, deployment: Json, owned: list[Json]) -> None:
        rollout = self._synced(deployment, owned, create=False)
        active = [one for one in rollout.old if replicas_of(one) > 0]
        for one in active:
            self._resize(rollout, name_of(one), 0)
        if not active and not self._old_pods(rollout):
            rollout = self._synced(rollout.deployment, rollout.all, create=True)
            if rollout.new is not None:
                self._resize(rollout, name_of(rollout.new), rollout.wanted)
            self._clean_up(rollout)
        self._progress.tell(rollout)

    def _roll(self, deployment: Json, owned: list[Json]) -> None:
        rollout = self._synced(deployment, owned, create=True)
        if rollout.new is not None:
            if rollout.size_of_new() != replicas_of(rollout.new):
                self._resize(rollout, name_of(rollout.new), rollout.size_of_new())
            elif sizes := rollout.sizes_of_old():
                for name, size in sizes.items():
                    self._resize(rollout, name, size)
            else:
                self._clean_up(rollout)
        self._progress.tell(rollout)

    def _old_pods(self, rollout: Rollout) -> bool:
        """Return whether pods of old ReplicaSets still run, be it to their end."""
        old = {one["metadata"]["uid"] for one in rollout.old}
        pods = self._hands.all(POD, namespace_of(rollout.deployment))
        holders = [controller_of(pod) for pod in pods]
        return any(holder is not None and holder["uid"] in old for holder in holders)

    def _synced(self, deployment: Json, owned: list[Json], *, create: bool) -> Rollout:
        """Return a rollout whose new ReplicaSet has the number of the latest revision."""
        rollout = _rollout(deployment, owned)
        number = max((revision_of(one) for one in rollout.old), default=0) + 1
        if rollout.new is None:
            if create:
                self._begin(rollout, number)
            return rollout
        rollout.new = self._hands.update(REPLICA_SET, _renumbered(rollout, number))
        number = revision_of(rollout.new)
        status, note = deployment.get("status", {}), {REVISION: str(number)}
        rollout.deployment = self._hands.set_status(DEPLOYMENT, deployment, status, note)
        if has_deadline(deployment) and condition_of(deployment, "Progressing") is None:
            message = f'Found new replica set "{name_of(rollout.new)}"'
            new = condition("Progressing", "True", FOUND, message)
            rollout.deployment = self._progress.note(rollout.deployment, new)
        return rollout

    def _begin(self, rollout: Rollout, number: int) -> None:
        """Make the ReplicaSet of a template that has none."""
        deployment, status = rollout.deployment, rollout.deployment.get("status", {})
        new = _new_set(rollout, number)
        new["spec"]["replicas"] = rollout.size_of_new()
        new["metadata"]["annotations"] |= _noted(rollout)
        try:
            made = self._hands.create(REPLICA_SET, new)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                status = {**status, "collisionCount": status.get("collisionCount", 0) + 1}
                self._hands.set_status(DEPLOYMENT, deployment, status)
            return
        if replicas_of(made):
            message = f"Scaled up replica set {name_of(made)} from 0 to {replicas_of(made)}"
            self._hands.tell(deployment, "Normal", "ScalingReplicaSet", message)
        deployment = self._hands.set_status(DEPLOYMENT, deployment, status, {REVISION: str(number)})
        if has_deadline(deployment):
            message = f'Created new replica set "{name_of(made)}"'
            new = condition("Progressing", "True", CREATED, message)
            deployment = self._progress.note(deployment, new)
        rollout.deployment, rollout.new = deployment, made

    def _resize(self, rollout: Rollout, name: str, size: int) -> None:
        """Give a ReplicaSet of a rollout another size."""
        one = next(one for one in rollout.all if name_of(one) == name)
        held = replicas_of(one)
        new = copied(one)
        new["spec"]["replicas"] = size
        new["metadata"]["annotations"] = {**annotations_of(one), **_noted(rollout)}
        new = self._hands.update(REPLICA_SET, new)
        if size != held:
            how = "up" if size > held else "down"
            message = f"Scaled {how} replica set {name} from {held} to {size}"
            self._hands.tell(rollout.deployment, "Normal", "ScalingReplicaSet", message)
        if rollout.new is not None and name_of(rollout.new) == name:
            rollout.new = new
        rollout.old = [new if name_of(other) == name else other for other in rollout.old]

    def _clean_up(self, rollout: Rollout) -> None:
        """Let go of the ReplicaSets of revisions that are too old to keep."""
        deployment = rollout.deployment
        if not is_complete(deployment, deployment.get("status", {})):
            return
        empty = [
            one
            for one in rollout.old
            if not replicas_of(one) and not counted(one, "replicas") and not terminating(one)
        ]
        for one in empty[: max(0, len(empty) - deployment["spec"]["revisionHistoryLimit"])]:
            self._hands.remove(REPLICA_SET, one)


def revision_of(replica_set: Json) -> int:
    """Return the number of a ReplicaSet's latest revision."""
    return int(annotations_of(replica_set).get(REVISION, "0"))


def _rollout(deployment: Json, owned: list[Json]) -> Rollout:
    template = deployment["spec"]["template"]
    same = [one for one in owned if _without_hash(one["spec"]["template"]) == template]
    same.sort(key=lambda one: one["metadata"]["creationTimestamp"])
    new = same[0] if same else None
    return Rollout(deployment, new, [one for one in owned if one is not new])


def _without_hash(template: Json) -> Json:
    labels = dict(template["metadata"].get("labels", {}))
    labels.pop(HASH, None)
    return {**template, "metadata": {**template["metadata"], "labels": labels}}


def _was_scaled(deployment: Json, owned: list[Json]) -> bool:
    """Return whether a Deployment's replicas changed since its ReplicaSets were last sized."""
    wanted = str(replicas_of(deployment))
    active = [one for one in owned if replicas_of(one) > 0]
    return any(annotations_of(one).get(DESIRED, wanted) != wanted for one in active)


def _noted(rollout: Rollout) -> dict[str, str]:
    most = rollout.wanted + bounds_of(rollout.deployment).surge
    return {DESIRED: str(rollout.wanted), MAXIMUM: str(most)}


def _taken_over(deployment: Json) -> dict[str, str]:
    held = annotations_of(deployment)
    return {name: value for name, value in held.items() if name not in _OWN}


def _renumbered(rollout: Rollout, number: int) -> Json:
    """Return the new ReplicaSet as the latest revision; the numbers that it had are kept."""
    assert rollout.new is not None
    new = copied(rollout.new)
    held = {**annotations_of(new), **_taken_over(rollout.deployment)}
    before = int(held.get(REVISION, "0"))
    if before < number:
        held[REVISION] = str(number)
        if before:
            held[HISTORY] = ",".join(filter(None, (held.get(HISTORY, ""), str(before))))
    new["metadata"]["annotations"] = held
    seconds = rollout.deployment["spec"].get("minReadySeconds", 0)
    if new["spec"].get("minReadySeconds", 0) != seconds:
        new["spec"]["minReadySeconds"] = seconds
    return new  # type: ignore[no-any-return]


def _new_set(rollout: Rollout, number: int) -> Json:
    deployment = rollout.deployment
    template = copied(deployment["spec"]["template"])
    mark = short_hash(template, counted(deployment, "collisionCount"))
    template["metadata"]["labels"] = {**template["metadata"].get("labels", {}), HASH: mark}
    selector = copied(deployment["spec"]["selector"])
    selector["matchLabels"] = {**selector.get("matchLabels", {}), HASH: mark}
    spec = {"selector": selector, "template": template}
    if seconds := deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = seconds
    return {
        "metadata": {
            "name": f"{name_of(deployment)}-{mark}",
            "namespace": namespace_of(deployment),
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {**_taken_over(deployment), REVISION: str(number)},
            "ownerReferences": [reference_to(deployment)],
        },
        "spec": spec,
    }
