"""The nodes: they give pods a place, run their containers, and tell how they are."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from simulators.kubernetes.admission import images_of
from simulators.kubernetes.containers import (
    Run,
    Tempo,
    View,
    completed,
    pod_as_messages_name_it,
    view_of,
)
from simulators.kubernetes.controllers.hands import Hands
from simulators.kubernetes.controllers.pods import with_condition
from simulators.kubernetes.images import (
    Behaviour,
    CannotBePulled,
    HasNoRoom,
    NeverReady,
    Refused,
    Runs,
)
from simulators.kubernetes.kinds import NODE, POD
from simulators.kubernetes.values import (
    Json,
    at,
    copied,
    moment,
    name_of,
    namespace_of,
    terminating,
)


@dataclass
class Held:
    """What a node remembers of a pod."""

    address: str
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    runs: dict[str, Run] = field(default_factory=dict)
    stopping: float | None = None


class Kubelet:
    """The nodes' own work: containers, from a pod's binding to its end."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._held: dict[str, Held] = {}
        self._addresses = 1
        pace = hands.cluster.pace
        self._tempo = Tempo(pace.start_seconds, pace.back_off_seconds)

    def step(self) -> None:
        """Do what is to be done now."""
        pods = [pod for pod in self._hands.all(POD) if at(pod, "spec", "nodeName")]
        uids = {pod["metadata"]["uid"] for pod in pods}
        self._held = {uid: held for uid, held in self._held.items() if uid in uids}
        for pod in pods:
            held = self._held.get(pod["metadata"]["uid"]) or self._take(pod)
            if terminating(pod):
                self._end(pod, held)
            else:
                self._run(pod, held)

    def _take(self, pod: Json) -> Held:
        self._addresses += 1
        held = Held(f"10.244.{self._addresses // 250}.{self._addresses % 250 + 1}")
        self._held[pod["metadata"]["uid"]] = held
        return held

    def _end(self, pod: Json, held: Held) -> None:
        """Stop a pod that is to go; what its finalizers wait for keeps it."""
        if held.stopping is None:
            held.stopping = time.monotonic() + self._hands.cluster.pace.stop_seconds
        left = held.stopping - time.monotonic()
        if left > 0:
            self._hands.alarm.set(left)
        elif not pod["metadata"].get("finalizers"):
            self._hands.cluster.store.remove(POD, copied(pod))

    def _run(self, pod: Json, held: Held) -> None:
        inits, ready_to_go = self._initialise(pod, held)
        mains: list[View] = []
        for container in pod["spec"]["containers"]:
            if ready_to_go:
                mains.append(self._look(pod, held, container))
            else:
                waiting = {"waiting": {"reason": "PodInitializing"}}
                mains.append(View(_idle(container, waiting), []))
        status = self._status(pod, held, mains, done=ready_to_go)
        if inits:
            status["initContainerStatuses"] = inits
        self._hands.set_status(POD, pod, status)

    def _initialise(self, pod: Json, held: Held) -> tuple[list[Json], bool]:
        """Return the statuses of a pod's init containers, and whether all of them are done."""
        found: list[Json] = []
        containers = pod["spec"].get("initContainers", [])
        for place, container in enumerate(containers):
            view = self._look(pod, held, container)
            found.append(view.status)
            if not view.status["ready"]:
                rest = containers[place + 1 :]
                waiting = {"waiting": {"reason": "PodInitializing"}}
                return [*found, *(_idle(one, waiting) for one in rest)], False
            if container.get("restartPolicy") != "Always":
                found[-1] = completed(container, held.runs[container["name"]], self._tempo.start)
        return found, True

    def _look(self, pod: Json, held: Held, container: Json) -> View:
        """Return what a container shows now, and tell what happened to it."""
        run = self._run_of(pod, held, container)
        elapsed = time.monotonic() - run.since
        view = view_of(container, run, elapsed, self._tempo, pod_as_messages_name_it(pod))
        if view.due is not None:
            self._hands.alarm.set(view.due - elapsed)
        field_path = f"spec.containers{{{container['name']}}}"
        for happening in view.happenings:
            if happening.mark not in run.told:
                run.told.add(happening.mark)
                self._hands.recorder.record(
                    pod, happening.type, happening.reason, happening.message, field_path
                )
        return view

    def _run_of(self, pod: Json, held: Held, container: Json) -> Run:
        """Return what is remembered of a container; another image, or behaviour, starts it anew."""
        registry, image = self._hands.cluster.registry, container["image"]
        behaviour = registry.behaviour_of(image)
        run = held.runs.get(container["name"])
        if run is not None and run.image == image and _goes_on(run, behaviour):
            return run
        restarts = 0
        if run is not None:
            elapsed = time.monotonic() - run.since
            ran = view_of(container, run, elapsed, self._tempo, name_of(pod))
            restarts = ran.status["restartCount"] + 1
            if isinstance(run.behaviour, CannotBePulled):
                restarts = run.restarts
        once = pod["spec"]["restartPolicy"] == "Never"
        new = Run(
            image, behaviour, time.monotonic(), datetime.now(UTC), restarts=restarts, once=once
        )
        if not isinstance(behaviour, CannotBePulled):
            node = pod["spec"]["nodeName"]
            new.image_id, new.held = registry.pull(node, image, container["imagePullPolicy"])
        held.runs[container["name"]] = new
        return new

    def _status(self, pod: Json, held: Held, mains: list[View], *, done: bool) -> Json:
        statuses = [view.status for view in mains]
        unready = [status["name"] for status in statuses if not status["ready"]]
        conditions = at(pod, "status", "conditions", default=[])
        for new in _conditions(unready, done=done):
            conditions = with_condition(conditions, new)
        return {
            **at(pod, "status", default={}),
            "phase": _phase(pod, statuses),
            "conditions": conditions,
            "hostIP": "10.0.0.1",
            "podIP": held.address,
            "podIPs": [{"ip": held.address}],
            "startTime": moment(held.began),
            "containerStatuses": statuses,
        }


def _goes_on(run: Run, behaviour: Behaviour) -> bool:
    """Return whether a container goes on running, though its image may behave otherwise now."""
    serving = (Runs, NeverReady)
    if isinstance(run.behaviour, serving) and isinstance(behaviour, serving):
        run.behaviour = behaviour  # its probe answers otherwise, and that is all
    started = not isinstance(run.behaviour, CannotBePulled)
    later = isinstance(behaviour, CannotBePulled | HasNoRoom | Refused)
    return run.behaviour == behaviour or (started and later)


def _phase(pod: Json, statuses: list[Json]) -> str:
    """Return the phase of a pod by its containers' statuses."""
    waits = [at(one, "state", "waiting", "reason") for one in statuses]
    if any(reason not in (None, "CrashLoopBackOff") for reason in waits):
        return "Pending"
    ends = [at(one, "state", "terminated") for one in statuses]
    over = pod["spec"]["restartPolicy"] == "Never" and all(ends)
    return "Failed" if over else "Running"


def _idle(container: Json, state: Json) -> Json:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }


def _conditions(unready: list[str], *, done: bool) -> list[Json]:
    """Return the conditions of a pod on a node."""
    why = {
        "reason": "ContainersNotReady",
        "message": f"containers with unready status: [{' '.join(unready)}]",
    }
    states = {
        "PodReadyToStartContainers": {"status": "True"},
        "Initialized": {"status": "True" if done else "False"},
        "Ready": {"status": "False", **why} if unready else {"status": "True"},
        "ContainersReady": {"status": "False", **why} if unready else {"status": "True"},
        "PodScheduled": {"status": "True"},
    }
    now = moment()
    return [{"type": kind, "lastTransitionTime": now, **state} for kind, state in states.items()]


class Scheduler:
    """Gives pods a node, in turn; a pod whose image has no room gets none."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._turn = 0

    def step(self) -> None:
        """Do what is to be done now."""
        nodes = [name_of(node) for node in self._hands.all(NODE)]
        for pod in self._hands.all(POD):
            if not at(pod, "spec", "nodeName") and not terminating(pod):
                self._place(pod, nodes)

    def _place(self, pod: Json, nodes: list[str]) -> None:
        behaviours = [self._hands.cluster.registry.behaviour_of(image) for image in images_of(pod)]
        full = next((one for one in behaviours if isinstance(one, HasNoRoom)), None)
        wanted = _node_of(pod)
        if full is None and nodes:
            self._turn += 1
            node = wanted or nodes[self._turn % len(nodes)]
            message = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
            self._hands.tell(pod, "Normal", "Scheduled", message)
            self._hands.cluster.writer.bind(pod, node)
            return
        message = full.message if full else "no nodes available to schedule pods"
        held = at(pod, "status", "conditions", default=[])
        new = {
            "type": "PodScheduled",
            "status": "False",
            "lastTransitionTime": moment(),
            "reason": "Unschedulable",
            "message": message,
        }
        conditions = with_condition(held, new)
        if conditions != held:
            self._hands.tell(pod, "Warning", "FailedScheduling", message)
            status = {**at(pod, "status", default={}), "conditions": conditions}
            self._hands.set_status(POD, pod, status)


def _node_of(pod: Json) -> str:
    """Return the node that a pod's affinity names, as that of a DaemonSet's does."""
    required = at(
        pod,
        "spec",
        "affinity",
        "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms",
        default=[],
    )
    for term in required:
        for field_ in term.get("matchFields", []):
            if field_["key"] == "metadata.name":
                return str(field_["values"][0])
    return ""
