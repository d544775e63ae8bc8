"""The catalog file as types: what is protected, where, and what is promised for it."""

import difflib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from domain.errors import CatalogError
from domain.resources import (
    Approval,
    BackupPolicy,
    Connection,
    Consumer,
    Durability,
    Engine,
    Health,
    LocalPlatform,
    Objectives,
    ProtectedResource,
    ServerAddress,
    SqlCheck,
)
from domain.values import Written, show_span


class LocalProviderEntry(Written):
    """PostgreSQL on this machine: state folder, ports for new servers, account that runs them."""

    kind: Literal["local"]
    root: str = ".refloat"
    archive: str | None = Field(default=None, description="folder on another disk; default: root")
    listen: str = "127.0.0.1"
    first_port: int = Field(default=15440, ge=1, le=65535)
    last_port: int = Field(default=15499, ge=1, le=65535)
    run_as: str | None = None
    binaries: str | None = None

    @model_validator(mode="after")
    def _has_ports(self) -> Self:
        if self.last_port < self.first_port:
            message = f"last_port {self.last_port} is below first_port {self.first_port}"
            raise ValueError(message)
        return self


_RETENTION: Mapping[str, tuple[int, int, str]] = {
    "aws": (7, 35, "days"),
    "gcp": (7, 365, "backups, one a day"),
    "azure": (7, 35, "days"),
    "scaleway": (7, 7, "days"),
}
"""What may be demanded of each cloud, in days; what its API allows to be set is wider."""


class CloudEntry(Written):
    """What every cloud account needs beside its own keys; credentials are the SDK's own business."""

    region: str
    reports: str = Field(
        default=".refloat", description="folder of the worker that keeps reports and proofs"
    )
    ca: str | None = Field(
        default=None,
        description="file with the certificates that sign the databases' own; default: what the "
        "provider tells, else the system's",
    )
    calls_per_second: float = Field(
        default=5.0, gt=0, description="most calls of one worker to the account"
    )


class AwsProviderEntry(CloudEntry):
    """Amazon RDS in one account and region."""

    kind: Literal["aws"]
    account: str = Field(pattern=r"^\d{12}$")


class GcpProviderEntry(CloudEntry):
    """Google Cloud SQL in one project."""

    kind: Literal["gcp"]
    project: str


class AzureProviderEntry(CloudEntry):
    """Azure Database flexible servers in one resource group."""

    kind: Literal["azure"]
    subscription: str
    resource_group: str


class ScalewayProviderEntry(CloudEntry):
    """Scaleway Managed Databases in one project and region."""

    kind: Literal["scaleway"]
    project: str


ProviderEntry = Annotated[
    LocalProviderEntry
    | AwsProviderEntry
    | GcpProviderEntry
    | AzureProviderEntry
    | ScalewayProviderEntry,
    Field(discriminator="kind", description="one account at one provider"),
]


class DatabaseEntry(Written):
    """One database as people declare it."""

    provider: str
    engine: Engine
    instance: str = Field(pattern=r"^[a-z](?:-?[a-z0-9]){0,40}$")
    objectives: Objectives | None = None
    backups: BackupPolicy = BackupPolicy()
    checks: tuple[SqlCheck, ...] = ()
    connection: Connection
    consumers: tuple[str, ...] = ()
    approval: Approval | None = None
    durability: Durability = Durability.BOUNDED_LOSS
    heartbeat: bool = True
    server: ServerAddress | None = None


class ApplicationEntry(Written):
    """One application as people declare it."""

    platform: LocalPlatform
    health: Health | None = None


class EnvironmentEntry(Written):
    """What belongs together, such as production."""

    databases: Mapping[str, DatabaseEntry] = {}
    applications: Mapping[str, ApplicationEntry] = {}


class ProjectEntry(Written):
    """One project with its environments."""

    environments: Mapping[str, EnvironmentEntry] = {}


class Catalog(Written):
    """The whole file."""

    organization: str
    providers: Mapping[str, ProviderEntry]
    projects: Mapping[str, ProjectEntry] = {}

    def resources(self) -> Iterator[ProtectedResource]:
        """Yield every database in the order of the file."""
        for project, environments in self.projects.items():
            for environment, entry in environments.environments.items():
                for service, database in entry.databases.items():
                    yield self._resource(f"{project}/{environment}/{service}", entry, database)

    def resource(self, path: str) -> ProtectedResource:
        """Return the database at `path`.

        Raises:
            CatalogError: with the nearest path that exists.
        """
        known = {resource.path: resource for resource in self.resources()}
        if path in known:
            return known[path]
        raise CatalogError(f"no resource {path!r} in the catalog{_nearest(path, list(known))}")

    def _resource(
        self, path: str, environment: EnvironmentEntry, database: DatabaseEntry
    ) -> ProtectedResource:
        if database.provider not in self.providers:
            near = _nearest(database.provider, list(self.providers))
            raise CatalogError(f"{path}: no provider {database.provider!r} in the catalog{near}")
        self._require_fitting(path, database, self.providers[database.provider])
        return ProtectedResource(
            path=path,
            provider=database.provider,
            provider_kind=self.providers[database.provider].kind,
            engine=database.engine,
            instance=database.instance,
            objectives=database.objectives or Objectives(),
            backups=self._backups(path, database, self.providers[database.provider]),
            checks=database.checks,
            connection=database.connection,
            consumers=tuple(self._consumer(path, name, environment) for name in database.consumers),
            approval=database.approval,
            durability=database.durability,
            heartbeat=database.heartbeat,
            server=database.server,
        )

    @staticmethod
    def _backups(
        path: str, database: DatabaseEntry, provider: LocalProviderEntry | CloudEntry
    ) -> BackupPolicy:
        """Return what is demanded of the backups, which no cloud may be asked beyond its range."""
        policy, limits = database.backups, _RETENTION.get(getattr(provider, "kind", ""))
        if limits is None:
            return policy
        least, most, unit = limits
        if "retention" not in policy.model_fields_set:
            wanted = min(policy.retention, timedelta(days=most))
            return policy.model_copy(update={"retention": wanted})
        if not timedelta(days=least) <= policy.retention <= timedelta(days=most):
            span = f"{least} to {most}" if least < most else f"{least}"
            raise CatalogError(
                f"{path}: backups.retention is {show_span(policy.retention)}; at this provider it is "
                f"{span} {unit}"
            )
        return policy

    @staticmethod
    def _require_fitting(
        path: str, database: DatabaseEntry, provider: LocalProviderEntry | CloudEntry
    ) -> None:
        """Refuse keys that mean nothing at the provider, so that nobody relies on them."""
        local = isinstance(provider, LocalProviderEntry)
        wrong = {
            "engine: mysql is restored at clouds only": local and database.engine is Engine.MYSQL,
            "backups.encrypted: false cannot be had, local backups always are": local
            and not database.backups.encrypted,
            "server is for a provider of kind local": not local and database.server is not None,
            "durability is for a provider of kind local": not local
            and database.durability is not Durability.BOUNDED_LOSS,
            "backups.max_size is for a provider of kind local": not local
            and database.backups.max_size is not None,
            "backups.key is for a provider of kind local, a cloud keeps its own keys": not local
            and database.backups.key is not None,
        }
        found = [told for told, is_so in wrong.items() if is_so]
        if found:
            raise CatalogError(f"{path}: {'; '.join(found)}")

    @staticmethod
    def _consumer(path: str, name: str, environment: EnvironmentEntry) -> Consumer:
        if name not in environment.applications:
            near = _nearest(name, list(environment.applications))
            raise CatalogError(f"{path}: no application {name!r} in its environment{near}")
        application = environment.applications[name]
        return Consumer(name=name, platform=application.platform, health=application.health)


def _nearest(wanted: str, known: list[str]) -> str:
    close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.4)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(sorted(known))}" if known else "; there is none"


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
        return f"{place}: {path[0]}.{path[1]}: no kind; it is one of {', '.join(_PROVIDERS)}"
    dotted = ".".join(str(part) for part in path)
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key {dotted!r}{_nearest(str(path[-1]), near)}"
    return f"{place}: {dotted}: {problem['msg']}"


_NESTED: Mapping[str, type[Written]] = {
    "objectives": Objectives,
    "backups": BackupPolicy,
    "checks": SqlCheck,
    "connection": Connection,
    "approval": Approval,
    "server": ServerAddress,
    "platform": LocalPlatform,
    "health": Health,
}
_PARENTS: Mapping[str, type[Written]] = {
    "projects": ProjectEntry,
    "environments": EnvironmentEntry,
    "databases": DatabaseEntry,
    "applications": ApplicationEntry,
}


_PROVIDERS: Mapping[str, type[Written]] = {
    "local": LocalProviderEntry,
    "aws": AwsProviderEntry,
    "gcp": GcpProviderEntry,
    "azure": AzureProviderEntry,
    "scaleway": ScalewayProviderEntry,
}


def _keys_at(path: tuple[int | str, ...]) -> list[str]:
    names = [part for part in path if isinstance(part, str)]
    if names[:1] == ["providers"] and len(names) > 1:
        return list(_PROVIDERS[names[-1]].model_fields) if names[-1] in _PROVIDERS else []
    if not names:
        return list(Catalog.model_fields)
    model = _NESTED.get(names[-1])
    if model is None and len(names) > 1:
        model = _PARENTS.get(names[-2])
    return list(model.model_fields) if model else []
