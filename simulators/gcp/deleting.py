"""The deletion of instances, with what stays of them."""

from collections.abc import Callable
from datetime import timedelta

from simulators.gcp import backups, jobs, refusals, servers
from simulators.gcp.account import Account
from simulators.gcp.calls import Call
from simulators.gcp.jobs import Plan
from simulators.gcp.records import Backup, Instance
from simulators.gcp.spelling import Json

USUAL_FINAL_DAYS = "30"


def delete(account: Account, call: Call) -> Json:
    """Answer Delete: backups and logs stay only where the instance is set so."""
    instance = account.instance(call.project, call.instance)
    jobs.require_idle(account, (instance.project, instance.name))
    if instance.settings.get("deletionProtectionEnabled"):
        raise refusals.protected()
    final = _final_backup(account, instance, call)
    retained = bool(instance.settings.get("retainBackupsOnDelete"))
    instance.reached = (
        account.backends(instance.engine).window(instance.server) if retained else None
    )
    durations, before = account.estate.durations, instance.state
    plan = Plan(
        "DELETE",
        durations.delete + (durations.snapshot if final else timedelta()),
        _removing(account, instance, final, retain=retained),
        lambda: _forget(account, instance, final, retain=retained),
        lambda: _give_up(instance, before, final),
        backup=final,
    )
    told = jobs.begin(account, instance, plan)
    instance.become("PENDING_DELETE")
    return told


def _final_backup(account: Account, instance: Instance, call: Call) -> Backup | None:
    """Return the backup to take before the deletion: where asked for, or set for the instance."""
    usual = instance.settings.get("finalBackupConfig", {})
    wanted = call.query.get("enableFinalBackup")
    if not instance.made or not (wanted == "true" or (wanted is None and usual.get("enabled"))):
        return None
    final = backups.new(account, instance, backups.FINAL)
    final.description = call.query.get("finalBackupDescription", "")
    days = call.query.get("finalBackupTtlDays") or usual.get("retentionDays", USUAL_FINAL_DAYS)
    moment = call.query.get("finalBackupExpiryTime")
    final.expires_at = backups.expiry(account, str(days), moment)
    account.backups.append(final)
    return final


def _removing(
    account: Account, instance: Instance, final: Backup | None, *, retain: bool
) -> Callable[[], None]:
    taking = backups.taking(account, instance, final) if final else None
    real, name, server = (
        account.backends(instance.engine),
        servers.front_name(instance),
        instance.server,
    )

    def work() -> None:
        if taking is not None:
            taking()
        real.remove(server, retain=retain)
        account.estate.front.forget(name)

    return work


def _forget(account: Account, instance: Instance, final: Backup | None, *, retain: bool) -> None:
    """Take an instance out of the account, with its backups where they are not retained."""
    now = account.estate.clock.now()
    instance.deleted_at = now
    account.deleted.append(account.instances.pop((instance.project, instance.name)))
    own = [
        backup
        for backup in account.backups
        if (backup.project, backup.instance) == (instance.project, instance.name)
        and backup.instance_deleted_at is None
    ]
    for backup in own:
        backup.instance_deleted_at = now
        if backup is final:
            backup.state = "SUCCESSFUL"
        elif not retain:
            account.backups.remove(backup)
            account.estate.operations.begin(
                "forget", account.estate.durations.change, _forgetting(account, backup)
            )


def _give_up(instance: Instance, before: str, final: Backup | None) -> None:
    instance.become(before)
    instance.reached = None
    if final is not None:
        final.state = "FAILED"


def _forgetting(account: Account, backup: Backup) -> Callable[[], None]:
    return lambda: account.backends(backup.engine).forget(backup.id)
