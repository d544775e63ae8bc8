"""Provider kinds by name: an explicit list, each imported when a catalog names it."""

import importlib
from pathlib import Path
from typing import Protocol, cast

from domain.catalog import LocalProviderEntry, ProviderEntry
from domain.errors import CatalogError
from domain.provider import Consumers, DatabaseProvider, Questions
from providers.local.applications import LocalConsumers
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


def consumers(entry: ProviderEntry, base: Path) -> Consumers:
    """Return how the applications beside the worker are pointed elsewhere."""
    return LocalConsumers(base, state_folder(entry, base))


def questions(secrets: Secrets) -> Questions:
    """Return how databases are asked, each engine's driver imported when it is needed."""
    return EngineQuestions(secrets)
