"""The kinds of object that a cluster has, and their addresses."""

from domain.errors import ConfigurationRefusedError, RecoveryError, ResourceMissingError
from providers.kubernetes.client import Cluster, Json, Kind

_SUITABLE = {"list", "delete", "patch"}


class Discovery:
    """What one cluster says of its kinds; each group is asked once, and again for a new kind."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, list[Kind]] = {}

    def find(self, api_version: str, kind: str) -> Kind | None:
        """Return the kind, or None where the cluster does not have it."""
        for fresh in (False, True):
            if fresh:
                self._known.pop(api_version, None)
            found = next((one for one in self._of(api_version) if one.kind == kind), None)
            if found is not None:
                return found
        return None

    def require(self, api_version: str, kind: str, source: str) -> Kind:
        """Return the kind.

        Raises:
            ConfigurationRefusedError: the cluster does not have it.
        """
        found = self.find(api_version, kind)
        if found is None:
            raise ConfigurationRefusedError(
                f"{source}: the cluster has no kind {kind} in {api_version}; install its "
                "CustomResourceDefinition, or correct apiVersion"
            )
        return found

    def removable(self) -> list[Kind]:
        """Return every kind whose objects can be listed and deleted, each in one version."""
        versions = ["v1"]
        groups = self._cluster.read("/apis", "listing the cluster's API groups").get("groups") or ()
        versions += [str(one["preferredVersion"]["groupVersion"]) for one in groups]
        return [
            kind
            for version in versions
            for kind in self._of_running(version)
            if set(kind.verbs) >= _SUITABLE
        ]

    def _of_running(self, version: str) -> list[Kind]:
        """Return a group's kinds; none of one whose own server is down, as of metrics."""
        try:
            return self._of(version)
        except RecoveryError:
            return []

    def _of(self, version: str) -> list[Kind]:
        if version not in self._known:
            root = "/apis" if "/" in version else "/api"
            try:
                answer = self._cluster.read(
                    f"{root}/{version}", f"asking for the kinds of {version}"
                )
            except ResourceMissingError:
                return []
            self._known[version] = [
                _kind(version, one)
                for one in answer.get("resources") or ()
                if "/" not in str(one["name"])
            ]
        return self._known[version]


def _kind(version: str, told: Json) -> Kind:
    return Kind(
        group_version=version,
        plural=str(told["name"]),
        kind=str(told["kind"]),
        namespaced=bool(told.get("namespaced")),
        verbs=tuple(told.get("verbs") or ()),
    )
