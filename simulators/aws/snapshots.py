"""Snapshots: taken, copied between regions, shown, deleted."""

import uuid
from collections.abc import Callable
from datetime import timedelta

from simulators.aws.calls import Fields
from simulators.aws.course import Course, Stage
from simulators.aws.instances import view
from simulators.aws.keys import usable
from simulators.aws.records import InstanceRecord, LateTags, SnapshotRecord
from simulators.aws.refusals import ApiError, bad_combination, wrong_snapshot_state, wrong_state
from simulators.aws.region import RESTING, Region

_OF_INSTANCE = (
    *("AvailabilityZone", "StorageType", "Iops", "StorageThroughput", "LicenseModel"),
    *("BackupRetentionPeriod", "PreferredBackupWindow", "StorageEncryptionType"),
)
"""Members that a snapshot has of its instance and moto does not show."""
_COPIED = ("SourceDBSnapshotIdentifier", "TargetDBSnapshotIdentifier", "Tags", "CopyTags")


def create(region: Region, asked: Fields) -> Fields:
    """Answer CreateDBSnapshot; the instance is `backing-up` meanwhile."""
    record = region.instance(asked["DBInstanceIdentifier"])
    source = view(region, record)
    if source["DBInstanceStatus"] not in RESTING:
        raise wrong_state(record.identifier, source["DBInstanceStatus"])
    snapshot, take = noted(region, record, asked["DBSnapshotIdentifier"], source, asked.get("Tags"))

    def work() -> None:
        with record.work:
            take()

    lasts = region.estate.durations.snapshot
    snapshot.course.go(Stage("creating", lasts, work))
    record.course.go(Stage("backing-up", lasts))
    return {"DBSnapshot": view_of(region, snapshot)}


def noted(
    region: Region,
    record: InstanceRecord,
    identifier: str,
    source: Fields,
    tags: list[dict[str, str]] | None = None,
) -> tuple[SnapshotRecord, Callable[[], None]]:
    """Write a snapshot of an instance down; return its record, and what takes it in truth."""
    check_room(region)
    given = {"Tags": tags} if tags else {}
    region.call(
        "CreateDBSnapshot",
        DBSnapshotIdentifier=identifier,
        DBInstanceIdentifier=record.identifier,
        **given,
    )
    snapshot = _record(region, identifier, record.id, record.engine, source)
    snapshot.kept = f"snapshot-{uuid.uuid4()}"

    def take() -> None:
        snapshot.moment = region.backends(record.engine).take(record.id, snapshot.kept)
        snapshot.created_at = region.estate.clock.now()

    return snapshot, take


def _record(
    region: Region, identifier: str, instance_id: str, engine: str, source: Fields
) -> SnapshotRecord:
    now = region.estate.clock.elapsed()
    snapshot = SnapshotRecord(
        identifier=identifier.lower(),
        instance_id=instance_id,
        engine=engine,
        source=source,
        course=Course(region.estate, rest="creating"),
        born=now,
        tags=LateTags(written_at=now),
    )
    region.snapshots[snapshot.identifier] = snapshot
    return snapshot


def check_room(region: Region) -> None:
    """Refuse a snapshot for which the account has no room."""
    manual = sum(not one.automated for one in region.snapshots.values())
    if manual >= region.limits.snapshots:
        raise ApiError("SnapshotQuotaExceeded", "Cannot create more than the quota of snapshots")


def copy(region: Region, asked: Fields) -> Fields:
    """Answer CopyDBSnapshot, in the region that the copy is for."""
    origin = region.snapshot(asked["SourceDBSnapshotIdentifier"])
    if origin.course.status != "available":
        raise wrong_snapshot_state(origin.identifier, origin.course.status)
    key = _key(region, origin, asked)
    _check_copies(region)
    given = {name: asked[name] for name in _COPIED if name in asked}
    told = region.call("CopyDBSnapshot", **given, **({"KmsKeyId": key} if key else {}))
    source = origin.source | ({"KmsKeyId": key, "StorageEncrypted": True} if key else {})
    target = told["DBSnapshot"]["DBSnapshotIdentifier"]
    snapshot = _record(region, target, origin.instance_id, origin.engine, source)
    home = next(one for one in region.elsewhere.values() if origin in one.snapshots.values())
    snapshot.fields = {
        "SourceDBSnapshotIdentifier": home.arn("snapshot", origin.identifier),
        "SourceRegion": home.name,
        "OriginalSnapshotCreateTime": origin.fields.get("OriginalSnapshotCreateTime")
        or origin.created_at,
    }
    snapshot.copied = True
    work = _copying(region, origin, snapshot)
    snapshot.course.go(Stage("creating", region.estate.durations.snapshot, work))
    return {"DBSnapshot": view_of(region, snapshot)}


def _key(region: Region, origin: SnapshotRecord, asked: Fields) -> str:
    """Return the ARN of the copy's key, or nothing where it keeps its source's."""
    if asked.get("KmsKeyId"):
        return usable(region, asked["KmsKeyId"])
    if origin.source["StorageEncrypted"] and origin not in region.snapshots.values():
        raise bad_combination(
            "KmsKeyId must be specified for the copy of an encrypted snapshot from another region."
        )
    return ""


def _check_copies(region: Region) -> None:
    check_room(region)
    under_way = sum(
        one.copied and one.course.status == "creating" for one in region.snapshots.values()
    )
    if under_way >= region.limits.copies:
        raise ApiError(
            "SnapshotQuotaExceeded", f"{under_way} snapshot copies are in progress in this region."
        )


def _copying(region: Region, origin: SnapshotRecord, copied: SnapshotRecord) -> Callable[[], None]:
    """Return what makes a copy: a manual snapshot's data is shared, an automated one's is taken."""
    backends, clock = region.backends(origin.engine), region.estate.clock
    copied.kept = origin.kept or f"snapshot-{uuid.uuid4()}"

    def work() -> None:
        if origin.automated:
            passing = f"passing-{uuid.uuid4()}"
            backends.restore(origin.instance_id, passing, origin.moment)
            backends.take(passing, copied.kept)
            backends.remove(passing, retain=False)
        copied.moment, copied.created_at = origin.moment, clock.now()

    return work


def describe(region: Region, asked: Fields) -> Fields:
    """Answer DescribeDBSnapshots; a list does not have what is newer than the lag."""
    filters = list(asked.get("Filters", []))
    given = {
        name: value for name, value in asked.items() if name not in {"DbiResourceId", "Filters"}
    }
    if "DbiResourceId" in asked:
        filters.append({"Name": "dbi-resource-id", "Values": [asked["DbiResourceId"]]})
    told = region.call("DescribeDBSnapshots", **given, **({"Filters": filters} if filters else {}))
    listed = "DBSnapshotIdentifier" not in asked
    found = [
        shown(region, record, one)
        for one in told["DBSnapshots"]
        if (record := region.snapshots.get(one["DBSnapshotIdentifier"]))
        and not (listed and region.lags(record.born))
        and not _is_to_come(region, record)
    ]
    return {"DBSnapshots": found}


def _is_to_come(region: Region, record: SnapshotRecord) -> bool:
    """Return whether this is the automated snapshot of an instance that is still being made."""
    instance = region.instance_by_id(record.instance_id)
    making = instance is not None and instance.course.status == "creating"
    return record.automated and record.created_at is None and making


def view_of(region: Region, record: SnapshotRecord) -> Fields:
    """Return a snapshot as RDS shows it."""
    told = region.call("DescribeDBSnapshots", DBSnapshotIdentifier=record.identifier)
    return shown(region, record, told["DBSnapshots"][0])


def shown(region: Region, record: SnapshotRecord, told: Fields) -> Fields:
    """Return moto's record of a snapshot, corrected; its times are there when it is."""
    status, clock = record.course.status, region.estate.clock
    there = status == "available"
    corrected = {
        **told,
        **{name: record.source[name] for name in _OF_INSTANCE if name in record.source},
        "OriginalSnapshotCreateTime": record.created_at if there else None,
        **record.fields,
        "Status": status,
        "PercentProgress": 100 if there else record.course.percent,
        "SnapshotCreateTime": record.created_at if there else None,
        "SnapshotDatabaseTime": record.moment if there else None,
        "TagList": record.tags.seen(told["TagList"], clock.elapsed(), region.estate.faults.lag),
    }
    return {name: value for name, value in corrected.items() if value is not None}


def delete(region: Region, asked: Fields) -> Fields:
    """Answer DeleteDBSnapshot."""
    record = region.snapshot(asked["DBSnapshotIdentifier"])
    if record.automated:
        raise ApiError("InvalidDBSnapshotState", "Only manual snapshots can be deleted.")
    if record.course.status == "creating":
        raise wrong_snapshot_state(record.identifier, record.course.status)
    told = view_of(region, record)
    _drop(region, record)
    others = [one for place in region.elsewhere.values() for one in place.snapshots.values()]
    if record.kept not in {one.kept for one in others}:
        backends = region.backends(record.engine)
        region.estate.operations.begin("forget", timedelta(), lambda: backends.forget(record.kept))
    return {"DBSnapshot": {**told, "Status": "deleted"}}


def drop_automated(region: Region, instance_id: str) -> None:
    """Remove the automated snapshots of an instance."""
    for record in list(region.snapshots.values()):
        if record.automated and record.instance_id == instance_id:
            _drop(region, record)


def _drop(region: Region, record: SnapshotRecord) -> None:
    region.call("DeleteDBSnapshot", DBSnapshotIdentifier=record.identifier)
    del region.snapshots[record.identifier]
