"""Which settings a restore does not carry, and how each is changed.

PostgreSQL's carries size, storage, retention and data; its parameters, firewall rules and private
endpoints stay behind. MySQL's carries parameters and rules too, but for a few parameters. Neither
carries high availability.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from domain.resources import Engine
from providers.azure.client import AzureClient, body
from providers.azure.comparing import set_parameters
from providers.azure.databases import written_tags
from providers.azure.describing import DISABLED
from providers.azure.servers import Servers
from providers.managed.driver import CarryOver
from providers.managed.model import Instance, Setting

TABLE = (
    Setting("public access", essential=True, first=True),
    Setting("firewall rules", essential=True, first=True),
    Setting("authentication", essential=True),
    Setting("server parameters", essential=True),
    Setting("compute size"),
    Setting("storage size"),
    Setting("storage growth"),
    Setting("storage performance"),
    Setting("backup retention"),
    Setting("geo-redundant backup of MySQL"),
    Setting("tags"),
    Setting("maintenance window"),
    Setting("high availability"),
    Setting(
        "rules of closed access",
        left="public access is off, so they let nobody in, and Azure may refuse to write them; "
        "write them again before you open it",
    ),
    Setting(
        "private endpoints",
        left="each is a resource of a network: make one that leads to the new server",
    ),
    Setting("virtual network", left="a server stays in the network that it was made in"),
    Setting("virtual endpoint", left="it moves with the cutover"),
    Setting(
        "directory administrators",
        left="name them with `az postgres flexible-server microsoft-entra-admin create`, or with "
        "`az mysql flexible-server ad-admin create`",
    ),
    Setting(
        "read replicas",
        left="make them with `az postgres flexible-server replica create`, one by one",
    ),
    Setting("management locks", left="lock the new server with `az lock create` after the cutover"),
    Setting(
        "geo-redundant backup of PostgreSQL",
        left="it is chosen when a server is made, by its source",
    ),
    Setting("storage type", left="the kind of disk is chosen when a server is made"),
    Setting("zones", left="Azure chooses a zone that has room, and a server stays in it"),
    Setting("region", left="a restore to a time stays in its region"),
    Setting("encryption key", left="a restore keeps the key of its source"),
    Setting("identities", left="assign them to the new server in the portal, where it needs them"),
    Setting("administrator login", left="it comes with the data"),
)
_SIZE = "storage size"
_NUMBERS = frozenset((_SIZE, "backup retention"))
_PROPERTIES: Mapping[str, str] = {
    _SIZE: "storage.storageSizeGB",
    "storage growth": "storage.autoGrow",
    "storage performance": "storage",
    "authentication": "authConfig",
    "backup retention": "backup.backupRetentionDays",
    "geo-redundant backup of MySQL": "backup.geoRedundantBackup",
    "maintenance window": "maintenanceWindow",
}
_STORAGE = (_SIZE, "storage growth", "storage performance")
_CHANGES: Sequence[tuple[str, ...]] = (
    ("compute size", *_STORAGE),
    ("authentication", "backup retention", "geo-redundant backup of MySQL", "tags"),
    ("maintenance window",),
)
"""What goes in one change: a window, and high availability, Azure changes by themselves only."""
Act: TypeAlias = Callable[[Instance, Mapping[str, str], Instance], bool]


class AzureCarryOver(CarryOver):
    """One operation at a time, since each makes the server busy; who gets in comes first."""

    def __init__(self, client: AzureClient, servers: Servers) -> None:
        self._client, self._servers = client, servers
        self._acts: Sequence[Act] = (
            self._close,
            self._rules,
            self._open,
            self._properties,
            self._parameters,
            self._restart,
            self._availability,
        )

    @property
    def table(self) -> Sequence[Setting]:
        """Every setting that is compared."""
        return TABLE

    def left(self, name: str, source: Instance, copy: Instance) -> str:
        """Return why a disk that is larger than the source's stays so."""
        if name == _SIZE and int(copy.settings[name] or 0) > int(source.settings[name] or 0):
            return "a disk only grows"
        return ""

    def change(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> None:
        """Begin the first of the changes that are open; with none left, restart what waits for it."""
        any(act(instance, wanted, like) for act in self._acts)

    def _close(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> bool:
        del like
        if wanted.get("public access") != DISABLED:
            return False
        self._set_access(instance, DISABLED)
        return True

    def _open(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> bool:
        """Open public access; what would let in more than the source does is gone by then."""
        del like
        if "public access" not in wanted:
            return False
        self._set_access(instance, wanted["public access"])
        return True

    def _set_access(self, instance: Instance, told: str) -> None:
        network = {"network": {"publicNetworkAccess": told}}
        doing = f"set the public access of {instance.name} to {told}"
        self._servers.change(instance, doing, {"properties": network})

    def _rules(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> bool:
        """Remove rules that the source does not have, then add those that only the source has.

        While public access is off, only removing is sure to be allowed, and needed before it opens.
        """
        opening = "public access" in wanted
        if not opening and "firewall rules" not in wanted:
            return False
        known = instance.settings["rules of closed access" if opening else "firewall rules"]
        before, after = _read(known), _read(like.settings["firewall rules"])
        extra = [name for name in before if name not in after]
        missing = [name for name, ends in after.items() if before.get(name) != ends]
        for name in extra:
            self._remove_rule(instance, name)
        for name in [] if opening else missing:
            self._write_rule(instance, name, after[name])
        return bool(extra) or not opening

    def _remove_rule(self, instance: Instance, name: str) -> None:
        act = self._client.of(instance.engine).firewall_rules.begin_delete
        self._servers.begin(instance, f"remove rule {name} of {instance.name}", act, name)

    def _write_rule(self, instance: Instance, name: str, ends: Sequence[str]) -> None:
        act = self._client.of(instance.engine).firewall_rules.begin_create_or_update
        rule = dict(zip(("startIpAddress", "endIpAddress"), ends, strict=True))
        doing = f"write rule {name} of {instance.name}"
        self._servers.begin(instance, doing, act, name, body({"properties": rule}))

    def _properties(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> bool:
        """Change what one change takes: all of the storage, and some things only by themselves."""
        del like
        for group in _CHANGES:
            named = {name: wanted[name] for name in group if name in wanted}
            if not named:
                continue
            if set(named) & set(_STORAGE):
                named = {name: instance.settings[name] for name in _STORAGE} | named
            doing = f"change {', '.join(named)} of {instance.name}"
            self._servers.change(instance, doing, _change_of(instance, named))
            return True
        return False

    def _parameters(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> bool:
        """Set parameters: of MySQL all at once, of PostgreSQL one, which makes the server busy."""
        del like
        if "server parameters" not in wanted:
            return False
        after = _read(wanted["server parameters"])
        told = self._servers.configurations(instance.name, instance.engine)
        before = set_parameters(told)
        self._servers.restarted.discard(instance.id)
        defaults = {
            one["name"]: str(one["properties"].get("defaultValue") or "")
            for one in told
            if one["name"] in before and one["name"] not in after
        }
        differing = {name: value for name, value in after.items() if before.get(name) != value}
        if instance.engine is Engine.MYSQL:
            self._set_all(instance, differing, defaults)
        else:
            name, value = next(iter({**defaults, **differing}.items()), ("", ""))
            self._set_one(instance, name, value)
        return True

    def _set_one(self, instance: Instance, name: str, value: str) -> None:
        """Set one; a default counts as one again, although it is sent as chosen."""
        if not name:
            return
        act = self._client.sdk.postgresql.configurations.begin_update
        sent = {"properties": {"value": value, "source": "user-override"}}
        self._servers.begin(instance, f"set {name} of {instance.name}", act, name, body(sent))

    def _set_all(
        self, instance: Instance, differing: Mapping[str, str], defaults: Mapping[str, str]
    ) -> None:
        sources = {"user-override": differing, "system-default": defaults}
        sent = [
            {"name": name, "properties": {"value": value, "source": source}}
            for source, values in sources.items()
            for name, value in values.items()
        ]
        if sent:
            act = self._client.sdk.mysql.configurations.begin_batch_update
            doing = f"set {', '.join(sorted({**differing, **defaults}))} of {instance.name}"
            self._servers.begin(instance, doing, act, body({"value": sent}))

    def _restart(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> bool:
        """Restart for parameters that need it, before there is a standby that would restart too."""
        del wanted, like
        if "restart" not in instance.pending:
            return False
        self._servers.restarted.add(instance.id)
        doing = f"restart {instance.name}"
        if instance.engine is Engine.MYSQL:
            how = body({"restartWithFailover": DISABLED})
            self._servers.begin(instance, doing, self._client.sdk.mysql.servers.begin_restart, how)
        else:
            act = self._client.sdk.postgresql.servers.begin_restart
            self._servers.begin(instance, doing, act)
        return True

    def _availability(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> bool:
        """Set the mode, with the source's standby zone where the copy is not in that one itself."""
        if "high availability" not in wanted:
            return False
        available = {"mode": wanted["high availability"]}
        zone = json.loads(instance.settings["zones"])[0]
        standby = json.loads(like.settings["zones"])[1]
        if available["mode"] == "ZoneRedundant" and standby and standby != zone:
            available["standbyAvailabilityZone"] = standby
        doing = f"set the high availability of {instance.name} to {available['mode']}"
        self._servers.change(instance, doing, {"properties": {"highAvailability": available}})
        return True


def _read(text: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(text or "{}")
    return read


def _change_of(instance: Instance, wanted: Mapping[str, str]) -> dict[str, Any]:
    """Return a change in Azure's words."""
    sent: dict[str, Any] = {}
    for name, text in wanted.items():
        if name == "compute size":
            sent["sku"] = _read(text)
        elif name == "tags":
            sent["tags"] = _read(text) | written_tags(instance.name, instance.tags)
        elif text:
            first, _, last = _PROPERTIES[name].partition(".")
            properties = sent.setdefault("properties", {}).setdefault(first, {})
            properties |= {last: int(text) if name in _NUMBERS else text} if last else _read(text)
    return sent
