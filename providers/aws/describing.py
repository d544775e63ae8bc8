"""Reads RDS instances into the common form."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domain.errors import KeyUnavailableError, RecoveryError
from domain.recovery import Tls
from domain.resources import Engine
from providers.aws.client import AwsClient
from providers.managed.model import (
    Encrypted,
    Encryption,
    Instance,
    Keeping,
    KeyOwner,
    State,
)

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import DBInstanceTypeDef

_READY = {"available", "storage-optimization"}
_FAILED = {
    "failed",
    "incompatible-restore",
    "incompatible-network",
    "incompatible-parameters",
    "incompatible-option-group",
    "restore-error",
    "inaccessible-encryption-credentials",
    "insufficient-capacity",
}
_NEEDS_ACTION = {"storage-full", "stopped", "stopping"}
_GIB = 2**30
_PORTS = {Engine.POSTGRESQL: 5432, Engine.MYSQL: 3306}


def state_of(told: str) -> State:
    """Return what RDS's word means; one that is new means busy, until the deadline."""
    if told in _READY:
        return State.READY
    if told in _FAILED:
        return State.FAILED
    if told in _NEEDS_ACTION:
        return State.NEEDS_ACTION
    return State.GOING if told == "deleting" else State.BUSY


def text_of(value: object) -> str:
    """Return a value as the text that settings are compared by."""
    if value is None or value in ([], {}, ""):
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _tags(found: "DBInstanceTypeDef") -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in found.get("TagList", []) if "Key" in tag}


def _first_group(groups: Sequence[Mapping[str, Any]], key: str) -> str:
    return next((str(group.get(key, "")) for group in groups), "")


def settings_of(found: "DBInstanceTypeDef") -> dict[str, str]:
    """Return everything that the carry-over table compares."""
    told: Mapping[str, Any] = found
    groups = told.get("VpcSecurityGroups", [])
    tags = {
        key: tag for key, tag in _tags(found).items() if not key.startswith(("refloat-", "aws:"))
    }
    insights = told.get("PerformanceInsightsEnabled") or None
    values = {
        "publicly accessible": bool(told.get("PubliclyAccessible", False)),
        "security groups": sorted(one["VpcSecurityGroupId"] for one in groups),
        "subnet group": told.get("DBSubnetGroup", {}).get("DBSubnetGroupName"),
        "parameter group": _first_group(told.get("DBParameterGroups", []), "DBParameterGroupName"),
        "option group": _first_group(told.get("OptionGroupMemberships", []), "OptionGroupName"),
        "IAM authentication": bool(told.get("IAMDatabaseAuthenticationEnabled", False)),
        "instance class": told.get("DBInstanceClass"),
        "storage type": told.get("StorageType"),
        # gp3 has its own, which AWS shows but does not always take
        "IOPS": told.get("Iops") if str(told.get("StorageType", "")).startswith("io") else None,
        "storage limit": told.get("MaxAllocatedStorage"),
        "Multi-AZ": bool(told.get("MultiAZ", False)),
        "backup retention": told.get("BackupRetentionPeriod"),
        "backup window": told.get("PreferredBackupWindow"),
        "maintenance window": told.get("PreferredMaintenanceWindow"),
        "log exports": sorted(told.get("EnabledCloudwatchLogsExports", [])),
        "copy tags to snapshots": bool(told.get("CopyTagsToSnapshot", False)),
        "minor upgrades": bool(told.get("AutoMinorVersionUpgrade", False)),
        "monitoring": [told["MonitoringInterval"], told.get("MonitoringRoleArn", "")]
        if told.get("MonitoringInterval")
        else None,
        "performance insights": insights,
        "deletion protection": bool(told.get("DeletionProtection", False)),
        "certificate authority": told.get("CACertificateIdentifier"),
        "associated roles": sorted(
            [one.get("FeatureName", ""), one["RoleArn"]] for one in told.get("AssociatedRoles", [])
        ),
        "encryption key": told.get("KmsKeyId"),
        "tags": tags,
    }
    return {name: text_of(value) for name, value in values.items()}


def pending_of(found: "DBInstanceTypeDef") -> tuple[str, ...]:
    """Return what was changed and is not in force yet; `reboot` where only that helps."""
    told: Mapping[str, Any] = found
    waiting = sorted(told.get("PendingModifiedValues") or {})
    groups = told.get("DBParameterGroups", [])
    statuses = [one.get("Status") for one in told.get("VpcSecurityGroups", [])]
    if any(one.get("ParameterApplyStatus") == "pending-reboot" for one in groups):
        waiting.append("reboot")
    if any(one.get("ParameterApplyStatus") == "applying" for one in groups):
        waiting.append("parameter group")
    if any(status not in (None, "active") for status in statuses):
        waiting.append("security groups")
    return tuple(waiting)


def instance_of(found: "DBInstanceTypeDef", client: AwsClient, tls: Tls) -> Instance:
    """Return an RDS instance in the common form."""
    told: Mapping[str, Any] = found
    engine = Engine.MYSQL if told["Engine"] in {"mysql", "mariadb"} else Engine.POSTGRESQL
    endpoint = told.get("Endpoint") or {}
    retention = told.get("BackupRetentionPeriod", 0)
    percent = told.get("PercentProgress") or ""
    return Instance(
        name=told["DBInstanceIdentifier"],
        id=told["DbiResourceId"],
        state=state_of(told["DBInstanceStatus"]),
        told=told["DBInstanceStatus"],
        engine=engine,
        version=told.get("EngineVersion", ""),
        host=endpoint.get("Address", ""),
        port=endpoint.get("Port", _PORTS[engine]),
        tls=tls,
        tags=_tags(found),
        settings=settings_of(found),
        created_at=told.get("InstanceCreateTime"),
        size_bytes=told.get("AllocatedStorage", 0) * _GIB or None,
        percent=int(percent) if percent.isdigit() else None,
        encryption=encryption_of(told, client),
        keeping=Keeping(enabled=retention > 0, kept=retention, point_in_time=retention > 0),
        pending=pending_of(found),
    )


def encryption_of(told: Mapping[str, Any], client: AwsClient) -> Encryption:
    """Return how an instance is encrypted; who owns the key is asked when somebody reads it."""
    del client
    if "StorageEncrypted" not in told:
        return Encryption()
    if not told["StorageEncrypted"]:
        return Encryption(encrypted=Encrypted.NO)
    return Encryption(encrypted=Encrypted.YES, key=told.get("KmsKeyId", ""))


def with_key(client: AwsClient, encryption: Encryption) -> Encryption:
    """Return the encryption with owner and rotation of its key, as far as we may know.

    Raises:
        KeyUnavailableError: the key is disabled or being deleted.
    """
    if not encryption.key:
        return encryption
    with client.call(f"describe key {encryption.key}"):
        key = client.kms.describe_key(KeyId=encryption.key)["KeyMetadata"]
    if key.get("KeyState", "Enabled") != "Enabled":
        raise KeyUnavailableError(
            f"key {encryption.key} is {key.get('KeyState')}: enable it, or cancel its deletion, in "
            "AWS KMS; no copy can be made without it"
        )
    owner = KeyOwner.PROVIDER if key.get("KeyManager") == "AWS" else KeyOwner.CUSTOMER
    return Encryption(
        encryption.encrypted, owner, encryption.key, _rotation(client, encryption.key)
    )


def _rotation(client: AwsClient, key: str) -> str:
    try:
        with client.call(f"read the rotation of key {key}"):
            told = client.kms.get_key_rotation_status(KeyId=key)
    except RecoveryError:
        return "unknown"
    if not told.get("KeyRotationEnabled"):
        return "off"
    days = told.get("RotationPeriodInDays")
    return f"every {days} days" if days else "on"
