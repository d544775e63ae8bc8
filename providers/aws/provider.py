"""Puts the parts of the AWS provider together."""

from datetime import timedelta
from pathlib import Path

from domain.entries import AwsProviderEntry
from domain.pacing import Pacing
from domain.provider import DatabaseProvider
from domain.recovery import Tls
from providers.aws.backups import AwsBackups
from providers.aws.client import AwsClient
from providers.aws.cutover import AwsTraffic
from providers.aws.databases import AwsInstances
from providers.aws.preflight import AwsAccess
from providers.aws.settings import AwsCarryOver
from providers.fences import fence_with, login_with
from providers.managed.account import Account
from providers.managed.model import Limits
from providers.managed.provider import provider_of
from providers.secrets.references import Secrets

LIMITS = Limits(
    granularity=timedelta(seconds=1), typical=timedelta(minutes=22), policy=(7, 35), unit="days"
)


def databases(
    name: str, entry: AwsProviderEntry, base: Path, secrets: Secrets, scale: float = 1.0
) -> DatabaseProvider:
    """Return what one AWS account of the catalog can do with databases."""
    client = AwsClient(entry, scale)
    ca = str((base / Path(entry.ca).expanduser()).resolve()) if entry.ca else ""
    instances = AwsInstances(client, Tls(ca_file=ca))
    return provider_of(
        Account(
            name=name,
            kind="AWS",
            limits=LIMITS,
            pacing=Pacing(least=timedelta(seconds=2 / entry.calls_per_second), scale=scale),
            folder=(base / Path(entry.reports).expanduser()).resolve(),
            instances=instances,
            backups=AwsBackups(client),
            settings=AwsCarryOver(client),
            traffic=AwsTraffic(client, instances, scale),
            access=AwsAccess(client),
            fence=fence_with(secrets),
            login=login_with(secrets),
        )
    )
