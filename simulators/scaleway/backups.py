"""Logical backups: their records alone, without data behind them."""

from datetime import timedelta

from simulators.scaleway.account import Account, Call, expiry, new_id
from simulators.scaleway.answers import backup_json
from simulators.scaleway.reading import listed, page_of
from simulators.scaleway.shapes import DELETING, ERROR, Backup, Json

YEAR = timedelta(days=365)


def list_backups(account: Account, call: Call) -> Json:
    """Return the logical backups of a region."""
    project, instance = call.query.get("project_id"), call.query.get("instance_id")
    found = [
        _told(account, backup)
        for backup in listed(account, account.backups.values(), call)
        if instance in (None, backup.instance) and project in (None, backup.project)
    ]
    return page_of("database_backups", found, call)


def get_backup(account: Account, call: Call) -> Json:
    """Return one logical backup."""
    return _told(account, _find(account, call))


def create_backup(account: Account, call: Call) -> Json:
    """Begin a logical backup of one database."""
    instance = account.instance(call, call.required("instance_id"))
    account.require(instance)
    clock, lasts = account.estate.clock, account.estate.durations.snapshot
    backup = Backup(
        id=new_id(),
        region=call.region,
        name=call.required("name"),
        created_at=clock.now(),
        made_at=clock.elapsed(),
        instance=instance.id,
        instance_name=instance.name,
        project=instance.project,
        database=call.required("database_name"),
        same_region=instance.same_region,
        expires_at=expiry(call, clock.now() + YEAR),
    )
    account.backups[backup.id] = backup
    account.begin(backup, "backup", lasts, status="creating")
    account.begin(instance, "backup", lasts, status="backuping")
    return _told(account, backup)


def update_backup(account: Account, call: Call) -> Json:
    """Change a backup's name or when it expires."""
    backup = _find(account, call)
    account.require(backup)
    backup.name = str(call.body.get("name") or backup.name)
    backup.expires_at = expiry(call, backup.expires_at)
    return _told(account, backup)


def delete_backup(account: Account, call: Call) -> Json:
    """Remove a logical backup."""
    backup = _find(account, call)
    account.require(backup, ERROR)
    account.begin(
        backup,
        "delete",
        account.estate.durations.delete,
        status=DELETING,
        then=lambda: _drop(account, backup),
    )
    return _told(account, backup)


def restore_backup(account: Account, call: Call) -> Json:
    """Show a restore into an existing instance; no data move."""
    backup, lasts = _find(account, call), account.estate.durations.restore
    instance = account.instance(call, call.required("instance_id"))
    for each in (backup, instance):
        account.require(each)
    account.begin(backup, "restore", lasts, status="restoring")
    account.begin(instance, "restore", lasts, status="configuring")
    return _told(account, backup)


def export_backup(account: Account, call: Call) -> Json:
    """Begin an export; a link is there at its end."""
    backup = _find(account, call)
    account.require(backup)
    account.begin(
        backup,
        "export",
        account.estate.durations.snapshot,
        status="exporting",
        then=lambda: setattr(backup, "exported", True),
    )
    return _told(account, backup)


def _told(account: Account, backup: Backup) -> Json:
    return backup_json(backup, account.status(backup))


def _find(account: Account, call: Call) -> Backup:
    return account.find(account.backups, Backup, call.region, call.ids["backup_id"])


def _drop(account: Account, backup: Backup) -> None:
    account.backups.pop(backup.id, None)
