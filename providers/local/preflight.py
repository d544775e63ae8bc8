"""What a restore needs, looked at before anything is made."""

from collections.abc import Iterator, Sequence

from domain.checks import Finding, Verdict
from domain.errors import RecoveryError
from domain.provider import Preflight
from domain.recovery import RecoveryPoint
from domain.resources import Mode, ProtectedResource
from domain.values import show_bytes
from providers.local.archive import Archive
from providers.local.binaries import locate
from providers.local.config import LocalConfig
from providers.local.crypto import key_id
from providers.local.databases import room
from providers.local.keys import backup_key
from providers.local.layout import Layout
from providers.local.points import LocalPoints
from providers.local.records import BackupRecord
from providers.local.servers import free_port
from providers.local.supervisor import supervisor_alive
from providers.secrets.references import Secrets

_ROOM_FACTOR = 1.2


def _finding(name: str, expected: str, observed: str, *, good: bool, advice: str = "") -> Finding:
    return Finding(
        name=name,
        kind="pre-flight",
        expected=expected,
        observed=observed,
        advice=advice,
        verdict=Verdict.PASSED if good else Verdict.FAILED,
    )


class LocalPreflight(Preflight):
    """Looks at key, backup, log, room, port, programs and supervisor."""

    def __init__(self, config: LocalConfig, secrets: Secrets, points: LocalPoints) -> None:
        self.config, self.secrets, self.points = config, secrets, points

    def examine(
        self, resource: ProtectedResource, point: RecoveryPoint, mode: Mode
    ) -> Sequence[Finding]:
        """Return one finding per precondition."""
        archive = Archive(Layout(self.config, resource.instance), point.source)
        backup = next((one for one in archive.backups.all() if one.id == point.backup_id), None)
        if backup is None:
            return [
                _finding("base backup", point.backup_id, "gone", good=False, advice="plan again")
            ]
        del mode
        return [
            *self._files(resource, archive, backup, point),
            *self._place(backup, point),
        ]

    def _files(
        self,
        resource: ProtectedResource,
        archive: Archive,
        backup: BackupRecord,
        point: RecoveryPoint,
    ) -> Iterator[Finding]:
        try:
            held = key_id(backup_key(resource, self.secrets))
            yield _finding(
                "encryption key",
                f"key {backup.key_id}",
                f"key {held}",
                good=held == backup.key_id,
                advice="point backups.key at the key that was in use when the backup was made",
            )
        except RecoveryError as error:
            yield _finding(
                "encryption key",
                f"key {backup.key_id}",
                str(error),
                good=False,
                advice="make the key's reference readable where the worker runs",
            )
        path = archive.backups.file(backup.id)
        size = path.stat().st_size if path.exists() else None
        yield _finding(
            "base backup",
            f"{backup.stored_bytes} bytes",
            "its file is missing" if size is None else f"{size} bytes",
            good=size == backup.stored_bytes,
            advice="choose a point after another base backup",
        )
        segments = archive.segments
        first, last = segments.number(backup.start_lsn), segments.number(point.lsn)
        held_numbers = {*archive.log.sealed_numbers(), *archive.log.tail()}
        missing = [segments.name(n) for n in range(first, last + 1) if n not in held_numbers]
        yield _finding(
            "log segments",
            f"{last - first + 1} without a hole",
            f"missing: {', '.join(missing[:5])}" if missing else f"{last - first + 1} present",
            good=not missing,
            advice="choose a point before the hole",
        )

    def _place(self, backup: BackupRecord, point: RecoveryPoint) -> Iterator[Finding]:
        # the log is staged, and lies in the new server's own folder as well once it is replayed
        needed = int(point.restored_bytes * _ROOM_FACTOR) + 2 * point.log_bytes
        free = room(self.config)
        yield _finding(
            "room on the disk",
            f"at least {show_bytes(needed)}",
            show_bytes(free),
            good=free >= needed,
            advice=f"free room on the disk of {self.config.root}",
        )
        try:
            yield _finding("free port", "one in the range", str(free_port(self.config)), good=True)
        except RecoveryError as error:
            yield _finding(
                "free port",
                "one in the range",
                str(error),
                good=False,
                advice="end what listens there, or widen the range",
            )
        try:
            found = locate(self.config, backup.major)
            yield _finding("programs", f"PostgreSQL {backup.major}", found.version, good=True)
        except RecoveryError as error:
            yield _finding(
                "programs",
                f"PostgreSQL {backup.major}",
                str(error),
                good=False,
                advice=f"install PostgreSQL {backup.major}",
            )
        alive = supervisor_alive(self.config.root)
        yield _finding(
            "supervisor",
            "runs",
            "runs" if alive else "does not run",
            good=alive,
            advice="start `refloat-supervisor`",
        )
