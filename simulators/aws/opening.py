"""How an instance comes to be: room, settings, the record, and its way to `available`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from simulators.aws.calls import Fields
from simulators.aws.course import Course, Stage
from simulators.aws.endpoints import connect
from simulators.aws.instances import new_id, view
from simulators.aws.records import InstanceRecord, LateTags, SnapshotRecord
from simulators.aws.refusals import ApiError
from simulators.aws.region import Region
from simulators.aws.settings import ENGINES, completed, for_moto, overlay
from simulators.backends import Backends

_SETTLING = {
    "EnableCloudwatchLogsExports": "configuring-log-exports",
    "EnableIAMDatabaseAuthentication": "configuring-iam-database-auth",
}
"""What takes an instance out of `available` again once it is there; else it is `modifying`."""


@dataclass(frozen=True)
class Making:
    """How the real server of a new instance is made, given its id, and how long that takes."""

    kind: str
    lasts: timedelta
    broken: str
    work: Callable[[Backends, str], None]


def open_instance(
    region: Region, identifier: str, settings: Fields, making: Making
) -> InstanceRecord:
    """Begin an instance; it is `creating` until its server runs.

    Raises:
        ApiError: the name is taken, the account is full, or a setting cannot be.
    """
    identifier = identifier.lower()
    check_free(region, identifier)
    check_room(region, settings.get("AllocatedStorage", 20))
    record, chosen = recorded(region, identifier, settings)

    def work() -> None:
        with record.work:
            making.work(region.backends(record.engine), record.id)

    def arrived() -> None:
        record.fields["InstanceCreateTime"] = region.estate.clock.now()
        connect(region, record)

    creating = Stage("creating", making.lasts, work, arrived, making.broken, making.kind)
    record.course.go(creating, *_afterwards(region, record, chosen))
    return record


def recorded(
    region: Region, identifier: str, settings: Fields, resource_id: str = ""
) -> tuple[InstanceRecord, Fields]:
    """Write an instance down in moto and here; return its record and all its settings."""
    chosen = completed(region, settings)
    region.call("CreateDBInstance", DBInstanceIdentifier=identifier, **for_moto(chosen))
    now = region.estate.clock.elapsed()
    record = InstanceRecord(
        id=resource_id or new_id(),
        identifier=identifier,
        engine=ENGINES[chosen["Engine"]],
        course=Course(region.estate),
        born=now,
        fields=overlay(chosen),
        tags=LateTags(written_at=now),
    )
    automated = region.moto.identify(region.name, identifier, record.id)
    region.instances[identifier] = record
    if chosen["BackupRetentionPeriod"]:
        _await_backup(region, record, automated)
    else:
        region.call("DeleteDBSnapshot", DBSnapshotIdentifier=automated)
    return record, chosen


def check_free(region: Region, identifier: str) -> None:
    """Refuse the identifier of an instance that is there, or is being renamed to it."""
    coming = {one.renaming_to for one in region.instances.values()}
    if identifier in region.instances or identifier in coming:
        raise ApiError("DBInstanceAlreadyExists", "DB instance already exists")


def check_room(region: Region, more: int) -> None:
    """Refuse an instance for which the account has no room."""
    if len(region.instances) >= region.limits.instances:
        raise ApiError("InstanceQuotaExceeded", "Instance quota exceeded")
    if storage_of(region) + more > region.limits.storage:
        raise ApiError("StorageQuotaExceeded", "Total storage limit exceeded")


def storage_of(region: Region) -> int:
    """Return the gibibytes of all instances."""
    told = region.call("DescribeDBInstances")["DBInstances"]
    return sum(one["AllocatedStorage"] for one in told)


def _await_backup(region: Region, record: InstanceRecord, identifier: str) -> None:
    """Note the automated snapshot that moto made already: it is there after the first backup."""
    region.snapshots[identifier] = SnapshotRecord(
        identifier=identifier,
        instance_id=record.id,
        engine=record.engine,
        source={},
        course=Course(region.estate, rest="creating"),
        born=record.born,
        automated=True,
    )


def back_up(region: Region, record: InstanceRecord) -> None:
    """Let the automated snapshot of an instance hold the state of now."""
    for snapshot in region.snapshots.values():
        if snapshot.automated and snapshot.instance_id == record.id and not snapshot.created_at:
            snapshot.moment = snapshot.created_at = region.estate.clock.now()
            snapshot.source = view(region, record)
            snapshot.course.halt("available")


def _afterwards(region: Region, record: InstanceRecord, chosen: Fields) -> list[Stage]:
    """Return what follows: a first backup, and another absence right after it is there."""
    change = region.estate.durations.change
    then = next((state for name, state in _SETTLING.items() if chosen.get(name)), "modifying")
    backing_up = Stage("backing-up", change, then=lambda: back_up(region, record))
    return [
        *([backing_up] if chosen["BackupRetentionPeriod"] else []),
        Stage("available", change),
        Stage(then, change),
    ]
