"""What may be changed of a server, and how a change is written into it."""

import copy
from collections.abc import Callable

from simulators.azure.families import POSTGRESQL, Json
from simulators.azure.refusals import invalid
from simulators.azure.shapes import Server

CHANGEABLE = (
    "authConfig",
    "backup",
    "dataEncryption",
    "highAvailability",
    "maintenanceWindow",
    "network",
    "storage",
)
MODES = ("Disabled", "SameZone", "ZoneRedundant")


def change_of(server: Server, body: Json) -> Callable[[], None]:
    """Return what writes a change into a server; refuse one that cannot be."""
    sent = said(body.get("properties"))
    wanted = {name: sent[name] for name in CHANGEABLE if isinstance(sent.get(name), dict)}
    sku, identity = said(body.get("sku")), body.get("identity")
    _examine(server, sent, wanted, sku)

    def apply() -> None:
        for name, value in wanted.items():
            server.properties[name] = merged(server.properties.get(name), value)
        if server.properties["highAvailability"]["mode"] == "Disabled":
            server.properties["highAvailability"].pop("standbyAvailabilityZone", None)
        server.sku = merged(server.sku, sku)
        if identity is not None:
            server.identity = merged(server.identity, identity)

    return apply


def said(told: object) -> Json:
    """Return an object without what is empty: older SDKs send empty text for what nobody set."""
    if not isinstance(told, dict):
        return {}
    return {key: value for key, value in told.items() if value not in ("", None)}


def merged(old: Json | None, new: Json) -> Json:
    """Return an object with the values of another written over it."""
    return copy.deepcopy({**(old or {}), **said(new)})


def _examine(server: Server, sent: Json, wanted: Json, sku: Json) -> None:
    _examine_backup(server, said(wanted.get("backup")))
    storage = said(wanted.get("storage"))
    old = server.properties["storage"]["storageSizeGB"]
    if storage.get("storageSizeGB", old) < old:
        raise invalid("storageSizeGB", f"It cannot become less than {old}.")
    kind = said(wanted.get("dataEncryption")).get("type")
    if kind not in (None, server.properties["dataEncryption"]["type"]):
        raise invalid("dataEncryption.type", "It is fixed when the server is created.")
    _examine_standby(server, said(wanted.get("highAvailability")), sku)
    if sent.get("version", server.properties["version"]) != server.properties["version"]:
        raise invalid("version", "The stand-in upgrades no server.")


def _examine_backup(server: Server, backup: Json) -> None:
    least, most = server.family.retention
    days = backup.get("backupRetentionDays", least)
    if not least <= days <= most:
        raise invalid("backupRetentionDays", f"It must be from {least} to {most} days.")
    old = server.properties["backup"]["geoRedundantBackup"]
    if server.family is POSTGRESQL and backup.get("geoRedundantBackup", old) != old:
        raise invalid("geoRedundantBackup", "It is fixed when the server is created.")


def _examine_standby(server: Server, standby: Json, sku: Json) -> None:
    mode = standby.get("mode", server.properties["highAvailability"]["mode"])
    if mode not in MODES:
        raise invalid("highAvailability.mode", f"It must be one of {', '.join(MODES)}.")
    tier = sku.get("tier", server.sku.get("tier"))
    if mode != "Disabled" and tier == "Burstable":
        raise invalid("highAvailability.mode", "Burstable servers have no high availability.")
