"""What a local database can be restored to, and which exact point a target names."""

import itertools
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from domain.errors import RecoveryError, RecoveryPointUnreachableError, WalDamagedError
from domain.provider import RecoveryPoints
from domain.reach import require_reachable
from domain.recovery import (
    ArchiveHealth,
    CommitMark,
    RecoveryPoint,
    RecoveryWindow,
    ServerDescription,
    Snapshot,
    Suspect,
    Target,
    TargetKind,
)
from domain.resources import ProtectedResource
from domain.values import show_bytes, show_span, show_time
from providers.local.archive import Archive, Stretch
from providers.local.binaries import locate
from providers.local.config import LocalConfig
from providers.local.kept import chosen_snapshot
from providers.local.keys import backup_key
from providers.local.layout import Layout
from providers.local.reader import LogReader
from providers.local.records import BackupRecord, ServerRecord, SnapshotRecord, Tenure
from providers.local.retention import stored_bytes
from providers.local.servers import Servers
from providers.local.spans import Span, as_snapshot, told
from providers.local.sql import connect, one
from providers.local.supervisor import supervisor_alive
from providers.local.wal import parse_lsn
from providers.secrets.references import Secrets

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_STALE = timedelta(seconds=15)
_ALIGNED = 8  # bytes; PostgreSQL begins every record at such a place
_LAG_LIMIT = timedelta(seconds=10)


class LocalPoints(RecoveryPoints):
    """Reads the archives of a database: the present server's, and those of the ones before it."""

    def __init__(self, config: LocalConfig, secrets: Secrets) -> None:
        self.config, self.secrets = config, secrets

    def servers(self, resource: ProtectedResource) -> Servers:
        """Return the servers of a resource's instance."""
        return Servers(Layout(self.config, resource.instance))

    def describe(self, resource: ProtectedResource) -> ServerDescription:
        """Return the server that the path means now, with the health of its archive."""
        servers = self.servers(resource)
        current = servers.current()
        version, timeline, size, state = "", None, None, "running"
        try:
            with connect(current, resource.connection, self.secrets, timeout=3) as session:
                row = one(
                    session,
                    "select current_setting('server_version'),"
                    " (select timeline_id from pg_control_checkpoint()),"
                    " (select sum(pg_database_size(oid)) from pg_database)::bigint",
                )
                version, timeline, size = str(row[0]), int(str(row[1])), int(str(row[2]))
        except RecoveryError as error:
            state = f"does not answer: {error}"
        return ServerDescription(
            name=current.name,
            host=current.host,
            port=current.port,
            version=version,
            state=state,
            timeline=timeline,
            size_bytes=size,
            superseded=tuple(servers.superseded()),
            archive=self.health(resource, current, answers=state == "running"),
        )

    def health(
        self, resource: ProtectedResource, server: ServerRecord, *, answers: bool
    ) -> ArchiveHealth:
        """Return whether the archive of a server follows it, and what is wrong if not."""
        archive = Archive(Layout(self.config, resource.instance), server.name)
        status, backups, now = archive.status(), archive.backups.all(), datetime.now(UTC)
        problems = []
        if not supervisor_alive(self.config.root):
            problems.append("no supervisor runs: nothing is archived; start `refloat-supervisor`")
        if status is None or status.received_lsn is None:
            problems.append((status.problem if status else "") or "nothing is received")
        elif answers and now - status.measured_at > _STALE:
            problems.append(f"stalled: last measured {show_span(now - status.measured_at)} ago")
        elif status.lag and status.lag > _LAG_LIMIT:
            problems.append(
                f"stalled archiver: the archive stands at {status.received_lsn}, "
                f"{show_span(status.lag)} behind the server at {status.server_lsn}"
            )
        problems += self._holes(archive)
        problems += self._cramped(archive)
        if status and status.backup_problem:
            problems.append(f"the last base backup failed: {status.backup_problem}")
        if not backups:
            problems.append("no base backup has been completed")
        elif now - backups[-1].completed_at > resource.backups.max_age:
            age = show_span(now - backups[-1].completed_at)
            problems.append(f"the newest base backup is {age} old, over max_age")
        behind = (
            parse_lsn(status.server_lsn) - parse_lsn(status.received_lsn)
            if status and status.server_lsn and status.received_lsn
            else None
        )
        return ArchiveHealth(
            healthy=not problems,
            problems=tuple(problems),
            lag=status.lag if status else None,
            lag_bytes=behind,
            newest_backup_at=backups[-1].completed_at if backups else None,
            stored_bytes=stored_bytes(archive) if archive.folder.exists() else 0,
        )

    @staticmethod
    def _cramped(archive: Archive) -> list[str]:
        """Tell a disk that the next segments do not fit on; it may be too full for any record."""
        if archive.record is None:
            return []
        free, needed = shutil.disk_usage(archive.folder).free, 2 * archive.segments.size
        told = f"no room on the disk of {archive.folder}: {show_bytes(free)} left; free some"
        return [told] if free < needed else []

    @staticmethod
    def _holes(archive: Archive) -> list[str]:
        present = sorted({*archive.log.sealed_numbers(), *archive.log.tail()})
        holes = [
            f"gap: log segments {archive.segments.name(before + 1)} to "
            f"{archive.segments.name(after - 1)} are missing"
            for before, after in itertools.pairwise(present)
            if after != before + 1 and after > archive.beginning()
        ]
        damaged = [
            f"damaged: {archive.segments.name(number)}: {summary.damage}"
            for number in archive.log.sealed_numbers()
            if (summary := archive.log.summary(number)) and summary.damage
        ]
        return holes + damaged

    def windows(self, resource: ProtectedResource) -> Sequence[RecoveryWindow]:
        """Return every span without a hole, the archive of each server clipped to its tenure."""
        return [span.window for span in self._spans(resource)]

    def _spans(self, resource: ProtectedResource) -> list[Span]:
        """Return what can be restored to, the present server's first, newest first."""
        spans = []
        for tenure in self._tenures(resource):
            reader = self.reader(resource, tenure.server)
            if reader is None:
                continue
            for stretch in reversed(reader.archive.stretches()):
                window = reader.window(stretch, reader.archive.status())
                if window is None:
                    continue
                clipped = window.model_copy(
                    update={
                        "opens_at": max(window.opens_at, tenure.since),
                        "closes_at": min(window.closes_at, tenure.until or window.closes_at),
                    }
                )
                if clipped.opens_at <= clipped.closes_at:
                    spans.append(Span(reader, stretch, clipped, tenure))
        return spans

    def _tenures(self, resource: ProtectedResource) -> list[Tenure]:
        """Return which server the path meant when, newest first; the first one since ever."""
        tenures = self.servers(resource).tenures()
        if tenures is None:
            return []
        first, *later = tenures.tenures
        return [*reversed(later), first.model_copy(update={"since": _EVER})]

    def reader(self, resource: ProtectedResource, server: str) -> LogReader | None:
        """Return a reader of one server's archive, or None where there is no archive yet."""
        archive = Archive(Layout(self.config, resource.instance), server)
        record = archive.record
        if record is None:
            return None
        return LogReader(
            archive=archive,
            binaries=locate(self.config, record.major),
            master=backup_key(resource, self.secrets),
        )

    def snapshot_records(self, resource: ProtectedResource) -> list[SnapshotRecord]:
        """Return the kept points of every server of the instance, newest first."""
        layout = Layout(self.config, resource.instance)
        folders = (layout.stored / "archive").glob("*")
        found = [one for folder in folders for one in Archive(layout, folder.name).snapshots.all()]
        return sorted(found, key=lambda one: one.taken_at, reverse=True)

    def snapshots(self, resource: ProtectedResource) -> Sequence[Snapshot]:
        """Return the kept points, newest first."""
        return [as_snapshot(record) for record in self.snapshot_records(resource)]

    def resolve(self, resource: ProtectedResource, target: Target) -> RecoveryPoint:
        """Return the exact point that `target` names, or refuse with offers."""
        if target.kind in {TargetKind.SNAPSHOT, TargetKind.LATEST_PROOF}:
            return self._snapshot(resource, target)
        spans = self._spans(resource)
        if target.kind is TargetKind.TIME and target.time is not None:
            return self._at_time(resource, spans, target, target.time)
        if not spans:
            require_reachable(resource.path, [], datetime.now(UTC), datetime.now(UTC))
        if target.kind is TargetKind.LATEST:
            reader, stretch = spans[0].reader, spans[0].stretch
            lsn = reader.last_record(stretch)
            before, after = reader.around_lsn(stretch, lsn)
            before = after or before  # the last record may itself be a commit, and it is included
            return self._point(target, reader, stretch, lsn, inclusive=True, marks=(before, None))
        if target.kind is TargetKind.RESTORE_POINT:
            return self._named(resource, spans, target)
        return self._before(resource, spans, target, target.lsn or "")

    def _at_time(
        self,
        resource: ProtectedResource,
        spans: Sequence[Span],
        target: Target,
        moment: datetime,
    ) -> RecoveryPoint:
        window = require_reachable(
            resource.path, [span.window for span in spans], moment, datetime.now(UTC)
        )
        span = next(span for span in spans if span.window is window)
        reader, stretch = span.reader, span.stretch
        before, after = reader.around_time(stretch, moment)
        if after is not None:
            return self._point(
                target, reader, stretch, after.lsn, inclusive=False, marks=(before, after)
            )
        lsn = reader.last_record(stretch)
        return self._point(target, reader, stretch, lsn, inclusive=True, marks=(before, None))

    def _named(
        self, resource: ProtectedResource, spans: Sequence[Span], target: Target
    ) -> RecoveryPoint:
        found = [
            (span, mark)
            for span in spans
            for summed in span.reader.summaries(span.stretch)
            for mark in summed.summary.restore_points
        ]
        fitting = [(span, mark) for span, mark in found if mark.name == target.name]
        if not fitting:
            known = ", ".join(dict.fromkeys(mark.name for _, mark in found)) or "none"
            raise RecoveryPointUnreachableError(
                resource.path,
                f"no restore point {target.name!r} in the archive",
                (f"there is {known}",),
            )
        if len({(span.reader.archive.server, mark.lsn) for span, mark in fitting}) > 1:
            raise RecoveryPointUnreachableError(
                resource.path,
                f"several restore points are called {target.name!r}",
                [
                    f"--before {span.reader.archive.server}@{mark.lsn} goes to one of them"
                    for span, mark in fitting
                ],
            )
        span, mark = fitting[0]
        marks = span.reader.around_lsn(span.stretch, mark.lsn)
        return self._point(target, span.reader, span.stretch, mark.lsn, inclusive=True, marks=marks)

    def _before(
        self, resource: ProtectedResource, spans: Sequence[Span], target: Target, text: str
    ) -> RecoveryPoint:
        server, _, lsn = text.rpartition("@")
        try:
            parse_lsn(lsn)
        except ValueError as error:
            raise RecoveryPointUnreachableError(resource.path, str(error)) from None
        covering = [span for span in spans if span.covers(lsn)]
        fitting = [one for one in covering if server in {"", one.reader.archive.server}]
        if not fitting:
            offers = [
                f"{span.window.source} holds {span.window.opens_lsn} to {span.window.closes_lsn}"
                for span in spans
            ]
            raise RecoveryPointUnreachableError(
                resource.path, f"{text} is outside of what the archive holds", offers
            )
        if len({one.reader.archive.server for one in fitting}) > 1:
            raise RecoveryPointUnreachableError(
                resource.path,
                f"the logs of several servers hold {lsn}",
                [f"--before {one.reader.archive.server}@{lsn}" for one in fitting],
            )
        reader, stretch = fitting[0].reader, fitting[0].stretch
        before, after = reader.around_lsn(stretch, lsn)
        if parse_lsn(lsn) % _ALIGNED:
            raise RecoveryPointUnreachableError(
                resource.path,
                f"no record of the log begins at {lsn}",
                [f"--before {one.lsn}, a commit" for one in (before, after) if one],
            )
        if after is None:  # what follows committed nothing: all of it is before
            last = reader.last_record(stretch)
            return self._point(target, reader, stretch, last, inclusive=True, marks=(before, None))
        # the same commits, and a place where a record begins: replay stops nowhere else
        return self._point(
            target, reader, stretch, after.lsn, inclusive=False, marks=(before, after)
        )

    def _snapshot(self, resource: ProtectedResource, target: Target) -> RecoveryPoint:
        records = self.snapshot_records(resource)
        snapshot = chosen_snapshot(resource.path, records, target)
        reader = self.reader(resource, snapshot.server)
        if reader is None:
            raise RecoveryPointUnreachableError(
                resource.path, f"the archive of {snapshot.server} is gone"
            )
        for stretch in reader.archive.stretches():
            last = reader.archive.segments.number(snapshot.lsn)
            if stretch.first <= last <= stretch.last and self._usable(stretch, snapshot.lsn):
                marks = reader.around_lsn(stretch, snapshot.lsn)
                point = self._point(
                    target, reader, stretch, snapshot.lsn, inclusive=snapshot.inclusive, marks=marks
                )
                return point.model_copy(update={"snapshot_id": snapshot.id})
        raise RecoveryPointUnreachableError(
            resource.path, f"the log that snapshot {snapshot.id} needs is missing from the archive"
        )

    @staticmethod
    def _usable(stretch: Stretch, lsn: str) -> list[BackupRecord]:
        return [one for one in stretch.backups if parse_lsn(one.stop_lsn) <= parse_lsn(lsn)]

    def _point(
        self,
        target: Target,
        reader: LogReader,
        stretch: Stretch,
        lsn: str,
        *,
        inclusive: bool,
        marks: tuple[CommitMark | None, CommitMark | None],
    ) -> RecoveryPoint:
        usable = self._usable(stretch, lsn)
        if not usable:
            opens = stretch.backups[0]
            raise RecoveryPointUnreachableError(
                reader.archive.server,
                f"{target} is before the end of the first base backup",
                (f"the earliest possible time is {show_time(opens.completed_at)}",),
            )
        backup, segments = usable[-1], reader.archive.segments
        number = segments.number(lsn)
        for needed in range(segments.number(backup.start_lsn), number + 1):
            summary = reader.archive.log.summary(needed)
            if summary and summary.damage and needed < number:
                raise WalDamagedError(
                    f"log segment {segments.name(needed)} is damaged ({summary.damage}); choose a "
                    f"point before it, or one after the next base backup"
                )
        return RecoveryPoint(
            target=target,
            source=reader.archive.server,
            backup_id=backup.id,
            lsn=lsn,
            inclusive=inclusive,
            last_commit=marks[0] or backup.last_commit,
            first_after=marks[1],
            backup_bytes=backup.stored_bytes,
            restored_bytes=backup.plain_bytes,
            log_bytes=(number - segments.number(backup.start_lsn) + 1) * segments.size,
        )

    def suspects(self, resource: ProtectedResource, since: datetime) -> Sequence[Suspect]:
        """Return the commits that dropped, truncated or rewrote relations, newest first."""
        found: list[Suspect] = []
        spans = self._spans(resource)
        for tenure in self._tenures(resource):
            reader = self.reader(resource, tenure.server)
            if reader is None or (tenure.until and tenure.until < since):
                continue
            found += [
                suspect.model_copy(update={"before": told(suspect, spans)})
                for suspect in reader.suspects(reader.archive.stretches(), since)
                if tenure.since <= suspect.at <= (tenure.until or suspect.at)
            ]
        return sorted(found, key=lambda suspect: suspect.at, reverse=True)
