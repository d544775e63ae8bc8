"""Instances, backups and settings of any cloud, in one form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from domain.recovery import RecoveryPoint, Tls
from domain.resources import Engine, Mode


class State(StrEnum):
    """What a provider's own word for a state means to a restore."""

    READY = "ready"
    BUSY = "busy"
    NEEDS_ACTION = "needs action"
    FAILED = "failed"
    GOING = "going"


class Encrypted(StrEnum):
    """Whether data at rest is encrypted; a field that is missing is unknown, never no."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class KeyOwner(StrEnum):
    """Who holds the key."""

    PROVIDER = "provider"
    CUSTOMER = "customer"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Encryption:
    """Encryption at rest: whether, whose key, and how it rotates."""

    encrypted: Encrypted = Encrypted.UNKNOWN
    owner: KeyOwner = KeyOwner.UNKNOWN
    key: str = ""
    rotation: str = "unknown"

    def __str__(self) -> str:
        """Return it in one line."""
        if self.encrypted is not Encrypted.YES:
            return f"encrypted at rest: {self.encrypted}"
        key = f" {self.key}" if self.key else ""
        return f"encrypted at rest: yes, key{key} of the {self.owner}, rotation {self.rotation}"


@dataclass(frozen=True)
class Keeping:
    """How backups are kept: `kept` in the provider's own unit, which is days or backups."""

    enabled: bool
    kept: int | None
    unit: str = "days"
    point_in_time: bool = True


@dataclass(frozen=True)
class Instance:
    """One database instance as its provider tells it.

    `told` is the provider's own word for the state. `settings` holds everything that the
    carry-over table compares, each value as text; a structured value as JSON with sorted keys.
    `id` survives a rename. Times are aware UTC.
    """

    name: str
    id: str
    state: State
    told: str
    engine: Engine
    version: str = ""
    host: str = ""
    port: int = 0
    tls: Tls = field(default_factory=Tls)
    tags: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    size_bytes: int | None = None
    percent: int | None = None
    encryption: Encryption = field(default_factory=Encryption)
    keeping: Keeping = field(default_factory=lambda: Keeping(enabled=False, kept=None))
    pending: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeptBackup:
    """One backup that the provider keeps.

    The data in it is of a moment between `began_at` and `taken_at`. `key` is what we named it by,
    where it is ours.
    """

    id: str
    taken_at: datetime
    began_at: datetime
    source: str
    source_id: str = ""
    name: str = ""
    usable: bool = True
    told: str = ""
    automatic: bool = False
    size_bytes: int | None = None
    percent: int | None = None
    encrypted: bool = False


@dataclass(frozen=True)
class Order:
    """One restore to begin: of what, to when, called what, and with which settings at once.

    `like` is the source as it is now, None when it is deleted. `tags` prove whose it is.
    """

    source: str
    name: str
    run_id: str
    point: RecoveryPoint
    mode: Mode
    tags: Mapping[str, str]
    like: Instance | None


@dataclass(frozen=True)
class Setting:
    """One row of a provider's carry-over table.

    An `essential` setting decides who can reach or read the data: it is repaired in a drill too,
    and `first` ones before anything else. `left` tells why it is never repaired.
    """

    name: str
    essential: bool = False
    first: bool = False
    left: str = ""


@dataclass(frozen=True)
class Limits:
    """What a provider's account can do, where providers differ.

    `granularity` is the step of times that it restores to, `typical` how long a restore of a small
    instance usually takes there.
    """

    granularity: timedelta
    typical: timedelta
    policy: tuple[int, int]
    unit: str = "days"
    unique_names: bool = True
    tags_at_restore: bool = True


@dataclass(frozen=True)
class Moved:
    """What a cutover did: the address at which the path is reached now, and what to know."""

    address: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Window:
    """From when to when an instance can be restored; UTC."""

    opens_at: datetime
    closes_at: datetime
    note: str = ""
    source_id: str = ""
