"""The state of a simulated Google Cloud account: its instances, backups and operations."""

import threading
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

from simulators.backends import Backends, Master
from simulators.estate import Estate
from simulators.gcp import refusals, spelling
from simulators.gcp.records import Backup, Instance, Job, Labels
from simulators.gcp.spelling import Json

Key: TypeAlias = tuple[str, str]
SAME_DELETION = timedelta(seconds=1)
SUSPENDED_BY_KEY = "SUSPENDED:KMS_KEY_ISSUE"


@dataclass
class Switches:
    """How an account behaves, and what goes wrong with its operations."""

    hides_missing: bool = False
    """Answer 403 and not 404 for what is not there."""
    throttled_status: int = 429
    """Status by which too many calls are refused; older answers have 403."""
    clone_holds_source: bool = True
    """Whether no other operation may touch an instance while it is cloned."""
    quota: int = 1000
    """Instances that a project may have."""
    disabled_keys: set[str] = field(default_factory=set)
    """Keys that nothing can be made with, by their full names."""
    full_zones: set[str] = field(default_factory=set)
    """Zones without room for another instance."""
    unreachable_regions: set[str] = field(default_factory=set)
    """Regions for which lists give a warning and no instances."""
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Code and message by which the next operation of a kind, such as CLONE, ends."""


class Account:
    """Every project's instances, backups and operations; used under its lock."""

    def __init__(self, estate: Estate) -> None:
        self.estate, self.switches = estate, Switches()
        self.lock = threading.RLock()
        self.instances: dict[Key, Instance] = {}
        self.deleted: list[Instance] = []
        self.backups: list[Backup] = []
        self.jobs: list[Job] = []
        self.forced: dict[str, str] = {}
        """Raw states that are held from outside, by the names of the instances."""

    def instance(self, project: str, name: str) -> Instance:
        """Return a live instance, or refuse as for one that is not there."""
        found = self.instances.get((project, name))
        if found is None:
            raise self.missing("instanceDoesNotExist", "instance")
        return found

    def source(self, project: str, name: str, deleted: str) -> Instance:
        """Return a live instance, or else the one of that name deleted at the moment `deleted`."""
        if not deleted:
            return self.instance(project, name)
        moment = spelling.moment(deleted, "source_instance_deletion_time")
        for gone in self.deleted:
            near = gone.deleted_at is not None and abs(gone.deleted_at - moment) < SAME_DELETION
            if near and (gone.project, gone.name) == (project, name):
                return gone
        raise self.missing("instanceDoesNotExist", "instance")

    def missing(self, reason: str, what: str) -> refusals.RefusedError:
        """Return the refusal for a thing that is not there, as this account has it."""
        if self.switches.hides_missing:
            return refusals.not_authorized()
        return refusals.missing(reason, what)

    def require_free(self, project: str, name: str) -> None:
        """Refuse a name that is taken, and an instance more than the quota."""
        if (project, name) in self.instances:
            raise refusals.exists()
        if sum(owner == project for owner, _ in self.instances) >= self.switches.quota:
            raise refusals.too_many_instances()

    def add(self, project: str, name: str, fields: Json, master: Master) -> Instance:
        """Add an instance that is being made."""
        clock = self.estate.clock
        made = Instance(
            project=project,
            name=name,
            server=f"{name}-{uuid.uuid4().hex[:8]}",
            fields=fields,
            master=master,
            state="PENDING_CREATE",
            created_at=clock.now(),
            appeared=clock.elapsed(),
            labels=Labels(fields["settings"].get("userLabels", {})),
        )
        self.instances[project, name] = made
        return made

    def state_of(self, instance: Instance) -> str:
        """Return an instance's raw state, with the reason of a suspension behind a colon."""
        state = self.forced.get(instance.name, instance.state)
        return SUSPENDED_BY_KEY if state == "SUSPENDED" else state

    def backends(self, engine: str) -> Backends:
        """Return the real servers of an engine."""
        return self.estate.backends[engine]
