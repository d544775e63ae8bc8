"""Configurations in Kubernetes: manifests applied as a field manager of our own."""

import threading
from collections.abc import Iterator, Sequence

from domain.checks import Finding
from domain.configuration import (
    AppliedConfiguration,
    ClusterTarget,
    ConfigurationFile,
    ProtectedConfiguration,
)
from domain.errors import (
    ConfigurationRefusedError,
    NotYetError,
    PermanentError,
    ResourceMissingError,
    RolloutFailedError,
)
from domain.platforms import ConfigurationPlatform
from providers.kubernetes import rollout
from providers.kubernetes.client import Cluster, Clusters
from providers.kubernetes.discovery import Discovery
from providers.kubernetes.manifests import label_of, manifests
from providers.kubernetes.preflight import Right, allows, finding
from providers.kubernetes.serverside import Placed, ServerSide, Trial, differs, refused_all
from providers.kubernetes.workloads import KINDS, Workload

_VERBS = ("get", "list", "create", "patch", "delete")
_NAMED = 20
_PAGE = "providers/kubernetes/README.md"


class KubernetesConfigurations(ConfigurationPlatform):
    """Manifests of a Git repository in the clusters that the catalog names."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._discoveries: dict[Cluster, Discovery] = {}
        self._lock = threading.Lock()

    def examine(
        self, configuration: ProtectedConfiguration, files: Sequence[ConfigurationFile]
    ) -> Sequence[Finding]:
        """Return one finding per precondition: manifests, rights, a trial of everything, pruning."""
        try:
            applier = self._applier(configuration)
            placed = applier.place(manifests(files))
        except PermanentError as error:
            return [finding("the files are manifests", "of this cluster", str(error), good=False)]
        cluster = self._clusters.of(_target(configuration))
        told = f"{len(placed)} objects"
        return [
            finding("the files are manifests", "of this cluster", told, good=True),
            *_rights(cluster, placed),
            _trial(applier.trials(placed)),
            _pruning(applier, placed),
        ]

    def apply(
        self,
        configuration: ProtectedConfiguration,
        files: Sequence[ConfigurationFile],
        *,
        key: str,
    ) -> AppliedConfiguration:
        """Try everything, apply everything, then prune; a second call finds nothing to change.

        The `key` is not needed for that: what is applied says what is to be, not what to do.
        """
        del key
        applier = self._applier(configuration)
        placed = applier.place(manifests(files))
        trials = applier.trials(placed)
        refused = refused_all(trials)
        if refused is not None:
            raise refused
        changed = [
            one.placed.told for one in trials if differs(one.live, applier.apply(one.placed))
        ]
        pruned = [
            f"{kind.kind.lower()}/{found['metadata']['name']}"
            for kind, found in applier.superfluous(placed)
            if applier.prune(kind, found)
        ]
        return AppliedConfiguration(
            changed=tuple(changed), unchanged=len(placed) - len(changed), pruned=tuple(pruned)
        )

    def poll(
        self, configuration: ProtectedConfiguration, files: Sequence[ConfigurationFile]
    ) -> str:
        """Return what was seen once every workload of the files runs as they say."""
        cluster = self._clusters.of(_target(configuration))
        found = manifests(files)
        seen: list[str] = []
        waits: list[NotYetError] = []
        for one in found:
            kind = KINDS.get(one.kind.lower())
            if kind is None or one.api_version != kind.group_version:
                continue
            namespace = one.namespace or _target(configuration).namespace
            try:
                seen.append(rollout.poll(Workload(cluster, kind, namespace, one.name)))
            except NotYetError as error:
                waits.append(error)
            except ResourceMissingError as error:
                raise RolloutFailedError(
                    f"{one.source}: it was removed meanwhile: {error}"
                ) from error
        if waits:
            what = "; ".join(str(one).removeprefix("not yet: ") for one in waits)
            raise NotYetError(what, min(one.pace for one in waits if one.pace is not None))
        return "; ".join(seen) or f"{len(found)} objects are in effect, none of which runs anything"

    def _applier(self, configuration: ProtectedConfiguration) -> ServerSide:
        target = _target(configuration)
        cluster = self._clusters.of(target)
        with self._lock:
            discovery = self._discoveries.setdefault(cluster, Discovery(cluster))
        return ServerSide(cluster, discovery, label_of(configuration.path), target.namespace)


def _target(configuration: ProtectedConfiguration) -> ClusterTarget:
    if not isinstance(configuration.platform, ClusterTarget):
        raise ConfigurationRefusedError(f"{configuration.path}: it is not for Kubernetes")
    return configuration.platform


def _rights(cluster: Cluster, placed: Sequence[Placed]) -> Iterator[Finding]:
    """Yield whether each kind may be read, made, changed and removed where the files put it."""
    places = dict.fromkeys((one.kind, one.namespace) for one in placed if one.kind is not None)
    for kind, namespace in places:
        lacking = [
            verb
            for verb in _VERBS
            if not allows(cluster, namespace, Right(verb, kind.group, kind.plural))[0]
        ]
        where = f" in namespace {namespace}" if namespace else ""
        yield finding(
            f"rights on {kind.plural}",
            f"{', '.join(_VERBS)}{where}",
            f"not allowed: {', '.join(lacking)}" if lacking else "allowed",
            good=not lacking,
            advice=f"add them to the account's Role ({_PAGE})",
            kind="pre-flight",
        )


def _trial(trials: Sequence[Trial]) -> Finding:
    refused = refused_all(trials)
    changing = [one.placed.told for one in trials if one.changes]
    told = f"{len(changing)} of {len(trials)} objects would change"
    untried = [one.placed.told for one in trials if one.result is None and one.refused is None]
    if changing:
        told += f": {_listed(changing)}"
    if untried:
        told += f"; not tried, for what they are in is made by the files: {_listed(untried)}"
    return finding(
        "the objects would be taken",
        "taken by the API server on trial, and no field owned by others",
        str(refused) if refused is not None else told,
        good=refused is None,
        advice="correct what it names; Refloat takes no field from others by force",
    )


def _pruning(applier: ServerSide, placed: Sequence[Placed]) -> Finding:
    found = [
        f"{kind.kind.lower()}/{one['metadata']['name']}"
        for kind, one in applier.superfluous(placed)
    ]
    return finding(
        "what the files no longer name",
        "removed, where Refloat alone applied it",
        f"would be removed: {_listed(found)}" if found else "nothing",
        good=True,
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
