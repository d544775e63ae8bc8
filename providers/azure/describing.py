"""Reads flexible servers of both engines into the common form, from Azure's own words."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from domain.recovery import Tls
from domain.resources import Engine
from providers.managed.model import (
    Encrypted,
    Encryption,
    Instance,
    Keeping,
    KeptBackup,
    KeyOwner,
    State,
)
from providers.managed.names import own_tags

Told: TypeAlias = Mapping[str, Any]
OURS = "refloat-"
DISABLED = "Disabled"
CUSTOMER_KEY = "AzureKeyVault"
PORTS = {Engine.POSTGRESQL: 5432, Engine.MYSQL: 3306}
_STATES = {
    "Ready": State.READY,
    "Disabled": State.FAILED,
    "Inaccessible": State.FAILED,
    "Stopped": State.NEEDS_ACTION,
    "Dropping": State.GOING,
}
_GIB = 2**30


def state_of(told: str) -> State:
    """Return what Azure's word means; one that is new means busy, until the deadline."""
    return _STATES.get(told, State.BUSY)


def engine_of(server_id: str) -> Engine:
    """Return the engine of a server by its resource id."""
    return Engine.MYSQL if "/microsoft.dbformysql/" in server_id.lower() else Engine.POSTGRESQL


def moment(text: str | None) -> datetime | None:
    """Return a stamp of Azure's."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def place(location: object) -> str:
    """Return a region's name, also from the way in which people write it."""
    return "".join(str(location or "").lower().split())


def tags_of(told: Told) -> dict[str, str]:
    """Return a server's tags, without those of ours that a restore copied or that are emptied."""
    own = own_tags(told["name"], told.get("tags") or {})
    return {key: value for key, value in own.items() if value or not key.startswith(OURS)}


def users_tags_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that are not ours."""
    return {key: value for key, value in tags.items() if not key.startswith(OURS)}


def address_of(host: str, engine: Engine) -> tuple[str, int]:
    """Return host and port of a name, which has a port of its own only at a stand-in."""
    name, colon, port = host.rpartition(":")
    return (name, int(port)) if colon else (host, PORTS[engine])


def instance_of(
    told: Told, server_id: str, tls: Tls, settings: Mapping[str, str], pending: tuple[str, ...] = ()
) -> Instance:
    """Return a server in the common form."""
    properties, engine = told["properties"], engine_of(server_id)
    host, port = address_of(properties.get("fullyQualifiedDomainName") or "", engine)
    minor = properties.get("minorVersion")
    days = (properties.get("backup") or {}).get("backupRetentionDays") or 0
    size = (properties.get("storage") or {}).get("storageSizeGB") or 0
    return Instance(
        name=told["name"],
        id=server_id,
        state=state_of(properties.get("state") or ""),
        told=properties.get("state") or "without a state",
        engine=engine,
        version=f"{properties.get('version') or ''}{f'.{minor}' if minor else ''}",
        host=host,
        port=port,
        tls=tls,
        tags=tags_of(told),
        settings=settings,
        created_at=moment((told.get("systemData") or {}).get("createdAt")),
        size_bytes=size * _GIB or None,
        encryption=Encryption(encrypted=Encrypted.YES),  # it cannot be off
        keeping=Keeping(enabled=days > 0, kept=days, point_in_time=days > 0),
        pending=pending,
    )


def encryption_of(whole: Told) -> Encryption:
    """Return whose key encrypts a server; a key named without its version follows every new one."""
    known = whole["properties"].get("dataEncryption") or {}
    if known.get("type") != CUSTOMER_KEY:
        return Encryption(Encrypted.YES, KeyOwner.PROVIDER, rotation="by Azure")
    key = known.get("primaryKeyURI") or ""
    versioned = key.rpartition("/keys/")[2].count("/") > 0
    rotation = "off, the server names a version" if versioned else "on, the newest version is used"
    return Encryption(Encrypted.YES, KeyOwner.CUSTOMER, key, rotation)


def kept_of(told: Told, server: str) -> KeptBackup | None:
    """Return a backup, which is a name for a moment of the log; None for one that is not over."""
    properties = told["properties"]
    taken_at = moment(properties.get("completedTime"))
    if taken_at is None:
        return None
    kind = f"{properties.get('backupType')} {properties.get('source')}".lower()
    return KeptBackup(
        id=f"{server}/{told['name']}",
        taken_at=taken_at,
        began_at=taken_at,
        source=server,
        name=told["name"],
        told="completed",
        automatic="customer" not in kind and "demand" not in kind,
        encrypted=True,
    )
