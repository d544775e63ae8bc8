"""Everything that one simulated cluster is made of, behind its API."""

from dataclasses import dataclass

from simulators.kubernetes.admission import Admission
from simulators.kubernetes.containers import logs_of
from simulators.kubernetes.images import Registry
from simulators.kubernetes.rights import Rights
from simulators.kubernetes.store import Store
from simulators.kubernetes.values import Json
from simulators.kubernetes.writing import Writer


@dataclass(frozen=True)
class Pace:
    """How long things take, in real seconds."""

    start_seconds: float = 0.1
    """From a pod's place on a node to its containers running, and ready."""
    stop_seconds: float = 0.02
    """From a pod's deletion to its end."""
    back_off_seconds: float = 0.2
    """Between two starts of a container that crashes, and two tries of what was refused."""
    notice_seconds: float = 0.003
    """Until controllers notice what changed."""
    second: float = 1.0
    """How long a second of a deadline lasts that an object names, `progressDeadlineSeconds`."""


class Cluster:
    """The state of a cluster, and what writes it by the rules."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.store = Store()
        self.registry = Registry()
        self.rights = Rights()
        self.writer = Writer(self.store, Admission(self.store, self.registry))

    def logs_of(self, pod: Json, container: str, *, previous: bool) -> str:
        """Return what a container of a pod wrote, in this run or the one before.

        Raises:
            ApiError: it has not run, or not before.
        """
        with self.store.lock:
            return logs_of(self.registry, pod, container, previous=previous)
