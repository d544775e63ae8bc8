"""What the server fills in where an object says nothing."""

import base64
from collections.abc import Callable

from simulators.kubernetes.images import tag_of
from simulators.kubernetes.kinds import (
    DAEMON_SET,
    DEPLOYMENT,
    EVENT,
    NAMESPACE,
    POD,
    REPLICA_SET,
    SCALER,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    Kind,
)
from simulators.kubernetes.values import Json, at

_ZEROES: dict[Kind, dict[str, int]] = {
    REPLICA_SET: {"replicas": 0},
    STATEFUL_SET: {"replicas": 0, "availableReplicas": 0},
    DAEMON_SET: {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    },
}
"""Numbers of a status that are told even where there is nothing to count."""
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def fill_in(kind: Kind, thing: Json) -> None:
    """Fill in an object's defaults, in place."""
    thing["apiVersion"], thing["kind"] = kind.api_version, kind.kind
    if kind.has_status:
        _fill(thing.setdefault("status", {}), **_ZEROES.get(kind, {}))
    fill = _FILLERS.get(kind)
    if fill is not None:
        fill(thing)


def _fill(holder: Json, **values: object) -> None:
    for name, value in values.items():
        holder.setdefault(name, value)


def _deployment(thing: Json) -> None:
    spec = thing.setdefault("spec", {})
    _fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    _fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), maxSurge="25%", maxUnavailable="25%")
    _template(spec)


def _replica_set(thing: Json) -> None:
    spec = thing.setdefault("spec", {})
    _fill(spec, replicas=1)
    _template(spec)


def _stateful_set(thing: Json) -> None:
    spec = thing.setdefault("spec", {})
    _fill(
        spec,
        replicas=1,
        podManagementPolicy="OrderedReady",
        revisionHistoryLimit=10,
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"},
    )
    strategy = spec.setdefault("updateStrategy", {})
    _fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), partition=0)
    _template(spec)


def _daemon_set(thing: Json) -> None:
    spec = thing.setdefault("spec", {})
    _fill(spec, revisionHistoryLimit=10)
    strategy = spec.setdefault("updateStrategy", {})
    _fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), maxSurge=0, maxUnavailable=1)
    _template(spec)


def _template(spec: Json) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod_spec(template.setdefault("spec", {}))


def _pod(thing: Json) -> None:
    spec = thing.setdefault("spec", {})
    _pod_spec(spec)
    _fill(spec, enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority", priority=0)
    _fill(spec, serviceAccountName="default", serviceAccount="default")
    thing.setdefault("status", {}).setdefault("phase", "Pending")
    _fill(thing["status"], qosClass=_quality_of(spec))


def _quality_of(spec: Json) -> str:
    asked = [at(container, "resources", default={}) for container in spec.get("containers", [])]
    if not any(asked):
        return "BestEffort"
    equal = all(one.get("limits") and one.get("limits") == one.get("requests") for one in asked)
    return "Guaranteed" if equal else "Burstable"


def _pod_spec(spec: Json) -> None:
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        _container(container)
    for volume in spec.get("volumes", []):
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if source in volume:
                _fill(volume[source], defaultMode=420)


def _container(container: Json) -> None:
    _fill(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    if isinstance(container.get("image"), str):
        always = tag_of(container["image"]) == "latest"
        _fill(container, imagePullPolicy="Always" if always else "IfNotPresent")
    for port in container.get("ports", []):
        _fill(port, protocol="TCP")
    for variable in container.get("env", []):
        if "fieldRef" in variable.get("valueFrom", {}):
            _fill(variable["valueFrom"]["fieldRef"], apiVersion="v1")
    for probe in (container[name] for name in _PROBES if name in container):
        _fill(probe, **_PROBE)
        if "httpGet" in probe:
            _fill(probe["httpGet"], path="/", scheme="HTTP")


def _service(thing: Json) -> None:
    spec = thing.setdefault("spec", {})
    _fill(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    for port in spec.get("ports", []):
        _fill(port, protocol="TCP", targetPort=port.get("port"))
    thing["status"].setdefault("loadBalancer", {})


def _secret(thing: Json) -> None:
    _fill(thing, type="Opaque")
    for name, text in thing.pop("stringData", {}).items():
        thing.setdefault("data", {})[name] = base64.b64encode(text.encode()).decode()


def _namespace(thing: Json) -> None:
    labels = thing["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = thing["metadata"]["name"]
    _fill(thing.setdefault("spec", {}), finalizers=["kubernetes"])
    _fill(thing.setdefault("status", {}), phase="Active")


def _scaler(thing: Json) -> None:
    _fill(thing.setdefault("spec", {}), minReplicas=1)


def _event(thing: Json) -> None:
    _fill(thing, source={}, reportingComponent="", reportingInstance="")


_FILLERS: dict[Kind, Callable[[Json], None]] = {
    DEPLOYMENT: _deployment,
    REPLICA_SET: _replica_set,
    STATEFUL_SET: _stateful_set,
    DAEMON_SET: _daemon_set,
    POD: _pod,
    SERVICE: _service,
    SECRET: _secret,
    NAMESPACE: _namespace,
    SCALER: _scaler,
    EVENT: _event,
}
