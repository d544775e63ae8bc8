"""Automated backups: of instances that are there, and retained of those that are deleted."""

from collections.abc import Iterator

from simulators.aws.calls import Fields
from simulators.aws.instances import view
from simulators.aws.records import InstanceRecord, RetainedBackup
from simulators.aws.refusals import backup_missing, bad_value
from simulators.aws.region import Region
from simulators.aws.windows import Window, window_of

_OF_INSTANCE = (
    *("DBInstanceIdentifier", "DBInstanceArn", "DbiResourceId", "Engine", "EngineVersion"),
    *("AllocatedStorage", "StorageType", "Iops", "StorageThroughput", "MasterUsername"),
    *("AvailabilityZone", "LicenseModel", "KmsKeyId", "StorageEncryptionType", "TagList"),
    *("InstanceCreateTime", "BackupRetentionPeriod", "PreferredBackupWindow"),
    "IAMDatabaseAuthenticationEnabled",
)
"""Members that an automated backup has of its instance; the groups are not among them."""
_ASKED = ("DBInstanceIdentifier", "DbiResourceId", "DBInstanceAutomatedBackupsArn")
_FILTERS = {
    "db-instance-id": "DBInstanceIdentifier",
    "dbi-resource-id": "DbiResourceId",
    "status": "Status",
}


def describe(region: Region, asked: Fields) -> Fields:
    """Answer DescribeDBInstanceAutomatedBackups."""
    for one in asked.get("Filters", []):
        if one["Name"] not in _FILTERS:
            raise bad_value(f"Unrecognized filter name: {one['Name']}")
    found = [one for one in _all(region) if _fits(one, asked)]
    wanted = [str(asked[name]) for name in _ASKED if name in asked]
    if wanted and not found:
        raise backup_missing(wanted[0])
    return {"DBInstanceAutomatedBackups": found}


def arn_of(region: Region, resource_id: str) -> str:
    """Return the ARN of the automated backups of an instance."""
    return region.arn("auto-backup", f"ab-{resource_id.removeprefix('db-').lower()}")


def retain(region: Region, record: InstanceRecord) -> RetainedBackup | None:
    """Return what stays of an instance's automated backups if it is deleted now."""
    source = view(region, record)
    window = window_of(region, record, source["BackupRetentionPeriod"])
    return RetainedBackup(record.id, record.engine, source, window) if window else None


def _all(region: Region) -> Iterator[Fields]:
    for record in region.instances.values():
        source = view(region, record)
        if source["BackupRetentionPeriod"] > 0:
            window = window_of(region, record, source["BackupRetentionPeriod"])
            status = "active" if window else "creating"
            yield _entry(region, source, status, window)
    for backup in region.retained.values():
        yield _entry(region, backup.source, "retained", backup.window)


def _entry(region: Region, source: Fields, status: str, window: Window | None) -> Fields:
    return {
        **{name: source[name] for name in _OF_INSTANCE if name in source},
        "DBInstanceAutomatedBackupsArn": arn_of(region, source["DbiResourceId"]),
        "Region": region.name,
        "Status": status,
        "Port": source["DbInstancePort"],
        "Encrypted": source["StorageEncrypted"],
        "BackupTarget": "region",
        **(
            {"RestoreWindow": {"EarliestTime": window[0], "LatestTime": window[1]}}
            if window
            else {}
        ),
    }


def _fits(entry: Fields, asked: Fields) -> bool:
    exact = all(entry[name].lower() == asked[name].lower() for name in _ASKED if name in asked)
    filters = asked.get("Filters", [])
    return exact and all(entry.get(_FILTERS[one["Name"]]) in one["Values"] for one in filters)
