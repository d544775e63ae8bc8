"""The catalog file as types: what is protected, where, and what is promised for it."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from domain.configuration import (
    ProtectedConfiguration,
)
from domain.entries import (
    ApplicationEntry,
    CloudEntry,
    ConfigurationEntry,
    DatabaseEntry,
    EnvironmentEntry,
    LocalProviderEntry,
    ProjectEntry,
    ProviderEntry,
    RegistryEntry,
    SchemaEntry,
)
from domain.errors import CatalogError
from domain.resources import (
    BackupPolicy,
    Consumer,
    Durability,
    Engine,
    KubernetesPlatform,
    LocalPlatform,
    Objectives,
    Protected,
    ProtectedResource,
)
from domain.rollback import ProtectedApplication, Schema
from domain.values import Written, show_span

_RETENTION: Mapping[str, tuple[int, int, str]] = {
    "aws": (7, 35, "days"),
    "gcp": (7, 365, "backups, one a day"),
    "azure": (7, 35, "days"),
    "scaleway": (7, 7, "days"),
}
"""What may be demanded of each cloud, in days; what its API allows to be set is wider."""


class Catalog(Written):
    """The whole file."""

    organization: str
    providers: Mapping[str, ProviderEntry]
    projects: Mapping[str, ProjectEntry] = {}

    registries: Mapping[str, RegistryEntry] = {}

    def resources(self) -> Iterator[ProtectedResource]:
        """Yield every database in the order of the file."""
        for prefix, entry in self._environments():
            for service, database in entry.databases.items():
                yield self._resource(f"{prefix}/{service}", entry, database)

    def applications(self) -> Iterator[ProtectedApplication]:
        """Yield every application that has an image to go back to."""
        for prefix, entry in self._environments():
            for name, application in entry.applications.items():
                if application.image:
                    yield self._application(prefix, name, entry, application)

    def configurations(self) -> Iterator[ProtectedConfiguration]:
        """Yield every configuration."""
        for prefix, entry in self._environments():
            for name, configuration in entry.configurations.items():
                yield self._configuration(prefix, name, entry, configuration)

    def protected(self) -> Iterator[Protected]:
        """Yield everything that is protected, databases first."""
        yield from self.resources()
        yield from self.applications()
        yield from self.configurations()

    def resource(self, path: str) -> ProtectedResource:
        """Return the database at `path`.

        Raises:
            CatalogError: with the nearest path that exists, or that it is no database.
        """
        found = self.find(path, self.resources())
        if isinstance(found, ProtectedResource):
            return found
        raise CatalogError(
            f"{path} is no database but one {found.kind.value}; `refloat rollback {path}` brings it "
            "back"
        )

    def find(self, path: str, wanted: Iterable[Protected] = ()) -> Protected:
        """Return what is protected at `path`; `wanted` are the ones to offer for a misspelt path.

        Raises:
            CatalogError: with the nearest path that exists.
        """
        known = {one.path: one for one in self.protected()}
        if path in known:
            return known[path]
        for prefix, entry in self._environments():
            if path in {f"{prefix}/{name}" for name in entry.applications}:
                raise CatalogError(
                    f"{path} has no `image` in the catalog, so there is no version to go back to"
                )
        offered = [one.path for one in wanted] or list(known)
        raise CatalogError(f"no resource {path!r} in the catalog{nearest(path, offered)}")

    def environment(self, name: str) -> list[Protected]:
        """Return what is protected in `project/environment`.

        Raises:
            CatalogError: with the nearest environment that exists.
        """
        known = [prefix for prefix, _ in self._environments()]
        if name not in known:
            raise CatalogError(f"no environment {name!r} in the catalog{nearest(name, known)}")
        return [one for one in self.protected() if one.path.rpartition("/")[0] == name]

    def _environments(self) -> Iterator[tuple[str, EnvironmentEntry]]:
        for project, environments in self.projects.items():
            for environment, entry in environments.environments.items():
                yield f"{project}/{environment}", entry

    def _application(
        self, prefix: str, name: str, entry: EnvironmentEntry, application: ApplicationEntry
    ) -> ProtectedApplication:
        path = f"{prefix}/{name}"
        platform = application.platform
        if isinstance(platform, LocalPlatform) and not platform.container:
            raise CatalogError(f"{path}: image is for a platform with `container: true`")
        if "@" in application.image or ":" in application.image.rpartition("/")[2]:
            raise CatalogError(
                f"{path}: image names a repository, without tag or digest: "
                f"{application.image.partition('@')[0].rpartition(':')[0] or application.image}"
            )
        provider = self._reached_by(path, application.provider, entry)
        return ProtectedApplication(
            path=path,
            name=name,
            provider=provider,
            provider_kind=self.providers[provider].kind,
            objectives=application.objectives or Objectives(),
            approval=application.approval,
            platform=platform,
            image=application.image,
            health=application.health,
            data_schema=self._schema(path, prefix, entry, application.data_schema),
        )

    def _schema(
        self, path: str, prefix: str, entry: EnvironmentEntry, schema: SchemaEntry | None
    ) -> Schema | None:
        if schema is None:
            return None
        if bool(schema.database) != bool(schema.query):
            raise CatalogError(f"{path}: schema has database and query, or neither")
        database = None
        if schema.database:
            if schema.database not in entry.databases:
                near = nearest(schema.database, list(entry.databases))
                raise CatalogError(f"{path}: no database {schema.database!r}{near}")
            declared = entry.databases[schema.database]
            database = self._resource(f"{prefix}/{schema.database}", entry, declared)
        return Schema(database=database, query=schema.query, versions=schema.versions)

    def _configuration(
        self, prefix: str, name: str, entry: EnvironmentEntry, configuration: ConfigurationEntry
    ) -> ProtectedConfiguration:
        path = f"{prefix}/{name}"
        for one in configuration.applications:
            if one not in entry.applications:
                near = nearest(one, list(entry.applications))
                raise CatalogError(f"{path}: no application {one!r} in its environment{near}")
        provider = self._reached_by(path, configuration.provider, entry)
        readers = [
            Consumer(name=one, platform=entry.applications[one].platform, health=found.health)
            for one in configuration.applications
            if (found := entry.applications[one])
        ]
        return ProtectedConfiguration(
            path=path,
            name=name,
            provider=provider,
            provider_kind=self.providers[provider].kind,
            objectives=configuration.objectives or Objectives(),
            approval=configuration.approval,
            repository=configuration.repository,
            platform=configuration.platform,
            applications=tuple(readers),
            secret_keys=configuration.secret_keys,
        )

    def _reached_by(self, path: str, named: str | None, entry: EnvironmentEntry) -> str:
        """Return the provider whose workers reach an application or a configuration."""
        if named is not None:
            if named in self.providers:
                return named
            near = nearest(named, list(self.providers))
            raise CatalogError(f"{path}: no provider {named!r} in the catalog{near}")
        beside = {one.provider for one in entry.databases.values()} & set(self.providers)
        fit = beside or set(self.providers)
        if len(fit) == 1:
            return next(iter(fit))
        raise CatalogError(
            f"{path}: name the `provider` whose workers reach it, one of {', '.join(sorted(fit))}"
        )

    def _resource(
        self, path: str, environment: EnvironmentEntry, database: DatabaseEntry
    ) -> ProtectedResource:
        if database.provider not in self.providers:
            near = nearest(database.provider, list(self.providers))
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
            near = nearest(name, list(environment.applications))
            raise CatalogError(f"{path}: no application {name!r} in its environment{near}")
        application = environment.applications[name]
        if isinstance(application.platform, KubernetesPlatform):
            raise CatalogError(
                f"{path}: consumer {name!r} runs on Kubernetes; a cutover points consumers of kind "
                "local to the new server. Take it out of `consumers` and restart it yourself"
            )
        return Consumer(name=name, platform=application.platform, health=application.health)


def nearest(wanted: str, known: list[str]) -> str:
    """Return the end of a sentence that says what was probably meant."""
    close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.4)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(sorted(known))}" if known else "; there is none"
