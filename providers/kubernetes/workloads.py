"""The three kinds of workload: the live object, its revisions, its pods, and what runs now."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.errors import ConfigurationRefusedError
from domain.resources import KubernetesPlatform
from domain.rollback import ProtectedApplication
from domain.values import show_time
from providers.kubernetes.client import (
    CONTROLLER_REVISIONS,
    PODS,
    REPLICA_SETS,
    Cluster,
    Clusters,
    Json,
    Kind,
)

DEPLOYMENT = Kind("apps/v1", "deployments", "Deployment")
STATEFUL_SET = Kind("apps/v1", "statefulsets", "StatefulSet")
DAEMON_SET = Kind("apps/v1", "daemonsets", "DaemonSet")
KINDS: Mapping[str, Kind] = {
    "deployment": DEPLOYMENT,
    "statefulset": STATEFUL_SET,
    "daemonset": DAEMON_SET,
}
NUMBER = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
POD_HASH = "pod-template-hash"
_ENDED = {"Failed", "Succeeded"}
_CUT = timedelta(seconds=1)
_REVISION_HASH = "controller-revision-hash"


@dataclass(frozen=True)
class Kept:
    """One revision as the cluster keeps it: a ReplicaSet or a ControllerRevision."""

    object: Json
    number: int
    template: Json

    @property
    def name(self) -> str:
        """Its name, by which a change names it."""
        return str(self.object["metadata"]["name"])

    @property
    def uid(self) -> str:
        """What no other object of the name ever has."""
        return str(self.object["metadata"]["uid"])

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations."""
        return self.object["metadata"].get("annotations") or {}

    @property
    def created_at(self) -> datetime:
        """When it was made, which is when it first became current."""
        return moment(self.object["metadata"]["creationTimestamp"])


@dataclass(frozen=True)
class Workload:
    """One workload of a cluster, by its name; everything else is read when it is asked for."""

    cluster: Cluster
    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return the workload as kubectl writes it."""
        return self.kind.told(self.name)

    @property
    def revisions_kind(self) -> Kind:
        """The kind of object that keeps its revisions."""
        return REPLICA_SETS if self.kind is DEPLOYMENT else CONTROLLER_REVISIONS

    def live(self) -> Json:
        """Return the object as it is now."""
        return self.cluster.get(self.kind, self.namespace, self.name)

    def revisions(self, live: Json) -> list[Kept]:
        """Return the revisions that the live object controls, the newest first."""
        found = [
            self._kept(one)
            for one in self.cluster.all_of(
                self.revisions_kind, self.namespace, labels=selector_of(live)
            )
            if controlled_by(one, live["metadata"]["uid"])
        ]
        return sorted(found, key=lambda one: (one.number, one.created_at), reverse=True)

    def _kept(self, found: Json) -> Kept:
        if self.kind is DEPLOYMENT:
            number = int((found["metadata"].get("annotations") or {}).get(NUMBER) or 0)
            return Kept(found, number, found["spec"]["template"])
        template = dict(((found.get("data") or {}).get("spec") or {}).get("template") or {})
        template.pop("$patch", None)  # a word to the API server, not a part of the template
        return Kept(found, int(found.get("revision") or 0), template)

    def current(self, live: Json, revisions: Sequence[Kept]) -> Kept | None:
        """Return the revision that the live object asks for; None until its controller made it."""
        if self.kind is STATEFUL_SET and seen(live):
            told = (live.get("status") or {}).get("updateRevision")
            return next((one for one in revisions if one.name == told), None)
        wanted = bare(live["spec"]["template"])
        if self.kind is DAEMON_SET and not same(revisions, wanted):
            return revisions[0] if revisions and seen(live) else None
        return next((one for one in revisions if bare(one.template) == wanted), None)

    def pods(self, live: Json) -> list[Json]:
        """Return its pods, without those that are going or, as evicted ones, have ended."""
        return [
            one
            for one in self.cluster.all_of(PODS, self.namespace, labels=selector_of(live))
            if not one["metadata"].get("deletionTimestamp")
            and (one.get("status") or {}).get("phase") not in _ENDED
        ]

    def pods_of(self, kept: Kept, pods: Sequence[Json]) -> list[Json]:
        """Return those of the pods that are of one revision."""
        if self.kind is DEPLOYMENT:
            return [one for one in pods if controlled_by(one, kept.uid)]
        # a StatefulSet's pods carry the revision's name, a DaemonSet's the hash it is labelled with
        label = (kept.object["metadata"].get("labels") or {}).get(_REVISION_HASH, "")
        names = {kept.name, label} - {""}
        return [
            one
            for one in pods
            if (one["metadata"].get("labels") or {}).get(_REVISION_HASH) in names
        ]


def workload_of(clusters: Clusters, application: ProtectedApplication) -> Workload:
    """Return the workload that the catalog names for an application."""
    platform = application.platform
    if not isinstance(platform, KubernetesPlatform):
        raise ConfigurationRefusedError(f"{application.path}: it does not run in Kubernetes")
    kind, _, name = platform.workload.partition("/")
    return Workload(clusters.of(platform), KINDS[kind], platform.namespace, name)


def moment(text: str) -> datetime:
    """Return a time as the API server writes it."""
    return datetime.fromisoformat(text)


def since_at_least(told: datetime) -> timedelta:
    """Return how long ago something was at least: the API server cuts times to whole seconds."""
    return datetime.now(UTC) - told - _CUT


def selector_of(live: Json) -> str:
    """Return a workload's selector as a query."""
    selector = live["spec"].get("selector") or {}
    parts = [f"{name}={value}" for name, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        values, key = ",".join(one.get("values") or ()), one["key"]
        parts.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[one["operator"]]
        )
    return ",".join(parts)


def controlled_by(found: Json, uid: str) -> bool:
    """Return whether an object is controlled by the one of a uid."""
    owners = found["metadata"].get("ownerReferences") or ()
    return any(one.get("uid") == uid and one.get("controller") for one in owners)


def bare(template: Mapping[str, Any]) -> Json:
    """Return a pod template as people wrote it: without the label that its controller adds."""
    found: Json = copy.deepcopy(dict(template))
    meta = found.get("metadata") or {}
    labels = meta.get("labels") or {}
    labels.pop(POD_HASH, None)
    meta.pop("creationTimestamp", None)  # a null that some servers write and some do not
    found["metadata"] = meta
    return found


def same(revisions: Sequence[Kept], template: Json) -> bool:
    """Return whether a revision has just this template."""
    return any(bare(one.template) == template for one in revisions)


def seen(live: Json) -> bool:
    """Return whether the controller has seen the newest change."""
    observed = int((live.get("status") or {}).get("observedGeneration") or 0)
    return observed >= int(live["metadata"].get("generation") or 0)


def condition(found: Json, kind: str) -> Json | None:
    """Return one of an object's conditions."""
    listed = (found.get("status") or {}).get("conditions") or ()
    return next((one for one in listed if one.get("type") == kind), None)


def given_up(live: Json, patience: timedelta) -> bool:
    """Return whether a Deployment's controller saw no progress for as long as it waits.

    What it says of the template before this one does not count: it stays there for a moment after
    the change, and longer where the new template makes no progress either.
    """
    progressing = condition(live, "Progressing")
    if progressing is None or progressing.get("reason") != "ProgressDeadlineExceeded":
        return False
    changed, told = last_change(live), progressing.get("lastUpdateTime")
    if changed is None or not told or moment(told) > changed[1]:
        return True
    return since_at_least(changed[1]) > patience


def version_of(live: Json) -> str:
    """Return what a change names the live object by: which one it is, its generation, its template.

    Not `resourceVersion`, which every change of status moves, and not the generation alone: an
    autoscaler moves that as well, and it would stop a rollback for the number of replicas.
    """
    meta = live["metadata"]
    text = json.dumps(bare(live["spec"]["template"]), sort_keys=True)
    return f"{meta['uid']}/{meta.get('generation', 0)}/{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def matches(expected: str, live: Json) -> bool:
    """Return whether the live object is still the one, with the template, that a version names."""
    uid, _, rest = expected.partition("/")
    own_uid, _, own = version_of(live).partition("/")
    return uid == own_uid and rest.rpartition("/")[2] == own.rpartition("/")[2]


def last_change(live: Json) -> tuple[str, datetime] | None:
    """Return who changed the pod template last, and when, as far as the server kept it.

    Times are of whole seconds: of several in one second the last is whose the images are.
    """
    found = [
        (
            moment(one["time"]),
            '"f:image":' in json.dumps(fields),
            str(one.get("manager") or "somebody"),
        )
        for one in live["metadata"].get("managedFields") or ()
        if one.get("time") and not one.get("subresource")
        for fields in [((one.get("fieldsV1") or {}).get("f:spec") or {}).get("f:template")]
        if fields is not None
    ]
    if not found:
        return None
    at, _, manager = max(found, key=lambda one: one[:2])
    return manager, at


def told_change(live: Json) -> str:
    """Return who changed the template last, in words."""
    last = last_change(live)
    return f"{last[0]} changed it at {show_time(last[1])}" if last else "somebody changed it"
