"""Beats once a second, measures how far an archive follows its server, and holds it to its duties."""

import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta

from domain.errors import RecoveryError
from domain.resources import Durability
from providers.local.layout import read_mapping, write_record, write_text
from providers.local.receiver import Following, Receiver, slot_of
from providers.local.records import ArchiveStatus
from providers.local.sql import (
    Session,
    as_moment,
    connect,
    one,
    require_synchronous,
    set_fence,
)
from providers.local.wal import parse_lsn

BEAT = 0.7
_LOG = logging.getLogger("refloat.monitor")
_SAFE = timedelta(seconds=1)
_GIVEN_UP = timedelta(seconds=60)  # a receiver that confirmed nothing for so long is started anew
_KEPT_BEATS = timedelta(minutes=15)

_BEAT_SQL = b"insert into refloat.heartbeat (at) values (clock_timestamp())"


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
        of.stalled = received is not None and lag > _GIVEN_UP
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
