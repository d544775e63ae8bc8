"""What the facade keeps beside moto: identity, course, pending changes, and what moto has wrong."""

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from simulators.aws.calls import Fields
from simulators.aws.course import Course

Tags = list[dict[str, str]]


@dataclass
class LateTags:
    """Tags that lists show as they were, until what was written has got around."""

    before: Tags = field(default_factory=list)
    written_at: timedelta = timedelta()

    def note(self, visible: Tags, now: timedelta) -> None:
        """Remember what was visible when tags are written."""
        self.before, self.written_at = visible, now

    def seen(self, current: Tags, now: timedelta, lag: timedelta) -> Tags:
        """Return what lists show."""
        return self.before if now - self.written_at < lag else current


@dataclass
class InstanceRecord:
    """One instance. `fields` are shown instead of moto's; one that is None is not shown at all."""

    id: str
    identifier: str
    engine: str
    course: Course
    born: timedelta
    fields: Fields = field(default_factory=dict)
    pending: Fields = field(default_factory=dict)
    """Changes that are not in force yet, by their names in a modification."""
    renaming_to: str = ""
    parameters: str = "in-sync"
    regrouped: bool = False
    """Whether the change that goes on is one of security groups too."""
    reachable: bool = False
    tags: LateTags = field(default_factory=LateTags)
    work: threading.Lock = field(default_factory=threading.Lock)
    """Held by whatever is done to the real server."""


@dataclass
class SnapshotRecord:
    """One snapshot; an automated one is a moment in the log of its instance, and needs no `kept`."""

    identifier: str
    instance_id: str
    engine: str
    source: Fields
    course: Course
    born: timedelta
    automated: bool = False
    copied: bool = False
    kept: str = ""
    moment: datetime | None = None
    created_at: datetime | None = None
    fields: Fields = field(default_factory=dict)
    tags: LateTags = field(default_factory=LateTags)


@dataclass(frozen=True)
class RetainedBackup:
    """The automated backups of a deleted instance."""

    id: str
    engine: str
    source: Fields
    window: tuple[datetime, datetime]


@dataclass
class Limits:
    """What the account may have in one region, and how late its restorable time is."""

    instances: int = 40
    snapshots: int = 100
    storage: int = 100_000
    copies: int = 5
    lag: timedelta = timedelta()
    """`LatestRestorableTime` moves on in steps of this; 5 minutes at the real one."""
