"""Provider kinds by name: an explicit list, each imported when a catalog names it."""

from pathlib import Path

from domain.catalog import ProviderEntry
from domain.provider import Consumers, DatabaseProvider
from providers.secrets.references import Secrets


def databases(name: str, entry: ProviderEntry, base: Path, secrets: Secrets) -> DatabaseProvider:
    """Return the database provider that a catalog entry describes."""
    from providers.local import provider  # noqa: PLC0415 - a provider is imported on demand

    return provider.databases(name, entry, base, secrets)


def consumers(name: str, entry: ProviderEntry, base: Path) -> Consumers:
    """Return how the applications beside a provider are pointed elsewhere."""
    from providers.local import provider  # noqa: PLC0415 - as above

    return provider.consumers(name, entry, base)
