"""ControllerRevisions: the templates that a StatefulSet or a DaemonSet had, by number."""

from simulators.kubernetes.controllers.hands import Hands, reference_to
from simulators.kubernetes.kinds import REVISION
from simulators.kubernetes.values import (
    Json,
    annotations_of,
    at,
    copied,
    labels_of,
    name_of,
    namespace_of,
    short_hash,
)

POD_LABEL = "controller-revision-hash"


class Revisions:
    """Keeps the revisions of one kind of workload, told apart by a label with their hash."""

    def __init__(self, hands: Hands, label: str) -> None:
        self._hands, self._label = hands, label

    def latest(self, owner: Json) -> tuple[Json, list[Json]]:
        """Return the revision of a workload's template, and all of its revisions by number.

        A template that the workload had before gets its old revision back, under a new number.
        """
        held = self._hands.owned(REVISION, owner)
        held.sort(key=lambda one: (one["revision"], one["metadata"]["creationTimestamp"]))
        template = {**owner["spec"]["template"], "$patch": "replace"}
        data = {"spec": {"template": template}}
        same = [one for one in held if one["data"] == data]
        number = held[-1]["revision"] + 1 if held else 1
        if not same:
            made = self._make(owner, data, number)
            return made, [*held, made]
        latest = same[-1]
        if latest is not held[-1]:
            new = {**copied(latest), "revision": number}
            held.remove(latest)
            latest = self._hands.update(REVISION, new)
            held.append(latest)
        return latest, held

    def hash_of(self, revision: Json) -> str:
        """Return the hash of a revision."""
        return labels_of(revision)[self._label]

    def clean_up(self, owner: Json, held: list[Json], used: set[str]) -> None:
        """Let go of the revisions that are too old to keep and not used."""
        spare = [one for one in held if name_of(one) not in used]
        for one in spare[: max(0, len(spare) - owner["spec"]["revisionHistoryLimit"])]:
            self._hands.remove(REVISION, one)

    def _make(self, owner: Json, data: Json, number: int) -> Json:
        mark = short_hash(data, at(owner, "status", "collisionCount", default=0))
        labels = {**labels_of(owner["spec"]["template"]), self._label: mark}
        thing = {
            "metadata": {
                "name": f"{name_of(owner)}-{mark}",
                "namespace": namespace_of(owner),
                "labels": labels,
                "annotations": dict(annotations_of(owner)),
                "ownerReferences": [reference_to(owner)],
            },
            "data": copied(data),
            "revision": number,
        }
        return self._hands.create(REVISION, thing)
