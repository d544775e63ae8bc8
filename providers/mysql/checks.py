"""The catalog's SQL checks, and the integrity of tables and indexes."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import pymysql

from domain.checks import Finding, SqlAnswer, Verdict
from domain.provider import ReportProgress
from domain.recovery import Progress, RestoreHandle
from domain.resources import Connection, SqlCheck
from providers.mysql.session import LOST, Row, Session, code_of, first_line, limit, quoted, session
from providers.secrets.references import Secrets

_READS = ("select", "with", "values", "table")
_TO_FILE = re.compile(r"\b(?:outfile|dumpfile)\b", re.IGNORECASE)
_READ_ONLY = 1792
_TIMED_OUT = {1317, 1969, 3024}  # interrupted, MariaDB's limit, MySQL's limit
_GRACE = 5.0
_SYSTEM = ("information_schema", "performance_schema", "mysql", "sys")
_TABLES = (
    "select table_schema, table_name from information_schema.tables "
    "where table_type in ('BASE TABLE', 'SYSTEM VERSIONED') and table_schema not in %s "
    "order by data_length + index_length desc, 1, 2"
)
_SOUND = {"ok", "table is already up to date"}
_UNCHECKABLE = "doesn't support check"


def ask(
    server: RestoreHandle, connection: Connection, secrets: Secrets, check: SqlCheck
) -> SqlAnswer:
    """Return the answer to one statement, run read-only, with its time limit."""
    statement = check.query.strip().rstrip(";")
    refusal = _refusal(statement)
    if refusal:
        return SqlAnswer(text=None, problem=f"refused: {refusal}")
    seconds = max(0.001, check.timeout.total_seconds())
    with session(server, connection, secrets) as held:
        began = time.monotonic()
        try:
            answer = _ask(held, statement, seconds)
        except pymysql.Error as error:
            answer = _problem(error, late=time.monotonic() - began >= seconds)
        # a pause that the server cut short is no error there, but an answer
        if time.monotonic() - began >= seconds:
            return SqlAnswer(text=None, problem=f"no answer within {seconds:g} s")
        return answer


def _refusal(statement: str) -> str:
    """Return why a statement is not even tried, or nothing."""
    words = statement.split(None, 1)
    if not words or words[0].lower() not in _READS:
        return "a check begins with select, with, values or table"
    if _TO_FILE.search(statement):
        return "it would write a file on the server"
    return ""


def _ask(held: Session, statement: str, seconds: float) -> SqlAnswer:
    """Run the statement; the protocol takes one and no more, because we never allow several."""
    limit(held, seconds)
    held.rows("set session sql_select_limit = 2")  # one more than a check may return
    held.rows("start transaction read only")
    held.wait_at_most(seconds + _GRACE)  # the limit does not reach into everything
    rows = held.rows(statement)
    if len(rows) != 1:
        return SqlAnswer(text=None, rows=len(rows))
    if len(rows[0]) != 1:
        return SqlAnswer(
            text=None, problem=f"{len(rows[0])} columns; a check returns exactly one value"
        )
    value = rows[0][0]
    return SqlAnswer(text=_text(value), number=_number(value), moment=_moment(value))


def _problem(error: pymysql.Error, *, late: bool) -> SqlAnswer:
    """Return what the server said of the statement; a connection that broke is no such thing."""
    code = code_of(error)
    if code == _READ_ONLY:
        problem = f"refused: it would modify data ({first_line(error)})"
    elif code in LOST and not late:
        raise error
    elif code in _TIMED_OUT:
        problem = "no answer in time: the server ended it"
    else:
        problem = first_line(error)
    return SqlAnswer(text=None, problem=problem)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return None if value is None else str(value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float | Decimal) else None


def _moment(value: object) -> datetime | None:
    """Return a moment; the session is in UTC, and what has no zone is taken to be."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None


@dataclass
class _Looked:
    """What was looked at in all databases of a server, and what was wrong."""

    tables: int = 0
    databases: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def integrity(
    server: RestoreHandle, connection: Connection, secrets: Secrets, progress: ReportProgress
) -> Sequence[Finding]:
    """Read every page and index entry of every table that the login may read.

    `CHECK TABLE` changes no data and is not in the binary log.
    """
    looked = _Looked()
    with session(server, connection, secrets) as held:
        limit(held, 0)
        algorithm = held.rows("show global variables like 'innodb_checksum_algorithm'")
        for schema, table in held.rows(_TABLES, _SYSTEM):
            progress(Progress(what=f"check {schema}.{table}"))
            _look_at(held, str(schema), str(table), looked)
    protected = not algorithm or str(algorithm[0][1]).lower() not in {"none", "strict_none"}
    return [_page_checksums(looked, protected=protected), _structure(looked)]


def _look_at(held: Session, schema: str, table: str, looked: _Looked) -> None:
    """Check one table; a broken one is told, and the next is looked at."""
    name = f"{schema}.{table}"
    try:
        told = held.rows(f"check table {quoted(schema, table)} extended")
    except pymysql.Error as error:
        if code_of(error) in LOST:
            raise
        looked.wrong.append(f"{name}: {first_line(error)}")
        return
    looked.tables += 1
    looked.databases.add(schema)
    if any(_UNCHECKABLE in str(row[3]).lower() for row in told):
        looked.unknown.append(name)
    elif not _is_sound(told):
        looked.wrong.append(f"{name}: {_worst(told)}")


def _is_sound(told: Sequence[Row]) -> bool:
    """Return whether a check ended well; its warnings are of rows that wait to be purged."""
    kinds = [str(row[2]).lower() for row in told]
    return bool(told) and "error" not in kinds and str(told[-1][3]).lower() in _SOUND


def _worst(told: Sequence[Row]) -> str:
    said = [str(row[3]) for row in told if str(row[2]).lower() in {"error", "warning"}]
    return "; ".join(said[:2]) or (str(told[-1][3]) if told else "no answer")


def _structure(looked: _Looked) -> Finding:
    if looked.wrong:
        observed, verdict = "; ".join(looked.wrong[:3]), Verdict.FAILED
    elif not looked.tables:
        observed, verdict = "there was nothing to look at", Verdict.FAILED
    elif looked.unknown:
        observed = f"engines without a check: {', '.join(looked.unknown[:3])}"
        verdict = Verdict.UNPROVEN
    else:
        observed = f"{looked.tables} tables of {len(looked.databases)} databases sound"
        verdict = Verdict.PASSED
    return Finding(
        name="table and index structure",
        kind="integrity",
        expected="no damaged page, key or link",
        observed=observed,
        verdict=verdict,
    )


def _page_checksums(looked: _Looked, *, protected: bool) -> Finding:
    if not protected:
        observed, verdict = "the server writes pages without checksums", Verdict.NOT_APPLICABLE
    elif looked.wrong:
        observed, verdict = f"{len(looked.wrong)} tables could not be read whole", Verdict.FAILED
    elif not looked.tables:
        observed, verdict = "there was nothing to look at", Verdict.FAILED
    else:
        observed, verdict = f"every page of {looked.tables} tables read", Verdict.PASSED
    return Finding(
        name="page checksums",
        kind="integrity",
        expected="every page read matches its checksum",
        observed=observed,
        verdict=verdict,
        advice="" if protected else "set innodb_checksum_algorithm to crc32 or stricter",
    )
