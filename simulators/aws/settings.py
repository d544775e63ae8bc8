"""The settings of a new instance: what was asked for, and the real defaults of all else."""

import re
from collections.abc import Mapping

from simulators.aws.calls import Fields, model_of
from simulators.aws.keys import usable
from simulators.aws.refusals import bad_combination, bad_value
from simulators.aws.region import Region

ENGINES: Mapping[str, str] = {"postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
"""Engines of RDS and the real servers that stand for them."""
_VERSIONS: Mapping[str, Mapping[str, str]] = {
    "postgres": {"": "15.7"},
    "mysql": {"": "8.0.39", "8": "8.0.39", "8.4": "8.4.3"},
    "mariadb": {"": "10.11.8"},
}
_DEFAULTS: Mapping[str, object] = {
    "AllocatedStorage": 20,
    "BackupRetentionPeriod": 1,
    "CACertificateIdentifier": "rds-ca-rsa2048-g1",
    "DBSubnetGroupName": "default",
    "EnablePerformanceInsights": False,
    "PreferredBackupWindow": "03:24-03:54",
    "PreferredMaintenanceWindow": "sun:05:11-sun:05:41",
    "PubliclyAccessible": False,
    "StorageEncrypted": False,
}
_CARRIED = (
    *("Engine", "EngineVersion", "DBInstanceClass", "AllocatedStorage", "LicenseModel", "DBName"),
    *("MasterUsername", "StorageEncrypted", "KmsKeyId", "BackupRetentionPeriod"),
)
_LONGEST = 35
_IDENTIFIER = re.compile(r"(?!.*--)[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
INSIGHTS: Mapping[str, str] = {
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
    "PerformanceInsightsKMSKeyId": "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod": "PerformanceInsightsRetentionPeriod",
}
"""Settings that moto does not keep, and how an instance shows them."""


def carried(source: Fields, asked: Fields) -> Fields:
    """Return the settings of a copy: few of the source's, and what was asked for."""
    kept = {name: source[name] for name in _CARRIED if name in source}
    known = model_of("rds").operation_model("CreateDBInstance").input_shape.members
    identity = {"DBInstanceIdentifier", "DBName", "Engine", "LicenseModel", "TagSpecifications"}
    given = {name: asked[name] for name in asked if name in known and name not in identity}
    if given.get("AllocatedStorage", kept["AllocatedStorage"]) < kept["AllocatedStorage"]:
        raise bad_value("The allocated storage can't be less than that of the source or backup.")
    return {**kept, "Port": source["DbInstancePort"], **given}


def completed(region: Region, settings: Fields) -> Fields:
    """Return settings with the defaults of all else.

    Raises:
        ApiError: a value cannot be, or the key cannot be used.
    """
    engine = settings["Engine"]
    version = full_version(engine, settings.get("EngineVersion", ""))
    check_retention(settings)
    chosen: Fields = {**_DEFAULTS, **_storage(settings), **settings, "EngineVersion": version}
    chosen.setdefault("LicenseModel", _license(engine))
    chosen.setdefault("OptionGroupName", default_option_group(engine, version))
    check_monitoring(chosen.get("MonitoringInterval", 0), chosen.get("MonitoringRoleArn"))
    return chosen | _encryption(region, chosen)


def full_version(engine: str, version: str) -> str:
    """Return a version with its minor; RDS chooses one where only the major is given."""
    if engine not in ENGINES:
        raise bad_value(f"Invalid DB engine: {engine}")
    known = _VERSIONS[engine]
    parts = 2 if engine == "postgres" else 3
    if version in known:
        return known[version]
    return version if version.count(".") >= parts - 1 else f"{version}.7"


def default_option_group(engine: str, version: str) -> str:
    """Return the name of the option group of an engine's major version."""
    parts = version.split(".")[: 1 if engine == "postgres" else 2]
    return f"default:{engine}-{'-'.join(parts)}"


def check_identifier(name: str) -> None:
    """Refuse an identifier that RDS does not take."""
    if not _IDENTIFIER.fullmatch(name):
        raise bad_value(
            f"{name} is not a valid identifier. Identifiers must begin with a letter; must contain "
            "only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain "
            "two consecutive hyphens."
        )


def check_retention(settings: Fields) -> None:
    """Refuse a retention that RDS does not have."""
    days = settings.get("BackupRetentionPeriod", 0)
    if not 0 <= days <= _LONGEST:
        raise bad_value(
            f"Invalid backup retention period: {days}. Must be between 0 and {_LONGEST}."
        )


def check_monitoring(interval: int, role: str | None) -> None:
    """Refuse enhanced monitoring without a role."""
    if interval and not role:
        raise bad_combination(
            "A MonitoringRoleARN value is required if you specify a MonitoringInterval value "
            "other than 0."
        )


def _license(engine: str) -> str:
    return "postgresql-license" if engine == "postgres" else "general-public-license"


def _storage(settings: Fields) -> Fields:
    """Return what RDS makes of storage that nobody specified: never the source's type."""
    kind = settings.get("StorageType") or ("io1" if "Iops" in settings else "gp3")
    return {"StorageType": kind} | (
        {"Iops": 3000, "StorageThroughput": 125} if kind == "gp3" else {}
    )


def _encryption(region: Region, chosen: Fields) -> Fields:
    if not chosen["StorageEncrypted"]:
        return {"KmsKeyId": None}
    return {"KmsKeyId": usable(region, chosen.get("KmsKeyId") or "alias/aws/rds")}


def overlay(chosen: Fields) -> Fields:
    """Return what an instance shows instead of what moto makes of its settings."""
    insights = {shown: chosen.get(name) for name, shown in INSIGHTS.items()}
    if chosen["EnablePerformanceInsights"] and not chosen.get("PerformanceInsightsRetentionPeriod"):
        insights["PerformanceInsightsRetentionPeriod"] = 7
    encryption = "sse-kms" if chosen["StorageEncrypted"] else "none"
    return {
        **insights,
        **option_groups(chosen["OptionGroupName"]),
        "KmsKeyId": chosen["KmsKeyId"],
        "StorageEncryptionType": encryption,
        "PubliclyAccessible": chosen["PubliclyAccessible"],
    }


def option_groups(name: str) -> Fields:
    """Return how an instance shows its option group."""
    return {"OptionGroupMemberships": [{"OptionGroupName": name, "Status": "in-sync"}]}


def for_moto(chosen: Fields) -> Fields:
    """Return the settings that moto keeps; it has no default option groups."""
    hidden = {*INSIGHTS, *(name for name, value in chosen.items() if value is None)}
    if str(chosen.get("OptionGroupName", "")).startswith("default:"):
        hidden.add("OptionGroupName")
    return {name: value for name, value in chosen.items() if name not in hidden}
