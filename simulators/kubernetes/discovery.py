"""What the server says of itself: its version, its groups, and the resources of each."""

from simulators.kubernetes.kinds import KINDS, Kind
from simulators.kubernetes.values import Json

VERSION = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.1-simulated",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2025-09-09T19:38:21Z",
    "goVersion": "go1.24.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}


def answer_of(path: str) -> Json | None:
    """Return what the server says at an address of discovery, or None if it is none."""
    told: Json | None = None
    match path.strip("/").split("/"):
        case ["version"]:
            told = dict(VERSION)
        case ["api"]:
            told = {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            groups = [_group(name) for name in _groups()]
            told = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["api", "v1"]:
            told = _resources("", "v1")
        case ["apis", group] if group in _groups():
            told = {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        case ["apis", group, version] if version in _versions(group):
            told = _resources(group, version)
    return told


def _groups() -> list[str]:
    return list(dict.fromkeys(kind.group for kind in KINDS if kind.group))


def _versions(group: str) -> list[str]:
    return list(dict.fromkeys(kind.version for kind in KINDS if kind.group == group))


def _group(name: str) -> Json:
    versions = [
        {"groupVersion": f"{name}/{version}", "version": version} for version in _versions(name)
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resources(group: str, version: str) -> Json:
    found: list[Json] = []
    for kind in KINDS:
        if (kind.group, kind.version) == (group, version):
            found.append(_resource(kind))
            found += [_subresource(kind, name) for name in kind.subresources]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": found,
    }


def _resource(kind: Kind) -> Json:
    told: Json = {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    return {**told, "shortNames": list(kind.short)} if kind.short else told


def _subresource(kind: Kind, name: str) -> Json:
    told: Json = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": ["get"] if name == "log" else ["get", "patch", "update"],
    }
    return {**told, **_SCALE} if name == "scale" else told
