"""Reads the content of a catalog file; what is wrong is told with its place and the nearest key."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from domain.catalog import Catalog, nearest
from domain.configuration import ClusterTarget, FolderTarget, Repository, Signing
from domain.entries import (
    ApplicationEntry,
    AwsProviderEntry,
    AzureProviderEntry,
    ConfigurationEntry,
    DatabaseEntry,
    EnvironmentEntry,
    GcpProviderEntry,
    LocalProviderEntry,
    ProjectEntry,
    RegistryEntry,
    ScalewayProviderEntry,
    SchemaEntry,
)
from domain.errors import CatalogError
from domain.resources import (
    Approval,
    BackupPolicy,
    Connection,
    Health,
    KubernetesPlatform,
    LocalPlatform,
    Objectives,
    ServerAddress,
    SqlCheck,
)
from domain.values import Written


def _lines(path: tuple[int | str, ...], marks: Mapping[tuple[int | str, ...], int]) -> int | None:
    for length in range(len(path), 0, -1):
        if path[:length] in marks:
            return marks[path[:length]]
    return None


def parse_catalog(
    content: Any,  # noqa: ANN401 - a YAML document has any type before validation
    name: str,
    marks: Mapping[tuple[int | str, ...], int] | None = None,
) -> Catalog:
    """Return the catalog that `content` holds, names resolved.

    `marks` maps the path of each key to its line, so that an error can name the place.

    Raises:
        CatalogError: with file, line, what is wrong and the nearest known key.
    """
    try:
        catalog = Catalog.model_validate(content, extra="forbid")
    except ValidationError as error:
        found = [_sentence(name, dict(problem), marks or {}) for problem in error.errors()]
        raise CatalogError("\n".join(found)) from None
    seen: dict[tuple[str, str], str] = {}
    paths: set[str] = set()
    for protected in catalog.protected():
        if protected.path in paths:
            raise CatalogError(f"{name}: {protected.path} is declared twice; give one another name")
        paths.add(protected.path)
    names: dict[tuple[str, str], str] = {}
    for application in catalog.applications():
        if application.platform.kind == "local":
            other = names.setdefault((application.provider, application.name), application.path)
            if other != application.path:
                raise CatalogError(
                    f"{name}: {other} and {application.path} have one name on one machine; give one "
                    "of them another name, or another provider"
                )
    for resource in catalog.resources():
        other = seen.setdefault((resource.provider, resource.instance), resource.path)
        if other != resource.path:
            raise CatalogError(
                f"{name}: {other} and {resource.path} both name instance {resource.instance!r} "
                f"of provider {resource.provider!r}; one database has one path"
            )
    return catalog


def _sentence(
    name: str, problem: Mapping[str, Any], marks: Mapping[tuple[int | str, ...], int]
) -> str:
    path = tuple(problem["loc"])
    line = _lines(path, marks)
    place = f"{name}:{line}" if line else name
    near = _keys_at(path[:-1])
    if path[:1] == ("providers",) and path[2:3] and path[2] in _PROVIDERS:
        path = (*path[:2], *path[3:])  # the kind is no key of the file
    elif problem["type"] == "union_tag_not_found":
        kinds = _PROVIDERS if path[0] == "providers" else _PLATFORM_KINDS
        dotted = ".".join(str(part) for part in path)
        return f"{place}: {dotted}: no kind; it is one of {', '.join(kinds)}"
    if "platform" in path[:-2] and path[path.index("platform") + 1] in _PLATFORM_KINDS:
        at = path.index("platform")
        path = (*path[: at + 1], *path[at + 2 :])
    dotted = ".".join(str(part) for part in path)
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key {dotted!r}{nearest(str(path[-1]), near)}"
    return f"{place}: {dotted}: {problem['msg']}"


_NESTED: Mapping[str, type[Written]] = {
    "objectives": Objectives,
    "backups": BackupPolicy,
    "checks": SqlCheck,
    "connection": Connection,
    "approval": Approval,
    "server": ServerAddress,
    "health": Health,
    "repository": Repository,
    "signing": Signing,
    "schema": SchemaEntry,
}
_PARENTS: Mapping[str, type[Written]] = {
    "projects": ProjectEntry,
    "environments": EnvironmentEntry,
    "databases": DatabaseEntry,
    "applications": ApplicationEntry,
    "configurations": ConfigurationEntry,
    "registries": RegistryEntry,
}


_PLATFORMS: Mapping[str, type[Written]] = {
    "local": LocalPlatform,
    "kubernetes": KubernetesPlatform,
}
_TARGETS: Mapping[str, type[Written]] = {"local": FolderTarget, "kubernetes": ClusterTarget}
_PLATFORM_KINDS = tuple(_PLATFORMS)
_PROVIDERS: Mapping[str, type[Written]] = {
    "local": LocalProviderEntry,
    "aws": AwsProviderEntry,
    "gcp": GcpProviderEntry,
    "azure": AzureProviderEntry,
    "scaleway": ScalewayProviderEntry,
}


def _keys_at(path: tuple[int | str, ...]) -> list[str]:
    names = [part for part in path if isinstance(part, str)]
    if "platform" in names[:-1] and names[-1] in _PLATFORM_KINDS:
        platforms = _TARGETS if "configurations" in names else _PLATFORMS
        return list(platforms[names[-1]].model_fields)
    if names[:1] == ["providers"] and len(names) > 1:
        return list(_PROVIDERS[names[-1]].model_fields) if names[-1] in _PROVIDERS else []
    if not names:
        return list(Catalog.model_fields)
    model = _NESTED.get(names[-1])
    if model is None and len(names) > 1:
        model = _PARENTS.get(names[-2])
    return list(model.model_fields) if model else []
