"""Applications in Kubernetes: what ran, going back to it, and whether it came."""

from collections.abc import Sequence

from domain.checks import Finding
from domain.errors import NotYetError, RolloutFailedError
from domain.platforms import ApplicationPlatform
from domain.rollback import Applied, Change, ProtectedApplication, Revision
from providers.health import require_healthy
from providers.kubernetes import applying, history, preflight, rollout
from providers.kubernetes.client import Clusters
from providers.kubernetes.explaining import Scene, trouble
from providers.kubernetes.workloads import Workload, version_of, workload_of


class KubernetesApplications(ApplicationPlatform):
    """Deployments, StatefulSets and DaemonSets of the clusters that the catalog names."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def history(self, application: ProtectedApplication) -> Sequence[Revision]:
        """Return what ran, newest first, and note on it what is seen to run now."""
        return history.history(self._of(application), application)

    def examine(self, application: ProtectedApplication, change: Change) -> Sequence[Finding]:
        """Return one finding per precondition: rights, other rollouts, other owners, admission."""
        return list(preflight.examine(self._of(application), application, change))

    def version(self, application: ProtectedApplication) -> str:
        """Return which object it is and which template it has."""
        return version_of(self._of(application).live())

    def apply(self, application: ProtectedApplication, change: Change, *, key: str) -> Applied:
        """Patch the workload's template, or find that a call with this key did."""
        return applying.apply(self._of(application), application, change, key)

    def poll_rollout(self, application: ProtectedApplication, change: Change) -> str:
        """Return what was seen once every pod runs the change and is ready."""
        return rollout.poll_change(self._of(application), application, change)

    def require_healthy(self, application: ProtectedApplication) -> str:
        """Return what the health address said; without one, that every pod is ready."""
        workload = self._of(application)
        if application.health is None:
            return rollout.poll(workload)
        try:
            return require_healthy(application.name, application.health.url)
        except NotYetError as error:
            _require_alive(workload, error)
            raise

    def _of(self, application: ProtectedApplication) -> Workload:
        return workload_of(self._clusters, application)


def _require_alive(workload: Workload, unhealthy: NotYetError) -> None:
    """Raise `RolloutFailedError` where the program has ended and will not answer any more."""
    live = workload.live()
    current = workload.current(live, workload.revisions(live))
    pods = workload.pods(live)
    fresh = workload.pods_of(current, pods) if current is not None else pods
    wrong = trouble(Scene(workload, live, current, fresh, rollout.patience(workload, live)))
    if wrong is not None and wrong.certain:
        raise RolloutFailedError(f"{workload}: {wrong.reason}") from unhealthy
