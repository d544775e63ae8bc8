"""One account at one cloud: its driver, its pace and its limits, put together once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from domain.errors import (
    AccessDeniedError,
    NotOursError,
    NotYetError,
    ProviderUnavailableError,
    ServerFailedError,
    UnsupportedResourceError,
)
from domain.pacing import Pacing
from domain.recovery import RestoreHandle
from domain.resources import Connection, ProtectedResource
from providers.managed.driver import Access, Backups, CarryOver, Instances, Traffic
from providers.managed.model import Instance, Limits
from providers.managed.names import Ownership, ownership

Fence: TypeAlias = Callable[[RestoreHandle, Connection, bool], None]
"""Keeps a database from taking writes, softly, or lets it take them again."""
Login: TypeAlias = Callable[[RestoreHandle, Connection], None]
"""Logs in to a database and out again, or raises why that cannot be."""

_UNFENCED = (
    ProviderUnavailableError,  # it does not answer: nobody writes to it now
    ServerFailedError,
    AccessDeniedError,
    UnsupportedResourceError,
)


@dataclass(frozen=True)
class Account:
    """What one provider entry of the catalog can do, and how fast it may be asked."""

    name: str
    kind: str
    limits: Limits
    pacing: Pacing
    folder: Path
    instances: Instances
    backups: Backups
    settings: CarryOver
    traffic: Traffic
    access: Access
    fence: Fence
    login: Login

    def current(self, resource: ProtectedResource) -> Instance | None:
        """Return the instance that the path means now, or None where it is deleted."""
        return self.traffic.current(resource)

    def ours(
        self, name: str, run_id: str, since: datetime | None, instance_id: str = ""
    ) -> Instance | None:
        """Return this run's instance, or None where there is none.

        Raises:
            NotOursError: somebody else's has the name.
        """
        found = self.instances.find(name, instance_id)
        if found is None:
            return None
        whose = ownership(
            found,
            name,
            run_id,
            since,
            now=datetime.now(UTC),
            tags_at_restore=self.limits.tags_at_restore,
        )
        if whose is Ownership.UNKNOWN:
            raise self.wait(f"the tags of {name} to show whose it is")
        if whose is Ownership.STRANGE:
            raise NotOursError(
                f"{name} exists at {self.name} and was not made by run {run_id}: it is left alone; "
                "rename or remove it, or start a new restore"
            )
        return found

    def wait(self, what: str, handle: RestoreHandle | None = None) -> NotYetError:
        """Return the error that says to ask again, at the right pace for what began."""
        began = handle.began_at if handle else None
        expected = handle.expected if handle else None
        return NotYetError(what, self.pacing.since(began, datetime.now(UTC), expected))

    def handle_of(self, instance: Instance, run_id: str = "") -> RestoreHandle:
        """Return how an instance is reached and named."""
        return RestoreHandle(
            server=instance.name,
            host=instance.host,
            port=instance.port,
            run_id=run_id,
            id=instance.id,
            engine=instance.engine.value,
            tls=instance.tls,
        )

    def set_fence(
        self, resource: ProtectedResource, instance: Instance, *, fenced: bool
    ) -> str | None:
        """Fence or free an instance by SQL; return why not, where it cannot be."""
        try:
            self.fence(self.handle_of(instance), resource.connection, fenced)
        except _UNFENCED as error:
            return str(error)
        return None
