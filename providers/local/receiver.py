"""Keeps one server's log arriving: the receiver process, its measurement, the heartbeat, the sealing."""

import contextlib
import json
import logging
import signal
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from domain.errors import ArchiverStalledError, RecoveryError, SecretUnavailableError
from domain.resources import Durability, ProtectedResource
from providers.local.archive import Archive
from providers.local.binaries import Binaries
from providers.local.layout import read_mapping, write_record, write_text
from providers.local.processes import Daemon
from providers.local.programs import address, named_failure, passfile
from providers.local.reader import LogReader
from providers.local.records import ArchiveRecord, ArchiveStatus, ServerRecord
from providers.local.sql import (
    Session,
    as_moment,
    connect,
    one,
    require_synchronous,
    set_fence,
)
from providers.local.wal import parse_lsn
from providers.secrets.references import Secrets

BEAT = 0.7
_LOG = logging.getLogger("refloat.receiver")
_SAFE = timedelta(seconds=1)
_KEPT_BEATS = timedelta(minutes=15)

_BEAT_SQL = b"insert into refloat.heartbeat (at) values (clock_timestamp())"


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


def backup_key(resource: ProtectedResource, secrets: Secrets) -> bytes:
    """Return the key of a resource's archive, read now.

    Raises:
        SecretUnavailableError: none is named, or the reference leads nowhere.
    """
    if resource.backups.key is None:
        raise SecretUnavailableError(
            f"{resource.path}: the catalog names no backups.key; add a reference such as "
            "file:backup.key, made with `openssl rand -base64 32`"
        )
    return secrets.key(resource.backups.key)


class Receiver:
    """The process that streams the log into the spool, flushed and confirmed at once."""

    def __init__(self, following: Following) -> None:
        self.following = following
        folder = following.archive.spool
        self.daemon = Daemon(folder / "receiver.pid", folder / "receiver.log")
        self._not_before = 0.0
        self._log_read = 0

    def tick(self) -> None:
        """Start the process when it does not run."""
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
        of.archive.spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        said = self._last_words()
        with connect(of.server, of.resource.connection, of.secrets) as session:
            self._require_same_cluster(session)
            self._require_slot(session, anew="already been removed" in said)
        environment = passfile(of.archive.spool, of.secrets, of.resource.connection)
        self._log_read = self.daemon.log.stat().st_size if self.daemon.log.exists() else 0
        self.daemon.start(
            [
                of.binaries["pg_receivewal"],
                "-d",
                address(of.server, of.resource.connection, slot_of(of.server)),
                "-D",
                str(of.archive.spool),
                "-S",
                slot_of(of.server),
                "--no-password",
                "--synchronous",
                "--status-interval=1",
                "--no-loop",
            ],
            environment=environment,
        )

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
        if row is not None and (row[0] or anew):
            session.execute("select pg_drop_replication_slot(%s)", [slot])
            row = None
        if row is None:
            if anew or of.archive.tail():
                seal_what_arrived(LogReader(of.archive, of.binaries, of.master))
            session.execute("select pg_create_physical_replication_slot(%s, true)", [slot])

    def stop(self) -> None:
        """End the process; it reports its last position first."""
        self.daemon.stop(signal.SIGINT, within=5.0)


def seal_what_arrived(reader: LogReader) -> None:
    """Seal every segment of a spool, the open one too: the log goes no further there."""
    archive = reader.archive
    for number, path in sorted(archive.tail().items()):
        if archive.sealed(number).exists():
            path.unlink()
        else:
            archive.store(number, path, reader.sum_up(number), reader.master)


class Monitor(threading.Thread):
    """Beats once a second at most, and measures how far the archive follows."""

    def __init__(self, following: Following, receiver: Receiver) -> None:
        super().__init__(daemon=True, name=f"monitor-{following.server.name}")
        self.following, self.receiver = following, receiver
        self._complete_to: datetime | None = None
        self._complete_lsn: str | None = None
        self._marks: list[tuple[datetime, str]] = []

    def run(self) -> None:
        """Measure until told to stop; a server that does not answer is a measurement too."""
        of = self.following
        while not of.stop.is_set():
            try:
                with connect(of.server, of.resource.connection, of.secrets) as session:
                    self._follow(session)
            except RecoveryError as error:
                self._tell_problem(str(error))
            except Exception as error:  # noqa: BLE001 - a thread that ended would end protection without a word
                _LOG.exception("measuring %s", of.server.name)
                self._tell_problem(f"measuring failed: {error}")
            of.stop.wait(BEAT)

    def _tell_problem(self, problem: str) -> None:
        try:
            self._tell(None, None, problem)
        except OSError as error:  # an archive disk that is full cannot even be told on itself
            _LOG.warning("%s: %s; %s", self.following.server.name, problem, error)

    def _follow(self, session: Session) -> None:
        of, rounds, beating = self.following, 0, False
        while not of.stop.is_set():
            began = time.monotonic()
            if of.beats and not beating:
                self._prepare(session)
                beating = True
            if of.beats:
                session.execute(_BEAT_SQL)
            if rounds % 60 == 0 and of.beats:
                session.execute(
                    "delete from refloat.heartbeat where at < clock_timestamp() - %s", [_KEPT_BEATS]
                )
            if rounds % 3 == 0:
                self._note_names(session)
                if of.fenced:
                    set_fence(session, fenced=True)
                elif of.current and of.resource.durability is Durability.ZERO_LOSS:
                    require_synchronous(session, slot_of(of.server))
            self._measure(session)
            rounds += 1
            of.stop.wait(max(0.05, BEAT - (time.monotonic() - began)))

    @staticmethod
    def _prepare(session: Session) -> None:
        session.execute("create schema if not exists refloat")
        session.execute(
            "create table if not exists refloat.heartbeat (at timestamptz not null primary key)"
        )

    def _measure(self, session: Session) -> None:
        of = self.following
        row = one(
            session,
            "select clock_timestamp(), pg_current_wal_flush_lsn()::text, (select "
            "flush_lsn::text from pg_stat_replication where application_name = %s limit 1)",
            [slot_of(of.server)],
        )
        now, server_lsn = as_moment(row[0]), str(row[1])
        received = str(row[2]) if row[2] else None
        if now is None:
            return
        self._marks.append((now, server_lsn))
        while self._marks and received and parse_lsn(self._marks[0][1]) <= parse_lsn(received):
            at, self._complete_lsn = self._marks.pop(0)
            self._complete_to = at - _SAFE
        lag = now - self._marks[0][0] if self._marks else timedelta()
        problem = of.problem
        if received is None:
            problem = problem or "no receiver is connected: the archive stands still"
        self._tell(server_lsn, received, problem, lag)
        if received is not None:
            of.problem = ""

    def _tell(
        self,
        server_lsn: str | None,
        received: str | None,
        problem: str,
        lag: timedelta | None = None,
    ) -> None:
        write_record(
            self.following.archive.folder / "status.json",
            ArchiveStatus(
                measured_at=datetime.now(UTC),
                server_lsn=server_lsn,
                received_lsn=received,
                lag=lag,
                complete_to=self._complete_to,
                complete_lsn=self._complete_lsn,
                receiver_pid=self.receiver.daemon.pid,
                problem=problem,
                backup_problem=self.following.backup_problem,
            ),
        )

    def _note_names(self, session: Session) -> None:
        """Note names of relations, for the day one of them is gone; indexes are noted as nameless."""
        rows = session.execute(
            "select (select oid from pg_database where datname = current_database()), c.oid, "
            "c.relfilenode, case when c.relkind in ('r', 'm', 'p') then "
            "n.nspname || '.' || c.relname else '' end from pg_class c "
            "join pg_namespace n on n.oid = c.relnamespace where c.oid >= 16384 "
            "and c.relpersistence <> 't' and c.relkind in ('r', 'm', 'p', 'i', 't', 'I', 'S', 'v', 'c')"
        ).fetchall()
        databases = session.execute("select oid, datname from pg_database").fetchall()
        self._remember("relations-by-oid", {f"{at}/{oid}": str(n) for at, oid, _, n in rows})
        self._remember(
            "relations-by-node", {f"{at}/{node}": str(n) for at, _, node, n in rows if node}
        )
        self._remember("databases", {str(oid): str(name) for oid, name in databases})

    def _remember(self, what: str, seen: dict[str, str]) -> None:
        path = self.following.archive.folder / f"{what}.json"
        known = read_mapping(path)
        if not seen.items() <= known.items():
            write_text(path, json.dumps({**known, **seen}), 0o600)


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
        tail = archive.tail()
        finished = sorted(
            number
            for number, path in tail.items()
            if not path.name.endswith(".partial") and number + 1 in tail
        )
        if not finished:
            return False
        number = finished[0]
        if archive.sealed(number).exists():
            tail[number].unlink()
            return True
        reader = LogReader(archive, self.following.binaries, self.following.master)
        summary = reader.sum_up(number)
        if not summary.read_to_end and not summary.damage:
            if number + 2 not in tail:
                return False  # a record goes on in the next segment, which has not arrived yet
            summary = summary.model_copy(update={"damage": f"breaks off at {summary.last_record}"})
        archive.store(number, tail[number], summary, reader.master)
        return True


class Follower:
    """One followed server: receiver, monitor and sealer together."""

    def __init__(self, following: Following) -> None:
        self.following = following
        self.receiver = Receiver(following)
        self.threads = (Monitor(following, self.receiver), Sealer(following))
        for thread in self.threads:
            thread.start()

    def tick(self, *, current: bool, fenced: bool) -> None:
        """Keep the receiver alive; `current` says whether this server is the one its path means."""
        of = self.following
        of.current, of.fenced = current, fenced
        self.receiver.tick()

    def close(self, *, receiver_too: bool) -> None:
        """End the threads, and the receiver when the server is to be left alone."""
        self.following.stop.set()
        for thread in self.threads:
            thread.join(timeout=10)
        if receiver_too:
            self.receiver.stop()
            with contextlib.suppress(FileNotFoundError):
                (
                    self.following.archive.spool / f"pass-{self.following.resource.connection.user}"
                ).unlink()
