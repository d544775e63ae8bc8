"""Where each setting is in Cloud SQL's JSON, and what the API means where it says nothing.

Values are compared as text, so what is off or usual is written in one way only, and whatever a
text says can be sent back as it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]
"""A resource as it travels, or part of one."""
Field: TypeAlias = "Plain | Listed | Switched"


def text_of(value: object) -> str:
    """Return a value as the text that settings are compared by."""
    if value is None or value in ([], {}, ""):
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def value_of(text: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a text stands for; None for an empty one."""
    if not text:
        return None
    written = text in {"true", "false"} or text.isdigit() or text[0] in "[{"
    return json.loads(text) if written else text


def at(told: Json, path: str) -> Any:  # noqa: ANN401 - JSON
    """Return what is at a dotted path, or None."""
    found: Any = told
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def nested(path: str, value: object) -> dict[str, Any]:
    """Return JSON with a value at a dotted path and nothing else."""
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def merged(base: Json, more: Json) -> dict[str, Any]:
    """Return both, maps within maps merged."""
    result = dict(base)
    for key, value in more.items():
        old: Any = result.get(key)
        maps = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if maps else value
    return result


def _without_kind(value: object) -> object:
    """Return a value without the name of its type, which Google writes beside some."""
    if isinstance(value, Mapping):
        return {key: each for key, each in value.items() if key != "kind"}
    return value


@dataclass(frozen=True)
class Plain:
    """One value, and what the API means where it tells none."""

    path: str
    usual: object = None

    def read(self, settings: Json) -> object:
        """Return the value."""
        found = at(settings, self.path)
        return self.usual if found is None else _without_kind(found)

    def written(self, text: str) -> object:
        """Return what to send; none resets to the default."""
        return value_of(text)


@dataclass(frozen=True)
class Listed:
    """Several values whose order means nothing; an empty list is sent as such."""

    path: str

    def read(self, settings: Json) -> object:
        """Return the values in one order."""
        return sorted(map(_without_kind, at(settings, self.path) or []), key=text_of)

    def written(self, text: str) -> object:
        """Return what to send."""
        return value_of(text) or []


@dataclass(frozen=True)
class Switched:
    """A feature with a switch; its other values count only while it is on.

    When it is on each of them is read and sent: one that is left out would stay as it was.
    """

    path: str
    switch: str
    usual: Json = field(default_factory=dict)

    def read(self, settings: Json) -> object:
        """Return the values, or None while the feature is off."""
        found = at(settings, self.path) or {}
        if not found.get(self.switch):
            return None
        return {name: found.get(name, usual) for name, usual in self.usual.items()} | {
            self.switch: True
        }

    def written(self, text: str) -> object:
        """Return what to send."""
        return value_of(text) or {self.switch: False}


FIELDS: Mapping[str, Field] = {
    "private network": Plain("ipConfiguration.privateNetwork"),
    "authorized networks": Listed("ipConfiguration.authorizedNetworks"),
    "access from Google's services": Plain(
        "ipConfiguration.enablePrivatePathForGoogleCloudServices", usual=False
    ),
    "IP range": Plain("ipConfiguration.allocatedIpRange"),
    "connectors only": Plain("connectorEnforcement", "NOT_REQUIRED"),
    "data API": Plain("dataApiAccess", "DISALLOW_DATA_API"),
    "database flags": Listed("databaseFlags"),
    "edition": Plain("edition", "ENTERPRISE"),
    "tier": Plain("tier"),
    "availability": Plain("availabilityType", "ZONAL"),
    "activation": Plain("activationPolicy", "ALWAYS"),
    "automatic backups": Plain("backupConfiguration.enabled", usual=False),
    "backups kept": Plain("backupConfiguration.backupRetentionSettings.retainedBackups", 7),
    "days of log": Plain("backupConfiguration.transactionLogRetentionDays"),
    "backup location": Plain("backupConfiguration.location"),
    "backup window": Plain("backupConfiguration.startTime"),
    "maintenance window": Plain("maintenanceWindow"),
    "maintenance pauses": Listed("denyMaintenancePeriods"),
    "disk type": Plain("dataDiskType", "PD_SSD"),
    "disk size": Plain("dataDiskSizeGb"),
    "disk grows": Plain("storageAutoResize", usual=True),
    "disk limit": Plain("storageAutoResizeLimit", "0"),
    "disk IOPS": Plain("dataDiskProvisionedIops"),
    "disk throughput": Plain("dataDiskProvisionedThroughput"),
    "data cache": Plain("dataCacheConfig.dataCacheEnabled", usual=False),
    "machine learning": Plain("enableGoogleMlIntegration", usual=False),
    "data catalog": Plain("enableDataplexIntegration", usual=False),
    "minor upgrades": Plain("autoUpgradeEnabled", usual=False),
    "backups after deletion": Plain("retainBackupsOnDelete", usual=False),
    "deletion protection": Plain("deletionProtectionEnabled", usual=False),
    "performance capture": Plain("performanceCaptureConfig"),
    "query insights": Switched(
        "insightsConfig",
        "queryInsightsEnabled",
        {
            "recordClientAddress": False,
            "recordApplicationTags": False,
            "queryStringLength": 1024,
            "queryPlansPerMinute": 5,
            "enhancedQueryInsightsEnabled": False,
        },
    ),
    "connection pooling": Switched(
        "connectionPoolConfig", "connectionPoolingEnabled", {"flags": []}
    ),
    "password policy": Switched(
        "passwordValidationPolicy",
        "enablePasswordPolicy",
        {
            "minLength": 0,
            "complexity": "COMPLEXITY_UNSPECIFIED",
            "reuseInterval": 0,
            "disallowUsernameSubstring": False,
            "passwordChangeInterval": "0s",
        },
    ),
    "final backup": Switched("finalBackupConfig", "enabled", {"retentionDays": 30}),
}
