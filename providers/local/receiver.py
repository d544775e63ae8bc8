"""Keeps one server's log arriving and sealed: the receiver process, its slot, the sealing."""

import logging
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from domain.errors import ArchiverStalledError, RecoveryError
from domain.resources import ProtectedResource
from providers.local.archive import Archive
from providers.local.binaries import Binaries
from providers.local.keys import backup_key
from providers.local.layout import write_record
from providers.local.processes import Daemon
from providers.local.programs import address, named_failure, passfile
from providers.local.reader import LogReader
from providers.local.records import ArchiveRecord, ServerRecord
from providers.local.sql import (
    Session,
    connect,
    one,
)
from providers.secrets.references import Secrets

_LOG = logging.getLogger("refloat.receiver")


def slot_of(server: ServerRecord) -> str:
    """Return the name of the replication slot of a server's receiver."""
    return "refloat_" + "".join(letter if letter.isalnum() else "_" for letter in server.name)[:50]


@dataclass
class Following:
    """Everything one followed server needs: shared by the threads below."""

    server: ServerRecord
    resource: ProtectedResource
    archive: Archive
    binaries: Binaries
    secrets: Secrets
    stop: threading.Event = field(default_factory=threading.Event)
    current: bool = False
    fenced: bool = False
    stalled: bool = False
    problem: str = ""
    backup_problem: str = ""

    @property
    def beats(self) -> bool:
        """Whether this server gains a heartbeat row a second: the one that its path means does."""
        return self.current and self.resource.heartbeat

    @property
    def master(self) -> bytes:
        """The key under which this archive is sealed."""
        return backup_key(self.resource, self.secrets)


class Receiver:
    """The process that streams the log into the spool, flushed and confirmed at once."""

    def __init__(self, following: Following) -> None:
        self.following = following
        folder = following.archive.log.spool
        self.daemon = Daemon(folder / "receiver.pid", folder / "receiver.log")
        self._not_before = 0.0
        self._log_read = 0

    def tick(self) -> None:
        """Start the process when it does not run; end one that does nothing, which holds up commits."""
        if self.following.stalled:
            self.following.stalled = False
            self.daemon.tell(signal.SIGKILL)
        if self.daemon.pid is not None or time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + 1.0
        try:
            self._start()
        except RecoveryError as error:
            self.following.problem = str(error)
        except OSError as error:
            self.following.problem = str(
                named_failure("receive the log", f"{error.strerror}: {error.filename}")
            )

    def _start(self) -> None:
        of = self.following
        of.archive.log.spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        said = self._last_words()
        with connect(of.server, of.resource.connection, of.secrets) as session:
            self._require_same_cluster(session)
            self._require_slot(session, anew="already been removed" in said)
        self._empty_unfinished()
        environment = passfile(of.archive.log.spool, of.secrets, of.resource.connection)
        self._log_read = self.daemon.log.stat().st_size if self.daemon.log.exists() else 0
        self.daemon.start(
            [
                of.binaries["pg_receivewal"],
                "-d",
                address(of.server, of.resource.connection, slot_of(of.server)),
                "-D",
                str(of.archive.log.spool),
                "-S",
                slot_of(of.server),
                "--no-password",
                "--synchronous",
                "--status-interval=1",
                "--no-loop",
            ],
            environment=environment,
        )

    def _empty_unfinished(self) -> None:
        """Empty a segment that a full disk cut short while it was allocated: it holds nothing yet.

        The receiver would refuse to start beside it, for ever.
        """
        for path in self.following.archive.log.spool.glob("*.partial"):
            if 0 < path.stat().st_size < self.following.archive.segments.size:
                os.truncate(path, 0)  # not removed: a reader may have just listed it

    def _last_words(self) -> str:
        """Return what the process that has ended said, and tell it as the problem."""
        try:
            with self.daemon.log.open(encoding="utf-8", errors="replace") as source:
                source.seek(self._log_read)
                said = source.read()
        except FileNotFoundError:
            return ""
        if "error" in said:
            failed = named_failure(f"receive the log of {self.following.server.name}", said)
            self.following.problem = str(failed)
        return said

    def _require_same_cluster(self, session: Session) -> None:
        """Note which cluster this is the archive of; another one's log must never mix with it."""
        of, known = self.following, self.following.archive.record
        row = one(
            session,
            "select (select system_identifier from pg_control_system()),"
            " ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int,"
            " (select setting from pg_settings where name = 'wal_segment_size'),"
            " current_setting('server_version_num')::int / 10000",
        )
        identifier, timeline = str(row[0]), int(str(row[1]))
        if known is None:
            write_record(
                of.archive.folder / "archive.json",
                ArchiveRecord(
                    server=of.server.name,
                    system_identifier=identifier,
                    timeline=timeline,
                    segment_bytes=int(str(row[2])),
                    major=int(str(row[3])),
                    started_at=datetime.now(UTC),
                ),
            )
        elif (known.system_identifier, known.timeline) != (identifier, timeline):
            raise ArchiverStalledError(
                f"{of.server.name} at {of.server.host}:{of.server.port} is cluster {identifier} on "
                f"timeline {timeline}, but its archive is of cluster {known.system_identifier} on "
                f"timeline {known.timeline}: it was promoted, restored or made anew without "
                "Refloat. Nothing more is archived; give the database another `instance` name in "
                "the catalog, so that a new archive begins"
            )

    def _require_slot(self, session: Session, *, anew: bool) -> None:
        """Make the slot that keeps log for us; begin anew where the server kept too little.

        What had arrived is sealed first, so that it stays restorable up to the gap.
        """
        of, slot = self.following, slot_of(self.following.server)
        row = session.execute(
            "select wal_status = 'lost', active_pid from pg_replication_slots where slot_name = %s",
            [slot],
        ).fetchone()
        lost = anew or (row is not None and bool(row[0]))
        if row is not None and lost:
            session.execute("select pg_drop_replication_slot(%s)", [slot])
        if row is None or lost:
            if lost:  # else the server may still have what comes next: go on where the spool ends
                seal_what_arrived(LogReader(of.archive, of.binaries, of.master))
            session.execute("select pg_create_physical_replication_slot(%s, true)", [slot])

    def stop(self) -> None:
        """End the process; it reports its last position first."""
        self.daemon.stop(signal.SIGINT, within=5.0)


def seal_what_arrived(reader: LogReader) -> None:
    """Seal every segment of a spool, the open one too: the log goes no further there."""
    archive = reader.archive
    for number, path in sorted(archive.log.tail().items()):
        if archive.log.file(number).exists():
            path.unlink()
        else:
            archive.log.store(number, path, reader.sum_up(number), reader.master)


class Sealer(threading.Thread):
    """Sums up and seals each finished segment once its successor has begun to arrive."""

    def __init__(self, following: Following) -> None:
        super().__init__(daemon=True, name=f"sealer-{following.server.name}")
        self.following = following

    def run(self) -> None:
        """Seal until told to stop."""
        while not self.following.stop.wait(0.3):
            try:
                while not self.following.stop.is_set() and self._seal_one():
                    pass
            except RecoveryError as error:
                self.following.problem = str(error)
            except OSError as error:
                self.following.problem = str(
                    named_failure("seal a log segment", f"{error.strerror}: {error.filename}")
                )
            except Exception as error:  # noqa: BLE001 - as above
                _LOG.exception("sealing the log of %s", self.following.server.name)
                self.following.problem = f"sealing failed: {error}"

    def _seal_one(self) -> bool:
        archive = self.following.archive
        if archive.record is None:
            return False
        tail = archive.log.tail()
        finished = sorted(
            number
            for number, path in tail.items()
            if not path.name.endswith(".partial") and number + 1 in tail
        )
        if not finished:
            return False
        number = finished[0]
        if archive.log.file(number).exists():
            tail[number].unlink()
            return True
        reader = LogReader(archive, self.following.binaries, self.following.master)
        summary = reader.sum_up(number)
        if not summary.read_to_end and not summary.damage:
            if number + 2 not in tail:
                return False  # a record goes on in the next segment, which has not arrived yet
            summary = summary.model_copy(update={"damage": f"breaks off at {summary.last_record}"})
        archive.log.store(number, tail[number], summary, reader.master)
        return True
