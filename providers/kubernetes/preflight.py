"""What the cluster itself says of a rollback before anything is changed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from domain.checks import Finding, Verdict
from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    NotYetError,
    PermanentError,
    RecoveryError,
    RolloutFailedError,
    TransientError,
)
from domain.rollback import Change, ProtectedApplication
from providers.kubernetes.applying import patch, template_of
from providers.kubernetes.client import REVIEWS, Cluster, Json
from providers.kubernetes.explaining import SURELY, Scene, age, failing, trouble
from providers.kubernetes.owners import owners
from providers.kubernetes.rollout import ON_DELETE, is_ready, look, patience, wanted
from providers.kubernetes.workloads import (
    DEPLOYMENT,
    STATEFUL_SET,
    Workload,
    condition,
    matches,
    seen,
    told_change,
)

_PAGE = "providers/kubernetes/README.md"
_UNDER_WAY = {"ReplicaSetUpdated", "NewReplicaSetCreated", "FoundNewReplicaSet"}


class Right(NamedTuple):
    """One thing that an account has to be allowed."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    name: str = ""

    @property
    def told(self) -> str:
        """The right as a Role is written."""
        what = self.resource + (f"/{self.subresource}" if self.subresource else "")
        return f"{self.verb} {what}{f'.{self.group}' if self.group else ''}"


def examine(
    workload: Workload, application: ProtectedApplication, change: Change
) -> Iterator[Finding]:
    """Yield one finding a precondition; nothing is changed."""
    yield from rights_findings(workload.cluster, workload.namespace, _rights(workload))
    try:
        live = workload.live()
    except PermanentError as error:
        yield finding(str(workload), "there", str(error), good=False, advice="correct the catalog")
        return
    yield _unchanged(live, change)
    yield _way_of_rolling_out(workload, live)
    yield _rolling_out(workload, live)
    yield from owners(workload, live)
    yield _admission(workload, application, change, live)


def _rights(workload: Workload) -> Sequence[Right]:
    kind, name = workload.kind, workload.name
    kept = workload.revisions_kind
    rights = [
        Right("get", kind.group, kind.plural, name=name),
        Right("patch", kind.group, kind.plural, name=name),
        Right("list", kept.group, kept.plural),
        Right("list", "", "pods"),
        Right("get", "", "pods", "log"),
        Right("list", "", "events"),
    ]
    # a broken pod of a StatefulSet keeps its own replacement from coming
    return [*rights, Right("delete", "", "pods")] if kind is STATEFUL_SET else rights


def rights_findings(cluster: Cluster, namespace: str, rights: Sequence[Right]) -> Iterator[Finding]:
    """Yield whether the account has each right, as the cluster itself answers."""
    for right in rights:
        allowed, why = allows(cluster, namespace, right)
        where = f" in namespace {namespace}" if namespace else ""
        yield finding(
            f"right to {right.told}",
            "allowed",
            f"allowed{where}" if allowed else f"not allowed{where}{f': {why}' if why else ''}",
            good=allowed,
            advice=f"add it to the account's Role ({_PAGE})",
            kind="pre-flight",
        )


def allows(cluster: Cluster, namespace: str, right: Right) -> tuple[bool, str]:
    """Return whether the cluster allows an act, and what it says of it."""
    asked = {
        "namespace": namespace,
        "verb": right.verb,
        "group": right.group,
        "resource": right.resource,
        "subresource": right.subresource,
        "name": right.name,
    }
    answer = cluster.create(
        REVIEWS,
        "",
        {
            "apiVersion": REVIEWS.group_version,
            "kind": REVIEWS.kind,
            "spec": {"resourceAttributes": {name: value for name, value in asked.items() if value}},
        },
    )
    status = answer.get("status") or {}
    return bool(status.get("allowed")), str(status.get("reason") or "")


def _unchanged(live: Json, change: Change) -> Finding:
    same = not change.expected or matches(change.expected, live)
    return finding(
        "nobody changed it since",
        "the version that was planned from",
        "unchanged" if same else told_change(live),
        good=same,
        advice="look at it and plan again",
    )


def _way_of_rolling_out(workload: Workload, live: Json) -> Finding:
    strategy = (live["spec"].get("updateStrategy") or live["spec"].get("strategy") or {}).get(
        "type"
    )
    paused = bool(live["spec"].get("paused"))
    going = live["metadata"].get("deletionTimestamp")
    observed, advice = f"update strategy {strategy or 'RollingUpdate'}", ""
    if going:
        observed, advice = "it is being deleted", "wait until it is made again"
    elif paused:
        observed = "it is paused: a change would wait for ever"
        advice = f"`kubectl rollout resume {workload} -n {workload.namespace}` first"
    elif strategy == ON_DELETE:
        advice = "its pods change only when somebody deletes them; set RollingUpdate"
    return finding("it rolls out by itself", "yes", observed, good=not advice, advice=advice)


def _rolling_out(workload: Workload, live: Json) -> Finding:
    """Return whether somebody else is rolling out.

    A rollout that fails is no reason to wait: it is mostly why somebody rolls back.
    """
    name, expected = "nobody else is rolling out", "no rollout whose new pods are coming up"
    try:
        return _rollout_of_others(workload, live, name, expected)
    except (AccessDeniedError, ConfigurationRefusedError) as error:
        return finding(name, expected, f"it cannot be seen: {error}", good=False)


def _rollout_of_others(workload: Workload, live: Json, name: str, expected: str) -> Finding:
    kept = workload.revisions(live)
    current = workload.current(live, kept)
    if current is None and not seen(live):
        observed = f"{told_change(live)}, and its controller has not seen it yet"
        return finding(name, expected, observed, good=False, advice="ask again in a moment")
    try:
        return finding(name, expected, look(workload, live, kept), good=True)
    except RolloutFailedError as error:
        return finding(name, expected, f"the last rollout fails: {_line(error)}", good=True)
    except NotYetError as error:
        waiting = _line(error)
    if not _is_begun(workload, live):
        return finding(name, expected, f"none begun: {waiting}", good=True)
    fresh = workload.pods_of(current, workload.pods(live)) if current is not None else []
    scene = Scene(workload, live, current, fresh, patience(workload, live))
    wrong = trouble(scene)
    slow = workload.cluster.pacing.short(SURELY)
    stuck = any(failing(pod) or (not is_ready(pod) and age(pod) > slow) for pod in fresh)
    if wrong is not None or stuck:
        why = _line(wrong.reason) if wrong is not None else waiting
        return finding(name, expected, f"one is under way and does not come: {why}", good=True)
    return finding(
        name,
        expected,
        f"somebody else is rolling out, and it is coming up ({waiting}; {told_change(live)})",
        good=False,
        advice=f"wait for it (`kubectl rollout status {workload} -n {workload.namespace}`), or ask "
        "whoever began it",
    )


def _is_begun(workload: Workload, live: Json) -> bool:
    """Return whether a rollout is under way, rather than pods of the same revision coming and going."""
    status = live.get("status") or {}
    if workload.kind is STATEFUL_SET:
        return bool(status.get("updateRevision") != status.get("currentRevision"))
    progressing = condition(live, "Progressing")
    if workload.kind is DEPLOYMENT and progressing is not None:
        return progressing.get("reason") in _UNDER_WAY
    updated = int(status.get("updatedReplicas") or status.get("updatedNumberScheduled") or 0)
    return updated < max(wanted(workload, live), int(status.get("replicas") or 0))


def _admission(
    workload: Workload, application: ProtectedApplication, change: Change, live: Json
) -> Finding:
    """Return whether the API server and its admission rules would take the change."""
    error: RecoveryError | None = None
    try:
        wanted = template_of(workload, application, change, live)
        patch(workload, application, change, live, wanted, key="trial", dry=True)
    except TransientError:
        raise
    except RecoveryError as refused:
        error = refused
    return finding(
        "the change would be taken",
        "taken by the API server and its admission rules, on trial",
        str(error) if error else "taken",
        good=error is None,
        advice="correct what it names",
    )


def _line(said: object) -> str:
    return str(said).partition("; its last words")[0].removeprefix("not yet: ")


def finding(
    name: str,
    expected: str,
    observed: str,
    *,
    good: bool,
    advice: str = "",
    kind: str = "pre-flight",
) -> Finding:
    """Return one finding; advice is for one that failed."""
    return Finding(
        name=name,
        kind=kind,
        expected=expected,
        observed=observed,
        verdict=Verdict.PASSED if good else Verdict.FAILED,
        advice="" if good else advice,
    )
