"""What a managed database can be restored to, from what its provider says now."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from domain.errors import RecoveryPointUnreachableError, UnsupportedResourceError
from domain.provider import RecoveryPoints
from domain.reach import require_reachable
from domain.recovery import (
    ArchiveHealth,
    RecoveryPoint,
    RecoveryWindow,
    ServerDescription,
    Snapshot,
    Suspect,
    Target,
    TargetKind,
)
from domain.resources import ProtectedResource
from domain.values import show_span, show_time
from providers.managed.account import Account
from providers.managed.model import Instance, KeptBackup
from providers.managed.names import KEPT, SUPERSEDED
from providers.managed.policy import problems
from providers.managed.proofs import Proofs

_OFFERED = 3


class ManagedPoints(RecoveryPoints):
    """Windows, snapshots and the exact point, live from the provider."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.proofs = Proofs(account.folder, account.name)

    def describe(self, resource: ProtectedResource) -> ServerDescription:
        """Return the instance that the path means, its encryption and how its backups are kept."""
        found = self.account.current(resource)
        if found is None:
            return ServerDescription(
                name=resource.instance,
                host="",
                port=0,
                state="deleted; what can be restored is shown by `recovery-point list`",
                engine=resource.engine.value,
                superseded=tuple(self.superseded(resource)),
            )
        backups = self.account.backups.all(found.name, found)
        window = self.account.backups.window(found.name, found)
        wrong = problems(resource, found, backups, window, self.account.limits, datetime.now(UTC))
        usable = [one for one in backups if one.usable]
        return ServerDescription(
            name=found.name,
            host=found.host,
            port=found.port,
            version=found.version,
            state=found.told,
            size_bytes=found.size_bytes,
            superseded=tuple(self.superseded(resource)),
            engine=found.engine.value,
            tls=found.tls,
            facts=(str(self.account.access.encryption(found)), self._kept(found)),
            archive=ArchiveHealth(
                healthy=not wrong,
                problems=tuple(wrong),
                lag=datetime.now(UTC) - window.closes_at if window else None,
                newest_backup_at=max((one.taken_at for one in usable), default=None),
                stored_bytes=sum(one.size_bytes or 0 for one in usable),
            ),
        )

    @staticmethod
    def _kept(found: Instance) -> str:
        if not found.keeping.enabled:
            return "automatic backups: off"
        until = "" if found.keeping.point_in_time else ", no restore to a time"
        return f"automatic backups: {found.keeping.kept} {found.keeping.unit} kept{until}"

    def superseded(self, resource: ProtectedResource) -> Sequence[str]:
        """Return the instances that wait for their release."""
        return [one.name for one in waiting_for_release(self.account, resource)]

    def windows(self, resource: ProtectedResource) -> Sequence[RecoveryWindow]:
        """Return the window of what the path means, then those of what it meant before."""
        found = self.account.current(resource)
        name = found.name if found else resource.instance
        note = "" if found else "of the deleted instance"
        kept = [(name, note, self.account.backups.window(name, found))]
        for old in self._before(resource, found):
            note = f"of {old.name}, until it is released"
            kept.append((old.name, note, self.account.backups.window(old.name, old)))
        return [
            RecoveryWindow(
                opens_at=window.opens_at,
                closes_at=window.closes_at,
                source=source,
                source_id=window.source_id,
                note=window.note or note,
            )
            for source, note, window in kept
            if window is not None
        ]

    def _before(self, resource: ProtectedResource, current: Instance | None) -> list[Instance]:
        return [
            one
            for one in waiting_for_release(self.account, resource)
            if SUPERSEDED in one.tags and (current is None or one.id != current.id)
        ]

    def snapshots(self, resource: ProtectedResource) -> Sequence[Snapshot]:
        """Return the usable backups, newest first."""
        usable = sorted(self._usable(resource), key=_taken_at, reverse=True)
        return self.proofs.with_proof(resource.instance, [as_snapshot(one) for one in usable])

    def _usable(self, resource: ProtectedResource) -> list[KeptBackup]:
        found = self.account.current(resource)
        name = found.name if found else resource.instance
        kept = {one.id: one for one in self.account.backups.all(name, found)}
        for old in self._before(resource, found):
            kept |= {one.id: one for one in self.account.backups.all(old.name, old)}
        usable = sorted((one for one in kept.values() if one.usable), key=_taken_at, reverse=True)
        return sorted(usable, key=lambda one: not _is_of(one, found))  # its own come first

    def resolve(self, resource: ProtectedResource, target: Target) -> RecoveryPoint:
        """Return the exact point; a time is held against the window as it is now."""
        if target.kind in {TargetKind.BEFORE_LSN, TargetKind.RESTORE_POINT}:
            raise RecoveryPointUnreachableError(
                resource.path,
                f"{self.account.kind} does not let anybody read its log, so {target} cannot be "
                "found",
                ("name a time with --to, or a snapshot",),
            )
        if target.kind in {TargetKind.SNAPSHOT, TargetKind.LATEST_PROOF}:
            return self._of_snapshot(resource, target)
        windows = self.windows(resource)
        if target.kind is TargetKind.LATEST:
            own = self._own(resource, windows)
            if own:
                return self._at(resource, max(one.closes_at for one in own), target, own)
            return self._of_snapshot(resource, target)
        assert target.time is not None
        return self._at(resource, target.time, target, windows)

    def _own(
        self, resource: ProtectedResource, windows: Sequence[RecoveryWindow]
    ) -> Sequence[RecoveryWindow]:
        """Return the windows of what the path means now: the latest moment is its own."""
        found = self.account.current(resource)
        name = found.name if found else resource.instance
        return [one for one in windows if one.source == name]

    def _at(
        self,
        resource: ProtectedResource,
        moment: datetime,
        target: Target,
        windows: Sequence[RecoveryWindow],
    ) -> RecoveryPoint:
        now = datetime.now(UTC)
        if not windows and moment <= now:
            raise self._no_window(resource, moment)
        if target.kind is TargetKind.LATEST:
            moment = _floor(moment, self.account.limits.granularity)
        window = require_reachable(resource.path, windows, moment, now)
        self._require_whole(resource, moment)
        return RecoveryPoint(
            target=target,
            source=window.source,
            source_id=window.source_id,
            backup_id="",
            at=moment,
            granularity=self.account.limits.granularity,
            resolved_at=now,
            typical=self._typical(),
        )

    def _require_whole(self, resource: ProtectedResource, moment: datetime) -> None:
        step = self.account.limits.granularity
        before = _floor(moment, step)
        if before == moment:
            return
        raise RecoveryPointUnreachableError(
            resource.path,
            f"{self.account.kind} restores to a whole multiple of {show_span(step)}, not to "
            f"{show_time(moment)}",
            (f"before it: {show_time(before)}", f"after it: {show_time(before + step)}"),
        )

    def _no_window(
        self, resource: ProtectedResource, moment: datetime
    ) -> RecoveryPointUnreachableError:
        before = [one for one in self._usable(resource) if one.taken_at <= moment]
        offers = [
            f"`--snapshot {one.id}` of {show_time(one.taken_at)} loses "
            f"{show_span(moment - one.taken_at)}"
            for one in before[:_OFFERED]
        ]
        why = "keeps no log for this database now, so no time can be restored, only snapshots"
        return RecoveryPointUnreachableError(
            resource.path,
            f"{self.account.kind} {why}",
            offers or ("there is no snapshot before it",),
        )

    def _of_snapshot(self, resource: ProtectedResource, target: Target) -> RecoveryPoint:
        usable = self._usable(resource)
        if target.kind is TargetKind.SNAPSHOT:
            named = [one for one in usable if target.name in {one.id, one.name}]
            if len(named) > 1:
                ids = tuple(f"--snapshot {one.id}" for one in named)
                raise RecoveryPointUnreachableError(
                    resource.path, f"{len(named)} snapshots are called {target.name!r}", ids
                )
        else:
            proven = {kept.snapshot_id for kept in self.proofs.all(resource.instance)}
            named = [one for one in usable if one.id in proven] or usable
        if not named:
            offers = tuple(f"--snapshot {one.id}" for one in usable[:_OFFERED])
            raise RecoveryPointUnreachableError(
                resource.path,
                f"no usable snapshot {target.name!r}" if target.name else "no usable snapshot",
                offers or ("take one with `refloat snapshot create`",),
            )
        return self._point_of(named[0], target)

    def _point_of(self, backup: KeptBackup, target: Target) -> RecoveryPoint:
        return RecoveryPoint(
            target=target,
            source=backup.source,
            backup_id=backup.id,
            snapshot_id=backup.id,
            at=backup.taken_at,
            granularity=backup.taken_at - backup.began_at,
            resolved_at=datetime.now(UTC),
            typical=self._typical(),
        )

    def _typical(self) -> timedelta:
        return self.account.pacing.short(self.account.limits.typical)

    def suspects(self, resource: ProtectedResource, since: datetime) -> Sequence[Suspect]:
        """Refuse: the log of a managed database cannot be read."""
        del since
        raise UnsupportedResourceError(
            f"{resource.path}: {self.account.kind} does not let anybody read its log; look for the "
            "moment in the application's own log, or in the database's audit log"
        )


def as_snapshot(backup: KeptBackup) -> Snapshot:
    """Return a provider's backup in the words of the command line."""
    return Snapshot(
        id=backup.id,
        taken_at=backup.taken_at,
        lsn="",
        source=backup.source,
        name=backup.name or ("automatic" if backup.automatic else ""),
        size_bytes=backup.size_bytes,
        automatic=backup.automatic,
    )


def waiting_for_release(account: Account, resource: ProtectedResource) -> list[Instance]:
    """Return the instances that a cutover superseded and the copies that runs kept."""
    marks = (SUPERSEDED, KEPT)
    return [
        one
        for one in account.instances.all()
        if any(one.tags.get(mark) == resource.instance for mark in marks)
    ]


def _is_of(backup: KeptBackup, instance: Instance | None) -> bool:
    if instance is None:
        return False
    return backup.source_id == instance.id if backup.source_id else backup.source == instance.name


def _taken_at(backup: KeptBackup) -> datetime:
    return backup.taken_at


def _floor(moment: datetime, step: timedelta) -> datetime:
    if not step:
        return moment
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return moment - since % step
