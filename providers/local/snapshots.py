"""Named points that are kept until somebody deletes them."""

from datetime import UTC, datetime

from domain.checks import ProofPoint
from domain.errors import ProviderUnavailableError, RecoveryError, UnsupportedResourceError
from domain.provider import Memory, ReportProgress, Snapshots
from domain.reach import unknown_snapshot
from domain.recovery import RecoveryPoint, Snapshot
from domain.resources import ProtectedResource
from providers.local.archive import Archive
from providers.local.backup import BackupTaker
from providers.local.config import LocalConfig
from providers.local.keys import backup_key
from providers.local.layout import Layout
from providers.local.points import LocalPoints
from providers.local.records import SnapshotRecord
from providers.local.spans import as_snapshot
from providers.local.sql import connect, one
from providers.local.wal import parse_lsn, tidy_lsn
from providers.secrets.references import Secrets


class LocalSnapshots(Snapshots):
    """A snapshot is a base backup of its own; a mark is a restore point in the archived log."""

    def __init__(self, config: LocalConfig, secrets: Secrets, points: LocalPoints) -> None:
        self.config, self.secrets, self.points = config, secrets, points

    def _archive(self, resource: ProtectedResource, server: str) -> Archive:
        return Archive(Layout(self.config, resource.instance), server)

    def create(
        self, resource: ProtectedResource, *, key: str, name: str, progress: ReportProgress
    ) -> Snapshot:
        """Take a base backup and keep it under a name."""
        known = [one for one in self.points.snapshot_records(resource) if one.key == key]
        if known:
            return as_snapshot(known[0])
        server = self.points.servers(resource).current()
        archive = self._archive(resource, server.name)
        if archive.record is None:
            raise ProviderUnavailableError(
                f"{server.name}: no log has been received yet; is `refloat-supervisor` running?"
            )
        taker = BackupTaker(
            server=server,
            archive=archive,
            connection=resource.connection,
            secrets=self.secrets,
            master=backup_key(resource, self.secrets),
        )
        backup = taker.take(f"snap-{key[:12]}", progress)
        record = SnapshotRecord(
            id=_id(backup.completed_at, key),
            server=server.name,
            name=name,
            key=key,
            taken_at=backup.completed_at,
            lsn=backup.stop_lsn,
            inclusive=False,
            backup_id=backup.id,
            stored_bytes=backup.stored_bytes,
        )
        archive.snapshots.write(record)
        return as_snapshot(record)

    def mark(self, resource: ProtectedResource, *, key: str, name: str) -> Snapshot | None:
        """Write a restore point into the log of a server that still answers."""
        known = [one for one in self.points.snapshot_records(resource) if one.key == key]
        if known:
            return as_snapshot(known[0])
        server = self.points.servers(resource).current()
        archive = self._archive(resource, server.name)
        backups = archive.backups.all()
        if not backups:
            return None
        try:
            with connect(server, resource.connection, self.secrets, timeout=3) as session:
                row = one(
                    session,
                    # an idle server's next record may be far away: a commit brings this one to disk
                    f"select pg_create_restore_point('refloat-{key[:12]}')::text, txid_current()",
                )
        except RecoveryError:
            return None  # a server that is gone has nothing left to mark
        now = datetime.now(UTC)
        record = SnapshotRecord(
            id=_id(now, key),
            server=server.name,
            name=name,
            key=key,
            taken_at=now,
            lsn=tidy_lsn(str(row[0])),
            inclusive=False,
            backup_id=None,  # a mark lives as long as the log around it, and pins nothing
        )
        archive.snapshots.write(record)
        return as_snapshot(record)

    def copy(self, resource: ProtectedResource, snapshot_id: str, region: str) -> str:
        """Refuse: this machine is one place."""
        if not self._called(resource, snapshot_id):
            raise self._unknown(resource, snapshot_id)
        raise UnsupportedResourceError(
            f"{resource.path}: snapshot {snapshot_id} is on this machine, which has no region "
            f"{region!r}; copy the archive's folder to another machine instead"
        )

    def remove(self, resource: ProtectedResource, snapshot_id: str, memory: Memory) -> None:
        """Forget a kept point; the retention then removes the base backup that it pinned."""
        called = self._called(resource, snapshot_id)
        if not called:
            if snapshot_id in memory.recall():
                return
            raise self._unknown(resource, snapshot_id)
        memory.note([snapshot_id])
        for record in called:
            self._archive(resource, record.server).snapshots.remove(record.id)

    def _called(self, resource: ProtectedResource, snapshot_id: str) -> list[SnapshotRecord]:
        """Return the kept points of an id or a name; an empty one is not that of all without."""
        kept = self.points.snapshot_records(resource)
        return [one for one in kept if snapshot_id and snapshot_id in {one.id, one.name}]

    def _unknown(self, resource: ProtectedResource, snapshot_id: str) -> RecoveryError:
        kept = self.points.snapshot_records(resource)
        return unknown_snapshot(resource.path, snapshot_id, [one.id for one in kept])

    def attach_proof(
        self, resource: ProtectedResource, snapshot_id: str, proof: ProofPoint
    ) -> None:
        """Keep the proof; the snapshot's point becomes the instant that was hashed."""
        for record in self.points.snapshot_records(resource):
            if record.id == snapshot_id and record.proof is None:
                self._archive(resource, record.server).snapshots.write(
                    record.model_copy(update={"proof": proof, "lsn": tidy_lsn(proof.lsn)})
                )

    def proof(self, resource: ProtectedResource, point: RecoveryPoint) -> ProofPoint | None:
        """Return the proof of exactly this point."""
        for record in self.points.snapshot_records(resource):
            if record.proof and record.id == point.snapshot_id:
                return record.proof
        return None

    def last_proof(self, resource: ProtectedResource, point: RecoveryPoint) -> ProofPoint | None:
        """Return the newest proof of the point's archive at or before the point, else of any before."""
        for record in self.points.snapshot_records(resource):
            if record.proof is None:
                continue
            same = record.server == point.source and parse_lsn(record.lsn) <= parse_lsn(point.lsn)
            earlier = point.time is not None and record.taken_at <= point.time
            if same or (record.server != point.source and earlier):
                return record.proof
        return None


def _id(moment: datetime, key: str) -> str:
    return f"snap-{moment.strftime('%Y%m%dT%H%M%SZ')}-{key[:4]}"
