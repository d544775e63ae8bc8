"""CreateDBInstance and the two restores; what a restore carries over is in `settings.carried`."""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from simulators.aws.automated import arn_of
from simulators.aws.calls import Fields
from simulators.aws.instances import view
from simulators.aws.opening import Making, check_free, open_instance
from simulators.aws.records import InstanceRecord, SnapshotRecord
from simulators.aws.refusals import (
    ApiError,
    backup_missing,
    bad_combination,
    outside,
    snapshot_missing,
    wrong_snapshot_state,
    wrong_state,
)
from simulators.aws.region import Region
from simulators.aws.settings import carried, full_version
from simulators.aws.windows import SECOND, Window, down_to, window_of
from simulators.backends import Backends, Master

Work: TypeAlias = Callable[[Backends, str], None]


def create(region: Region, asked: Fields) -> Fields:
    """Answer CreateDBInstance."""
    settings = dict(asked)
    identifier = settings.pop("DBInstanceIdentifier")
    version = full_version(asked["Engine"], asked.get("EngineVersion", ""))
    master = Master(
        user=asked.get("MasterUsername", "admin"),
        password=asked.get("MasterUserPassword") or secrets.token_urlsafe(),
        database=asked.get("DBName", ""),
    )

    def work(backends: Backends, server: str) -> None:
        backends.create(server, version=version, master=master)

    lasts = region.estate.durations.create
    making = Making("create", lasts, "failed", work)
    record = open_instance(region, identifier, settings, making)
    region.lasting.add(record.identifier)
    return {"DBInstance": view(region, record)}


def to_point_in_time(region: Region, asked: Fields) -> Fields:
    """Answer RestoreDBInstanceToPointInTime."""
    source, window = _source(region, asked)
    check_free(region, asked["TargetDBInstanceIdentifier"].lower())
    moment = _moment(region, asked, window)
    origin = source["DbiResourceId"]

    def work(backends: Backends, server: str) -> None:
        backends.restore(origin, server, moment)

    return _restored(region, asked["TargetDBInstanceIdentifier"], carried(source, asked), work)


def from_snapshot(region: Region, asked: Fields) -> Fields:
    """Answer RestoreDBInstanceFromDBSnapshot; without tags of its own it has the source's."""
    snapshot = _usable(region, asked["DBSnapshotIdentifier"])
    check_free(region, asked["DBInstanceIdentifier"].lower())
    source = snapshot.source
    inherited = {
        "Tags": source.get("TagList", []),
        "OptionGroupName": source["OptionGroupMemberships"][0]["OptionGroupName"],
    }

    def work(backends: Backends, server: str) -> None:
        if snapshot.automated:
            backends.restore(snapshot.instance_id, server, snapshot.moment)
        else:
            backends.restore_snapshot(snapshot.kept, server)

    settings = inherited | carried(source, asked)
    return _restored(region, asked["DBInstanceIdentifier"], settings, work)


def _restored(region: Region, identifier: str, settings: Fields, work: Work) -> Fields:
    lasts = region.estate.durations.restore
    making = Making("restore", lasts, "restore-error", work)
    return {"DBInstance": view(region, open_instance(region, identifier, settings, making))}


def _source(region: Region, asked: Fields) -> tuple[Fields, Window]:
    """Return the source as RDS shows it, or showed it last, and its window."""
    if name := asked.get("SourceDBInstanceIdentifier"):
        return _living(region, region.instance(name))
    wanted = asked.get("SourceDbiResourceId") or asked.get("SourceDBInstanceAutomatedBackupsArn")
    if not wanted:
        raise bad_combination("One of the parameters that name the source must be specified.")
    for backup in region.retained.values():
        if wanted in (backup.id, arn_of(region, backup.id)):
            return backup.source, backup.window
    for record in region.instances.values():
        if wanted in (record.id, arn_of(region, record.id)):
            return _living(region, record)
    raise backup_missing(wanted)


def _living(region: Region, record: InstanceRecord) -> tuple[Fields, Window]:
    source = view(region, record)
    if source["DBInstanceStatus"] == "deleting":
        raise wrong_state(record.identifier, "deleting")
    if source["BackupRetentionPeriod"] == 0:
        raise ApiError(
            "PointInTimeRestoreNotEnabled",
            f"Point in time restore is not enabled for {record.identifier}: its backup retention "
            "period is 0.",
        )
    window = window_of(region, record, source["BackupRetentionPeriod"])
    if window is None:
        raise wrong_state(record.identifier, source["DBInstanceStatus"])
    return source, window


def _moment(region: Region, asked: Fields, window: Window) -> datetime | None:
    """Return the moment in full seconds, or None for the latest."""
    latest = asked.get("UseLatestRestorableTime", False)
    if latest == ("RestoreTime" in asked):
        raise bad_combination(
            "Exactly one of RestoreTime and UseLatestRestorableTime must be specified."
        )
    if latest:
        return window[1] if region.limits.lag else None
    moment = down_to(asked["RestoreTime"], SECOND)
    if not window[0] <= moment <= window[1]:
        raise outside(moment, *window)
    return moment


def _usable(region: Region, identifier: str) -> SnapshotRecord:
    snapshot = region.snapshot(identifier)
    if snapshot not in region.snapshots.values():
        raise snapshot_missing(identifier)
    if snapshot.course.status != "available":
        raise wrong_snapshot_state(identifier, snapshot.course.status)
    return snapshot
