"""The objects that a configuration's files name, in the order in which they are applied."""

import base64
import binascii
import copy
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from domain.configuration import ConfigurationFile
from domain.errors import ConfigurationRefusedError
from providers.kubernetes.client import Json

LABEL = "refloat.dev/configuration"
_ENDINGS = (".yaml", ".yml", ".json")
_ORDER = (
    "Namespace", "CustomResourceDefinition", "PriorityClass", "StorageClass", "ResourceQuota",
    "LimitRange", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
    "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim", "NetworkPolicy", "Service",
    "DaemonSet", "StatefulSet", "Deployment", "Job", "CronJob", "PodDisruptionBudget",
    "HorizontalPodAutoscaler", "Ingress",
)  # fmt: skip
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
"""After everything else, so that a webhook of the files does not refuse the files."""
_LABEL_LENGTH = 63
_MASK = "(masked)"
_QUOTED = re.compile(r'(Invalid value: |Value:)("(?:[^"\\]|\\.)*"|[^\s,}]+)')
_SHORTEST = 3


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: what looks like a time is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in known if tag != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Manifest:
    """One object as a file names it."""

    source: str
    body: Json

    @property
    def api_version(self) -> str:
        """Group and version."""
        return str(self.body["apiVersion"])

    @property
    def kind(self) -> str:
        """Kind, as it is written."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """Name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Namespace, where the file names one."""
        return str(self.body["metadata"].get("namespace") or "")

    def labelled(self, label: str, namespace: str) -> Json:
        """Return what is sent: the object in its namespace, with the configuration's label."""
        body = copy.deepcopy(self.body)
        meta = body["metadata"]
        meta["labels"] = {**(meta.get("labels") or {}), LABEL: label}
        if namespace:
            meta["namespace"] = namespace
        body.pop("status", None)  # the cluster's to say
        return body

    def quoted(self, said: str) -> str:
        """Return what the API server said, without any value of a Secret."""
        if self.kind != "Secret":
            return said
        for value in sorted(_values(self.body), key=len, reverse=True):
            if len(value) >= _SHORTEST:
                said = said.replace(value, _MASK)
        return _QUOTED.sub(lambda found: found[1] + _MASK, said)


def label_of(path: str) -> str:
    """Return the label's value for a configuration: readable, and of no other configuration.

    The dashes alone would not do: `a-b/c/d` and `a/b-c/d` would prune each other's objects.
    """
    mark = hashlib.sha256(path.encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")[: _LABEL_LENGTH - len(mark) - 1]
    return f"{readable.rstrip('-')}-{mark}"


def manifests(files: Sequence[ConfigurationFile]) -> list[Manifest]:
    """Return the objects of the files, in the order in which they are applied.

    Raises:
        ConfigurationRefusedError: a file is no manifest, or there is none at all: applying nothing
            would remove everything.
    """
    found = [
        manifest
        for file in files
        if file.path.lower().endswith(_ENDINGS)
        for manifest in _of_file(file)
    ]
    if not found:
        raise ConfigurationRefusedError(
            "no file of the configuration names an object (*.yaml, *.yml, *.json); applying nothing "
            "would remove everything. Check `path` of its repository in the catalog"
        )
    _require_single(found)
    return sorted(found, key=lambda one: _place(one.kind))


def _place(kind: str) -> int:
    if kind in _LAST:
        return len(_ORDER) + 1
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _of_file(file: ConfigurationFile) -> Iterator[Manifest]:
    try:
        documents = list(yaml.load_all(file.content, Loader=_Loader))
    except UnicodeDecodeError:
        raise ConfigurationRefusedError(f"{file.path}: it is no text") from None
    except yaml.YAMLError as error:
        # the parser quotes the line it stumbled on, which may hold a secret
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is no YAML"
        raise ConfigurationRefusedError(f"{file.path}{where}: {problem}") from None
    for document in documents:
        yield from _of_document(file.path, document)


def _of_document(source: str, document: Any) -> Iterator[Manifest]:  # noqa: ANN401 - what YAML holds
    if document is None:
        return
    if isinstance(document, dict) and str(document.get("kind", "")).endswith("List"):
        for item in document.get("items") or ():
            yield from _of_document(source, item)
        return
    yield _checked(source, document)


def _checked(source: str, document: Any) -> Manifest:  # noqa: ANN401 - as above
    if not isinstance(document, dict) or not document.get("apiVersion") or not document.get("kind"):
        raise ConfigurationRefusedError(
            f"{source}: it is no manifest, for it lacks apiVersion or kind; keep other files out of "
            "the configuration's folder"
        )
    if str(document["apiVersion"]).startswith("kustomize.config.k8s.io/"):
        raise ConfigurationRefusedError(
            f"{source}: it is for kustomize and not for the cluster; keep what `kubectl kustomize` "
            "makes of it in the repository"
        )
    meta = document.get("metadata")
    if not isinstance(meta, dict) or not meta.get("name"):
        why = "generateName makes another object each time" if meta else "there is no metadata.name"
        raise ConfigurationRefusedError(f"{source}: a {document['kind']} needs a name; {why}")
    return Manifest(source, document)


def _require_single(found: Sequence[Manifest]) -> None:
    known: dict[tuple[str, ...], Manifest] = {}
    for one in found:
        key = (one.api_version.rpartition("/")[0], one.kind, one.namespace, one.name)
        other = known.setdefault(key, one)
        if other is not one:
            raise ConfigurationRefusedError(
                f"{one.source}: {one.kind.lower()}/{one.name} is in {other.source} as well"
            )


def _values(body: Json) -> Iterator[str]:
    """Yield the values of a Secret, as written and as meant."""
    for field in ("data", "stringData"):
        part = body.get(field)
        for value in part.values() if isinstance(part, dict) else ():
            yield str(value)
            try:
                yield base64.b64decode(str(value), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError, ValueError):
                continue
