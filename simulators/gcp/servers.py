"""The real servers behind instances, and the addresses at which they are reached.

Everything that blocks here runs in the background, and touches nothing of the account but the
estate; the server's id is taken when the work is planned, as an instance may get another one.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from simulators.gcp import refusals
from simulators.gcp.account import Account
from simulators.gcp.records import Instance
from simulators.gcp.shapes import plain_version, recovers_to_a_time


def address_of(account: Account, instance: Instance) -> str:
    """Return where the instance is reached.

    Cloud SQL has one IP address an instance and the engine's own port; here a port of loopback
    stands for an address, so it is written behind it.
    """
    return f"127.0.0.1:{port_of(account, instance)}"


def port_of(account: Account, instance: Instance) -> int:
    """Return the front's port of an instance, opened where it is not."""
    return account.estate.front.open(front_name(instance), instance.engine)


def front_name(instance: Instance) -> str:
    """Return the name by which the front knows an instance; a restore over it keeps it."""
    return f"{instance.name}.{instance.project}"


def route(account: Account, instance: Instance, server: str) -> None:
    """Let the instance's address lead to a server, or nowhere when that does not run."""
    port_of(account, instance)
    address = account.backends(instance.engine).address(server)
    account.estate.front.route(front_name(instance), address)


def creating(account: Account, instance: Instance) -> Callable[[], None]:
    """Plan an empty server."""
    server, backends = instance.server, account.backends(instance.engine)
    version = plain_version(instance.fields["databaseVersion"])

    def work() -> None:
        backends.create(server, version=version, master=instance.master)
        route(account, instance, server)

    return work


def recovering(
    account: Account, source: Instance, target: Instance, moment: datetime | None
) -> Callable[[], None]:
    """Plan a server from another one, as of a moment."""
    origin, server = source.server, target.server
    backends = account.backends(source.engine)

    def work() -> None:
        backends.restore(origin, server, moment)
        route(account, target, server)

    return work


def unpacking(
    account: Account, snapshot: str, target: Instance, server: str, replaced: str = ""
) -> Callable[[], None]:
    """Plan a server from a snapshot, perhaps in the place of another."""
    backends = account.backends(target.engine)

    def work() -> None:
        backends.restore_snapshot(snapshot, server)
        route(account, target, server)
        if replaced:
            backends.remove(replaced, retain=False)

    return work


def switching(account: Account, instance: Instance, policy: str) -> Callable[[], None]:
    """Plan a stop or a start."""
    server, backends = instance.server, account.backends(instance.engine)

    def work() -> None:
        if policy == "NEVER":
            account.estate.front.route(front_name(instance), None)
            backends.stop(server)
        else:
            backends.start(server)
            route(account, instance, server)

    return work


def window(account: Account, instance: Instance) -> tuple[datetime, datetime]:
    """Return from when to when an instance can be recovered, or refuse."""
    if not recovers_to_a_time(instance.fields):
        raise refusals.invalid("Point-in-time recovery is not enabled for the instance")
    found = instance.reached or account.backends(instance.engine).window(instance.server)
    if found is None:
        raise refusals.no_backup()
    days = instance.settings["backupConfiguration"].get("transactionLogRetentionDays", 7)
    kept = account.estate.clock.now() - timedelta(days=days)
    return max(found[0], kept, instance.logged_since or kept), found[1]
