"""Puts the parts of the local provider together."""

from pathlib import Path

from domain.entries import LocalProviderEntry
from domain.provider import DatabaseProvider
from providers.local.config import LocalConfig
from providers.local.cutover import LocalCutover
from providers.local.databases import LocalRecovery
from providers.local.points import LocalPoints
from providers.local.preflight import LocalPreflight
from providers.local.settings import LocalSettings
from providers.local.snapshots import LocalSnapshots
from providers.secrets.references import Secrets


def databases(
    name: str, entry: LocalProviderEntry, base: Path, secrets: Secrets, scale: float = 1.0
) -> DatabaseProvider:
    """Return what one local provider of the catalog can do with databases."""
    del scale  # nothing here is simulated
    config = LocalConfig.from_entry(name, entry, base)
    points = LocalPoints(config, secrets)
    return DatabaseProvider(
        points=points,
        preflight=LocalPreflight(config, secrets, points),
        recovery=LocalRecovery(config, secrets),
        snapshots=LocalSnapshots(config, secrets, points),
        settings=LocalSettings(config, secrets),
        cutover=LocalCutover(config, secrets),
    )
