"""Puts the parts of the Google Cloud provider together."""

from datetime import timedelta
from pathlib import Path

from domain.entries import GcpProviderEntry
from domain.pacing import Pacing
from domain.provider import DatabaseProvider
from providers.fences import fence_with, login_with
from providers.gcp.backups import GcpBackups
from providers.gcp.client import GcpClient
from providers.gcp.cutover import GcpTraffic
from providers.gcp.databases import GcpInstances
from providers.gcp.preflight import GcpAccess
from providers.gcp.settings import GcpCarryOver
from providers.managed.account import Account
from providers.managed.model import Limits
from providers.managed.provider import provider_of
from providers.secrets.references import Secrets

LIMITS = Limits(
    granularity=timedelta(),
    typical=timedelta(minutes=20),
    policy=(7, 365),
    unit="backups",
    tags_at_restore=False,
)


def databases(
    name: str, entry: GcpProviderEntry, base: Path, secrets: Secrets, scale: float = 1.0
) -> DatabaseProvider:
    """Return what one Google Cloud project of the catalog can do with databases."""
    client = GcpClient(entry, scale)
    ca = str((base / Path(entry.ca).expanduser()).resolve()) if entry.ca else ""
    instances = GcpInstances(client, ca, scale)
    return provider_of(
        Account(
            name=name,
            kind="Cloud SQL",
            limits=LIMITS,
            pacing=Pacing(least=timedelta(seconds=2 / entry.calls_per_second), scale=scale),
            folder=(base / Path(entry.reports).expanduser()).resolve(),
            instances=instances,
            backups=GcpBackups(client),
            settings=GcpCarryOver(client),
            traffic=GcpTraffic(client, instances, scale),
            access=GcpAccess(client),
            fence=fence_with(secrets),
            login=login_with(secrets),
        )
    )
