"""Where everything is kept: the latest objects, and the history that watches follow."""

import threading
from collections import deque
from dataclasses import dataclass

from simulators.kubernetes.kinds import Kind
from simulators.kubernetes.values import Json, name_of, namespace_of

_KEPT = 20_000


@dataclass(frozen=True)
class Change:
    """One change of one object, as a watch tells it."""

    version: int
    type: str
    kind: Kind
    object: Json
    before: Json | None


class Store:
    """Objects by kind, namespace and name, under one counter of versions.

    Objects in it are never changed, only replaced: what it returns must be copied before it is
    changed. Callers hold `lock` while they read something and write what follows from it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.version = 1
        self.stirs = 0
        """How often something happened that controllers have to look at."""
        self.compacted = 0
        """The last version that the history no longer tells."""
        self._objects: dict[Kind, dict[tuple[str, str], Json]] = {}
        self._history: deque[Change] = deque()

    def get(self, kind: Kind, namespace: str, name: str) -> Json | None:
        """Return an object."""
        with self.lock:
            return self._objects.get(kind, {}).get((namespace, name))

    def all(self, kind: Kind, namespace: str = "") -> list[Json]:
        """Return the objects of a kind in the order of lists; of every namespace without one."""
        with self.lock:
            held = self._objects.get(kind, {})
            return [held[key] for key in sorted(held) if not namespace or key[0] == namespace]

    def kinds(self) -> list[Kind]:
        """Return the kinds of which there are objects."""
        with self.lock:
            return [kind for kind, held in self._objects.items() if held]

    def put(self, kind: Kind, thing: Json) -> Json:
        """Keep a new state of an object under the next version, and return it."""
        with self.lock:
            key = (namespace_of(thing), name_of(thing))
            held = self._objects.setdefault(kind, {})
            before = held.get(key)
            held[key] = thing
            self._tell("MODIFIED" if before else "ADDED", kind, thing, before)
            return thing

    def remove(self, kind: Kind, thing: Json) -> None:
        """Let go of an object; its last state is told under the next version."""
        with self.lock:
            before = self._objects[kind].pop((namespace_of(thing), name_of(thing)))
            last = {**thing, "metadata": dict(thing["metadata"])}
            self._tell("DELETED", kind, last, before)

    def since(self, version: int, kind: Kind) -> list[Change]:
        """Return what happened to objects of a kind after a version."""
        with self.lock:
            found = []
            for change in reversed(self._history):
                if change.version <= version:
                    break
                if change.kind == kind:
                    found.append(change)
            return found[::-1]

    def compact(self) -> None:
        """Forget the history up to now."""
        with self.lock:
            self._history.clear()
            self.compacted = self.version
            self.stir()

    def stir(self) -> None:
        """Wake whoever waits for something to happen."""
        with self.lock:
            self.stirs += 1
            self.changed.notify_all()

    def _tell(self, what: str, kind: Kind, thing: Json, before: Json | None) -> None:
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        self._history.append(Change(self.version, what, kind, thing, before))
        if len(self._history) > _KEPT:
            self.compacted = self._history.popleft().version
        self.stir()
