"""Base backups: streamed from a server, compressed and sealed on the way into its archive."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import zstandard
from psycopg.abc import Buffer

from domain.errors import AccessDeniedError, ProviderUnavailableError, UnsupportedResourceError
from domain.provider import ReportProgress
from domain.recovery import Progress
from domain.resources import Connection
from providers.local.archive import Archive
from providers.local.crypto import Sealed, key_id, seal
from providers.local.flushing import flushing, new_file
from providers.local.layout import held, put_in_place
from providers.local.processes import own_mark, sweep
from providers.local.programs import disk_named
from providers.local.records import BackupRecord, ServerRecord
from providers.local.sql import Session, connect, describe_settings, last_commit, one
from providers.local.starting import socket_of
from providers.local.stream import OLDEST, BackupStream, tablespaces_refused
from providers.secrets.references import Secrets

UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class BackupTaker:
    """Takes base backups of one server into its archive."""

    server: ServerRecord
    archive: Archive
    connection: Connection
    secrets: Secrets
    master: bytes

    def take(self, backup_id: str, progress: ReportProgress) -> BackupRecord:
        """Take one base backup; return the earlier one of this id if it was completed.

        Raises:
            UnsupportedResourceError: the cluster has tablespaces of its own.
            RecoveryError: named from what the server said.
        """
        with held(self.archive.folder / "backup.lock", f"the base backup of {self.server.name}"):
            done = [backup for backup in self.archive.backups.all() if backup.id == backup_id]
            return done[0] if done else self._take(backup_id, progress)

    def _take(self, backup_id: str, progress: ReportProgress) -> BackupRecord:
        if self.server.major < OLDEST:
            raise UnsupportedResourceError(
                f"{self.server.name}: runs PostgreSQL {self.server.major}; base backups need "
                f"version {OLDEST} or newer"
            )
        with connect(self.server, self.connection, self.secrets) as session:
            total, tablespaces, version = _survey(session)
            configuration = describe_settings(session)
            newest = last_commit(session)
        if tablespaces:
            raise tablespaces_refused(self.server.name)  # before the server begins a backup

        def told(count: int) -> None:
            progress(Progress(what="back up", done_bytes=count, total_bytes=total))

        started = datetime.now(UTC)
        stream, sealed = self._write(self.archive.backups.file(backup_id), told)
        self.archive.backups.store_configuration(backup_id, configuration, self.master)
        record = BackupRecord(
            id=backup_id,
            server=self.server.name,
            started_at=started,
            completed_at=datetime.now(UTC),
            start_lsn=stream.start.lsn,
            stop_lsn=stream.stop.lsn,
            timeline=stream.start.timeline,
            plain_bytes=stream.count,
            stored_bytes=sealed.stored_bytes,
            sha256=sealed.sha256,
            key_id=key_id(self.master),
            major=self.server.major,
            version=version,
            last_commit=newest,
        )
        self.archive.backups.write(record)
        return record

    def _write(self, target: Path, told: Callable[[int], None]) -> tuple[BackupStream, Sealed]:
        """Stream the backup into the file `target`, which is there whole or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep(target.parent, UNFINISHED)
        unfinished = target.with_name(f"{UNFINISHED}{own_mark()}-{target.name}")
        try:
            with (
                disk_named(f"write the base backup {target}"),
                flushing() as flusher,
                new_file(unfinished, 0o600, flusher) as sink,
                self._keeping_log(),
                self._replication() as session,
            ):
                stream = BackupStream(session, self.server.name, told)
                sealed = seal(_compressed(stream.pieces()), sink, self.master)
                sink.flush()
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        put_in_place(unfinished, target)
        return stream, sealed

    @contextmanager
    def _replication(self) -> Iterator[Session]:
        """Hold a replication connection, by the server's own socket if it lets us in."""
        nearest = socket_of(self.archive.layout.server(self.server.name), self.server.port)
        with ExitStack() as held:
            session = None
            if self.server.managed and nearest is not None and nearest.exists():
                near = self.server.model_copy(update={"host": str(nearest.parent)})
                with suppress(AccessDeniedError, ProviderUnavailableError):
                    session = held.enter_context(self._connected(near))
            yield session or held.enter_context(self._connected(self.server))

    def _connected(self, server: ServerRecord) -> AbstractContextManager[Session]:
        return connect(server, self.connection, self.secrets, replication=True)

    @contextmanager
    def _keeping_log(self) -> Iterator[None]:
        """Keep the server from recycling the log that the backup fetches at its end.

        The archive's own slot moves on with what it has received, so it does not do this.
        """
        with connect(self.server, self.connection, self.secrets) as session:
            session.execute(
                "select pg_create_physical_replication_slot('refloat_backup_' || pg_backend_pid(), "
                "true, true)"
            )
            yield


def _compressed(pieces: Iterable[Buffer]) -> Iterator[bytes]:
    """Yield `pieces` compressed, by two threads of the library's own."""
    packer = zstandard.ZstdCompressor(level=1, threads=2).compressobj()
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def _survey(session: Session) -> tuple[int, int, str]:
    row = one(
        session,
        "select (select sum(pg_database_size(oid)) from pg_database)::bigint,"
        " (select count(*) from pg_tablespace where spcname not in ('pg_default', 'pg_global')),"
        " current_setting('server_version')",
    )
    return int(str(row[0])), int(str(row[1])), str(row[2])
