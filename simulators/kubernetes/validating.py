"""What the server refuses about an object's fields."""

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from simulators.kubernetes.kinds import (
    APPS,
    CONFIG_MAP,
    POD,
    REVISION,
    SECRET,
    STATEFUL_SET,
    Kind,
)
from simulators.kubernetes.refusals import invalid
from simulators.kubernetes.selecting import selects
from simulators.kubernetes.values import Json, Value, at, labels_of

Problems: TypeAlias = Iterator[tuple[str, str]]
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_BAD_NAME = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LONGEST = 253
_FREE_NAMES = frozenset(("roles", "rolebindings", "clusterroles", "clusterrolebindings"))
_STATEFUL_FREE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFUL_FORBIDDEN = (
    "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', "
    "'template', 'updateStrategy', 'revisionHistoryLimit', "
    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_POD_FREE = frozenset(("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"))
_POD_FORBIDDEN = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)


def validate(kind: Kind, new: Json, live: Json | None = None) -> None:
    """Refuse an object that the server would not accept, in place of `live` if there is one.

    Raises:
        ApiError: a field is wrong, or may not change.
    """
    problems = [*_of_name(kind, new)]
    if kind.group == APPS and kind != REVISION:
        problems += _of_workload(new, live)
    if kind == POD:
        problems += _of_pod_spec(new.get("spec", {}), "spec")
    if live is not None:
        problems += _of_change(kind, new, live)
    if problems:
        raise invalid(kind, str(new["metadata"].get("name", "")), problems)


def _of_name(kind: Kind, new: Json) -> Problems:
    name = new["metadata"].get("name", "")
    if not name:
        yield "metadata.name", "Required value: name or generateName is required"
    elif kind.plural not in _FREE_NAMES and (len(name) > _LONGEST or not _NAME.fullmatch(name)):
        yield "metadata.name", f'Invalid value: "{name}": {_BAD_NAME}'


def _of_workload(new: Json, live: Json | None) -> Problems:
    spec = new.get("spec", {})
    replicas = spec.get("replicas", 1)
    if not isinstance(replicas, int) or replicas < 0:
        yield (
            "spec.replicas",
            f"Invalid value: {replicas}: must be greater than or equal to 0",
        )
    selector = spec.get("selector")
    if not selector:
        yield "spec.selector", "Required value"
    elif live is not None and selector != at(live, "spec", "selector"):
        yield "spec.selector", f"Invalid value: {_go(selector)}: field is immutable"
    elif not selects(selector, labels_of(spec["template"])):
        labels = _go(labels_of(spec["template"]))
        problem = f"Invalid value: {labels}: `selector` does not match template `labels`"
        yield "spec.template.metadata.labels", problem
    strategy = spec.get("strategy", {})
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        problem = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        yield "spec.strategy.rollingUpdate", problem
    claims = [claim["metadata"].get("name", "") for claim in spec.get("volumeClaimTemplates", [])]
    yield from _of_pod_spec(spec["template"]["spec"], "spec.template.spec", claims)
    policy = at(spec, "template", "spec", "restartPolicy")
    if policy != "Always":
        yield (
            "spec.template.spec.restartPolicy",
            f'Unsupported value: "{policy}": supported values: "Always"',
        )


def _of_pod_spec(spec: Json, path: str, claims: Sequence[str] = ()) -> Problems:
    if not spec.get("containers"):
        yield f"{path}.containers", "Required value"
    names: set[str] = set()
    volumes = {*claims, *(volume.get("name") for volume in spec.get("volumes") or [])}
    for group in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(group) or []):
            here = f"{path}.{group}[{place}]"
            if not container.get("name"):
                yield f"{here}.name", "Required value"
            elif container["name"] in names:
                yield f"{here}.name", f'Duplicate value: "{container["name"]}"'
            names.add(container.get("name", ""))
            if not container.get("image"):
                yield f"{here}.image", "Required value"
            for mounted, mount in enumerate(container.get("volumeMounts") or []):
                if mount.get("name") not in volumes:
                    name = mount.get("name", "")
                    yield f"{here}.volumeMounts[{mounted}].name", f'Not found: "{name}"'


def _of_change(kind: Kind, new: Json, live: Json) -> Problems:
    if kind == STATEFUL_SET and _less(new, _STATEFUL_FREE) != _less(live, _STATEFUL_FREE):
        yield "spec", _STATEFUL_FORBIDDEN
    if kind == POD and _fixed(new) != _fixed(live):
        yield "spec", _POD_FORBIDDEN
    if kind == REVISION and new.get("data") != live.get("data"):
        yield "data", f"Invalid value: {_go(new.get('data'))}: field is immutable"
    if kind in (CONFIG_MAP, SECRET) and live.get("immutable"):
        if not new.get("immutable"):
            yield "immutable", "Forbidden: field is immutable when `immutable` is set"
        for field in ("data", "binaryData"):
            if new.get(field) != live.get(field):
                yield field, "Forbidden: field is immutable when `immutable` is set"


def _less(thing: Json, free: tuple[str, ...]) -> Json:
    return {name: value for name, value in thing.get("spec", {}).items() if name not in free}


def _fixed(pod: Json) -> Json:
    """Return what may not change of a pod."""
    spec = {name: value for name, value in pod.get("spec", {}).items() if name not in _POD_FREE}
    spec.pop("nodeName", None)  # the scheduler's, by a door of its own
    for group in ("containers", "initContainers"):
        if group in spec:
            spec[group] = [{**container, "image": ""} for container in spec[group]]
    return spec


def _go(value: Value) -> str:
    """Return a value roughly as Go prints it in the server's sentences."""
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        members = ", ".join(f'"{name}":"{item}"' for name, item in sorted(value.items()))
        return f"map[string]string{{{members}}}"
    return str(value)
