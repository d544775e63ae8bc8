"""Backup runs and project-level backups: two views of the same backups."""

import copy
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from simulators.gcp import filters, jobs, refusals, stamps
from simulators.gcp.account import Account
from simulators.gcp.calls import Call
from simulators.gcp.jobs import Plan
from simulators.gcp.records import Backup, Instance
from simulators.gcp.spelling import Json, spelled
from simulators.gcp.spelling import moment as asked_moment

LONGEST = 365
FINAL = "FINAL"
DELETING = {"DELETION_PENDING": "DELETING"}
"""States of a project-level backup that a backup run calls otherwise."""


def new(account: Account, instance: Instance, kind: str) -> Backup:
    """Return a backup of an instance that nobody has taken yet."""
    now = account.estate.clock.now()
    taken = max([0, *(backup.run for backup in account.backups)])
    return Backup(
        id=str(uuid.uuid4()),
        run=max(taken + 1, int(now.timestamp() * 1000)),
        project=instance.project,
        instance=instance.name,
        engine=instance.engine,
        kind=kind,
        fields=copy.deepcopy(instance.fields),
        master=instance.master,
        location=instance.settings.get("backupConfiguration", {}).get("location", "eu"),
        enqueued_at=now,
    )


def taking(account: Account, instance: Instance, backup: Backup) -> Callable[[], None]:
    """Plan the real snapshot; the moments around it are kept, as the cloud's interval says."""
    server, backends, clock = (
        instance.server,
        account.backends(instance.engine),
        account.estate.clock,
    )

    def work() -> None:
        backup.started_at = clock.now()
        backends.take(server, backup.id)
        backup.ended_at = clock.now()

    return work


def ending(backup: Backup, state: str) -> Callable[[], None]:
    """Return what brings a backup to its last state."""

    def act() -> None:
        backup.state = state

    return act


def take(account: Account, instance: Instance, backup: Backup) -> Json:
    """Begin a backup on demand."""
    if account.state_of(instance) != "RUNNABLE":
        raise refusals.wrong_state()
    jobs.require_idle(account, (instance.project, instance.name))
    account.backups.append(backup)
    plan = Plan(
        "BACKUP_VOLUME",
        account.estate.durations.snapshot,
        taking(account, instance, backup),
        ending(backup, "SUCCESSFUL"),
        ending(backup, "FAILED"),
        backup=backup,
    )
    return jobs.begin(account, instance, plan)


def insert_run(account: Account, call: Call) -> Json:
    """Answer BackupRuns.Insert."""
    instance = account.instance(call.project, call.instance)
    asked = spelled(call.body)
    backup = new(account, instance, "ON_DEMAND")
    backup.description = asked.get("description", "")
    backup.location = asked.get("location", backup.location)
    return take(account, instance, backup)


def create(account: Account, call: Call) -> Json:
    """Answer CreateBackup."""
    asked = spelled(call.body)
    if not asked.get("instance"):
        raise refusals.required("Instance")
    instance = account.instance(call.project, asked["instance"].rpartition("/")[2])
    backup = new(account, instance, "ON_DEMAND")
    backup.description = asked.get("description", "")
    backup.location = asked.get("location", backup.location)
    backup.expires_at = expiry(account, asked.get("ttlDays"), asked.get("expiryTime"))
    return take(account, instance, backup)


def expiry(account: Account, days: str | None, moment: str | None) -> datetime | None:
    """Return when a backup expires, or None for never."""
    if moment:
        return asked_moment(moment, "expiry_time")
    if not days:
        return None
    if not 1 <= int(days) <= LONGEST:
        raise refusals.invalid(f"the backup's time to live must be between 1 and {LONGEST} days")
    return account.estate.clock.now() + timedelta(days=int(days))


def list_runs(account: Account, call: Call) -> Json:
    """Answer BackupRuns.List, newest first; the instance `-` means all."""
    if call.instance != "-":
        account.instance(call.project, call.instance)
    runs = [
        run_view(backup)
        for backup in reversed(account.backups)
        if backup.project == call.project
        and call.instance in {"-", backup.instance}
        and backup.kind != FINAL
        and backup.instance_deleted_at is None
    ]
    items, following = filters.page(runs, call.size(100), call.query.get("pageToken", ""))
    return {"kind": "sql#backupRunsList", "items": items, **following}


def get_run(account: Account, call: Call) -> Json:
    """Answer BackupRuns.Get."""
    return run_view(_run(account, call))


def delete_run(account: Account, call: Call) -> Json:
    """Answer BackupRuns.Delete."""
    return _delete(account, _run(account, call))


def list_(account: Account, call: Call) -> Json:
    """Answer ListBackups, newest first, those of deleted instances included."""
    views = [view(each) for each in reversed(account.backups) if each.project == call.project]
    found = filters.chosen(views, call.query.get("filter", ""))
    backups, following = filters.page(found, call.size(500), call.query.get("pageToken", ""))
    return {"backups": backups, **following}


def get(account: Account, call: Call) -> Json:
    """Answer GetBackup."""
    return view(named(account, call.project, call.at["backup"]))


def delete(account: Account, call: Call) -> Json:
    """Answer DeleteBackup."""
    return _delete(account, named(account, call.project, call.at["backup"]))


def named(account: Account, project: str, uid: str) -> Backup:
    """Return a project-level backup."""
    for backup in account.backups:
        if (backup.project, backup.id) == (project, uid):
            return backup
    raise account.missing("backupDoesNotExist", "backup")


def of_run(account: Account, project: str, instance: str, run: str) -> Backup:
    """Return the backup of a run."""
    for backup in account.backups:
        if (backup.project, backup.instance, str(backup.run)) == (project, instance, run):
            return backup
    raise account.missing("backupRunDoesNotExist", "backup run")


def _run(account: Account, call: Call) -> Backup:
    account.instance(call.project, call.instance)
    return of_run(account, call.project, call.instance, call.at["run"])


def _delete(account: Account, backup: Backup) -> Json:
    """Begin to delete a backup; one of a deleted instance holds nothing."""
    live = account.instances.get((backup.project, backup.instance))
    if live is not None:
        jobs.require_idle(account, (live.project, live.name))
    backup.state, backends = "DELETION_PENDING", account.backends(backup.engine)
    plan = Plan(
        "DELETE_BACKUP",
        account.estate.durations.change,
        lambda: backends.forget(backup.id),
        lambda: account.backups.remove(backup),
        ending(backup, "DELETION_FAILED"),
    )
    return jobs.begin(account, backup, plan)


def run_view(backup: Backup) -> Json:
    """Return a backup as a backup run."""
    home = f"https://sqladmin.googleapis.com/v1/projects/{backup.project}"
    return {
        "kind": "sql#backupRun",
        "id": str(backup.run),
        "status": backup.state,
        "type": backup.kind,
        "instance": backup.instance,
        "selfLink": f"{home}/instances/{backup.instance}/backupRuns/{backup.run}",
        "description": backup.description,
        "location": backup.location,
        "backupKind": "SNAPSHOT",
        "databaseVersion": backup.fields["databaseVersion"],
        **_encryption(backup),
        **_moments(
            enqueuedTime=backup.enqueued_at,
            startTime=backup.started_at,
            endTime=backup.ended_at,
        ),
    }


def view(backup: Backup) -> Json:
    """Return a backup as the project has it."""
    interval = _moments(startTime=backup.started_at, endTime=backup.ended_at)
    key = _key(backup)
    return {
        "kind": "sql#backup",
        "name": backup.name,
        "selfLink": f"https://sqladmin.googleapis.com/v1/{backup.name}",
        "type": backup.kind,
        "state": DELETING.get(backup.state, backup.state),
        "description": backup.description,
        "instance": backup.instance,
        "location": backup.location,
        "backupKind": "SNAPSHOT",
        "databaseVersion": backup.fields["databaseVersion"],
        "backupRun": f"projects/{backup.project}/instances/{backup.instance}/backupRuns/{backup.run}",
        "instanceSettings": {"name": backup.instance, **backup.fields},
        **({"backupInterval": interval} if interval else {}),
        **({"kmsKey": key, "kmsKeyVersion": f"{key}/cryptoKeyVersions/1"} if key else {}),
        **_moments(expiryTime=backup.expires_at, instanceDeletionTime=backup.instance_deleted_at),
    }


def _encryption(backup: Backup) -> Json:
    key = _key(backup)
    if not key:
        return {}
    version = {"kmsKeyVersionName": f"{key}/cryptoKeyVersions/1"}
    return {"diskEncryptionConfiguration": {"kmsKeyName": key}, "diskEncryptionStatus": version}


def _key(backup: Backup) -> str:
    return str(backup.fields.get("diskEncryptionConfiguration", {}).get("kmsKeyName", ""))


def _moments(**moments: datetime | None) -> Json:
    return {name: stamps.written(moment) for name, moment in moments.items() if moment}
