"""Puts the common parts over one account's driver."""

from domain.provider import DatabaseProvider
from providers.managed.account import Account
from providers.managed.cutover import ManagedCutover
from providers.managed.points import ManagedPoints
from providers.managed.preflight import ManagedPreflight
from providers.managed.recovery import ManagedRecovery
from providers.managed.settings import ManagedSettings
from providers.managed.snapshots import ManagedSnapshots


def provider_of(account: Account) -> DatabaseProvider:
    """Return the whole provider of one account."""
    points = ManagedPoints(account)
    return DatabaseProvider(
        points=points,
        preflight=ManagedPreflight(account, points),
        recovery=ManagedRecovery(account),
        snapshots=ManagedSnapshots(account),
        settings=ManagedSettings(account),
        cutover=ManagedCutover(account),
    )
