"""Reads Scaleway's instances into the common form."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from scaleway.rdb.v1.types import (
    ACLRule,
    BackupSchedule,
    EncryptionAtRest,
    Endpoint,
    HighAvailabilityMode,
    InstanceSetting,
    LogsPolicy,
    Snapshot,
)
from scaleway.rdb.v1.types import Instance as Told

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
from providers.managed.names import SELF, own_tags

Rules: TypeAlias = Callable[[], Sequence[ACLRule]]
PUBLIC = "load_balancer"
PRIVATE = "private_network"
ACCESS = "access rules"
HAD = "refloat-had"
"""Kinds of endpoints that an instance had before a cutover, written with its name aside."""
_OURS = "refloat-"
_STATES = {
    "ready": State.READY,
    "error": State.FAILED,
    "locked": State.FAILED,
    "disk_full": State.NEEDS_ACTION,
    "deleting": State.GOING,
}
_USABLE = {"ready", "restoring"}
_TAKEN_WITHIN = timedelta(hours=1)


def state_of(told: str) -> State:
    """Return what Scaleway's word means; one that is new means busy, until the deadline."""
    return _STATES.get(told, State.BUSY)


def text_of(value: object) -> str:
    """Return a value as the text that settings are compared by."""
    if value is None or value in ([], {}, ""):
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def kind_of(endpoint: Endpoint) -> str:
    """Return what kind of endpoint it is; an instance has at most one of a kind."""
    if endpoint.private_network is not None:
        return PRIVATE
    return PUBLIC if endpoint.load_balancer is not None else "direct_access"


def kinds_of(found: Told) -> list[str]:
    """Return the kinds of endpoints that an instance has."""
    return sorted({kind_of(endpoint) for endpoint in found.endpoints})


def networks_of(found: Told) -> list[str]:
    """Return the private networks that an instance is in."""
    return sorted(
        endpoint.private_network.private_network_id
        for endpoint in found.endpoints
        if endpoint.private_network is not None
    )


def address_of(found: Told) -> tuple[str, int]:
    """Return host and port: in the private network where there is one, else public."""
    ordered = sorted(found.endpoints, key=lambda endpoint: kind_of(endpoint) != PRIVATE)
    chosen = next(iter(ordered), None)
    return (
        ((chosen.ip or chosen.hostname or "").partition("/")[0], chosen.port) if chosen else ("", 0)
    )


def own_of(found: Told) -> dict[str, str]:
    """Return an instance's tags that are pairs, without those of ours that a restore copied."""
    split = (tag.partition("=") for tag in found.tags)
    return dict(own_tags(found.id, {key: value for key, equals, value in split if equals}))


def users_of(found: Told) -> list[str]:
    """Return the tags that are not ours, whatever their form."""
    return [tag for tag in found.tags if not ("=" in tag and tag.startswith(_OURS))]


def tags_of(own: Mapping[str, str]) -> list[str]:
    """Return those of an instance's tags that are ours, as they are written."""
    return [f"{key}={value}" for key, value in own.items() if key.startswith(_OURS)]


def tags_with(found: Told, changes: Mapping[str, str]) -> list[str]:
    """Return all tags of an instance with some of ours changed; an empty value removes one.

    Ours count by the id beside them: Scaleway may copy tags with the data.
    """
    changed = {**own_of(found), SELF: "", **changes}
    ours = tags_of({key: value for key, value in changed.items() if value})
    return [*users_of(found), *([f"{SELF}={found.id}"] if ours else []), *ours]


class ToldSettings(Mapping[str, str]):
    """What the carry-over compares; who may connect is a call of its own, made when it is read."""

    def __init__(self, told: Mapping[str, str], rules: Rules) -> None:
        self._told, self._rules = dict(told), rules

    def __getitem__(self, name: str) -> str:
        """Return one setting."""
        if name == ACCESS and ACCESS not in self._told:
            self._told[ACCESS] = rules_text(self._rules())
        return self._told[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter({**self._told, ACCESS: ""})

    def __len__(self) -> int:
        """Return how many there are."""
        return len({*self._told, ACCESS})


def rules_text(rules: Sequence[ACLRule]) -> str:
    """Return who may connect; the port of a rule follows its endpoint and is not compared."""
    return text_of(sorted([rule.ip, rule.description or ""] for rule in rules))


def _schedule(told: BackupSchedule | None) -> dict[str, object]:
    if told is None:
        return {"disabled": True}
    return {"disabled": told.disabled, "frequency": told.frequency, "retention": told.retention}


def _logs(told: LogsPolicy | None) -> dict[str, int]:
    """Return how long logs are kept; nothing said means no limit, which is written as 0."""
    age, size = (told.max_age_retention, told.total_disk_retention) if told else (0, 0)
    return {"max_age_retention": age or 0, "total_disk_retention": size or 0}


def availability_of(found: Told) -> str:
    """Return the mode of high availability, or just that there is some."""
    mode = str(found.high_availability_mode)
    if mode != str(HighAvailabilityMode.UNKNOWN_HIGH_AVAILABILITY_MODE):
        return mode
    return "enabled" if found.is_ha_cluster else "disabled"


def _pairs(settings: Sequence[InstanceSetting]) -> dict[str, str]:
    return {setting.name: setting.value for setting in settings}


def settings_of(found: Told) -> dict[str, str]:
    """Return everything that the carry-over compares but who may connect."""
    volume = found.volume
    values = {
        "public endpoint": PUBLIC in kinds_of(found),
        "private networks": networks_of(found),
        "node type": found.node_type.lower(),
        "high availability": availability_of(found),
        "volume type": str(volume.type_) if volume else None,
        "volume size": volume.size if volume else None,
        "engine settings": _pairs(found.settings),
        "initial engine settings": _pairs(found.init_settings),
        "backup schedule": _schedule(found.backup_schedule),
        "backups in the same region": bool(found.backup_same_region),
        "logs policy": _logs(found.logs_policy),
        "tags": sorted(users_of(found)),
        "read replicas": len(found.read_replicas) or None,
        "encryption": found.encryption.enabled if found.encryption else None,
    }
    return {name: text_of(value) for name, value in values.items()}


def encryption_of(told: EncryptionAtRest | None) -> Encryption:
    """Return how an instance is encrypted; the key is always Scaleway's own."""
    if told is None:
        return Encryption()
    if not told.enabled:
        return Encryption(encrypted=Encrypted.NO)
    return Encryption(encrypted=Encrypted.YES, owner=KeyOwner.PROVIDER)


def instance_of(found: Told, tls: Tls, rules: Rules) -> Instance:
    """Return an instance in the common form."""
    engine, _, version = found.engine.partition("-")
    host, port = address_of(found)
    schedule = found.backup_schedule
    return Instance(
        name=found.name,
        id=found.id,
        state=state_of(str(found.status)),
        told=str(found.status),
        engine=Engine.MYSQL if engine.lower() == "mysql" else Engine.POSTGRESQL,
        version=version,
        host=host,
        port=port,
        tls=tls,
        tags=own_of(found),
        settings=ToldSettings(settings_of(found), rules),
        created_at=found.created_at.astimezone(UTC) if found.created_at else None,
        size_bytes=found.volume.size if found.volume else None,
        encryption=encryption_of(found.encryption),
        keeping=Keeping(
            enabled=schedule is not None and not schedule.disabled,
            kept=schedule.retention if schedule else None,
            point_in_time=False,
        ),
    )


def kept_of(told: Snapshot) -> KeptBackup:
    """Return a snapshot in the common form.

    Its data is of a moment between its creation and its completion. A later change of it, such as
    of its name, moves the second stamp too, so that one is not believed for long.
    """
    began = (told.created_at or datetime.now(UTC)).astimezone(UTC)
    changed = told.updated_at.astimezone(UTC) if told.updated_at else began
    status = str(told.status)
    return KeptBackup(
        id=told.id,
        taken_at=max(began, min(changed, began + _TAKEN_WITHIN)),
        began_at=began,
        source=told.instance_name,
        name=told.name,
        usable=status in _USABLE,
        told=status,
        automatic=told.name.startswith("autobackup"),
        size_bytes=told.size or None,
    )
