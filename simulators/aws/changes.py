"""ModifyDBInstance: what changes at once, what waits, and the rename."""

from collections.abc import Mapping

from simulators.aws.calls import Fields
from simulators.aws.course import Stage
from simulators.aws.endpoints import connect, disconnect
from simulators.aws.instances import view
from simulators.aws.opening import check_free
from simulators.aws.records import InstanceRecord
from simulators.aws.refusals import bad_combination, wrong_state
from simulators.aws.region import RESTING, Region
from simulators.aws.settings import (
    INSIGHTS,
    check_identifier,
    check_monitoring,
    check_retention,
    option_groups,
)
from simulators.aws.snapshots import drop_automated

_CHANGEABLE = RESTING | {"storage-full", "incompatible-parameters"}
_STORAGE = frozenset({"AllocatedStorage", "StorageType", "Iops", "StorageThroughput"})
_WAITING = _STORAGE | {
    *("DBInstanceClass", "MultiAZ", "EngineVersion", "DBPortNumber", "LicenseModel"),
    *("BackupRetentionPeriod", "CACertificateIdentifier", "DBSubnetGroupName", "OptionGroupName"),
    *("EnableIAMDatabaseAuthentication", "NewDBInstanceIdentifier", "MasterUserPassword"),
}
"""Changes that wait for the maintenance window unless they are asked for at once."""
_SHOWN: Mapping[str, str] = {
    **INSIGHTS,
    "EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled",
    "DBPortNumber": "DbInstancePort",
    "NewDBInstanceIdentifier": "DBInstanceIdentifier",
}
_NO_SETTINGS = frozenset({"DBInstanceIdentifier", "ApplyImmediately", "AllowMajorVersionUpgrade"})


def modify(region: Region, asked: Fields) -> Fields:
    """Answer ModifyDBInstance; what is as it should be already changes nothing."""
    record = region.instance(asked["DBInstanceIdentifier"])
    before = view(region, record)
    if before["DBInstanceStatus"] not in _CHANGEABLE:
        raise wrong_state(record.identifier, before["DBInstanceStatus"])
    wanted = _differing(before, asked)
    _check(region, record, before, wanted)
    waiting = {name: value for name, value in wanted.items() if _waits(before, name, value)}
    at_once = {name: value for name, value in wanted.items() if name not in waiting}
    _apply(region, record, at_once)
    record.pending |= waiting
    _begin(region, record, at_once, immediately=asked.get("ApplyImmediately", False))
    return {"DBInstance": view(region, record)}


def _current(before: Fields) -> Fields:
    """Return the settings of an instance by their names in a modification."""
    return {
        **before,
        **{name: before.get(shown) for name, shown in _SHOWN.items()},
        "VpcSecurityGroupIds": [one["VpcSecurityGroupId"] for one in before["VpcSecurityGroups"]],
        "DBParameterGroupName": before["DBParameterGroups"][0]["DBParameterGroupName"],
        "DBSubnetGroupName": before["DBSubnetGroup"]["DBSubnetGroupName"],
        "OptionGroupName": before["OptionGroupMemberships"][0]["OptionGroupName"],
    }


def _differing(before: Fields, asked: Fields) -> Fields:
    """Return what was asked for and is not so already."""
    current = _current(before)
    wanted = {
        name: value
        for name, value in asked.items()
        if name not in _NO_SETTINGS and _comparable(value) != _comparable(current.get(name))
    }
    if logs := wanted.pop("CloudwatchLogsExportConfiguration", None):
        wanted |= _logs(before, logs)
    return wanted


def _comparable(value: object) -> object:
    return sorted(value) if isinstance(value, list) else value


def _logs(before: Fields, asked: Fields) -> Fields:
    """Return the change of log exports that is left, if any; moto trips over the rest."""
    now = set(before.get("EnabledCloudwatchLogsExports", []))
    change = {
        "EnableLogTypes": sorted(set(asked.get("EnableLogTypes", [])) - now),
        "DisableLogTypes": sorted(set(asked.get("DisableLogTypes", [])) & now),
    }
    return {"CloudwatchLogsExportConfiguration": change} if any(change.values()) else {}


def _check(region: Region, record: InstanceRecord, before: Fields, wanted: Fields) -> None:
    check_retention(wanted)
    both = {**before, **wanted}
    check_monitoring(both["MonitoringInterval"], both.get("MonitoringRoleArn"))
    if name := {**record.pending, **wanted}.get("NewDBInstanceIdentifier"):
        check_identifier(name)
        check_free(region, name.lower())
    if "DBSubnetGroupName" in wanted:
        region.call("DescribeDBSubnetGroups", DBSubnetGroupName=wanted["DBSubnetGroupName"])
    if both["AllocatedStorage"] < before["AllocatedStorage"]:
        raise bad_combination("Invalid storage size: storage can only grow.")
    if before["DBInstanceStatus"] == "storage-optimization" and _STORAGE & set(wanted):
        raise bad_combination(
            "You can't currently modify the storage of this DB instance because the previous "
            "storage change is being optimized."
        )


def _waits(before: Fields, name: str, value: object) -> bool:
    """Return whether a change waits; from one retention to another there is no waiting."""
    if name == "BackupRetentionPeriod":
        return not (before[name] and value)
    return name in _WAITING


def _apply(region: Region, record: InstanceRecord, values: Fields) -> None:
    """Put settings in force."""
    mine = {"MasterUserPassword", "DBPortNumber", "OptionGroupName", *INSIGHTS}
    known = {name: value for name, value in values.items() if name not in mine}
    if known:
        region.call(
            "ModifyDBInstance",
            DBInstanceIdentifier=record.identifier,
            ApplyImmediately=True,
            **known,
        )
    shown = {_SHOWN[name]: value for name, value in values.items() if name in mine & set(_SHOWN)}
    record.fields |= shown
    if "OptionGroupName" in values:
        record.fields |= option_groups(values["OptionGroupName"])
    if "DBParameterGroupName" in values:
        record.parameters = "pending-reboot"
    if values.get("BackupRetentionPeriod") == 0:
        drop_automated(region, record.id)


def _begin(region: Region, record: InstanceRecord, at_once: Fields, *, immediately: bool) -> None:
    """Begin what the changes take; everything that waits comes along where one is immediate."""
    carried = record.pending if immediately else _password(record.pending)
    if not at_once and not carried:
        return
    record.regrouped = "VpcSecurityGroupIds" in at_once
    durations = region.estate.durations
    modifying = Stage("modifying", durations.change, then=lambda: _arrive(region, record, carried))
    stages = [modifying] if at_once or set(carried) != {"NewDBInstanceIdentifier"} else []
    if immediately and _STORAGE & set(carried):
        stages.append(Stage("storage-optimization", durations.change))
    if immediately and "NewDBInstanceIdentifier" in carried:
        stages += _renaming(region, record, carried["NewDBInstanceIdentifier"].lower())
    record.course.go(*stages)


def _password(pending: Fields) -> Fields:
    """Return the one change that never waits for the maintenance window."""
    return {name: pending[name] for name in pending if name == "MasterUserPassword"}


def _arrive(region: Region, record: InstanceRecord, carried: Fields) -> None:
    settings = {name: carried[name] for name in carried if name != "NewDBInstanceIdentifier"}
    _apply(region, record, settings)
    record.regrouped = False
    record.pending = {name: record.pending[name] for name in record.pending if name not in settings}


def _renaming(region: Region, record: InstanceRecord, name: str) -> list[Stage]:
    """Begin a rename: the old endpoint is gone at once, the new identifier comes half-way."""
    disconnect(region, record)
    record.renaming_to = name
    half = region.estate.durations.rename / 2
    return [
        Stage("renaming", half, then=lambda: _rename(region, record)),
        Stage("renaming", half, then=lambda: connect(region, record)),
    ]


def _rename(region: Region, record: InstanceRecord) -> None:
    old, new = record.identifier, record.renaming_to
    region.call(
        "ModifyDBInstance",
        DBInstanceIdentifier=old,
        NewDBInstanceIdentifier=new,
        ApplyImmediately=True,
    )
    region.instances[new] = region.instances.pop(old)
    record.identifier, record.renaming_to = new, ""
    record.pending.pop("NewDBInstanceIdentifier", None)
