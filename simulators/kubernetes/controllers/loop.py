"""The thread in which everything of a cluster happens that nobody calls for."""

import logging
import threading
import time
from typing import Protocol

from simulators.kubernetes.cluster import Cluster
from simulators.kubernetes.controllers.collecting import Collector
from simulators.kubernetes.controllers.daemonsets import DaemonSets
from simulators.kubernetes.controllers.deployments import Deployments
from simulators.kubernetes.controllers.hands import Alarm, Hands
from simulators.kubernetes.controllers.kubelet import Kubelet, Scheduler
from simulators.kubernetes.controllers.replicasets import ReplicaSets
from simulators.kubernetes.controllers.statefulsets import StatefulSets

_LOG = logging.getLogger(__name__)


class Controller(Protocol):
    """Something that brings the cluster nearer to what is wanted."""

    def step(self) -> None:
        """Do what is to be done now; called with the store's lock."""
        ...


class Loop:
    """Lets the controllers step whenever something happened, or was to happen by now."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._alarm = cluster, Alarm()
        self._ended = self._held = False
        self._controllers = self._make()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended = True
        self._cluster.store.stir()
        self._thread.join()

    def hold(self, *, held: bool) -> None:
        """Keep the controllers from doing anything, as when their program is down, or let them go on."""
        self._held = held
        self._cluster.store.stir()

    def _make(self) -> list[Controller]:
        def hands(component: str, manager: str = "kube-controller-manager") -> Hands:
            return Hands(self._cluster, self._alarm, component, manager)

        return [
            Deployments(hands("deployment-controller")),
            ReplicaSets(hands("replicaset-controller")),
            StatefulSets(hands("statefulset-controller")),
            DaemonSets(hands("daemonset-controller")),
            Scheduler(hands("default-scheduler", "kube-scheduler")),
            Kubelet(hands("kubelet", "kubelet")),
            Collector(hands("garbage-collector")),
        ]

    def _run(self) -> None:
        store = self._cluster.store
        while not self._ended:
            with store.lock:
                seen = store.stirs
                self._alarm.at = None
                if not self._held:
                    self._step()
                quiet = store.stirs == seen
            if quiet:
                self._wait(seen)
            time.sleep(self._cluster.pace.notice_seconds)

    def _wait(self, seen: int) -> None:
        store, at = self._cluster.store, self._alarm.at
        with store.changed:
            while store.stirs == seen:
                left = None if at is None else at - time.monotonic()
                if left is not None and left <= 0:
                    return
                store.changed.wait(left)

    def _step(self) -> None:
        for controller in self._controllers:
            try:
                controller.step()
            except Exception:  # noqa: BLE001 - one that fails keeps no other from its work
                _LOG.exception("a controller of the simulated cluster failed")
                self._alarm.set(1.0)
