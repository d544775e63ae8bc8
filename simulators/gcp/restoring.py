"""The calls that restore: clone, and restoreBackup into a new instance or over one that exists."""

import copy
import uuid
from datetime import datetime

from simulators.gcp import backups, instances, jobs, refusals, servers
from simulators.gcp.account import Account
from simulators.gcp.calls import Call
from simulators.gcp.jobs import Plan
from simulators.gcp.records import Backup, Instance
from simulators.gcp.shapes import (
    check,
    completed,
    default_backups,
    instance_fields,
    merged,
)
from simulators.gcp.spelling import Json, spelled
from simulators.gcp.spelling import moment as asked_moment

AVAILABLE = "RUNNABLE"


def clone(account: Account, call: Call) -> Json:
    """Answer Clone: the copy inherits everything, protection against deletion included."""
    context = spelled(call.body).get("cloneContext", {})
    name = context.get("destinationInstanceName")
    if not name:
        raise refusals.required("Clone context destination instance name")
    instances.require_name(name)
    deleted = context.get("sourceInstanceDeletionTime", "")
    source = account.source(call.project, call.instance, deleted)
    project = context.get("destinationProject", call.project)
    account.require_free(project, name)
    if source.deleted_at is None:
        jobs.require_idle(account, (source.project, source.name))
    moment = _moment(account, source, context.get("pointInTime", ""))
    made = account.add(project, name, _inherited(account, source, context), source.master)
    work = servers.recovering(account, source, made, moment)
    live = source if source.deleted_at is None else None
    return instances.begin_making(account, made, "CLONE", work, live)


def _moment(account: Account, source: Instance, text: str) -> datetime | None:
    """Return the moment to recover to; None for now. Refuse one outside the window."""
    if not text:
        if source.deleted_at is not None:
            raise refusals.required("Point in time of a deleted instance")
        if account.state_of(source) != AVAILABLE:
            raise refusals.wrong_state()
        return None
    earliest, latest = servers.window(account, source)
    moment = asked_moment(text, "body.clone_context.point_in_time")
    if moment > latest:
        raise refusals.too_late(latest)
    if moment < earliest:
        raise refusals.no_backup()
    return moment


def _inherited(account: Account, source: Instance, context: Json) -> Json:
    """Return the fields of a clone; a live source that is not RUNNABLE hands on only its size."""
    fields = copy.deepcopy(source.fields)
    if source.deleted_at is None and account.state_of(source) != AVAILABLE:
        kept = {name: source.settings[name] for name in ("tier", "edition", "dataDiskSizeGb")}
        fields = completed({**fields, "settings": kept})
    zones = {"gceZone": "preferredZone", "secondaryGceZone": "preferredSecondaryZone"}
    chosen = {name: context[wanted] for name, wanted in zones.items() if wanted in context}
    network = {"allocatedIpRange": "allocatedIpRange", "privateNetwork": "destinationNetwork"}
    moved = {name: context[wanted] for name, wanted in network.items() if wanted in context}
    settings = {"settings": {"ipConfiguration": moved}} if moved else {}
    return merged(fields, {**chosen, **settings})


def restore_backup(account: Account, call: Call) -> Json:
    """Answer RestoreBackup.

    A target that exists is overwritten, whichever way the backup is named: only its name decides.
    """
    asked = spelled(call.body)
    backup = _chosen(account, call, asked)
    if backup.state != "SUCCESSFUL":
        raise refusals.RefusedError(
            400,
            "errorInvalidBackupRunStatus",
            "The backup run status isn't valid for the given request.",
        )
    target = account.instances.get((call.project, call.instance))
    if target is not None:
        return _overwrite(account, target, backup)
    if "backup" not in asked:
        raise account.missing("instanceDoesNotExist", "instance")
    return _unpack(account, call, backup, asked.get("restoreInstanceSettings", {}))


def _chosen(account: Account, call: Call, asked: Json) -> Backup:
    if "backup" in asked:
        _, project, _, uid = asked["backup"].split("/")
        return backups.named(account, project, uid)
    context = asked.get("restoreBackupContext", {})
    if not context.get("backupRunId"):
        raise refusals.required("Restore backup context")
    owner = context.get("project", call.project)
    return backups.of_run(
        account, owner, context.get("instanceId", call.instance), context["backupRunId"]
    )


def _unpack(account: Account, call: Call, backup: Backup, overrides: Json) -> Json:
    """Make a new instance of a backup; flags, backup settings and protection are not restored."""
    instances.require_name(call.instance)
    account.require_free(call.project, call.instance)
    fields = _unpacked(backup, instance_fields(overrides))
    check(fields)
    made = account.add(call.project, call.instance, fields, backup.master)
    work = servers.unpacking(account, backup.id, made, made.server)
    return instances.begin_making(account, made, "RESTORE_VOLUME", work)


def _unpacked(backup: Backup, overrides: Json) -> Json:
    fields = copy.deepcopy(backup.fields)
    settings = fields["settings"]
    settings.pop("databaseFlags", None)
    settings["deletionProtectionEnabled"] = False
    settings["backupConfiguration"] = default_backups(backup.engine, settings)
    result = merged(fields, overrides)
    if result["databaseVersion"] != fields["databaseVersion"]:
        raise refusals.invalid("The database version of a backup cannot be changed")
    _require_room(fields, result)
    return result


def _require_room(backup: Json, target: Json) -> None:
    need, has = (int(each["settings"]["dataDiskSizeGb"]) for each in (backup, target))
    if has < need:
        raise refusals.RefusedError(
            400,
            "errorBackupSizeExceedsInstanceSize",
            "Restore from backup can't be done to the instance with storage size smaller than"
            " the backup size.",
        )


def _overwrite(account: Account, target: Instance, backup: Backup) -> Json:
    """Replace everything in an instance; its settings stay."""
    jobs.require_idle(account, (target.project, target.name))
    if target.fields["databaseVersion"] != backup.fields["databaseVersion"]:
        raise refusals.invalid("The backup is of another database version")
    _require_room(backup.fields, target.fields)
    before, server = target.state, f"{target.name}-{uuid.uuid4().hex[:8]}"

    def finish() -> None:
        target.become(AVAILABLE)
        target.server, target.logged_since = server, account.estate.clock.now()

    work = servers.unpacking(account, backup.id, target, server, replaced=target.server)
    plan = Plan("RESTORE_VOLUME", account.estate.durations.restore, work, finish)
    plan.fail = lambda: target.become(before)
    told = jobs.begin(account, target, plan)
    target.become("MAINTENANCE")
    return told
