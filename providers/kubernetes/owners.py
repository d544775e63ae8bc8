"""Who else looks after a workload: controllers that bring Git's state back, Helm, autoscalers."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from domain.checks import Finding, Verdict
from domain.errors import PermanentError
from providers.kubernetes.client import AUTOSCALERS, Cluster, Json, Kind
from providers.kubernetes.workloads import Workload

_ARGO = "argocd.argoproj.io"
_FLUX = {
    "kustomize": (
        "Kustomization",
        "kustomize.toolkit.fluxcd.io",
        ("v1", "v1beta2"),
        "kustomizations",
    ),
    "helm": ("HelmRelease", "helm.toolkit.fluxcd.io", ("v2", "v2beta2"), "helmreleases"),
}
_ARGO_NAMESPACE = "argocd"
_HELM = "meta.helm.sh/release-name"
_NAMED = re.compile(r"^(?P<namespace>[a-z0-9-]+)_(?P<name>.+)$")
_QUESTION = "no controller would undo it"
_EXPECTED = "nothing brings another state back by itself"


class Controller(NamedTuple):
    """A controller that brings back what it was told: by which object, and how it is made to wait."""

    told: str
    suspend: str
    suspended: bool | None


def owners(workload: Workload, live: Json) -> Iterator[Finding]:
    """Yield whether a controller would undo a rollback, and what else looks after the workload."""
    found = [*_flux(workload, live), *_argo(workload, live)]
    for one in found:
        yield _finding(one)
    if not found:
        yield Finding(
            name=_QUESTION,
            kind="pre-flight",
            expected=_EXPECTED,
            observed="no sign of Argo CD or Flux" + _helm(live),
            verdict=Verdict.PASSED,
            advice=_HELM_ADVICE if _helm(live) else "",
        )
    yield from _autoscaler(workload)


_HELM_ADVICE = "the next `helm upgrade` brings the chart's own image back: give it the same one"


def _finding(one: Controller) -> Finding:
    waits = one.suspended is True
    unknown = "; Refloat may not read it, so it cannot see whether it is suspended"
    return Finding(
        name=_QUESTION,
        kind="pre-flight",
        expected=_EXPECTED,
        observed=f"{one.told} looks after it"
        + (", and is suspended" if waits else unknown if one.suspended is None else ""),
        verdict=Verdict.PASSED if waits else Verdict.FAILED,
        advice="resume it when Git has the version that runs"
        if waits
        else "roll back the configuration in Git instead (`refloat rollback` of the configuration), "
        f"or suspend it first: {one.suspend}",
    )


def _flux(workload: Workload, live: Json) -> Iterator[Controller]:
    labels = live["metadata"].get("labels") or {}
    notes = live["metadata"].get("annotations") or {}
    for word, (kind, group, versions, plural) in _FLUX.items():
        name, namespace = (
            labels.get(f"{group}/name"),
            labels.get(f"{group}/namespace", "flux-system"),
        )
        if not name and f"{word}-controller" not in _managers(live):
            continue
        if notes.get(f"{group}/reconcile") == "disabled":
            suspended: bool | None = True
        else:
            found = _read(workload.cluster, group, versions, plural, namespace, name or "")
            suspended = bool(found["spec"].get("suspend")) if found else None
        shown = f"{namespace}/{name}" if name else "of an unknown name"
        yield Controller(
            f"Flux, by {kind} {shown}",
            f"`flux suspend {kind.lower()} {name or 'NAME'} -n {namespace}`",
            suspended,
        )


def _argo(workload: Workload, live: Json) -> Iterator[Controller]:
    meta = live["metadata"]
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    tracked = str(notes.get(f"{_ARGO}/tracking-id") or "").partition(":")[0]
    name = tracked or labels.get(f"{_ARGO}/instance") or notes.get(f"{_ARGO}/instance") or ""
    managed_by = str(labels.get("app.kubernetes.io/managed-by") or "").lower()
    signs = "argo" in managed_by or any("argocd" in one for one in _managers(live))
    if not name and signs:
        name = str(labels.get("app.kubernetes.io/instance") or "")
    if not name and not signs:
        return
    in_other = _NAMED.match(name)  # an Application outside Argo's own namespace
    namespace = in_other["namespace"] if in_other else _ARGO_NAMESPACE
    bare = in_other["name"] if in_other else name
    found = _read(workload.cluster, "argoproj.io", ("v1alpha1",), "applications", namespace, bare)
    by_itself = ((found or {}).get("spec", {}).get("syncPolicy") or {}).get("automated")
    off = by_itself is None or by_itself.get("enabled") is False
    shown = f"{namespace}/{bare}" if in_other else bare or "NAME"
    yield Controller(
        f"Argo CD, by Application {shown}",
        f"`argocd app set {shown} --sync-policy none`",
        off if found else None,
    )


def _managers(live: Json) -> set[str]:
    return {
        str(one.get("manager")) for one in live["metadata"].get("managedFields") or ()
        if not one.get("subresource")
    }  # fmt: skip


def _read(
    cluster: Cluster, group: str, versions: tuple[str, ...], plural: str, namespace: str, name: str
) -> Json | None:
    """Return a controller's object, or None where it may not or cannot be read."""
    for version in versions if name else ():
        kind = Kind(f"{group}/{version}", plural, plural)
        try:
            return cluster.get(kind, namespace, name)
        except PermanentError:
            continue
    return None


def _helm(live: Json) -> str:
    name = (live["metadata"].get("annotations") or {}).get(_HELM)
    return f"; Helm's release {name} made it" if name else ""


def _autoscaler(workload: Workload) -> Iterator[Finding]:
    try:
        listed = workload.cluster.all_of(AUTOSCALERS, workload.namespace)
    except PermanentError:  # left alone either way
        return
    for one in listed:
        target = one["spec"].get("scaleTargetRef") or {}
        if (target.get("kind"), target.get("name")) == (workload.kind.kind, workload.name):
            yield Finding(
                name="number of replicas",
                kind="pre-flight",
                expected="left as it is",
                observed=f"HorizontalPodAutoscaler {one['metadata']['name']} sets it; Refloat does not",
                verdict=Verdict.PASSED,
            )
