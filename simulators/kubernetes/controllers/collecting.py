"""The garbage collector: what is owned goes with its owner, what a namespace holds goes with it."""

from simulators.kubernetes.controllers.hands import Hands
from simulators.kubernetes.deleting import FOREGROUND, ORPHAN, Deletion, delete
from simulators.kubernetes.kinds import NAMESPACE, Kind, by_kind
from simulators.kubernetes.values import Json, copied, name_of, namespace_of, terminating
from simulators.kubernetes.writing import named


class Collector:
    """Carries deletions out to their end."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def step(self) -> None:
        """Do what is to be done now."""
        store = self._hands.cluster.store
        for kind in store.kinds():
            for listed in store.all(kind):
                thing = self._hands.fresh(kind, listed)
                if thing and thing["metadata"].get("ownerReferences"):
                    self._collect(kind, thing)
                thing = self._hands.fresh(kind, listed)
                if thing and terminating(thing):
                    self._finish(kind, thing)

    def _collect(self, kind: Kind, thing: Json) -> None:
        """Delete an object whose owners are all gone, or of which one waits for that."""
        owners = thing["metadata"]["ownerReferences"]
        living = [owner for owner in (self._find(thing, one) for one in owners) if owner]
        waiting = [one for one in living if FOREGROUND in one["metadata"].get("finalizers", [])]
        if terminating(thing) or (living and not waiting):
            return
        policy = "Foreground" if waiting and self._owns_any(thing) else "Background"
        delete(self._hands.cluster.store, named(thing, kind), Deletion(policy))

    def _find(self, thing: Json, reference: Json) -> Json | None:
        kind = by_kind(reference["apiVersion"], reference["kind"])
        if kind is None:
            return thing  # of a kind that nobody knows here: it may well be there
        namespace = namespace_of(thing) if kind.namespaced else ""
        found = self._hands.cluster.store.get(kind, namespace, reference["name"])
        return found if found and found["metadata"]["uid"] == reference["uid"] else None

    def _owns_any(self, owner: Json) -> bool:
        return bool(self._dependents(owner))

    def _dependents(self, owner: Json) -> list[tuple[Kind, Json]]:
        store, uid = self._hands.cluster.store, owner["metadata"]["uid"]
        return [
            (kind, thing)
            for kind in store.kinds()
            for thing in store.all(kind)
            if any(one["uid"] == uid for one in thing["metadata"].get("ownerReferences", []))
        ]

    def _finish(self, kind: Kind, thing: Json) -> None:
        finalizers = thing["metadata"].get("finalizers", [])
        if ORPHAN in finalizers:
            for dependent_kind, dependent in self._dependents(thing):
                self._disown(dependent_kind, dependent, thing)
            self._release(kind, thing, ORPHAN)
        elif FOREGROUND in finalizers and not self._dependents(thing):
            self._release(kind, thing, FOREGROUND)
        elif kind == NAMESPACE:
            self._empty(thing)

    def _disown(self, kind: Kind, thing: Json, owner: Json) -> None:
        new, uid = copied(thing), owner["metadata"]["uid"]
        left = [one for one in new["metadata"]["ownerReferences"] if one["uid"] != uid]
        new["metadata"]["ownerReferences"] = left
        if not left:
            del new["metadata"]["ownerReferences"]
        self._hands.update(kind, new)

    def _release(self, kind: Kind, thing: Json, finalizer: str) -> None:
        """Take a finalizer away; with the last of them the object goes."""
        new = copied(thing)
        left = [one for one in new["metadata"]["finalizers"] if one != finalizer]
        new["metadata"]["finalizers"] = left
        if not left:
            del new["metadata"]["finalizers"]
        self._hands.update(kind, new)

    def _empty(self, namespace: Json) -> None:
        """Delete what a namespace holds, and then it."""
        store, name = self._hands.cluster.store, name_of(namespace)
        held = [
            (kind, one)
            for kind in store.kinds()
            if kind.namespaced
            for one in store.all(kind, name)
        ]
        for kind, thing in held:
            if not terminating(thing):
                delete(store, named(thing, kind), Deletion())
        if not held and not namespace["metadata"].get("finalizers"):
            store.remove(NAMESPACE, copied(namespace))
