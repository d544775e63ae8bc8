"""The shape of Cloud SQL's resources: what it accepts, its defaults, and a database of production."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from simulators.gcp import refusals
from simulators.gcp.spelling import Json, spelled

Engine: TypeAlias = Literal["postgresql", "mysql"]

SETTABLE = (
    "settings",
    "databaseVersion",
    "region",
    "gceZone",
    "secondaryGceZone",
    "diskEncryptionConfiguration",
)
"""Fields of an instance that a caller may set; others that are sent are ignored."""
FIXED = ("databaseVersion", "region", "diskEncryptionConfiguration")
"""Fields that never change after creation."""
PLUS = "ENTERPRISE_PLUS"
LATEST = {"postgresql": "POSTGRES_15", "mysql": "MYSQL_8_0"}


def instance_fields(body: Mapping[str, Any]) -> Json:
    """Return what a body sets of an instance, nulls included."""
    return {name: value for name, value in spelled(body).items() if name in SETTABLE}


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> Json:
    """Return `base` with a change as PATCH has it: maps merge, lists replace, null removes."""
    result = dict(base)
    for name, value in change.items():
        old = result.get(name)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            result[name] = merged(old if isinstance(old, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def engine_of(version: str) -> Engine:
    """Return the engine behind a `databaseVersion`, by its name among the estate's backends."""
    return "mysql" if version.startswith("MYSQL") else "postgresql"


def plain_version(version: str) -> str:
    """Return a `databaseVersion` as the engine itself writes it: `15`, `8.0`."""
    return version.partition("_")[2].replace("_", ".")


def recovers_to_a_time(fields: Json) -> bool:
    """Return whether logs are kept that allow a restore to a time."""
    backups = fields["settings"].get("backupConfiguration", {})
    name = _log_setting(engine_of(fields["databaseVersion"]))
    return bool(backups.get("enabled") and backups.get(name))


def check(fields: Json) -> None:
    """Refuse settings that Cloud SQL refuses."""
    settings = fields["settings"]
    if not settings.get("tier"):
        raise refusals.required("Tier")
    backups, days = settings.get("backupConfiguration", {}), 35 if _is_plus(settings) else 7
    other = {"postgresql": "binaryLogEnabled", "mysql": "pointInTimeRecoveryEnabled"}
    if backups.get(other[engine_of(fields["databaseVersion"])]):
        raise refusals.invalid(
            "Point-in-time recovery can only be enabled for Postgres instances,"
            " binary logs only for MySQL instances"
        )
    if not 1 <= backups.get("transactionLogRetentionDays", 1) <= days:
        raise refusals.invalid(f"Transaction log retention must be between 1 and {days} days")
    if not 1 <= backups.get("backupRetentionSettings", {}).get("retainedBackups", 1) <= 365:  # noqa: PLR2004 - the API's own limit
        raise refusals.invalid("Retained backups must be between 1 and 365")


def default_backups(engine: str, settings: Json) -> Json:
    """Return the backup configuration of an instance for which nobody chose one."""
    return {
        "kind": "sql#backupConfiguration",
        "enabled": False,
        "startTime": "12:00",
        _log_setting(engine): False,
        "backupRetentionSettings": {"retentionUnit": "COUNT", "retainedBackups": 7},
        "transactionLogRetentionDays": 14 if _is_plus(settings) else 7,
        "backupTier": "STANDARD",
    }


def default_settings(engine: str, settings: Json) -> Json:
    """Return the settings that an instance gets where it says nothing."""
    return {
        "kind": "sql#settings",
        "edition": "ENTERPRISE",
        "pricingPlan": "PER_USE",
        "replicationType": "SYNCHRONOUS",
        "activationPolicy": "ALWAYS",
        "availabilityType": "ZONAL",
        "storageAutoResize": True,
        "storageAutoResizeLimit": "0",
        "dataDiskType": "PD_SSD",
        "dataDiskSizeGb": "10",
        "deletionProtectionEnabled": False,
        "retainBackupsOnDelete": False,
        "connectorEnforcement": "NOT_REQUIRED",
        "ipConfiguration": {"ipv4Enabled": True, "sslMode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED"},
        "backupConfiguration": default_backups(engine, settings),
    }


def completed(fields: Json) -> Json:
    """Return the fields of a new instance with every default filled in."""
    version = fields.get("databaseVersion", LATEST["mysql"])
    region = fields.get("region", "us-central1")
    settings = fields.get("settings", {})
    return {
        **fields,
        "databaseVersion": version,
        "region": region,
        "gceZone": fields.get("gceZone", f"{region}-a"),
        "settings": merged(default_settings(engine_of(version), settings), settings),
    }


def production(project: str, version: str) -> Json:
    """Return a database of production: nothing that a restore may lose is at its default."""
    engine = engine_of(version)
    settings = {
        "tier": "db-perf-optimized-N-4",
        "edition": PLUS,
        "availabilityType": "REGIONAL",
        "storageAutoResize": False,
        "dataDiskSizeGb": "200",
        "deletionProtectionEnabled": True,
        "retainBackupsOnDelete": True,
        "userLabels": {"team": "shop", "environment": "production"},
        "databaseFlags": _flags(engine),
        "maintenanceWindow": {"day": 7, "hour": 3, "updateTrack": "stable"},
        "insightsConfig": {"queryInsightsEnabled": True, "queryStringLength": 4500},
        "ipConfiguration": {
            "ipv4Enabled": False,
            "privateNetwork": f"projects/{project}/global/networks/production",
            "allocatedIpRange": "databases",
            "sslMode": "ENCRYPTED_ONLY",
        },
        "backupConfiguration": {
            "enabled": True,
            "startTime": "02:00",
            "location": "eu",
            _log_setting(engine): True,
            "backupRetentionSettings": {"retainedBackups": 30},
            "transactionLogRetentionDays": 7,
        },
    }
    key = f"projects/{project}/locations/europe-west9/keyRings/databases/cryptoKeys/orders"
    return {
        "databaseVersion": version,
        "region": "europe-west9",
        "gceZone": "europe-west9-a",
        "secondaryGceZone": "europe-west9-b",
        "diskEncryptionConfiguration": {"kmsKeyName": key},
        "settings": settings,
    }


def _log_setting(engine: str) -> str:
    return "binaryLogEnabled" if engine == "mysql" else "pointInTimeRecoveryEnabled"


def _is_plus(settings: Json) -> bool:
    return bool(settings.get("edition") == PLUS)


def _flags(engine: str) -> list[Json]:
    slow = {
        "postgresql": {"name": "log_min_duration_statement", "value": "500"},
        "mysql": {"name": "slow_query_log", "value": "on"},
    }
    return [{"name": "max_connections", "value": "400"}, slow[engine]]
