"""Which settings an RDS restore does not carry, and how each is changed.

The defaults after a restore are those of the SDK's model and of the RDS user guide: security and
parameter groups, subnet group, Multi-AZ, protection and most options fall back to defaults.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.resources import Mode
from providers.aws.client import AwsClient
from providers.managed.driver import CarryOver
from providers.managed.model import Instance, Order, Setting

TABLE = (
    Setting("publicly accessible", essential=True, first=True),
    Setting("security groups", essential=True),
    Setting("subnet group", left="a running instance changes its subnets only with its network"),
    Setting("parameter group", essential=True),
    Setting("option group", essential=True),
    Setting("IAM authentication", essential=True),
    Setting("instance class"),
    Setting("storage type"),
    Setting("IOPS"),
    Setting("storage limit"),
    Setting("Multi-AZ"),
    Setting("backup retention"),
    Setting("backup window"),
    Setting("maintenance window"),
    Setting("log exports"),
    Setting("copy tags to snapshots"),
    Setting("minor upgrades"),
    Setting("monitoring"),
    Setting("performance insights"),
    Setting("certificate authority"),
    Setting("tags"),
    Setting(
        "associated roles", left="give them with `aws rds add-role-to-db-instance`, one by one"
    ),
    Setting("encryption key", left="a restore keeps the key of its backup"),
    Setting("deletion protection"),
)
_AS_IT_IS: Mapping[str, str] = {
    "instance class": "DBInstanceClass",
    "parameter group": "DBParameterGroupName",
    "option group": "OptionGroupName",
    "storage type": "StorageType",
    "backup window": "PreferredBackupWindow",
    "maintenance window": "PreferredMaintenanceWindow",
    "certificate authority": "CACertificateIdentifier",
}
_AS_JSON: Mapping[str, str] = {
    "publicly accessible": "PubliclyAccessible",
    "security groups": "VpcSecurityGroupIds",
    "IAM authentication": "EnableIAMDatabaseAuthentication",
    "IOPS": "Iops",
    "storage limit": "MaxAllocatedStorage",
    "Multi-AZ": "MultiAZ",
    "backup retention": "BackupRetentionPeriod",
    "copy tags to snapshots": "CopyTagsToSnapshot",
    "minor upgrades": "AutoMinorVersionUpgrade",
    "deletion protection": "DeletionProtection",
}
_AT_RESTORE = (
    "publicly accessible",
    "security groups",
    "parameter group",
    "option group",
    "IAM authentication",
    "instance class",
    "storage type",
    "IOPS",
    "copy tags to snapshots",
    "minor upgrades",
)
_AT_RESTORE_OF_AN_INCIDENT = ("Multi-AZ", "storage limit")


def _arguments(wanted: Mapping[str, str]) -> dict[str, Any]:
    """Return settings as the SDK's arguments; what is empty is left out."""
    plain = {_AS_IT_IS[name]: told for name, told in wanted.items() if name in _AS_IT_IS and told}
    parsed = {
        _AS_JSON[name]: json.loads(told)
        for name, told in wanted.items()
        if name in _AS_JSON and told
    }
    return plain | parsed


def at_restore(order: Order) -> dict[str, Any]:
    """Return what is passed with the restore itself, so that it is never wrong for a moment."""
    tags = dict(order.tags)
    if order.like is None:
        return {"Tags": _tag_list(tags), "PubliclyAccessible": False}
    source = order.like.settings
    names = [*_AT_RESTORE, *(_AT_RESTORE_OF_AN_INCIDENT if order.mode is Mode.INCIDENT else ())]
    given = _arguments({name: source.get(name, "") for name in names})
    if order.point.snapshot_id:
        given.pop("MaxAllocatedStorage", None)  # the one thing that only the other call takes
    given["DeletionProtection"] = False  # set once it is verified: a failed run removes its copy
    if source.get("subnet group"):
        given["DBSubnetGroupName"] = source["subnet group"]
    if logs := source.get("log exports"):
        given["EnableCloudwatchLogsExports"] = json.loads(logs)
    inherited = json.loads(source.get("tags") or "{}")
    return given | {"Tags": _tag_list({**inherited, **tags})}


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


class AwsCarryOver(CarryOver):
    """One modification carries all changes; a reboot follows where a parameter group asks for it."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client

    @property
    def table(self) -> Sequence[Setting]:
        """Every setting that is compared."""
        return TABLE

    def change(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> None:
        """Modify at once; with nothing left to modify, reboot what waits for it."""
        del like
        if "tags" in wanted:
            self._retag(instance, wanted["tags"])
        arguments = _arguments(wanted)
        for name, build in _BUILT.items():
            if name in wanted:
                arguments |= build(instance, wanted[name])
        if arguments:
            with self._client.call(f"modify {instance.name}"):
                self._client.rds.modify_db_instance(
                    DBInstanceIdentifier=instance.name, ApplyImmediately=True, **arguments
                )
        elif "reboot" in instance.pending and not wanted:
            with self._client.call(f"reboot {instance.name}"):
                self._client.rds.reboot_db_instance(DBInstanceIdentifier=instance.name)

    def _retag(self, instance: Instance, wanted: str) -> None:
        entry = self._client.entry
        arn = f"arn:aws:rds:{entry.region}:{entry.account}:db:{instance.name}"
        before: dict[str, str] = json.loads(instance.settings.get("tags") or "{}")
        after: dict[str, str] = json.loads(wanted or "{}")
        gone = [key for key in before if key not in after]
        if after:
            with self._client.call(f"tag {instance.name}"):
                self._client.rds.add_tags_to_resource(
                    ResourceName=arn,
                    Tags=[{"Key": key, "Value": value} for key, value in after.items()],
                )
        if gone:
            with self._client.call(f"untag {instance.name}"):
                self._client.rds.remove_tags_from_resource(ResourceName=arn, TagKeys=gone)


def _logs(instance: Instance, wanted: str) -> dict[str, Any]:
    before = set(json.loads(instance.settings.get("log exports") or "[]"))
    after = set(json.loads(wanted or "[]"))
    change = {
        "EnableLogTypes": sorted(after - before),
        "DisableLogTypes": sorted(before - after),
    }
    return {"CloudwatchLogsExportConfiguration": change}


def _monitoring(_instance: Instance, wanted: str) -> dict[str, Any]:
    if not wanted:
        return {"MonitoringInterval": 0}
    interval, role = json.loads(wanted)
    return {"MonitoringInterval": interval, "MonitoringRoleArn": role}


def _insights(_instance: Instance, wanted: str) -> dict[str, Any]:
    return {"EnablePerformanceInsights": wanted == "true"}


_BUILT: Mapping[str, Callable[[Instance, str], dict[str, Any]]] = {
    "log exports": _logs,
    "monitoring": _monitoring,
    "performance insights": _insights,
}
