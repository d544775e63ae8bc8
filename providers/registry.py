"""Provider kinds by name: an explicit list, each imported when a catalog names it."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from domain.catalog import Catalog
from domain.entries import LocalProviderEntry, ProviderEntry
from domain.errors import CatalogError
from domain.platforms import (
    ApplicationPlatform,
    ConfigurationPlatform,
    ConfigurationRepository,
    ImageRegistry,
)
from domain.provider import Consumers, DatabaseProvider, Questions
from providers.local.applications import LocalConsumers
from providers.local.folders import LocalFolders
from providers.local.releases import LocalApplications
from providers.questions import EngineQuestions
from providers.secrets.references import Secrets


class _Cloud(Protocol):
    """The module `provider` of each cloud's folder."""

    def databases(
        self, name: str, entry: ProviderEntry, base: Path, secrets: Secrets, scale: float
    ) -> DatabaseProvider:
        """Return what one account of the catalog can do with databases."""
        ...


def databases(
    name: str, entry: ProviderEntry, base: Path, secrets: Secrets, scale: float = 1.0
) -> DatabaseProvider:
    """Return the database provider that a catalog entry describes; imports its SDK and no other.

    `scale` is how many times faster than reality a simulated provider works.

    Raises:
        CatalogError: the SDK of the provider is not installed.
    """
    try:
        cloud = cast("_Cloud", importlib.import_module(f"providers.{entry.kind}.provider"))
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("providers"):
            raise
        raise CatalogError(
            f"provider {name!r} is of kind {entry.kind}, whose SDK is not installed (no module "
            f"{error.name}); install it with: pip install 'refloat[{entry.kind}]'"
        ) from None
    return cloud.databases(name, entry, base, secrets, scale)


def state_folder(entry: ProviderEntry, base: Path) -> Path:
    """Return the folder of the worker that keeps the reports and proofs of a provider."""
    named = entry.root if isinstance(entry, LocalProviderEntry) else entry.reports
    return (base / Path(named).expanduser()).resolve()


def _optional(module: str, extra: str, what: str) -> ModuleType:
    """Return a provider's module.

    Raises:
        CatalogError: what it needs is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("providers"):
            raise
        raise CatalogError(
            f"{what}, whose library is not installed (no module {error.name}); install it with: "
            f"pip install 'refloat[{extra}]'"
        ) from None


def images(catalog: Catalog, base: Path, secrets: Secrets) -> ImageRegistry | None:
    """Return the registries of the catalog's applications, or None where it has none.

    Raises:
        CatalogError: the library is not installed.
    """
    if not any(catalog.applications()):
        return None
    oci = _optional("providers.oci.provider", "oci", "the catalog has images of a registry")
    made: ImageRegistry = oci.registry(catalog.registries, base, secrets)
    return made


def platforms(
    catalog: Catalog, entry: ProviderEntry, base: Path, secrets: Secrets, scale: float = 1.0
) -> Mapping[str, ApplicationPlatform]:
    """Return what runs the catalog's applications, by kind; each library only where it is needed."""

    def login(repository: str) -> tuple[str, str]:
        found = catalog.registries.get(repository.partition("/")[0])
        if found is None or not found.user or found.password is None:
            return "", ""
        return found.user, secrets.read(found.password)

    made: dict[str, ApplicationPlatform] = {
        "local": LocalApplications(state_folder(entry, base), login)
    }
    if any(one.platform.kind == "kubernetes" for one in catalog.applications()):
        cluster = _optional(
            "providers.kubernetes.provider", "kubernetes", "the catalog has a Kubernetes platform"
        )
        made["kubernetes"] = cluster.platform(base, scale)
    return made


def repositories(
    catalog: Catalog, entry: ProviderEntry, base: Path, secrets: Secrets
) -> ConfigurationRepository | None:
    """Return the Git repositories of the catalog's configurations, or None where it has none."""
    if not any(catalog.configurations()):
        return None
    git = _optional("providers.git.provider", "git", "the catalog has a Git repository")
    state = state_folder(entry, base) / "git"
    made: ConfigurationRepository = git.repositories(state, base, secrets)
    return made


def configuration_platforms(
    catalog: Catalog, entry: ProviderEntry, base: Path, scale: float = 1.0
) -> Mapping[str, ConfigurationPlatform]:
    """Return where the catalog's configurations take effect, by kind."""
    made: dict[str, ConfigurationPlatform] = {
        "local": LocalFolders(base, state_folder(entry, base))
    }
    if any(one.platform.kind == "kubernetes" for one in catalog.configurations()):
        cluster = _optional(
            "providers.kubernetes.provider", "kubernetes", "the catalog has a Kubernetes platform"
        )
        made["kubernetes"] = cluster.configurations(base, scale)
    return made


def consumers(entry: ProviderEntry, base: Path) -> Consumers:
    """Return how the applications beside the worker are pointed elsewhere."""
    return LocalConsumers(base, state_folder(entry, base))


def questions(secrets: Secrets) -> Questions:
    """Return how databases are asked, each engine's driver imported when it is needed."""
    return EngineQuestions(secrets)
