"""Instances as RDS shows them: moto's records, corrected."""

import secrets
import string
from collections.abc import Mapping

from simulators.aws import endpoints
from simulators.aws.calls import Fields
from simulators.aws.records import InstanceRecord
from simulators.aws.region import Region
from simulators.aws.windows import window_of

_ALPHABET = string.ascii_uppercase + string.digits
SHOWN_PENDING: Mapping[str, str] = {
    "DBPortNumber": "Port",
    "EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled",
    "NewDBInstanceIdentifier": "DBInstanceIdentifier",
}
"""Names of pending values where they differ from those in a modification."""


def new_id(prefix: str = "db") -> str:
    """Return an identity in the form of a `DbiResourceId`."""
    return f"{prefix}-{''.join(secrets.choice(_ALPHABET) for _ in range(26))}"


def describe(region: Region, asked: Fields) -> Fields:
    """Answer DescribeDBInstances; a list does not have what is newer than the lag."""
    told = region.call("DescribeDBInstances", **asked)
    listed = "DBInstanceIdentifier" not in asked
    found = [
        shown(region, record, one)
        for one in told["DBInstances"]
        if (record := region.instance_by_id(one["DbiResourceId"]))
        and not (listed and region.lags(record.born))
    ]
    return {**told, "DBInstances": found}


def view(region: Region, record: InstanceRecord) -> Fields:
    """Return an instance as RDS shows it."""
    told = region.call("DescribeDBInstances", DBInstanceIdentifier=record.identifier)
    return shown(region, record, told["DBInstances"][0])


def shown(region: Region, record: InstanceRecord, told: Fields) -> Fields:
    """Return moto's record of an instance, corrected; what is None is left out."""
    corrected = (
        told
        | record.fields
        | _state(region, record, told)
        | _connections(region, record, told)
        | _leftovers(told)
    )
    return {name: value for name, value in corrected.items() if value is not None}


def _state(region: Region, record: InstanceRecord, told: Fields) -> Fields:
    status, clock = region.status(record), region.estate.clock
    window = window_of(region, record, told["BackupRetentionPeriod"])
    pending = {SHOWN_PENDING.get(name, name): value for name, value in record.pending.items()}
    if "MasterUserPassword" in pending:
        pending["MasterUserPassword"] = "****"
    return {
        "DBInstanceStatus": status,
        "PendingModifiedValues": pending,
        "LatestRestorableTime": window[1] if window else None,
        "TagList": record.tags.seen(told["TagList"], clock.elapsed(), region.estate.faults.lag),
        **({"InstanceCreateTime": None} if status == "creating" else {}),
    }


def _connections(region: Region, record: InstanceRecord, told: Fields) -> Fields:
    modifying = record.course.status == "modifying"
    parameters = "applying" if modifying and record.parameters != "in-sync" else record.parameters
    adding = modifying and record.regrouped
    return {
        "Endpoint": endpoints.shown(region, record),
        "DBParameterGroups": [
            {**group, "ParameterApplyStatus": parameters} for group in told["DBParameterGroups"]
        ],
        "VpcSecurityGroups": [
            {**group, "Status": "adding" if adding else "active"}
            for group in told["VpcSecurityGroups"]
        ],
    }


def _leftovers(told: Fields) -> Fields:
    """Hide what belongs to a setting that is no longer in force."""
    hidden = []
    if told["StorageType"] != "gp3":
        hidden.append("StorageThroughput")
    if told["StorageType"] in {"gp2", "standard"}:
        hidden.append("Iops")
    if not told["MonitoringInterval"]:
        hidden.append("MonitoringRoleArn")
    return dict.fromkeys(hidden)
