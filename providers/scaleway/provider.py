"""Puts the parts of the Scaleway provider together."""

from datetime import timedelta
from pathlib import Path

from domain.entries import ScalewayProviderEntry
from domain.errors import ProviderUnavailableError
from domain.pacing import Pacing
from domain.provider import DatabaseProvider
from domain.recovery import RestoreHandle, Tls
from domain.resources import Connection
from providers.fences import fence_with, login_with
from providers.managed.account import Account, Fence
from providers.managed.model import Limits
from providers.managed.provider import provider_of
from providers.scaleway.backups import ScalewayBackups
from providers.scaleway.client import ScalewayClient
from providers.scaleway.cutover import ScalewayTraffic
from providers.scaleway.databases import ScalewayInstances
from providers.scaleway.preflight import ScalewayAccess
from providers.scaleway.settings import ScalewayCarryOver
from providers.secrets.references import Secrets

LIMITS = Limits(
    granularity=timedelta(),
    typical=timedelta(minutes=15),
    policy=(7, 7),
    unit="days",
    unique_names=False,
    tags_at_restore=False,
)


def databases(
    name: str, entry: ScalewayProviderEntry, base: Path, secrets: Secrets, scale: float = 1.0
) -> DatabaseProvider:
    """Return what one Scaleway project of the catalog can do with databases."""
    client = ScalewayClient(entry, scale)
    ca = str((base / Path(entry.ca).expanduser()).resolve()) if entry.ca else ""
    backups = ScalewayBackups(client)
    instances = ScalewayInstances(client, backups, Tls(ca_file=ca), scale)
    return provider_of(
        Account(
            name=name,
            kind="Scaleway",
            limits=LIMITS,
            pacing=Pacing(least=timedelta(seconds=2 / entry.calls_per_second), scale=scale),
            folder=(base / Path(entry.reports).expanduser()).resolve(),
            instances=instances,
            backups=backups,
            settings=ScalewayCarryOver(client, instances),
            traffic=ScalewayTraffic(client, instances, scale),
            access=ScalewayAccess(client),
            fence=_fence_where_reached(fence_with(secrets)),
            login=login_with(secrets),
        )
    )


def _fence_where_reached(fence: Fence) -> Fence:
    """Return how a database is fenced and freed; one whose endpoints moved away takes no writes."""

    def fenced_or_away(server: RestoreHandle, connection: Connection, fenced: bool) -> None:  # noqa: FBT001 - one act
        if server.host:
            fence(server, connection, fenced)
        elif not fenced:
            raise ProviderUnavailableError(f"{server.server}: it has no endpoint")

    return fenced_or_away
