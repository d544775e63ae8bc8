"""The catalog's SQL checks, and the integrity of pages and indexes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
from psycopg import sql

from domain.checks import Finding, SqlAnswer, Verdict
from domain.provider import ReportProgress
from domain.recovery import Progress, RestoreHandle
from domain.resources import Connection, SqlCheck
from providers.postgresql.session import Session, first_line, session
from providers.secrets.references import Secrets

_READS = ("select", "with", "values", "table")


def ask(
    server: RestoreHandle, connection: Connection, secrets: Secrets, check: SqlCheck
) -> SqlAnswer:
    """Return the answer to one statement, run read-only, with its time limit."""
    words = check.query.strip().rstrip(";").split(None, 1)
    if not words or words[0].lower() not in _READS:
        return SqlAnswer(
            text=None, problem="refused: a check begins with select, with, values or table"
        )
    with session(server, connection, secrets) as held:
        try:
            return _ask(held, check)
        except psycopg.errors.ReadOnlySqlTransaction as error:
            return SqlAnswer(
                text=None, problem=f"refused: it would modify data ({first_line(error)})"
            )
        except psycopg.errors.QueryCanceled:
            return SqlAnswer(
                text=None, problem=f"no answer within {check.timeout.total_seconds():g} s"
            )
        except psycopg.Error as error:
            return SqlAnswer(text=None, problem=first_line(error))


def _ask(held: Session, check: SqlCheck) -> SqlAnswer:
    """Run the statement by the extended protocol, which takes one statement and no more."""
    milliseconds = max(1, int(check.timeout.total_seconds() * 1000))
    with held.transaction(force_rollback=True):
        held.execute("set transaction read only")
        held.execute(sql.SQL("set local statement_timeout = {}").format(sql.Literal(milliseconds)))
        statement = check.query.strip().rstrip(";").encode()
        with held.cursor(binary=True) as cursor:
            cursor.execute(statement, prepare=True)
            rows = cursor.fetchmany(2)
    if len(rows) != 1:
        return SqlAnswer(text=None, rows=len(rows))
    value = rows[0][0]
    return SqlAnswer(
        text=None if value is None else str(value), number=_number(value), moment=_moment(value)
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float | Decimal) else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


_TABLES = (
    "select c.oid, n.nspname || '.' || c.relname from pg_class c "
    "join pg_namespace n on n.oid = c.relnamespace "
    "join pg_am a on a.oid = c.relam where a.amname = 'heap' "
    "and c.relkind in ('r', 'm', 't') and c.relpersistence = 'p' order by c.relpages desc"
)
_INDEXES = (
    "select i.indexrelid, n.nspname || '.' || c.relname from pg_index i "
    "join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace "
    "join pg_am a on a.oid = c.relam where a.amname = 'btree' and c.relpersistence = 'p' "
    "and i.indisready and i.indisvalid and c.relkind = 'i' order by c.relpages desc"
)


_DATABASES = (
    "select datname from pg_database where datallowconn and not datistemplate "
    "order by datname <> current_database(), datname"
)


@dataclass
class _Looked:
    """What was looked at in all databases of a server, and what was wrong."""

    tables: int = 0
    indexes: int = 0
    wrong: list[str] = field(default_factory=list)
    problem: str = ""


def integrity(
    server: RestoreHandle, connection: Connection, secrets: Secrets, progress: ReportProgress
) -> Sequence[Finding]:
    """Read every heap page and B-tree of every database, checksums included.

    Leaves nothing behind: `amcheck` is created inside a transaction that is rolled back.
    """
    with session(server, connection, secrets) as held:
        names = [str(name) for (name,) in held.execute(_DATABASES.encode()).fetchall()]
        checksums = held.execute("select current_setting('data_checksums')").fetchone()
    protected = checksums is not None and checksums[0] == "on"
    looked = _Looked()
    for name in names:
        there = connection.model_copy(update={"database": name})
        with session(server, there, secrets) as held:
            _look_at(held, name, looked, progress)
    seen = f"{looked.tables + looked.indexes} relations of {len(names)} databases"
    structure = _finding("heap and B-tree structure", looked, seen)
    return [_page_checksums(looked, protected=protected), structure]


def _look_at(held: Session, name: str, looked: _Looked, progress: ReportProgress) -> None:
    with held.transaction(force_rollback=True):
        try:
            held.execute("create schema refloat_check")
            held.execute("create extension if not exists amcheck schema refloat_check")
        except psycopg.Error as error:
            looked.problem = f"{name}: {first_line(error)}"
            return
        where = held.execute(
            "select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace "
            "where e.extname = 'amcheck'"
        ).fetchone()
        schema = str(where[0]) if where else "public"
        heap, tables = _verify_heap(held, schema, progress)
        trees, indexes = _verify_trees(held, schema, progress)
    looked.tables += tables
    looked.indexes += indexes
    looked.wrong += [f"{name}: {told}" for told in (*heap, *trees)]


def _verify_heap(held: Session, schema: str, progress: ReportProgress) -> tuple[list[str], int]:
    wrong, tables = [], held.execute(_TABLES.encode()).fetchall()
    for oid, name in tables:
        progress(Progress(what=f"check the pages of {name}"))
        try:
            with held.transaction():
                rows = held.execute(
                    sql.SQL("select blkno, msg from {}.verify_heapam(%s::oid) limit 1").format(
                        sql.Identifier(schema)
                    ),
                    [oid],
                ).fetchall()
        except psycopg.Error as error:
            rows = [(None, first_line(error))]
        wrong += [f"{name} block {block}: {message}" for block, message in rows]
    return wrong, len(tables)


def _verify_trees(held: Session, schema: str, progress: ReportProgress) -> tuple[list[str], int]:
    wrong, indexes = [], held.execute(_INDEXES.encode()).fetchall()
    for oid, name in indexes:
        progress(Progress(what=f"check the index {name}"))
        try:
            with held.transaction():
                held.execute(
                    sql.SQL("select {}.bt_index_check(%s::oid::regclass)").format(
                        sql.Identifier(schema)
                    ),
                    [oid],
                )
        except psycopg.Error as error:
            wrong.append(f"{name}: {first_line(error)}")
    return wrong, len(indexes)


def _finding(name: str, looked: _Looked, seen: str) -> Finding:
    if looked.problem:
        observed, verdict = f"amcheck cannot be used: {looked.problem}", Verdict.UNPROVEN
    elif not looked.tables:
        observed, verdict = "there was nothing to look at", Verdict.FAILED
    elif looked.wrong:
        observed, verdict = "; ".join(looked.wrong[:3]), Verdict.FAILED
    else:
        observed, verdict = f"{seen} sound", Verdict.PASSED
    return Finding(
        name=name,
        kind="integrity",
        expected="no damaged tuple, key or link",
        observed=observed,
        verdict=verdict,
        advice="install the amcheck extension" if looked.problem else "",
    )


def _page_checksums(looked: _Looked, *, protected: bool) -> Finding:
    bad = [told for told in looked.wrong if "invalid page" in told or "checksum" in told]
    if not protected:
        observed, verdict = "the cluster was made without page checksums", Verdict.NOT_APPLICABLE
    elif bad:
        observed, verdict = "; ".join(bad[:3]), Verdict.FAILED
    elif looked.problem:
        observed, verdict = "not every page was read, without amcheck", Verdict.UNPROVEN
    elif not looked.tables:
        observed, verdict = "there was nothing to look at", Verdict.FAILED
    else:
        observed, verdict = (
            f"every page of {looked.tables} tables and their indexes read",
            Verdict.PASSED,
        )
    return Finding(
        name="page checksums",
        kind="integrity",
        expected="every page read matches its checksum",
        observed=observed,
        verdict=verdict,
        advice=""
        if protected
        else "turn them on with pg_checksums --enable while the server is down",
    )
