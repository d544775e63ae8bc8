"""Deleting objects: at once, gracefully, after what they own, or without it."""

from dataclasses import dataclass

from simulators.kubernetes.kinds import NAMESPACE, POD, Kind
from simulators.kubernetes.refusals import conflict, not_found, wrong_uid
from simulators.kubernetes.store import Store
from simulators.kubernetes.values import Json, at, copied, moment, name_of, terminating
from simulators.kubernetes.writing import Place

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


@dataclass(frozen=True)
class Deletion:
    """How a deletion is asked for."""

    policy: str = "Background"
    """`Background`, `Foreground` or `Orphan`: what becomes of what the object owns."""
    grace_seconds: int | None = None
    uid: str = ""
    version: str = ""
    dry_run: bool = False


def delete(store: Store, place: Place, asked: Deletion) -> tuple[Json, bool]:
    """Delete an object; return its last state, and whether it is gone already.

    Raises:
        ApiError: it is not there, or is not the one that was meant.
    """
    with store.lock:
        live = store.get(place.kind, place.namespace, place.name)
        if live is None:
            raise not_found(place.kind, place.name)
        _check(place, live, asked)
        grace = _grace(place.kind, live, asked)
        new = copied(live)
        finalizers = _finalizers(place.kind, live, asked)
        new["metadata"].pop("finalizers", None)
        if finalizers:
            new["metadata"]["finalizers"] = finalizers
        stays = finalizers or grace or place.kind == NAMESPACE
        if not stays:
            if not asked.dry_run:
                store.remove(place.kind, new)
            return new, True
        if not terminating(live):
            new["metadata"] |= {"deletionTimestamp": moment(), "deletionGracePeriodSeconds": grace}
            if "generation" in new["metadata"]:
                new["metadata"]["generation"] += 1
            if place.kind == NAMESPACE:
                new["status"] = {**new.get("status", {}), "phase": "Terminating"}
        if asked.dry_run or new == live:
            return new, False
        return store.put(place.kind, new), False


def _check(place: Place, live: Json, asked: Deletion) -> None:
    metadata = live["metadata"]
    if asked.uid and asked.uid != metadata["uid"]:
        raise wrong_uid(place.kind, place.name, asked.uid, metadata["uid"])
    version = metadata["resourceVersion"]
    if asked.version and asked.version != version:
        why = (
            f"Precondition failed: ResourceVersion in precondition: {asked.version}, "
            f"ResourceVersion in object meta: {version}"
        )
        raise conflict(place.kind, place.name, why)


def _grace(kind: Kind, live: Json, asked: Deletion) -> int:
    """Return how many seconds the object has left; a pod that no node has goes at once."""
    if kind != POD or not at(live, "spec", "nodeName"):
        return 0
    usual = int(at(live, "spec", "terminationGracePeriodSeconds", default=30))
    return usual if asked.grace_seconds is None else asked.grace_seconds


def _finalizers(kind: Kind, live: Json, asked: Deletion) -> list[str]:
    held = [
        one for one in live["metadata"].get("finalizers", []) if one not in (FOREGROUND, ORPHAN)
    ]
    wanted = _FINALIZERS.get(asked.policy)
    return [*held, wanted] if wanted and kind != NAMESPACE else held


def status_of_deletion(kind: Kind, thing: Json) -> Json:
    """Return the `Status` that tells that an object is gone."""
    details = {"name": name_of(thing), "group": kind.group, "kind": kind.plural}
    details["uid"] = thing["metadata"]["uid"]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {name: value for name, value in details.items() if value},
    }
