"""Proof points: content hashes of every table in one snapshot; and proof of the point reached."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pymysql

from domain.checks import Finding, ProofPoint, TableContent, judge_reached
from domain.errors import ServerFailedError
from domain.provider import ReportProgress
from domain.recovery import Progress, RecoveryPoint, RestoredResource, RestoreHandle
from domain.resources import Connection
from providers.mysql.session import NO_PRIVILEGE, Session, code_of, limit, quoted, session
from providers.secrets.references import Secrets

_NONE_THERE = NO_PRIVILEGE | {1044, 1049, 1146}  # who may not read learns no more than "denied"
_TABLES = (
    "select table_name from information_schema.tables where table_schema = database() "
    "and table_type in ('BASE TABLE', 'SYSTEM VERSIONED') "
    "and coalesce(engine, '') not in ('MEMORY', 'BLACKHOLE', 'FEDERATED') order by 1"
)
_COLUMNS = (
    "select column_name, lower(data_type) from information_schema.columns "
    "where table_schema = database() and table_name = %s order by ordinal_position"
)
_FORMS = (
    "set session sql_mode = ''",  # some modes change how a value is written
    "set session transaction isolation level repeatable read",
)
_LARGE = {
    *("tinytext", "text", "mediumtext", "longtext", "tinyblob", "blob", "mediumblob", "longblob"),
}
_SHAPES = {
    *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring"),
    *("multipolygon", "geometrycollection", "geomcollection"),
}
_NO_HASH = 10**40  # more than all sums of 64 bits: stands for a row that could not be hashed


def take_proof(
    server: RestoreHandle, connection: Connection, secrets: Secrets, progress: ReportProgress
) -> ProofPoint:
    """Hash every table of the connection's database in one snapshot; writers go on.

    What stands for the LSN is the place in the binary log, where MariaDB tells it with the
    snapshot; MySQL cannot tell both at one instant, so nothing stands for it there.
    """
    with open_content(server, connection, secrets) as held:
        return content(held, connection.database, _place(held), progress, hashed=True)


@contextmanager
def open_content(
    server: RestoreHandle, connection: Connection, secrets: Secrets
) -> Iterator[Session]:
    """Hold a session that sees one unchanging state of all tables of engines with transactions."""
    with session(server, connection, secrets) as held:
        limit(held, 0)
        for form in _FORMS:
            held.rows(form)
        held.rows("start transaction with consistent snapshot, read only")
        yield held


def _place(held: Session) -> str:
    told = held.rows("show status like 'binlog_snapshot_%'")
    known = {str(name).lower(): str(value) for name, value in told}
    file = known.get("binlog_snapshot_file", "")
    return f"{file}:{known.get('binlog_snapshot_position', '')}" if file else ""


def content(
    held: Session, database: str, lsn: str, progress: ReportProgress, *, hashed: bool
) -> ProofPoint:
    """Count, and when `hashed` also hash, every table."""
    taken_at = held.one("select utc_timestamp(6)")[0].replace(tzinfo=UTC)
    tables = []
    for (table,) in held.rows(_TABLES):
        progress(Progress(what=f"{'hash' if hashed else 'count'} {database}.{table}"))
        rows, digest = _hash(held, str(table)) if hashed else _count(held, str(table))
        tables.append(TableContent(table=f"{database}.{table}", rows=rows, digest=digest))
    return ProofPoint(lsn=lsn, taken_at=taken_at, database=database, tables=tuple(tables))


def _count(held: Session, table: str) -> tuple[int, str]:
    counted = held.one(f"select count(*) from {quoted(table)}")  # noqa: S608 - the name is quoted
    return int(counted[0]), ""


def _hash(held: Session, table: str) -> tuple[int, str]:
    """Return the rows of a table, and the sum of the first 64 bits of each row's MD5.

    Raises:
        ServerFailedError: the table is broken, or a row too large for the server to hash.
    """
    columns = held.rows(_COLUMNS, table)
    if not columns:
        raise ServerFailedError(f"{table}: the server cannot tell its columns; it is damaged")
    row = ", ".join(_written(quoted(name), str(kind)) for name, kind in columns)
    first_half = f"cast(conv(left(md5(concat({row})), 16), 16, 10) as unsigned)"
    rows, total = held.one(
        f"select count(*), coalesce(sum(coalesce({first_half}, {_NO_HASH})), 0) "  # noqa: S608 - as above
        f"from {quoted(table)}"
    )
    if int(total) >= _NO_HASH:
        raise ServerFailedError(
            f"{table}: a row is larger than max_allowed_packet of the server, and cannot be hashed"
        )
    return int(rows), str(int(total))


def _written(column: str, kind: str) -> str:
    """Return the expression of a value as bytes that tell it from every other, NULL included."""
    if kind in _LARGE or kind in _SHAPES or kind == "json":
        text = f"hex({column})" if kind in _SHAPES else column
        text = f"cast({column} as char)" if kind == "json" else text
        return f"if({column} is null, 'N', concat('V', md5({text})))"
    exact = f"({column} + 0e0)" if kind in {"float", "double"} else column  # else six digits
    value = f"cast({exact} as binary)"
    return f"if({column} is null, 'N', concat(length({value}), ':', {value}))"


def point_reached(
    restored: RestoredResource,
    point: RecoveryPoint,
    connection: Connection,
    table: str | None,
    secrets: Secrets,
) -> Sequence[Finding]:
    """Return the proof that the point was reached and not passed: the newest heartbeat.

    Nothing else in a MySQL tells when it committed last, so without a heartbeat it is unproven.
    """
    at = point.at or point.time
    with session(restored.handle, connection, secrets) as held:
        beat = _newest_beat(held, table) if table and at else None
    return [judge_reached(at or restored.ready_at, point.granularity, beat, "heartbeat")]


def _newest_beat(held: Session, table: str) -> datetime | None:
    named = quoted(*table.split(".", 1))
    try:
        newest = held.one(f"select max(`at`) from {named}")[0]  # noqa: S608 - as above
    except pymysql.Error as error:
        if code_of(error) in _NONE_THERE:
            return None
        raise
    return newest.replace(tzinfo=UTC) if isinstance(newest, datetime) else None
