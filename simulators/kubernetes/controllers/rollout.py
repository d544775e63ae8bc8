"""The arithmetic of a Deployment's rollout: which ReplicaSet may grow or shrink, and by how much."""

import math
from dataclasses import dataclass

from simulators.kubernetes.values import Json, Value, annotations_of, at

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


def replicas_of(thing: Json) -> int:
    """Return how many replicas a workload is to have."""
    return int(thing["spec"]["replicas"])


def counted(thing: Json, field: str) -> int:
    """Return a number of a workload's status."""
    return int(at(thing, "status", field, default=0))


def share_of(value: Value, whole: int, *, up: bool) -> int:
    """Return a number, or a percentage of a whole."""
    if isinstance(value, str) and value.endswith("%"):
        part = int(value[:-1]) * whole / 100
        return math.ceil(part) if up else math.floor(part)
    return int(value)


@dataclass(frozen=True)
class Bounds:
    """How far a rollout may leave the wanted number of pods."""

    surge: int
    unavailable: int


def bounds_of(deployment: Json) -> Bounds:
    """Return the bounds of a Deployment's rollout; those of `Recreate` are nothing at all."""
    strategy, replicas = deployment["spec"]["strategy"], replicas_of(deployment)
    if strategy["type"] != "RollingUpdate" or replicas == 0:
        return Bounds(0, 0)
    rolling = strategy["rollingUpdate"]
    surge = share_of(rolling["maxSurge"], replicas, up=True)
    unavailable = share_of(rolling["maxUnavailable"], replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(surge, min(unavailable, replicas))


@dataclass
class Rollout:
    """A Deployment with its ReplicaSets."""

    deployment: Json
    new: Json | None
    old: list[Json]
    """From the oldest to the newest."""

    @property
    def all(self) -> list[Json]:
        """Every ReplicaSet."""
        return [*self.old, *([self.new] if self.new else [])]

    @property
    def active(self) -> list[Json]:
        """Those that are to have pods."""
        return [one for one in self.all if replicas_of(one) > 0]

    @property
    def wanted(self) -> int:
        """How many pods are wanted in all."""
        return replicas_of(self.deployment)

    def total(self) -> int:
        """Return how many pods the ReplicaSets are to have."""
        return sum(replicas_of(one) for one in self.all)

    def size_of_new(self) -> int:
        """Return how many pods the new ReplicaSet may have now."""
        held = replicas_of(self.new) if self.new else 0
        if self.deployment["spec"]["strategy"]["type"] != "RollingUpdate":
            return self.wanted
        if held >= self.wanted:
            return self.wanted
        room = self.wanted + bounds_of(self.deployment).surge - self.total()
        return held + max(0, min(room, self.wanted - held))

    def sizes_of_old(self) -> dict[str, int]:
        """Return the sizes that old ReplicaSets shrink to now, by name."""
        assert self.new is not None
        active = [one for one in self.old if replicas_of(one) > 0]
        least = self.wanted - bounds_of(self.deployment).unavailable
        unavailable = replicas_of(self.new) - counted(self.new, "availableReplicas")
        spare = self.total() - least - unavailable
        if not active or spare <= 0:
            return {}
        sizes = {one["metadata"]["name"]: replicas_of(one) for one in active}
        for one in active:  # what serves nobody goes first
            name = one["metadata"]["name"]
            gone = min(spare, max(0, sizes[name] - counted(one, "availableReplicas")))
            sizes[name] -= gone
            spare -= gone
        left = sum(counted(one, "availableReplicas") for one in self.all) - least
        for one in active:
            name = one["metadata"]["name"]
            gone = min(max(0, left), sizes[name])
            sizes[name] -= gone
            left -= gone
        return {n: size for n, size in sizes.items() if size != self._held(n)}

    def _held(self, name: str) -> int:
        return next(replicas_of(one) for one in self.old if one["metadata"]["name"] == name)

    def scaled(self) -> dict[str, int]:
        """Return the sizes of the ReplicaSets once the Deployment itself was scaled, by name."""
        active = self.active
        latest = self.new or (self.old[-1] if self.old else None)
        only = active[0] if len(active) == 1 else latest if not active else None
        if only is not None:
            return {only["metadata"]["name"]: self.wanted}
        if self._saturated():
            return {one["metadata"]["name"]: 0 for one in self.old if replicas_of(one) > 0}
        if not active or self.deployment["spec"]["strategy"]["type"] != "RollingUpdate":
            return {}
        return self._in_proportion(active)

    def _saturated(self) -> bool:
        if self.new is None:
            return False
        desired = int(annotations_of(self.new).get(DESIRED, "-1"))
        available = counted(self.new, "availableReplicas")
        return replicas_of(self.new) == desired == available == self.wanted

    def _in_proportion(self, active: list[Json]) -> dict[str, int]:
        allowed = self.wanted + bounds_of(self.deployment).surge if self.wanted else 0
        change = allowed - sum(replicas_of(one) for one in active)
        active = sorted(active, key=replicas_of, reverse=True)
        sizes: dict[str, int] = {}
        done = 0
        for one in active:
            part = self._part(one, change, done)
            sizes[one["metadata"]["name"]] = replicas_of(one) + part
            done += part
        first = active[0]["metadata"]["name"]
        sizes[first] = max(0, sizes[first] + change - done)
        return sizes

    def _part(self, one: Json, change: int, done: int) -> int:
        if not change or change == done:
            return 0
        most = self.wanted + bounds_of(self.deployment).surge
        before = int(annotations_of(one).get(MAXIMUM, 0)) or counted(self.deployment, "replicas")
        held = replicas_of(one)
        fraction = -held if not self.wanted else round(held * most / (before or 1)) - held
        left = change - done
        return min(fraction, left) if change > 0 else max(fraction, left)
