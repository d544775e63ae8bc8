"""Which settings a copy may have otherwise than its source, and how each is changed.

A clone inherits everything from a source that runs, protection and labels included, and only the
size from one that does not. An instance made from a backup has no flags, no protection and the
usual backups, which are none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.errors import ConfigurationRefusedError
from domain.resources import Engine, Mode
from providers.gcp.client import GcpClient
from providers.gcp.describing import CLIENT_CERTIFICATES, OURS, SETTINGS_VERSION
from providers.gcp.fields import FIELDS, Plain, merged, nested, value_of
from providers.managed.driver import CarryOver
from providers.managed.model import Instance, Setting

TABLE = (
    Setting("public address", essential=True, first=True),
    Setting("authorized networks", essential=True, first=True),
    Setting("TLS", essential=True, first=True),
    Setting("connectors only", essential=True, first=True),
    Setting("data API", essential=True, first=True),
    Setting("access from Google's services", essential=True, first=True),
    Setting("private network", essential=True),
    Setting("database flags", essential=True),
    Setting("edition"),
    Setting("tier"),
    Setting("availability"),
    Setting("automatic backups"),
    Setting("restore to a time"),
    Setting("backups kept"),
    Setting("days of log"),
    Setting("backup location"),
    Setting("backup window"),
    Setting("backups after deletion"),
    Setting("final backup"),
    Setting("maintenance window"),
    Setting("maintenance pauses"),
    Setting("minor upgrades"),
    Setting("disk grows"),
    Setting("disk limit"),
    Setting("disk IOPS"),
    Setting("disk throughput"),
    Setting("query insights"),
    Setting("connection pooling"),
    Setting("password policy"),
    Setting("data cache"),
    Setting("machine learning"),
    Setting("data catalog"),
    Setting("labels"),
    Setting("deletion protection"),
    Setting("disk size", left="a disk only grows, and the copy's has room for its data"),
    Setting("disk type", left="the type of a disk is chosen when it is made"),
    Setting("IP range", left="an address stays in the range that it was taken from"),
    Setting("private service connect", left="connect the consumers to the copy's own attachment"),
    Setting("server certificate", left="clients trust an authority: change it when they are ready"),
    Setting("activation", left="a copy must run to be verified"),
    Setting(
        "performance capture", left="it is in preview; set it with `gcloud sql instances patch`"
    ),
    Setting("zones", left="the copy is where Cloud SQL had room"),
    Setting("region", left="the copy of a backup is made where the backup's instance was"),
    Setting("read replicas", left="make them with `gcloud sql instances create`, one by one"),
    Setting("encryption key", left="a copy keeps the key of what it was made from"),
)
_TOGETHER: Sequence[frozenset[str]] = (
    frozenset(("public address", "private network", "IP range", "TLS", "authorized networks")),
    frozenset(("edition", "tier")),
)
"""Settings of which none is valid without the others: a private network takes a public one's place."""
_AFTER_RESTORE = frozenset(("labels", "deletion protection"))


def _written(name: str, text: str, engine: Engine) -> dict[str, Any]:
    """Return a setting as part of the settings in the API's JSON."""
    if name in _BUILT:
        return _BUILT[name](text, engine)
    field = FIELDS[name]
    return nested(field.path, field.written(text))


def _public(text: str, _: Engine) -> dict[str, Any]:
    return nested("ipConfiguration.ipv4Enabled", text == "true")


def _tls(text: str, _: Engine) -> dict[str, Any]:
    """Return the mode, with the older word that must agree with it."""
    return {"ipConfiguration": {"sslMode": text, "requireSsl": text == CLIENT_CERTIFICATES}}


def _to_a_time(text: str, engine: Engine) -> dict[str, Any]:
    if text != "true":
        raise ConfigurationRefusedError(
            "the source keeps no log and its copy does: Refloat never turns a log off, because what "
            "it holds is lost; turn restores to a time on at the source, or off at the copy"
        )
    words = {Engine.POSTGRESQL: "pointInTimeRecoveryEnabled", Engine.MYSQL: "binaryLogEnabled"}
    return nested(f"backupConfiguration.{words[engine]}", value=True)


_BUILT: Mapping[str, Callable[[str, Engine], dict[str, Any]]] = {
    "public address": _public,
    "TLS": _tls,
    "restore to a time": _to_a_time,
}


def at_restore(like: Instance | None, mode: Mode) -> dict[str, Any]:
    """Return what is passed when a backup becomes an instance, so that it is never wrong for a moment.

    `like` is the source now, or as it was at the backup. Protection is for later: a failed run
    removes its copy.
    """
    unprotected = {"deletionProtectionEnabled": False}
    if like is None:
        return unprotected
    given: dict[str, Any] = {}
    for row in TABLE:
        text = like.settings[row.name]
        wanted = not row.left and (row.essential or mode is Mode.INCIDENT)
        if wanted and row.name not in _AFTER_RESTORE and not _is_default(row.name, text):
            given = merged(given, _written(row.name, text, like.engine))
    return given | unprotected


def _is_default(name: str, text: str) -> bool:
    """Return whether a setting needs no word for an instance that is being made."""
    if name == "restore to a time":
        return text != "true"
    return not text and isinstance(FIELDS.get(name), Plain)


class GcpCarryOver(CarryOver):
    """One patch carries all changes; those that need a restart bring it with them."""

    def __init__(self, client: GcpClient) -> None:
        self._client = client

    @property
    def table(self) -> Sequence[Setting]:
        """Every setting that is compared."""
        return TABLE

    def left(self, name: str, source: Instance, copy: Instance) -> str:
        """Never turn a log off: what it holds would be lost."""
        del source
        keeps = name == "restore to a time" and copy.settings.get(name) == "true"
        return (
            "the copy keeps a log and the source none: a log is never turned off" if keeps else ""
        )

    def change(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> None:
        """Begin one patch; what waits to be in force needs none."""
        if not wanted:
            return
        settings: dict[str, Any] = {"settingsVersion": instance.settings[SETTINGS_VERSION]}
        for name in sorted(_sent(instance, wanted, like)):
            text = wanted.get(name, like.settings[name])
            of_labels = name == "labels"
            told = _labels(instance, text) if of_labels else _written(name, text, instance.engine)
            settings = merged(settings, told)
        self._client.change(f"change {instance.name}", instance.name, settings)


def _sent(instance: Instance, wanted: Mapping[str, str], like: Instance) -> set[str]:
    """Return which settings one patch changes: with each one those that it cannot go without."""
    names = set(wanted)
    for group in _TOGETHER:
        if names & group:
            told = {name: like.settings[name] for name in group if like.settings[name]}
            names |= {name for name, text in told.items() if text != instance.settings[name]}
    return names if "private network" in names else names - {"IP range"}


def _labels(instance: Instance, text: str) -> dict[str, Any]:
    """Return all labels: those that must go are emptied, and ours stay in any case."""
    before = value_of(instance.settings["labels"]) or {}
    ours = {key: value for key, value in instance.tags.items() if key.startswith(OURS)}
    return {"userLabels": {**dict.fromkeys(before, ""), **(value_of(text) or {}), **ours}}
