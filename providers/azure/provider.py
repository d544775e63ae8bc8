"""Puts the parts of the Azure provider together."""

from datetime import timedelta
from pathlib import Path

from domain.entries import AzureProviderEntry
from domain.pacing import Pacing
from domain.provider import DatabaseProvider
from domain.recovery import Tls
from providers.azure.activity import RECOVERABLE, ActivityLog
from providers.azure.backups import LAG, AzureBackups
from providers.azure.client import AzureClient
from providers.azure.cutover import AzureTraffic
from providers.azure.databases import AzureInstances
from providers.azure.preflight import AzureAccess
from providers.azure.servers import Servers
from providers.azure.settings import AzureCarryOver
from providers.fences import fence_with, login_with
from providers.managed.account import Account
from providers.managed.model import Limits
from providers.managed.provider import provider_of
from providers.secrets.references import Secrets

LIMITS = Limits(
    granularity=timedelta(),  # moments travel to the microsecond
    typical=timedelta(minutes=30),
    policy=(7, 35),
    unit="days",
)
LEAST = timedelta(seconds=30)
"""Twice the interval at which Azure wants to be asked about an operation at most."""


def databases(
    name: str, entry: AzureProviderEntry, base: Path, secrets: Secrets, scale: float = 1.0
) -> DatabaseProvider:
    """Return what one resource group of the catalog can do with databases."""
    client, pacing = AzureClient(entry, scale), Pacing(least=LEAST, scale=scale)
    servers, log = Servers(client), ActivityLog(client, pacing.short(RECOVERABLE))
    ca = str((base / Path(entry.ca).expanduser()).resolve()) if entry.ca else ""
    instances = AzureInstances(client, servers, log, Tls(ca_file=ca))
    return provider_of(
        Account(
            name=name,
            kind="Azure",
            limits=LIMITS,
            pacing=pacing,
            folder=(base / Path(entry.reports).expanduser()).resolve(),
            instances=instances,
            backups=AzureBackups(client, servers, instances, log, pacing.short(LAG)),
            settings=AzureCarryOver(client, servers),
            traffic=AzureTraffic(client, servers, instances, pacing),
            access=AzureAccess(client, servers, log),
            fence=fence_with(secrets),
            login=login_with(secrets),
        )
    )
