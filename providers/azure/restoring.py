"""What is sent to begin a new server, and to which package it goes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.resources import Engine
from providers.azure.describing import (
    CUSTOMER_KEY,
    DISABLED,
    OURS,
    Told,
    engine_of,
    users_tags_of,
)
from providers.managed.model import Order
from providers.managed.names import SELF

_MOMENT = {Engine.POSTGRESQL: "pointInTimeUTC", Engine.MYSQL: "restorePointInTime"}
_SUBNET = "delegatedSubnetResourceId"
_KEYS = (
    "type",
    "primaryKeyURI",
    "primaryUserAssignedIdentityId",
    "geoBackupKeyURI",
    "geoBackupUserAssignedIdentityId",
    "primaryFederatedIdentityClientId",
    "geoBackupFederatedIdentityClientId",
)
_NEWER = {
    Engine.POSTGRESQL: frozenset(("dataEncryption", "publicNetworkAccess")),
    Engine.MYSQL: frozenset(("publicNetworkAccess",)),
}
"""What the models of azure-mgmt-rdbms do not know, or only read."""


def restored(order: Order, whole: Told, source_id: str) -> dict[str, Any]:
    """Return a restore to a time, in the network and under the key of the source.

    Which of both a restore takes from its source by itself is not sure, so both are named. Azure
    chooses the zone: naming the source's would refuse a restore when that zone is full.
    """
    sent = _sent(order, str(whole["location"]), source_id, "PointInTimeRestore")
    sent["tags"] = {**_tags(whole), **sent["tags"]}
    properties = whole["properties"]
    if network := _network(properties.get("network") or {}):
        sent["properties"]["network"] = network
    encryption = properties.get("dataEncryption") or {}
    if encryption.get("type") == CUSTOMER_KEY:
        sent["properties"]["dataEncryption"] = {
            name: encryption[name] for name in _KEYS if encryption.get(name)
        }
        sent["identity"] = _identity(whole.get("identity") or {})
    return sent


def revived(order: Order, region: str) -> dict[str, Any]:
    """Return the return of a deleted server; PostgreSQL has a mode of its own for it."""
    engine = engine_of(order.point.source_id)
    mode = "ReviveDropped" if engine is Engine.POSTGRESQL else "PointInTimeRestore"
    return _sent(order, region, order.point.source_id, mode)


def needs_newer(sent: Mapping[str, Any], engine: Engine) -> bool:
    """Return whether azure-mgmt-rdbms cannot send this."""
    properties: Mapping[str, Any] = sent["properties"]
    names = {*properties, *properties.get("network", {})}
    return bool(names & _NEWER[engine]) or properties["createMode"] == "ReviveDropped"


def written(moment: datetime) -> str:
    """Return a moment as it travels: to the microsecond, as the SDK's own models write it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _sent(order: Order, region: str, source_id: str, mode: str) -> dict[str, Any]:
    assert order.point.at is not None
    return {
        "location": region,
        "tags": {**order.tags, SELF: order.name},
        "properties": {
            "createMode": mode,
            "sourceServerResourceId": source_id,
            _MOMENT[engine_of(source_id)]: written(order.point.at),
        },
    }


def _tags(whole: Told) -> dict[str, str]:
    """Return the source's tags, ours emptied: MySQL would copy them, and they say who serves."""
    known: dict[str, str] = whole.get("tags") or {}
    return users_tags_of(known) | {key: "" for key in known if key.startswith(OURS)}


def _network(network: Told) -> dict[str, str]:
    """Return the source's network where it is not plainly public, so that a copy is never open."""
    if network.get(_SUBNET):
        return {
            name: value
            for name, value in network.items()
            if value and name != "publicNetworkAccess"
        }
    closed = network.get("publicNetworkAccess") == DISABLED
    return {"publicNetworkAccess": DISABLED} if closed else {}


def _identity(identity: Told) -> dict[str, Any]:
    """Return the identities that can be shared: a server's own one dies with it."""
    shared = identity.get("userAssignedIdentities") or {}
    return {"type": "UserAssigned", "userAssignedIdentities": {name: {} for name in shared}}
