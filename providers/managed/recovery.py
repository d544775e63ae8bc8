"""Makes the copy at the provider: begun once, found again, waited for, removed."""

from datetime import UTC, datetime

from domain.errors import (
    NameTakenError,
    NotOursError,
    PointNotReachedError,
    ResourceMissingError,
    ServerFailedError,
)
from domain.provider import ReportProgress, ResourceRecovery
from domain.recovery import RecoveryPoint, RestoredResource, RestoreHandle
from domain.resources import Mode, ProtectedResource
from providers.managed.account import Account
from providers.managed.model import Instance, Order, State
from providers.managed.names import RUN, SERVED, name_of, run_tag


class ManagedRecovery(ResourceRecovery):
    """Describe, create, describe: no cloud has a client token for a restore."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def start_restore(
        self, resource: ProtectedResource, point: RecoveryPoint, *, run_id: str, mode: Mode
    ) -> RestoreHandle:
        """Begin, or adopt what an earlier attempt of this run began and could not write down."""
        name = name_of(run_id, resource.instance)
        found = self.account.ours(name, run_id, point.resolved_at)
        if found is None:
            found = self._begin(resource, point, run_id, mode)
        return self._handle(name, run_id, found)

    def _begin(
        self, resource: ProtectedResource, point: RecoveryPoint, run_id: str, mode: Mode
    ) -> Instance | None:
        name = name_of(run_id, resource.instance)
        order = Order(
            source=point.source,
            name=name,
            run_id=run_id,
            point=point,
            mode=mode,
            tags={RUN: run_tag(run_id)},
            like=self.account.current(resource),
        )
        try:
            begun = self.account.instances.restore(order)
        except NameTakenError:  # an attempt whose answer was lost, or a stranger a moment ago
            begun = None
        return begun or self.account.ours(name, run_id, point.resolved_at)

    def _handle(self, name: str, run_id: str, found: Instance | None) -> RestoreHandle:
        if found is None:
            return RestoreHandle(server=name, host="", port=0, run_id=run_id)
        return self.account.handle_of(found, run_id).model_copy(update={"server": name})

    def transfer(
        self,
        resource: ProtectedResource,
        point: RecoveryPoint,
        handle: RestoreHandle,
        progress: ReportProgress,
    ) -> None:
        """Return at once: the provider does all of it."""

    def poll_restore(self, resource: ProtectedResource, handle: RestoreHandle) -> RestoredResource:
        """Return the copy once the provider says twice that it is available."""
        del resource
        found = self._look(handle)
        if RUN not in found.tags or found.tags[RUN] != run_tag(handle.run_id):
            self.account.instances.tag(found, {RUN: run_tag(handle.run_id)})
        self.account.instances.drop_doubles(found)
        again = self._look(handle)  # a restored instance may leave its first "available" at once
        return RestoredResource(
            handle=self.account.handle_of(again, handle.run_id).model_copy(
                update=handle.model_dump(include={"requested_at", "began_at", "expected"})
            ),
            ready_at=datetime.now(UTC),
            stopped_because=f"{self.account.kind} says: {again.told}",
            version=again.version,
        )

    def _look(self, handle: RestoreHandle) -> Instance:
        """Return the copy when it is ready; raise what it waits for, or why it never will be."""
        account, name = self.account, handle.server
        since = handle.requested_at
        found = account.ours(name, handle.run_id, since, handle.id)
        if found is None:
            if failure := account.instances.failure(name, handle.id):
                raise failure
            raise account.wait(f"{name} to appear at {account.name}", handle)
        if found.state is State.READY:
            return found
        if found.state is State.BUSY:
            far = f", {found.percent} %" if found.percent is not None else ""
            raise account.wait(f"{name} to be available, now {found.told}{far}", handle)
        raise account.instances.failure(name, handle.id) or ServerFailedError(
            f"{name}: {account.kind} says {found.told!r}, which does not end by itself; look at it in "
            "the provider's console, then start a new restore"
        )

    def discard(self, resource: ProtectedResource, handle: RestoreHandle) -> None:
        """Remove the run's instance and nothing else; return once it is gone."""
        account = self.account
        try:
            found = account.ours(handle.server, handle.run_id, handle.requested_at, handle.id)
        except NotOursError:
            return  # a stranger's is never touched, and ours was never made
        if found is None:
            return
        current = account.current(resource)
        if current is not None and current.id == found.id:
            raise PointNotReachedError(
                f"{found.name} is what {resource.path} means now; it is not removed"
            )
        if found.state is not State.GOING:
            try:
                served = SERVED in found.tags
                account.instances.delete(found, f"{found.name}-last" if served else "")
            except ResourceMissingError:
                return
        raise account.wait(f"{found.name} to be deleted, now {found.told}")
