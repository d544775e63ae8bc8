"""Keeps a database of PostgreSQL from taking writes, softly and reversibly."""

import time

import psycopg
from psycopg import sql

from domain.errors import UnsupportedResourceError
from domain.recovery import RestoreHandle
from domain.resources import Connection
from providers.postgresql.session import Session, first_line, session
from providers.secrets.references import Secrets

_PATIENCE = 5.0
_OTHERS = (
    b"select pid from pg_stat_activity where datname = current_database() "
    b"and backend_type = 'client backend' and pid <> pg_backend_pid() and backend_start <= %s"
)


def fence(server: RestoreHandle, connection: Connection, secrets: Secrets, *, fenced: bool) -> None:
    """Make the database read-only for new transactions, or let it take writes again.

    Sessions that began under the other mode are ended, as far as the login may: they would keep
    it. A role with a setting of its own, and a session that asks for it, still write.

    Raises:
        UnsupportedResourceError: the login does not own the database.
    """
    with session(server, connection, secrets, application="refloat-fence") as held:
        held.execute("set default_transaction_read_only = off")  # ours, or a fence could not go
        held.execute("set statement_timeout = '15s'")  # a server that hangs must not hold a cutover
        try:
            held.execute(_statement(connection.database, fenced=fenced))
        except psycopg.errors.InsufficientPrivilege as error:
            raise UnsupportedResourceError(
                f"{server.server}: the database cannot be made read-only ({first_line(error)}); "
                "use the login that owns it"
            ) from None
        _end_others(held)


def _statement(database: str, *, fenced: bool) -> sql.Composed:
    """Return what sets the mode; freeing goes back to whatever the server's own setting is."""
    change = "set default_transaction_read_only = on"
    if not fenced:
        change = "reset default_transaction_read_only"
    return sql.SQL("alter database {} ").format(sql.Identifier(database)) + sql.SQL(change)


def _end_others(held: Session) -> None:
    """End the sessions from before now and wait for their end; those we may not end stay."""
    now = held.execute("select clock_timestamp()").fetchone()
    deadline, spared = time.monotonic() + _PATIENCE, set[object]()
    while time.monotonic() < deadline:
        left = {pid for (pid,) in held.execute(_OTHERS, now).fetchall()} - spared
        if not left:
            return
        for pid in left:
            try:
                held.execute("select pg_terminate_backend(%s)", [pid])
            except psycopg.errors.InsufficientPrivilege:
                spared.add(pid)
        time.sleep(0.02)
