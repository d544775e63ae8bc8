"""Backups: names for moments that a restore to a time reaches; PostgreSQL's and MySQL's rules."""

from simulators.azure.account import Account, Call
from simulators.azure.answers import backup_json, page_json
from simulators.azure.families import POSTGRESQL, Json
from simulators.azure.operations import Answer
from simulators.azure.refusals import ApiError, internal, invalid
from simulators.azure.shapes import Backup, Server

OLD, NEWER = "backups", "backupsV2"


def list_backups(account: Account, call: Call) -> Answer:
    """Return the finished backups of a server, newest first."""
    return _list(account, call, OLD)


def list_newer(account: Account, call: Call) -> Answer:
    """Return the same, as MySQL's asynchronous calls tell them."""
    return _list(account, call, NEWER)


def get_backup(account: Account, call: Call) -> Answer:
    """Return one backup."""
    return _get(account, call, OLD)


def get_newer(account: Account, call: Call) -> Answer:
    """Return the same, as MySQL's asynchronous calls tell it."""
    return _get(account, call, NEWER)


def put_backup(account: Account, call: Call) -> Answer:
    """Begin a backup of PostgreSQL.

    A name used before, and a second backup while one runs, are told as an error of Azure's own.
    """
    server = account.server(call)
    account.require(server)
    if server.sku.get("tier") == "Burstable":
        raise invalid("sku.tier", "Burstable servers have no on-demand backups.")
    running = any(backup.completed_at is None for backup in server.backups.values())
    if call.child in server.backups or running:
        raise internal()
    return _take(account, server, call.child, OLD)


def put_at_once(account: Account, call: Call) -> Answer:
    """Take a backup of MySQL within the call, or return the one of the name."""
    server = account.server(call)
    account.require(server)
    backup = server.backups.get(call.child) or _new(server, call.child)
    backup.completed_at = backup.completed_at or account.estate.clock.now()
    return backup_json(account, server, backup)


def put_newer(account: Account, call: Call) -> Answer:
    """Begin a backup of MySQL, or return the one of the name."""
    server = account.server(call)
    account.require(server)
    known = server.backups.get(call.child)
    if known is not None:
        return backup_json(account, server, known, NEWER)
    return _take(account, server, call.child, NEWER)


def delete_backup(account: Account, call: Call) -> Answer:
    """Begin to delete a backup that somebody took; automatic ones stay."""
    server = account.server(call)
    account.require(server)
    backup = server.backups.get(call.child)
    if backup is None:
        return None
    if not backup.on_demand:
        raise invalid("backupName", "Automatic backups cannot be deleted.")
    lasts = account.estate.durations.change
    return account.begin(server, "delete-backup", lasts, then=lambda: _forget(server, backup))


def _take(account: Account, server: Server, name: str, kind: str) -> Answer:
    backup, began_at = _new(server, name), account.estate.clock.now()

    def finish() -> None:
        backup.completed_at = began_at

    def result() -> Json:
        return backup_json(account, server, backup, kind)

    return account.begin(
        server,
        "backup",
        account.estate.durations.snapshot,
        then=finish,
        undo=lambda: _forget(server, backup),
        result=result,
    )


def _new(server: Server, name: str) -> Backup:
    taken = sum(backup.on_demand for backup in server.backups.values())
    most = server.family.on_demand
    if taken >= most:
        message = f"Server '{server.name}' has {most} on-demand backups, the most that are kept."
        raise ApiError(400, "OnDemandBackupLimitExceeded", message)
    backup = Backup(name, None, on_demand=True)
    server.backups[name] = backup
    return backup


def _forget(server: Server, backup: Backup) -> None:
    server.backups.pop(backup.name, None)


def _list(account: Account, call: Call, kind: str) -> Answer:
    server = account.server(call)
    finished = [
        (backup.completed_at, backup)
        for backup in server.backups.values()
        if backup.completed_at is not None
    ]
    finished.sort(key=lambda one: one[0], reverse=True)
    found = [backup_json(account, server, backup, kind) for _, backup in finished]
    return page_json(account, call, f"{account.id_of(server)}/{kind}", found)


def _get(account: Account, call: Call, kind: str) -> Answer:
    server = account.server(call)
    backup = server.backups.get(call.child)
    if backup is None or (backup.completed_at is None and server.family is POSTGRESQL):
        raise ApiError(404, "ResourceNotFound", f"The backup '{call.child}' was not found.")
    return backup_json(account, server, backup, kind)
