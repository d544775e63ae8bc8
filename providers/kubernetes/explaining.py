"""Why pods do not come: what the cluster, the runtime and the program itself say of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from domain.errors import PermanentError
from providers.kubernetes.client import EVENTS, Json
from providers.kubernetes.workloads import (
    DEPLOYMENT,
    Kept,
    Workload,
    condition,
    given_up,
    last_change,
    moment,
    since_at_least,
)
from providers.masking import masked

_PULL_NEVER = {"InvalidImageName", "ErrImageNeverPull"}
_PULL = {
    "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable",
    "SignatureValidationFailed", *_PULL_NEVER,
}  # fmt: skip
_START = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}

_CRASHES, _PULLS = 3, 2
SURELY = timedelta(seconds=60)
"""After this a failure that keeps its name is no passing one, where no event counts it."""
_LINES = 10
_SHOWN = 600
_LOOKED_AT = 3
_QUOTA = "exceeded quota"
"""Old pods that go may make room for new ones, so this is not believed at once."""
_UNREACHABLE = ("failed calling webhook", "connection refused", "context deadline exceeded")


class Trouble(NamedTuple):
    """Why pods do not come; `certain` where waiting does not mend it."""

    reason: str
    certain: bool = False


@dataclass(frozen=True)
class Scene:
    """What a rollout's new pods are looked at with; `patience` is what they may take, in real time."""

    workload: Workload
    live: Json
    kept: Kept | None
    pods: Sequence[Json]
    patience: timedelta

    def surely(self) -> timedelta:
        """Return after how long a failure is believed where nothing counts it."""
        return self.workload.cluster.pacing.short(SURELY)

    def events(self, name: str, uid: str = "") -> list[Json]:
        """Return what was reported of an object, oldest first; nothing where that may not be read."""
        try:
            found = self.workload.cluster.all_of(
                EVENTS, self.workload.namespace, fields=f"involvedObject.name={name}"
            )
        except PermanentError:
            return []
        about = [
            one for one in found
            if one["involvedObject"].get("name") == name
            and (not uid or one["involvedObject"].get("uid") in (uid, None, ""))
        ]  # fmt: skip
        return sorted(about, key=_told_at)


def trouble(scene: Scene) -> Trouble | None:
    """Return why the new pods do not come, the surest reason first; None where nothing is wrong."""
    first = None
    for found in _all(scene):
        if found.certain:
            return found
        first = first or found
    return first


def failing(pod: Json) -> bool:
    """Return whether a pod fails, rather than being on its way."""
    for status in _statuses(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _PULL | _START | {"CrashLoopBackOff"}:
            return True
        if not status.get("ready") and _crashed(status):
            return True
    scheduled = condition(pod, "PodScheduled")
    return scheduled is not None and scheduled.get("reason") == "Unschedulable"


def works(pod: Json, surely: timedelta) -> bool:
    """Return whether a pod is ready and stays so; between two crashes one is ready for a moment."""
    since = ready_since(pod)
    return since is not None and (_restarts(pod) == 0 or since_at_least(since) > surely)


def ready_since(pod: Json) -> datetime | None:
    """Return since when a pod is ready, or None where it is not."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True" or not ready.get("lastTransitionTime"):
        return None
    return moment(ready["lastTransitionTime"])


def _all(scene: Scene) -> Iterator[Trouble]:
    """Yield what is wrong; of many pods that fail alike those that fail longest are looked at."""
    broken = sorted((pod for pod in scene.pods if failing(pod)), key=_restarts, reverse=True)
    for pod in broken[:_LOOKED_AT]:
        for status in _statuses(pod):
            yield from _of_container(scene, pod, status)
    yield from _refused(scene)
    late = [pod for pod in scene.pods if _is_late(scene, pod)]
    for pod in late[:_LOOKED_AT]:
        yield from _not_placed(pod)
        yield from _not_ready(scene, pod)


def _of_container(scene: Scene, pod: Json, status: Json) -> Iterator[Trouble]:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    name = f"container {status['name']} of pod {pod['metadata']['name']}"
    if reason in _PULL:
        told, count = _pulls(scene, pod)
        said = told or str(waiting.get("message") or reason)
        certain = reason in _PULL_NEVER or count >= _PULLS or _lasts(scene, pod)
        yield Trouble(f"the image of {name} cannot be pulled: {_short(said)}", certain)
    elif reason in _START:
        said = str(waiting.get("message") or reason)
        yield Trouble(f"{name} cannot be started ({reason}): {_short(said)}", _lasts(scene, pod))
    elif not status.get("ready") and _crashed(status):
        count = int(status.get("restartCount") or 0)
        yield Trouble(_crash(scene, pod, status, name), count >= _CRASHES)


def _crashed(status: Json) -> Json:
    """Return how a container's last run ended, if it ended badly; one that prepares may end well."""
    now = (status.get("state") or {}).get("terminated")
    ended = now or (status.get("lastState") or {}).get("terminated") or {}
    badly = ended.get("exitCode") or int(status.get("restartCount") or 0) > 0
    return ended if ended and badly else {}


def _crash(scene: Scene, pod: Json, status: Json, name: str) -> str:
    ended = _crashed(status)
    cause = str(ended.get("reason") or "")
    why = f" ({cause})" if cause and cause not in {"Error", "Completed"} else ""
    restarts = int(status.get("restartCount") or 0)
    words = _last_words(scene, pod, status)
    return (
        f"{name} keeps ending: exit code {ended.get('exitCode', 'unknown')}{why}, {restarts} restarts; "
        + (f"its last words: {words}" if words else "it wrote nothing")
    )


def _last_words(scene: Scene, pod: Json, status: Json) -> str:
    """Return the last lines of the run that ended, without what looks like a secret."""
    running = bool((status.get("state") or {}).get("running"))
    waiting = bool((status.get("state") or {}).get("waiting"))
    query = {"container": str(status["name"]), "tailLines": str(_LINES), "limitBytes": "65536"}
    for previous in (True, False) if running or waiting else (False, True):
        asked = {**query, **({"previous": "true"} if previous else {})}
        try:
            text = scene.workload.cluster.log(
                scene.workload.namespace, pod["metadata"]["name"], asked.items()
            )
        except PermanentError:  # no right to read it, or the runtime dropped it
            continue
        lines = [masked(line) for line in text.splitlines() if line.strip()]
        if lines:
            return " | ".join(lines[-_LINES:])
    return ""


def _refused(scene: Scene) -> Iterator[Trouble]:
    """Yield that pods cannot even be made."""
    said, since = _refused_replicas(scene)
    if scene.workload.kind is not DEPLOYMENT:  # the others tell it by events alone
        said, since = _refused_lately(scene)
    if said and since:
        lasting = since_at_least(since) > scene.surely()
        passing = any(word in said for word in _UNREACHABLE) or (_QUOTA in said and not lasting)
        yield Trouble(f"the cluster refuses to make its pods: {_short(said)}", not passing)


def _refused_replicas(scene: Scene) -> tuple[str, datetime | None]:
    """Return what refuses a ReplicaSet's pods, and since when."""
    failure = condition(scene.kept.object, "ReplicaFailure") if scene.kept else None
    if failure is None or failure.get("status") != "True":
        return "", None
    return str(failure.get("message") or ""), moment(failure["lastTransitionTime"])


def _refused_lately(scene: Scene) -> tuple[str, datetime | None]:
    """Return what a controller said since the last change of its pods not being made, and since when.

    Events are kept for an hour, so an older one is of the version that is gone back from.
    """
    changed = last_change(scene.live)
    since = [changed[1]] if changed else [moment(scene.live["metadata"]["creationTimestamp"])]
    since += [moment(one["metadata"]["creationTimestamp"]) for one in scene.pods]
    told = [
        one
        for one in scene.events(scene.workload.name, scene.live["metadata"]["uid"])
        if one.get("reason") == "FailedCreate" and _told_at(one) > max(since)
    ]
    return (str(told[-1].get("message") or ""), max(since)) if told else ("", None)


def _not_placed(pod: Json) -> Iterator[Trouble]:
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        said = str(scheduled.get("message") or scheduled.get("reason") or "no reason given")
        name = pod["metadata"]["name"]
        yield Trouble(f"the cluster has no room for pod {name}: {_short(said)}", certain=True)


def _not_ready(scene: Scene, pod: Json) -> Iterator[Trouble]:
    ready = condition(pod, "Ready")
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        return
    if ready is None or ready.get("status") == "True":
        return
    meta = pod["metadata"]
    probes = [
        str(one.get("message") or "")
        for one in scene.events(meta["name"], meta["uid"])
        if one.get("reason") == "Unhealthy"
    ]
    said = probes[-1] if probes else str(ready.get("message") or ready.get("reason") or "")
    words = next(
        (_last_words(scene, pod, one) for one in _statuses(pod) if not one.get("ready")), ""
    )
    yield Trouble(
        f"pod {meta['name']} runs but is not ready: {_short(said) or 'no reason given'}"
        + (f"; its last words: {words}" if words else ""),
        certain=True,
    )


def _pulls(scene: Scene, pod: Json) -> tuple[str, int]:
    """Return what the runtime said of its pulls last, and how many failed."""
    meta = pod["metadata"]
    failed = [
        one for one in scene.events(meta["name"], meta["uid"])
        if one.get("reason") == "Failed" and "pull" in str(one.get("message", "")).lower()
    ]  # fmt: skip
    told = [one for one in failed if str(one["message"]).startswith("Failed to pull")]
    count = sum(_count(one) for one in told)
    return (str(told[-1]["message"]), count) if told else ("", 0)


def _count(event: Json) -> int:
    series = event.get("series") or {}
    return int(event.get("count") or series.get("count") or 1)


def _lasts(scene: Scene, pod: Json) -> bool:
    return age(pod) > scene.surely()


def _is_late(scene: Scene, pod: Json) -> bool:
    return age(pod) > scene.patience or given_up(scene.live, scene.patience)


def age(pod: Json) -> timedelta:
    """Return how long ago a pod was made, at least."""
    return since_at_least(moment(pod["metadata"]["creationTimestamp"]))


def _statuses(pod: Json) -> list[Json]:
    status = pod.get("status") or {}
    preparing = [
        one for one in status.get("initContainerStatuses") or ()
        if ((one.get("state") or {}).get("terminated") or {}).get("reason") != "Completed"
    ]  # fmt: skip
    return [*preparing, *(status.get("containerStatuses") or ())]


def _restarts(pod: Json) -> int:
    return max((int(one.get("restartCount") or 0) for one in _statuses(pod)), default=0)


def _told_at(event: Json) -> datetime:
    series = event.get("series") or {}
    told = (
        series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
    )  # fmt: skip
    return moment(told) if told else datetime.min.replace(tzinfo=UTC)


def _short(said: str) -> str:
    line = masked(" ".join(said.split())) if len(said) < _SHOWN else " ".join(said.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
