"""Whether a rollout is done, by one look: as `kubectl rollout status` decides, and stricter."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from domain.errors import (
    AccessDeniedError,
    ConflictError,
    NotYetError,
    ResourceMissingError,
    RolloutFailedError,
)
from domain.rollback import Change, ProtectedApplication
from domain.values import show_span
from providers.kubernetes.client import PODS, Json
from providers.kubernetes.explaining import SURELY, Scene, age, failing, trouble
from providers.kubernetes.images import containers_of, digest_of, main_container
from providers.kubernetes.workloads import (
    DAEMON_SET,
    DEPLOYMENT,
    STATEFUL_SET,
    Kept,
    Workload,
    condition,
    given_up,
    moment,
    seen,
    told_change,
)

_PATIENCE = timedelta(seconds=600)
"""The progress deadline of a Deployment that names none; the other kinds have none of their own."""
_FOREVER = 2**31 - 1
ON_DELETE = "OnDelete"


def patience(workload: Workload, live: Json) -> timedelta:
    """Return how long a rollout may make no progress, in real time."""
    told = int(live["spec"].get("progressDeadlineSeconds") or _FOREVER)
    own = timedelta(seconds=told) if told < _FOREVER else _PATIENCE
    return workload.cluster.pacing.short(own)


def poll(workload: Workload) -> str:
    """Return what was seen once what the live object asks for runs everywhere and is ready.

    Raises:
        NotYetError: with how far it is.
        RolloutFailedError: it does not come, and why.
    """
    live = workload.live()
    return look(workload, live, workload.revisions(live), making_way=True)


def poll_change(workload: Workload, application: ProtectedApplication, change: Change) -> str:
    """Return as `poll`, once every pod runs the change's image by its digest.

    Raises:
        ConflictError: the live object no more asks for the change.
    """
    live = workload.live()
    main = main_container(application, live["spec"]["template"])
    written = next(
        one["image"] for one in containers_of(live["spec"]["template"]) if one["name"] == main
    )
    if change.digest and digest_of(written) != change.digest:
        raise ConflictError(
            f"{workload} runs {written} and no more {change.digest[:19]}: {told_change(live)}; "
            "nothing was overwritten"
        )
    kept = workload.revisions(live)
    told = look(workload, live, kept, making_way=True)
    current = workload.current(live, kept)
    if current is None or not change.digest:
        return told
    return told + _by_digest(
        workload, workload.pods_of(current, workload.pods(live)), main, change.digest
    )


def look(workload: Workload, live: Json, kept: Sequence[Kept], *, making_way: bool = False) -> str:
    """Return what was seen of a live object and its revisions; raises as `poll`.

    Nothing is changed, unless it is `making_way` for what waits for a broken pod.
    """
    if live["spec"].get("paused"):
        raise RolloutFailedError(
            f"{workload} is paused and rolls nothing out; "
            f"`kubectl rollout resume {workload} -n {workload.namespace}`"
        )
    pace = _pace(workload, live)
    if not seen(live):
        raise NotYetError(f"the controller of {workload} has not seen the change", pace)
    current = workload.current(live, kept)
    pods = workload.pods(live)
    fresh = workload.pods_of(current, pods) if current is not None else []
    scene = Scene(workload, live, current, fresh, patience(workload, live))
    waiting = _waiting(workload, live) or _not_ready(fresh, live, workload)
    if not waiting:
        return f"{workload}: {len(fresh)} of {wanted(workload, live)} pods ready"
    wrong = trouble(scene)
    if wrong is not None and wrong.certain:
        raise RolloutFailedError(f"{workload} does not come up: {wrong.reason}")
    if given_up(live, scene.patience):
        why = wrong.reason if wrong is not None else waiting
        raise RolloutFailedError(
            f"{workload} made no progress for {show_span(scene.patience)}: {why}"
        )
    made_way = _require_way(workload, live, current, pods) if making_way else ""
    why = f"; {wrong.reason}" if wrong else made_way
    raise NotYetError(f"{workload}: {waiting}{why}", pace)


def _waiting(workload: Workload, live: Json) -> str:
    """Return what `kubectl rollout status` would wait for, or nothing."""
    status, count = live.get("status") or {}, wanted(workload, live)
    updated = int(status.get("updatedReplicas") or status.get("updatedNumberScheduled") or 0)
    if workload.kind is STATEFUL_SET:
        return _ordered(live, count, updated)
    if updated < count:
        return f"{updated} of {count} replicas updated"
    total = int(status.get("replicas") or 0)
    if workload.kind is DEPLOYMENT and total > updated:
        return f"{total - updated} old replicas are still going"
    ready = int(status.get("availableReplicas") or status.get("numberAvailable") or 0)
    least = updated if workload.kind is DEPLOYMENT else count
    return f"{ready} of {least} updated replicas ready" if ready < least else ""


def _ordered(live: Json, count: int, updated: int) -> str:
    """Return what a StatefulSet waits for; a partition leaves the pods below it as they are."""
    status = live.get("status") or {}
    ready, part = int(status.get("readyReplicas") or 0), _partition(live)
    if ready < count:
        return f"{ready} of {count} replicas ready"
    if updated < max(0, count - part):
        return f"{updated} of {max(0, count - part)} replicas updated"
    if not part and status.get("updateRevision") != status.get("currentRevision"):
        return f"{updated} of {count} replicas updated"
    return ""


def _partition(live: Json) -> int:
    rolling = (live["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def _not_ready(fresh: Sequence[Json], live: Json, workload: Workload) -> str:
    """Return how many pods of the new revision are not ready, or nothing; counts lag behind pods."""
    count = max(0, wanted(workload, live) - _partition(live))
    ready = [pod for pod in fresh if is_ready(pod)]
    if len(ready) == len(fresh) and len(ready) >= count:
        return ""
    return f"{len(ready)} of {count} updated replicas ready"


def wanted(workload: Workload, live: Json) -> int:
    """Return how many pods there are to be."""
    if workload.kind is DAEMON_SET:
        return int((live.get("status") or {}).get("desiredNumberScheduled") or 0)
    replicas = live["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _by_digest(workload: Workload, pods: Sequence[Json], main: str, digest: str) -> str:
    """Require that what the pods run is the digest asked for, and return that in words.

    A pod that was made with the digest runs it: the runtime checks what it pulls. Some name it
    afterwards by the platform's own manifest inside an index, which is told and no fault.
    """
    otherwise = set()
    for pod in pods:
        asked = next((one["image"] for one in containers_of(pod) if one["name"] == main), "")
        told = next((digest_of(str(one.get("imageID") or "")) for one in _statuses(pod, main)), "")
        if told and told != digest and digest_of(asked) == digest:
            otherwise.add(told)
        elif told and told != digest:
            raise RolloutFailedError(
                f"{workload}: pod {pod['metadata']['name']} runs {told[:19]} as {asked}, and not "
                f"{digest[:19]}: something on the way changed its image"
            )
    if otherwise:
        return f", asked for by {digest[:19]}; the runtime calls it {', '.join(sorted(otherwise))}"
    return f", running {digest[:19]}" if pods else ""


def _statuses(pod: Json, container: str) -> list[Json]:
    listed = (pod.get("status") or {}).get("containerStatuses") or ()
    return [one for one in listed if one["name"] == container]


def _require_way(workload: Workload, live: Json, current: Kept | None, pods: Sequence[Json]) -> str:
    """Make way for what waits for a broken pod, and refuse to wait for what cannot come."""
    strategy = (live["spec"].get("updateStrategy") or {}).get("type")
    if strategy == ON_DELETE:
        raise RolloutFailedError(
            f"{workload} has the update strategy OnDelete: its pods change when somebody deletes "
            "them; delete them one by one"
        )
    removed = []
    for pod in _blocking(workload, live, current, pods):
        name = pod["metadata"]["name"]
        try:
            workload.cluster.delete(PODS, workload.namespace, pod)
        except (ConflictError, ResourceMissingError):  # it is another one by now
            continue
        except AccessDeniedError as error:
            raise RolloutFailedError(
                f"{workload} waits for pod {name}, which fails and is of another revision: a "
                "StatefulSet changes no pod before the others are ready. Refloat may not delete it; "
                f"`kubectl delete pod {name} -n {workload.namespace}` ({error})"
            ) from error
        removed.append(name)
    return f"; deleted {', '.join(removed)}, which failed and was in the way" if removed else ""


def _blocking(
    workload: Workload, live: Json, current: Kept | None, pods: Sequence[Json]
) -> list[Json]:
    """Return failing pods of other revisions that keep a StatefulSet from going on.

    With ordered pods it waits for each to be ready, also for one that only its own replacement
    could mend: "Forced rollback" in the documentation of StatefulSets.
    """
    ordered = live["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    if workload.kind is not STATEFUL_SET or not ordered or current is None:
        return []
    names = {pod["metadata"]["name"] for pod in workload.pods_of(current, pods)}
    long = workload.cluster.pacing.short(SURELY)
    return [
        pod
        for pod in pods
        if pod["metadata"]["name"] not in names
        and (failing(pod) or (not is_ready(pod) and age(pod) > long))
    ]


def is_ready(pod: Json) -> bool:
    """Return whether a pod is ready."""
    ready = condition(pod, "Ready")
    return ready is not None and ready.get("status") == "True"


def _pace(workload: Workload, live: Json) -> timedelta:
    """Return when to look again; a rollout is a matter of seconds, so soon at first."""
    last = condition(live, "Progressing")
    began = moment(last["lastUpdateTime"]) if last and last.get("lastUpdateTime") else None
    return workload.cluster.pacing.since(began, datetime.now(UTC), None)
