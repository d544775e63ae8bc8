"""Backups on demand, and the proofs kept beside them."""

from datetime import UTC, datetime

from domain.checks import ProofPoint
from domain.errors import (
    RecoveryError,
    ResourceMissingError,
    ServerFailedError,
    UnsupportedResourceError,
)
from domain.provider import Memory, ReportProgress, Snapshots
from domain.reach import unknown_snapshot
from domain.recovery import RecoveryPoint, Snapshot
from domain.resources import ProtectedResource
from domain.values import show_time
from providers.managed.account import Account
from providers.managed.model import Instance, KeptBackup, State
from providers.managed.points import as_snapshot
from providers.managed.proofs import KeptProof, Proofs


class ManagedSnapshots(Snapshots):
    """A snapshot is the provider's own, called by its key so that it is found again."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.proofs = Proofs(account.folder, account.name)

    def create(
        self, resource: ProtectedResource, *, key: str, name: str, progress: ReportProgress
    ) -> Snapshot:
        """Begin the snapshot on first call, and return it once it is usable."""
        del progress  # the wait is Temporal's
        instance = self._present(resource)
        called = f"refloat-{key[:8]}-{resource.instance}"
        found = self._named(called, instance)
        if found is None:
            if instance.state is not State.READY:
                raise self.account.wait(f"{instance.name} to be available, now {instance.told}")
            self.account.backups.take(instance, called)
            found = self._named(called, instance)
        if found is not None and found.usable:
            return as_snapshot(found).model_copy(update={"name": name or called})
        if found is not None and found.told in {"failed", "error"}:
            raise ServerFailedError(f"{called}: {self.account.kind} says {found.told!r}")
        far = f", {found.percent} %" if found is not None and found.percent is not None else ""
        raise self.account.wait(f"the snapshot {called} to be complete{far}")

    def _present(self, resource: ProtectedResource) -> Instance:
        found = self.account.current(resource)
        if found is None:
            raise ResourceMissingError(
                f"{resource.path}: {self.account.kind} has no instance {resource.instance!r}; "
                "there is nothing to take a snapshot of"
            )
        return found

    def _named(self, called: str, instance: Instance) -> KeptBackup | None:
        kept = self.account.backups.all(instance.name, instance)
        return next((one for one in kept if called in {one.name, one.id}), None)

    def mark(self, resource: ProtectedResource, *, key: str, name: str) -> Snapshot | None:
        """Name the present moment, which the provider's log keeps; a snapshot where it keeps none."""
        found = self.account.current(resource)
        if found is None or found.state is not State.READY:
            return None
        if self.account.backups.window(found.name, found) is not None:
            now = datetime.now(UTC).replace(microsecond=0)
            told = f"{show_time(now)} in the log of {found.name}"
            return Snapshot(id=told, taken_at=now, lsn="", source=found.name, name=name)
        called = f"refloat-{key[:8]}-{resource.instance}"
        kept = self._named(called, found)
        if kept is None:
            self.account.backups.take(found, called)
            kept = self._named(called, found)
        taken = kept.taken_at if kept else datetime.now(UTC)
        known = kept.id if kept else called
        return Snapshot(id=known, taken_at=taken, lsn="", source=found.name, name=name)

    def copy(self, resource: ProtectedResource, snapshot_id: str, region: str) -> str:
        """Begin a copy in another region."""
        kept = self._kept(resource, snapshot_id)
        if kept is None:
            raise self._unknown(resource, snapshot_id)
        if not kept.usable:
            raise self.account.wait(f"snapshot {snapshot_id} to be usable, now {kept.told}")
        return self.account.backups.copy(kept, region)

    def remove(self, resource: ProtectedResource, snapshot_id: str, memory: Memory) -> None:
        """Delete a snapshot; what the provider took by itself goes with its retention."""
        kept = self._kept(resource, snapshot_id)
        if kept is None and snapshot_id in memory.recall():
            return
        if kept is None:
            raise self._unknown(resource, snapshot_id)
        if kept.automatic:
            raise UnsupportedResourceError(
                f"{snapshot_id} was taken by {self.account.kind} itself; it goes when the retention "
                "ends"
            )
        memory.note([snapshot_id])
        self.account.backups.delete(kept)

    def _unknown(self, resource: ProtectedResource, snapshot_id: str) -> RecoveryError:
        found = self.account.current(resource)
        kept = self.account.backups.all(found.name if found else resource.instance, found)
        return unknown_snapshot(resource.path, snapshot_id, [one.id for one in kept])

    def _kept(self, resource: ProtectedResource, snapshot_id: str) -> KeptBackup | None:
        found = self.account.current(resource)
        kept = self.account.backups.all(found.name if found else resource.instance, found)
        return next(
            (one for one in kept if snapshot_id and snapshot_id in {one.id, one.name}), None
        )

    def attach_proof(
        self, resource: ProtectedResource, snapshot_id: str, proof: ProofPoint
    ) -> None:
        """Keep what was counted and hashed beside a snapshot."""
        self.proofs.write(resource.instance, KeptProof(snapshot_id=snapshot_id, proof=proof))

    def proof(self, resource: ProtectedResource, point: RecoveryPoint) -> ProofPoint | None:
        """Return none: no proof is of exactly the instant of a provider's snapshot."""
        del resource, point
        return None

    def last_proof(self, resource: ProtectedResource, point: RecoveryPoint) -> ProofPoint | None:
        """Return the newest proof taken before the point, or of its very snapshot."""
        for kept in self.proofs.all(resource.instance):
            if kept.snapshot_id == point.snapshot_id:
                return kept.proof
            if point.at is not None and kept.proof.taken_at <= point.at:
                return kept.proof
        return None
