"""Makes a restored instance the one that its path means, protected, and reversibly so."""

from collections.abc import Sequence
from datetime import UTC, datetime

from domain.errors import NothingToReleaseError, ResourceMissingError, ServerFailedError
from domain.provider import Cutover, Memory, ReportProgress
from domain.recovery import RestoreHandle, Superseded
from domain.resources import ProtectedResource
from providers.managed.account import Account
from providers.managed.model import Instance, State
from providers.managed.names import BY, FENCED, KEPT, SERVED, SERVES, SINCE, SUPERSEDED, run_tag
from providers.managed.points import waiting_for_release


class ManagedCutover(Cutover):
    """The order is common: protect, fence, mark, move; how the address moves is each cloud's."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def protect(
        self, resource: ProtectedResource, handle: RestoreHandle, progress: ReportProgress
    ) -> None:
        """Return once the new instance can itself be restored, if need be from a first backup of ours.

        Automatic backups are as at the source: where they are off, `resource show` says so.
        """
        del resource, progress  # the wait is Temporal's
        account, found = self.account, self._require(handle)
        if found.state is not State.READY:
            raise account.wait(f"{found.name} to be available, now {found.told}")
        if account.backups.window(found.name, found) is not None:
            return
        kept = account.backups.all(found.name, found)
        if any(one.usable for one in kept):
            return
        if not kept:
            account.backups.take(found, f"refloat-{handle.run_id[:8]}-first")
        raise account.wait(f"the first backup of {found.name}")

    def keep(self, resource: ProtectedResource, handle: RestoreHandle) -> None:
        """Mark the copy, so that `release` may take it."""
        self.account.instances.tag(self._require(handle), {KEPT: resource.instance})

    def promote(self, resource: ProtectedResource, handle: RestoreHandle) -> Superseded:
        """Fence the old instance, mark both, and move the address."""
        account = self.account
        new, old = self._require(handle), self._old(resource, handle)
        notes: list[str] = []
        if old is not None:
            unfenced = account.set_fence(resource, old, fenced=True)
            notes += [f"{old.name} is not fenced: {unfenced}"] if unfenced else []
            marks = {SUPERSEDED: resource.instance, BY: run_tag(handle.run_id)}
            if old.host and not unfenced:
                marks[FENCED] = "yes"  # an undo then insists on freeing it
            if any(old.tags.get(mark) != value for mark, value in marks.items()):
                account.instances.tag(old, marks)
        moved = account.traffic.move(resource, old, new)
        if SERVES not in new.tags:
            stamp = datetime.now(UTC).strftime("%Y%m%dt%H%M%Sz")
            account.instances.tag(new, {SERVES: resource.instance, SINCE: stamp, SERVED: "yes"})
        return Superseded(
            server=old.name if old else None,
            fenced=not notes,
            address=moved.address,
            notes=(*notes, *moved.notes),
        )

    def _require(self, handle: RestoreHandle) -> Instance:
        found = self.account.ours(handle.server, handle.run_id, handle.requested_at, handle.id)
        if found is None:
            raise ServerFailedError(f"{handle.server}: it is gone")
        return found

    def _old(self, resource: ProtectedResource, handle: RestoreHandle) -> Instance | None:
        """Return what the path meant before this run, also when an earlier call moved it already."""
        current = self.account.current(resource)
        if current is not None and current.id != handle.id:
            return current
        marked = waiting_for_release(self.account, resource)
        before = [one for one in marked if one.tags.get(SUPERSEDED) == resource.instance]
        mine = [one for one in before if one.tags.get(BY) == run_tag(handle.run_id)]
        return next(iter(mine), None)

    def demote(self, resource: ProtectedResource, handle: RestoreHandle) -> None:
        """Move the address back, and let the old instance take writes again."""
        account = self.account
        account.traffic.move_back(resource, handle.run_id)
        old = account.current(resource)
        if old is None:
            return
        still = account.set_fence(resource, old, fenced=False)
        if still and FENCED in old.tags:
            raise ServerFailedError(
                f"{old.name} may still be read-only ({still}): run `alter database "
                f"{resource.connection.database} reset default_transaction_read_only` on it"
            )
        if old.tags.get(SUPERSEDED):
            account.instances.tag(old, {SUPERSEDED: "", BY: "", FENCED: ""})

    def superseded(self, resource: ProtectedResource) -> Sequence[str]:
        """Return the instances that wait for their release."""
        return [one.name for one in waiting_for_release(self.account, resource)]

    def release(self, resource: ProtectedResource, memory: Memory) -> Sequence[str]:
        """Delete what is superseded, with a last backup of each; return once all is gone."""
        account, names = self.account, list(memory.recall())
        current = account.current(resource)
        if current is None:
            raise NothingToReleaseError(
                f"{resource.path} means no instance now, so what it meant before is not deleted: it "
                "may be the only one left"
            )
        waiting = [one for one in waiting_for_release(account, resource) if one.id != current.id]
        names += [one.name for one in waiting if one.name not in names]
        if not names:
            raise NothingToReleaseError(
                f"{resource.path}: no superseded instance waits for its release"
            )
        memory.note(names)
        for one in waiting:
            if one.state is not State.GOING:
                self._delete(one)
        if waiting:
            told = ", ".join(f"{one.name} ({one.told})" for one in waiting)
            raise account.wait(f"{told} to be deleted")
        return names

    def _delete(self, instance: Instance) -> None:
        served = {SUPERSEDED, SERVED} & set(instance.tags)
        last = f"{instance.name}-last" if served else ""
        try:
            self.account.instances.delete(instance, final_backup=last)
        except ResourceMissingError:
            return
