"""What one container shows at a time after its start, by the way its image behaves."""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from simulators.kubernetes.images import (
    Behaviour,
    CannotBePulled,
    Crashes,
    NeverReady,
    Registry,
    Runs,
    full_form,
)
from simulators.kubernetes.refusals import bad_request
from simulators.kubernetes.values import Json, at, moment, name_of, namespace_of

_ERROR, _NORMAL = "Warning", "Normal"


@dataclass(frozen=True)
class Happening:
    """Something that a node tells as an event, once for each mark."""

    mark: str
    type: str
    reason: str
    message: str


@dataclass
class Run:
    """What a node remembers of a container: the image it runs, and since when."""

    image: str
    behaviour: Behaviour
    since: float
    """On the monotonic clock."""
    began: datetime
    image_id: str = ""
    held: bool = False
    """Whether the node held the image before."""
    restarts: int = 0
    once: bool = False
    """Whether it is not started again once it has ended."""
    told: set[str] = field(default_factory=set)

    def after(self, seconds: float) -> str:
        """Return the moment some seconds after its start."""
        return moment(self.began + timedelta(seconds=seconds))


@dataclass
class View:
    """What a container shows now."""

    status: Json
    happenings: list[Happening]
    due: float | None = None
    """Seconds after the start at which it shows something else."""


@dataclass(frozen=True)
class Tempo:
    """How long a container's steps take, in seconds."""

    start: float
    back_off: float


def view_of(container: Json, run: Run, elapsed: float, tempo: Tempo, pod: str) -> View:
    """Return what a container shows some seconds after its start; `pod` is how messages name it."""
    behaviour = run.behaviour
    if isinstance(behaviour, CannotBePulled):
        return _not_pulled(container, run, elapsed, tempo)
    start = tempo.start
    if isinstance(behaviour, Runs) and behaviour.start_seconds is not None:
        start = behaviour.start_seconds
    if elapsed < start:
        view = _waiting(container, run, "ContainerCreating", "")
        view.due = start
        return view
    if isinstance(behaviour, Crashes):
        return _crashing(container, run, elapsed - start, tempo, pod)
    view = _running(container, run, start, ready=not isinstance(behaviour, NeverReady))
    if isinstance(behaviour, NeverReady):
        beats = int((elapsed - start) / tempo.back_off)
        view.happenings.append(
            Happening(f"unhealthy {beats}", _ERROR, "Unhealthy", behaviour.message)
        )
        view.due = start + (beats + 1) * tempo.back_off
    return view


def _status(container: Json, run: Run, state: Json, *, ready: bool, started: bool) -> Json:
    return {
        "name": container["name"],
        "image": full_form(run.image),
        "imageID": run.image_id,
        "ready": ready,
        "started": started,
        "restartCount": run.restarts,
        "state": state,
        "lastState": {},
    }


def _waiting(container: Json, run: Run, reason: str, message: str) -> View:
    state: Json = {"waiting": {"reason": reason}}
    if message:
        state["waiting"]["message"] = message
    status = _status(container, run, state, ready=False, started=False)
    if not run.restarts:
        status |= {"imageID": "", "image": run.image}
    return View(status, [])


def _running(container: Json, run: Run, start: float, *, ready: bool) -> View:
    state = {"running": {"startedAt": run.after(start)}}
    return View(_status(container, run, state, ready=ready, started=True), _started(container, run))


def _started(container: Json, run: Run) -> list[Happening]:
    image, name = run.image, container["name"]
    pulled = [
        Happening(
            "pulled", _NORMAL, "Pulled", f'Container image "{image}" already present on machine'
        )
    ]
    if not run.held:
        pulled = [
            Happening("pulling", _NORMAL, "Pulling", f'Pulling image "{image}"'),
            Happening("pulled", _NORMAL, "Pulled", f'Successfully pulled image "{image}"'),
        ]
    return [
        *pulled,
        Happening("created", _NORMAL, "Created", f"Created container: {name}"),
        Happening("started", _NORMAL, "Started", f"Started container {name}"),
    ]


def _not_pulled(container: Json, run: Run, elapsed: float, tempo: Tempo) -> View:
    """Return what a container shows whose image no registry gives."""
    assert isinstance(run.behaviour, CannotBePulled)
    image, full = run.image, full_form(run.image)
    why = run.behaviour.message or (
        f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": '
        f"{full}: not found"
    )
    backs_off = f'Back-off pulling image "{image}"'
    if elapsed < tempo.start / 2:
        view = _waiting(container, run, "ContainerCreating", "")
        view.due = tempo.start / 2
        return view
    beats = int((elapsed - tempo.start / 2) / tempo.back_off)
    if beats % 2:
        view = _waiting(container, run, "ImagePullBackOff", f"{backs_off}: ErrImagePull: {why}")
        view.happenings = [
            Happening(f"back-off {beats}", _NORMAL, "BackOff", backs_off),
            Happening(f"waits {beats}", _ERROR, "Failed", "Error: ImagePullBackOff"),
        ]
    else:
        view = _waiting(container, run, "ErrImagePull", why)
        failed = f'Failed to pull image "{image}": {why}'
        view.happenings = [
            Happening(f"pulling {beats}", _NORMAL, "Pulling", f'Pulling image "{image}"'),
            Happening(f"failed {beats}", _ERROR, "Failed", failed),
            Happening(f"error {beats}", _ERROR, "Failed", "Error: ErrImagePull"),
        ]
    view.due = tempo.start / 2 + (beats + 1) * tempo.back_off
    return view


def _crashing(container: Json, run: Run, ran: float, tempo: Tempo, pod: str) -> View:
    """Return what a container shows that ends soon after each start."""
    how = run.behaviour
    assert isinstance(how, Crashes)
    round_ = how.after_seconds + tempo.back_off
    count = 0 if run.once else math.floor(ran / round_ + 1e-9)
    began = tempo.start + count * round_
    ends = began + how.after_seconds
    running = tempo.start + ran < ends - 1e-9
    ended = _terminated(run, how, began, ends)
    if running:
        view = _running(container, run, began, ready=how.ready)
        view.due = ends
    else:
        view = View(_status(container, run, ended, ready=False, started=False), [])
        view.happenings, view.due = _started(container, run), began + round_
        if run.once:
            view.due = None
            return view
    view.status["restartCount"] = run.restarts + count
    if count:
        last = _terminated(run, how, began - round_, ends - round_)
        view.status["lastState"] = last if running else ended
        if not running:
            message = f"back-off 10s restarting failed container={container['name']} pod={pod}"
            view.status["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    if count or not running:
        message = f"Back-off restarting failed container {container['name']} in pod {pod}"
        view.happenings.append(Happening(f"back-off {count}", _ERROR, "BackOff", message))
    return view


def _terminated(run: Run, how: Crashes, began: float, ends: float) -> Json:
    told = {"exitCode": how.exit_code, "reason": how.reason}
    times = {"startedAt": run.after(began), "finishedAt": run.after(ends)}
    return {"terminated": {**told, **times}}


def completed(container: Json, run: Run, seconds: float) -> Json:
    """Return the status of an init container that has done its work."""
    told = {"exitCode": 0, "reason": "Completed"}
    times = {"startedAt": run.after(0), "finishedAt": run.after(seconds)}
    state = {"terminated": {**told, **times}}
    return _status(container, run, state, ready=True, started=False)


def logs_of(registry: Registry, pod: Json, container: str, *, previous: bool) -> str:
    """Return what a container wrote, by what its status tells."""
    held = [
        *at(pod, "status", "containerStatuses", default=[]),
        *at(pod, "status", "initContainerStatuses", default=[]),
    ]
    status = next((one for one in held if one["name"] == container), None)
    name = f'container "{container}" in pod "{name_of(pod)}"'
    if status is None:
        raise bad_request(f"{name} is not available")
    if previous and not status["lastState"]:
        raise bad_request(f"previous terminated {name} not found")
    reason = at(status, "state", "waiting", "reason")
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        raise bad_request(f"{name} is waiting to start: trying and failing to pull image")
    if reason in ("ContainerCreating", "PodInitializing"):
        raise bad_request(f"{name} is waiting to start: {reason}")
    image = next(
        one["image"]
        for one in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
        if one["name"] == container
    )
    behaviour = registry.behaviour_of(image)
    return behaviour.logs if isinstance(behaviour, Runs | Crashes | NeverReady) else ""


def pod_as_messages_name_it(pod: Json) -> str:
    """Return a pod as a node's messages name it."""
    return f"{name_of(pod)}_{namespace_of(pod)}({pod['metadata']['uid']})"
