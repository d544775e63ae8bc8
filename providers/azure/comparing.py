"""Everything of a server that the carry-over compares, of either engine, each as text."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.resources import Engine
from providers.azure.describing import DISABLED, Told, engine_of, place, users_tags_of

PREMIUM_V2 = "PremiumV2_LRS"
_KEY_STATES = ("primaryEncryptionKeyStatus", "geoBackupEncryptionKeyStatus")


class ToldSettings(Mapping[str, str]):
    """What the carry-over compares; half a dozen calls, made when the first setting is read."""

    def __init__(self, read: Callable[[], Mapping[str, str]]) -> None:
        self._read = read
        self._known: Mapping[str, str] | None = None

    @property
    def _told(self) -> Mapping[str, str]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def __getitem__(self, name: str) -> str:
        """Return one setting."""
        return self._told[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._told)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._told)


def text_of(value: object) -> str:
    """Return a value as the text that settings are compared by."""
    if value is None or value in ([], {}, ""):
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def is_true(told: object) -> bool:
    """Return a truth, which MySQL writes as text."""
    return str(told).lower() == "true"


def set_parameters(configurations: Sequence[Told]) -> dict[str, str]:
    """Return the server parameters that somebody set to something else than their default."""
    known = ((one["name"], one["properties"]) for one in configurations)
    return {
        name: str(told.get("value") or "")
        for name, told in known
        if told.get("source") == "user-override"
        and told.get("value") != told.get("defaultValue")
        and not is_true(told.get("isReadOnly"))
    }


def waits_for_restart(configurations: Sequence[Told]) -> bool:
    """Return whether a parameter is set that only a restart puts in force."""
    return any(is_true(one["properties"].get("isConfigPendingRestart")) for one in configurations)


@dataclass(frozen=True)
class Beside:
    """What is no part of a server's own description, but of its settings."""

    configurations: Sequence[Told] = ()
    rules: Sequence[Told] = ()
    endpoints: Sequence[Told] = ()
    administrators: Sequence[Told] = ()
    replicas: Sequence[Told] = ()
    locks: Sequence[Told] = ()


def settings_of(whole: Told, server_id: str, beside: Beside) -> dict[str, str]:
    """Return everything that the carry-over table compares, of either engine."""
    properties = whole["properties"]
    network = properties.get("network") or {}
    storage = properties.get("storage") or {}
    public = network.get("publicNetworkAccess") != DISABLED
    rules = _rules(beside.rules)
    values = {
        "public access": "Enabled" if public else DISABLED,
        "firewall rules": rules if public else None,
        "rules of closed access": None if public else rules,
        "authentication": _without(properties.get("authConfig")),
        "server parameters": set_parameters(beside.configurations),
        "compute size": _without(whole.get("sku")),
        "storage size": storage.get("storageSizeGB"),
        "storage growth": storage.get("autoGrow"),
        "storage performance": _performance(storage),
        "storage type": _kind(storage),
        "tags": users_tags_of(whole.get("tags") or {}),
        "maintenance window": _window(properties.get("maintenanceWindow") or {}),
        "private endpoints": _private(properties.get("privateEndpointConnections") or []),
        "virtual network": _without(network, "publicNetworkAccess"),
        "virtual endpoint": sorted(one["name"] for one in beside.endpoints),
        "directory administrators": sorted(_administrator(one) for one in beside.administrators),
        "read replicas": sorted(one["name"] for one in beside.replicas),
        "management locks": _locks(beside.locks, server_id),
        "administrator login": properties.get("administratorLogin"),
        "encryption key": _without(properties.get("dataEncryption"), *_KEY_STATES),
        "identities": sorted((whole.get("identity") or {}).get("userAssignedIdentities") or {}),
        "region": place(whole.get("location")),
        **_kept_and_available(properties, engine_of(server_id)),
    }
    return {name: text_of(value) for name, value in values.items()}


def _kept_and_available(properties: Told, engine: Engine) -> dict[str, object]:
    backup = properties.get("backup") or {}
    available = properties.get("highAvailability") or {}
    geo = "MySQL" if engine is Engine.MYSQL else "PostgreSQL"
    return {
        "backup retention": backup.get("backupRetentionDays"),
        f"geo-redundant backup of {geo}": backup.get("geoRedundantBackup"),
        "high availability": available.get("mode") or DISABLED,
        "zones": [
            properties.get("availabilityZone") or "",
            available.get("standbyAvailabilityZone") or "",
        ],
    }


def _without(told: Told | None, *names: str) -> dict[str, Any]:
    """Return what is said, without what is empty and without some of it."""
    kept = (told or {}).items()
    return {name: value for name, value in kept if value not in (None, "") and name not in names}


def _rules(rules: Sequence[Told]) -> dict[str, list[str]]:
    ends = ("startIpAddress", "endIpAddress")
    return {one["name"]: [str(one["properties"].get(end)) for end in ends] for one in rules}


def _performance(storage: Told) -> dict[str, Any]:
    """Return what somebody chose of a disk's speed: the rest follows from it, or by itself."""
    if storage.get("autoIoScaling") == "Enabled":
        names: tuple[str, ...] = ("autoIoScaling",)
    elif storage.get("type") == PREMIUM_V2:
        names = ("iops", "throughput")
    else:
        names = ("tier",) if storage.get("tier") else ("autoIoScaling", "iops")
    return {name: storage[name] for name in names if storage.get(name) is not None}


def _kind(storage: Told) -> dict[str, Any]:
    names = ("type", "storageSku", "storageRedundancy", "logOnDisk")
    return {name: storage[name] for name in names if storage.get(name)}


def _window(told: Told) -> dict[str, Any]:
    """Return when maintenance may be; the fields of a window that Azure chooses mean nothing."""
    if told.get("customWindow") != "Enabled":
        return {"customWindow": DISABLED}
    return _without(told)


def _private(connections: Sequence[Told]) -> list[str]:
    known = (one.get("properties") or {} for one in connections)
    return sorted(str((one.get("privateEndpoint") or {}).get("id", "")).lower() for one in known)


def _administrator(told: Told) -> str:
    properties = told["properties"]
    return str(properties.get("principalName") or properties.get("login") or told["name"])


def _locks(locks: Sequence[Told], server_id: str) -> list[str]:
    """Return the levels of a server's own locks: those of its group hold for its copies too."""
    own = f"{server_id}/providers/microsoft.authorization/locks/".lower()
    return sorted(
        str(one["properties"].get("level"))
        for one in locks
        if str(one.get("id", "")).lower().startswith(own)
    )
