"""Proof points: content hashes of every table at one LSN; and proof of the point a restore reached."""

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql
from psycopg.pq.abc import PGconn

from domain.checks import (
    Finding,
    ProofPoint,
    TableContent,
    Verdict,
    judge_heartbeat,
    judge_reached,
)
from domain.errors import ProviderUnavailableError, UnsupportedResourceError
from domain.provider import ReportProgress
from domain.recovery import Progress, RecoveryPoint, RestoredResource, RestoreHandle
from domain.resources import Connection
from domain.values import show_time
from providers.postgresql.session import Session, first_line, session
from providers.secrets.references import Secrets

_SLOT = "refloat_proof"
_PATIENCE = 60.0
_TABLES = (
    "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
    "where c.relkind in ('r', 'm') and c.relpersistence = 'p' and n.nspname not in "
    "('pg_catalog', 'information_schema') and n.nspname not like 'pg_toast%' order by 1, 2"
)
_FORMS = (
    "set local datestyle = 'ISO'",
    "set local intervalstyle = 'postgres'",
    "set local timezone = 'UTC'",
    "set local extra_float_digits = 3",
    "set local bytea_output = 'hex'",
    "set local statement_timeout = 0",
    "set local search_path = pg_catalog",
)


def take_proof(
    server: RestoreHandle, connection: Connection, secrets: Secrets, progress: ReportProgress
) -> ProofPoint:
    """Hash every table under a snapshot exported together with its LSN; writers go on.

    A temporary logical slot gives both at one instant, which needs `wal_level = logical`. A
    managed server's log cannot be read, so its proof has a time and no LSN.

    Raises:
        UnsupportedResourceError: the wal_level of a server of our own is lower.
    """
    if server.tls is not None:
        with open_content(server, connection, secrets) as held:
            return content(held, connection.database, "", progress, hashed=True)
    with session(server, connection, secrets) as held:
        level = held.execute("select current_setting('wal_level')").fetchone()
        if level is None or level[0] != "logical":
            raise UnsupportedResourceError(
                f"{server.server}: a proof point needs wal_level = logical (it is "
                f"{level[0] if level else 'unknown'}); set it and restart the server"
            )
        return _hash_exported(held, server, connection, secrets, progress)


def _hash_exported(
    held: Session,
    server: RestoreHandle,
    connection: Connection,
    secrets: Secrets,
    progress: ReportProgress,
) -> ProofPoint:
    wire = psycopg.pq.PGconn.connect(_replication(server, connection, secrets).encode())
    try:
        if wire.status != psycopg.pq.ConnStatus.OK:
            told = wire.error_message.decode(errors="replace").strip()
            raise ProviderUnavailableError(f"{server.server}: {told}")
        lsn, snapshot = _export(wire, held, server, progress)
        with held.transaction():
            held.execute("set transaction isolation level repeatable read, read only")
            held.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot)))
            tables = _hash_all(held, progress)
    finally:
        wire.finish()
    return ProofPoint(
        lsn=lsn, taken_at=datetime.now(UTC), database=connection.database, tables=tables
    )


def _export(
    wire: PGconn, held: Session, server: RestoreHandle, progress: ReportProgress
) -> tuple[str, str]:
    """Return an LSN and a snapshot of the same instant; waits for transactions that run now.

    Raises:
        UnsupportedResourceError: one of them runs on for longer than a minute.
    """
    name = f"{_SLOT}_{wire.backend_pid}"
    wire.send_query(
        f"CREATE_REPLICATION_SLOT {name} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')".encode()
    )
    deadline = time.monotonic() + _PATIENCE
    try:
        while wire.is_busy():
            progress(Progress(what="wait for the transactions that run now, for a proof point"))
            if time.monotonic() > deadline:
                break
            select.select([wire.socket], [], [], 0.5)
            wire.consume_input()
    finally:
        if wire.is_busy():
            wire.get_cancel().cancel()
    if wire.is_busy():
        raise UnsupportedResourceError(
            f"{server.server}: no proof point, because {_oldest(held)}; end it and ask again"
        )
    made = wire.get_result()
    lsn, snapshot = (made.get_value(0, 1), made.get_value(0, 2)) if made else (None, None)
    if lsn is None or snapshot is None:
        told = wire.error_message.decode(errors="replace").strip()
        raise ProviderUnavailableError(f"{server.server}: no exported snapshot: {told}")
    return lsn.decode(), snapshot.decode()


def _oldest(held: Session) -> str:
    row = held.execute(
        "select pid, usename, application_name, xact_start from pg_stat_activity "
        "where backend_xid is not null and pid <> pg_backend_pid() order by xact_start limit 1"
    ).fetchone()
    if row is None or not isinstance(row[3], datetime):
        return "a transaction does not end"
    return f"a transaction of {row[1]} ({row[2]}, process {row[0]}) runs since {show_time(row[3])}"


def _replication(server: RestoreHandle, connection: Connection, secrets: Secrets) -> str:
    return psycopg.conninfo.make_conninfo(
        host=server.host,
        port=server.port,
        dbname=connection.database,
        user=connection.user,
        password=secrets.read(connection.password) if connection.password else None,
        connect_timeout=5,
        replication="database",
        application_name="refloat-proof",
    )


def _hash_all(held: Session, progress: ReportProgress) -> tuple[TableContent, ...]:
    for form in _FORMS:
        held.execute(form.encode())
    found = []
    for schema, table in held.execute(_TABLES.encode()).fetchall():
        progress(Progress(what=f"hash {schema}.{table}"))
        row = held.execute(
            sql.SQL(
                # an alias that no column has, or only that column would be hashed
                "select count(*), coalesce(sum(hashtextextended(refloat_row_::text, 0)::numeric), "
                "0)::text from only {} as refloat_row_"
            ).format(sql.Identifier(str(schema), str(table)))
        ).fetchone()
        if row is not None:
            found.append(
                TableContent(table=f"{schema}.{table}", rows=int(str(row[0])), digest=str(row[1]))
            )
    return tuple(found)


@contextmanager
def open_content(
    server: RestoreHandle, connection: Connection, secrets: Secrets
) -> Iterator[Session]:
    """Hold a session that sees one unchanging state of the data."""
    with session(server, connection, secrets) as held, held.transaction():
        held.execute("set transaction isolation level repeatable read, read only")
        yield held


def content(
    held: Session, database: str, lsn: str, progress: ReportProgress, *, hashed: bool
) -> ProofPoint:
    """Count, and when `hashed` also hash, every table.

    Without an LSN the instants are not the same, so Refloat's own table, which changes every second,
    tells nothing and is left out.
    """
    tables = _hash_all(held, progress) if hashed else _count_all(held, progress)
    if not lsn:
        tables = tuple(one for one in tables if one.table != "refloat.heartbeat")
    return ProofPoint(lsn=lsn, taken_at=datetime.now(UTC), database=database, tables=tables)


def _count_all(held: Session, progress: ReportProgress) -> tuple[TableContent, ...]:
    found = []
    for schema, table in held.execute(_TABLES.encode()).fetchall():
        progress(Progress(what=f"count {schema}.{table}"))
        row = held.execute(
            sql.SQL("select count(*) from only {}").format(sql.Identifier(str(schema), str(table)))
        ).fetchone()
        rows = int(str(row[0])) if row else 0
        found.append(TableContent(table=f"{schema}.{table}", rows=rows, digest=""))
    return tuple(found)


def _position(lsn: str) -> int:
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def point_reached(
    restored: RestoredResource,
    point: RecoveryPoint,
    connection: Connection,
    table: str | None,
    secrets: Secrets,
) -> Sequence[Finding]:
    """Return the proofs that the point was reached and not passed, from log and data."""
    if point.at is not None:
        return [_reached(restored, point, point.at, connection, table, secrets)]
    with session(restored.handle, connection, secrets) as held:
        tracked = held.execute("select current_setting('track_commit_timestamp')").fetchone()
        is_tracked = bool(tracked and tracked[0] == "on")
        present = _last_is_present(held, restored, point, tracked=is_tracked)
        absent = _first_after_is_absent(held, restored, point, tracked=is_tracked)
        beat = [_heartbeat(held, point, table)] if table else []
    return [present, absent, *beat]


def _reached(
    restored: RestoredResource,
    point: RecoveryPoint,
    at: datetime,
    connection: Connection,
    table: str | None,
    secrets: Secrets,
) -> Finding:
    """Return the proof for a server whose log nobody reads: its heartbeat, else its last commit.

    What Refloat itself commits on the copy comes later than the point, so the last commit is only
    believed where it is older than the copy.
    """
    with session(restored.handle, connection, secrets) as held:
        beat = _newest_beat(held, table) if table else None
        last = None if beat else _last_commit(held)
    if beat or not last or last > (restored.handle.began_at or restored.ready_at):
        return judge_reached(at, point.granularity, beat, "heartbeat")
    return judge_reached(at, point.granularity, last, "last transaction")


def _newest_beat(held: Session, table: str) -> datetime | None:
    schema, _, name = table.partition(".")
    try:
        row = held.execute(
            sql.SQL("select max(at) from {}").format(sql.Identifier(schema, name))
        ).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return row[0].astimezone(UTC) if row and isinstance(row[0], datetime) else None


def _last_commit(held: Session) -> datetime | None:
    try:
        row = held.execute("select timestamp from pg_last_committed_xact()").fetchone()
    except psycopg.Error:  # the server does not stamp its commits
        return None
    return row[0].astimezone(UTC) if row and isinstance(row[0], datetime) else None


def _last_is_present(
    held: Session, restored: RestoredResource, point: RecoveryPoint, *, tracked: bool
) -> Finding:
    last = point.last_commit
    if last is None:
        expected, observed = (
            "a commit before the point",
            "the archive names none since the base backup",
        )
        at = restored.last_replayed_commit_at
        good = at is not None or _position(restored.replayed_to) >= 0
        verdict = Verdict.UNPROVEN if good else Verdict.FAILED
    else:
        expected = f"commit of transaction {last.xid} at {show_time(last.at)} ({last.lsn})"
        status, stamped = _commit_status(held, last.xid, tracked=tracked)
        replayed = restored.last_replayed_commit_at
        seen = (
            f"stamped {show_time(stamped)}"
            if stamped
            else f"last replayed commit {show_time(replayed) if replayed else 'none'}"
        )
        observed = f"transaction {last.xid} is {status or 'unknown'}, {seen}"
        near = replayed is not None and replayed >= last.at - timedelta(milliseconds=5)
        # a stop after a record leaves the time of the last replayed commit at the one before it
        same = stamped == last.at if stamped is not None else near or point.inclusive
        verdict = Verdict.PASSED if status == "committed" and same else Verdict.FAILED
    return Finding(
        name="last commit before the point is present",
        kind="point",
        expected=expected,
        observed=observed,
        verdict=verdict,
    )


def _commit_status(held: Session, xid: int, *, tracked: bool) -> tuple[str | None, datetime | None]:
    """Return what the restored commit log says of a 32-bit transaction id, near the present epoch."""
    try:
        row = held.execute(
            "select pg_xact_status((((pg_snapshot_xmax(pg_current_snapshot())::text::bigint >> 32) << 32) "
            "+ %s)::text::xid8)",
            [xid],
        ).fetchone()
        stamped = (
            held.execute("select pg_xact_commit_timestamp(%s::text::xid)", [xid]).fetchone()
            if tracked
            else None
        )
    except psycopg.errors.InvalidParameterValue:
        return None, None  # a transaction of the future: it never happened here
    moment = stamped[0] if stamped else None
    return (
        str(row[0]) if row and row[0] is not None else None,
        moment.astimezone(UTC) if isinstance(moment, datetime) else None,
    )


def _first_after_is_absent(
    held: Session, restored: RestoredResource, point: RecoveryPoint, *, tracked: bool
) -> Finding:
    first = point.first_after
    stop, replayed = _position(point.lsn), _position(restored.replayed_to)
    passed = replayed > stop if not point.inclusive else False
    if first is None:
        expected, observed = "no commit after the point in the archive", "none is known"
    else:
        expected = f"transaction {first.xid} of {show_time(first.at)} ({first.lsn}) not replayed"
        observed = f"replay ended at {restored.replayed_to}: {restored.stopped_because}"
        status, stamped = _commit_status(held, first.xid, tracked=tracked)
        if status == "committed" and stamped is not None and stamped == first.at:
            passed = True
            observed = f"transaction {first.xid} IS committed in the restored data"
    return Finding(
        name="first commit after the point is absent",
        kind="point",
        expected=expected,
        observed=observed,
        verdict=Verdict.FAILED if passed else Verdict.PASSED,
    )


def _heartbeat(held: Session, point: RecoveryPoint, table: str) -> Finding:
    schema, _, name = table.partition(".")
    try:
        row = held.execute(
            sql.SQL("select max(at) from {}").format(sql.Identifier(schema, name))
        ).fetchone()
    except psycopg.Error as error:
        return Finding(
            name="heartbeat",
            kind="heartbeat",
            expected=f"rows in {table}",
            observed=first_line(error),
            verdict=Verdict.FAILED,
        )
    newest = row[0] if row else None
    return judge_heartbeat(point.time, newest if isinstance(newest, datetime) else None)
