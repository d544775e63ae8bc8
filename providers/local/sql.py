"""Sessions with the servers of this provider, and the few questions that it asks itself."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg

from domain.errors import AccessDeniedError, ProviderUnavailableError, ServerFailedError
from domain.recovery import CommitMark
from domain.resources import Connection
from providers.local.records import Configuration, ServerRecord
from providers.local.wal import tidy_lsn
from providers.secrets.references import Secrets

Session = psycopg.Connection[tuple[object, ...]]

_OWN = (
    "port",
    "listen_addresses",
    "unix_socket_directories",
    "unix_socket_group",
    "unix_socket_permissions",
    "data_directory",
    "config_file",
    "hba_file",
    "ident_file",
    "external_pid_file",
    "archive_mode",
    "archive_command",
    "archive_library",
    "restore_command",
    "primary_conninfo",
    "primary_slot_name",
    "cluster_name",
    "synchronous_standby_names",
    "default_transaction_read_only",
    "logging_collector",
    "log_destination",
    "hot_standby",
    "recovery_init_sync_method",
    "max_stack_depth",
    "max_logical_replication_workers",
    "lc_messages",
    "log_min_messages",
)
"""Settings that belong to one server and are set by its supervisor, never carried over."""


_MAY_BE_SECRET = re.compile(r"\.|secret|passw|token|passphrase|api_?key|credential")
"""Settings that applications define, or whose name says that the value is nobody's business."""


@contextmanager
def connect(
    server: ServerRecord,
    connection: Connection,
    secrets: Secrets,
    timeout: int = 5,
    *,
    replication: bool = False,
) -> Iterator[Session]:
    """Hold an autocommit session with a server, for `replication` one of its replication protocol.

    Raises:
        ProviderUnavailableError: nobody answers, or the server still starts.
        AccessDeniedError: it answers and does not let us in.
    """
    try:
        session = psycopg.connect(
            host=server.host,
            port=server.port,
            dbname=connection.database,
            user=connection.user,
            password=secrets.read(connection.password) if connection.password else None,
            connect_timeout=timeout,
            autocommit=True,
            application_name="refloat",
            client_encoding="UTF8",
            replication="true" if replication else "false",
        )
    except psycopg.OperationalError as error:
        raise _refusal(server, str(error)) from None
    try:
        yield session
    except psycopg.OperationalError as error:
        if is_passing(error):
            raise ProviderUnavailableError(f"{server.name}: {_first(error)}") from None
        raise ServerFailedError(f"{server.name}: {_first(error)}") from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise AccessDeniedError(f"{server.name}: {_first(error)}; see docs/own-server.md") from None
    except psycopg.Error as error:
        raise ServerFailedError(f"{server.name}: {_first(error)}") from None
    finally:
        session.close()


def is_passing(error: psycopg.Error) -> bool:
    """Return whether a failure may go away by itself: a broken connection, a shutdown, a conflict.

    By the classes of PostgreSQL's error codes: 08 connection, 40 conflict, 53 resources, 57P a
    server that stops or starts; no code at all is a connection that broke.
    """
    return error.sqlstate is None or error.sqlstate.startswith(("08", "40", "53", "57P"))


def _first(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _refusal(server: ServerRecord, told: str) -> ProviderUnavailableError | AccessDeniedError:
    line = told.strip().splitlines()[-1] if told.strip() else "no answer"
    denied = (
        "authentication failed",
        "no pg_hba.conf entry",
        "no password supplied",
        "does not exist",
        "permission denied",
        "is not permitted to log in",
    )
    if any(phrase in told for phrase in denied):
        return AccessDeniedError(f"{server.name} at {server.host}:{server.port}: {line}")
    return ProviderUnavailableError(f"{server.name} at {server.host}:{server.port}: {line}")


def one(session: Session, query: str, values: Sequence[object] = ()) -> tuple[object, ...]:
    """Return the only row of `query`."""
    row = session.execute(query.encode(), values or None).fetchone()
    if row is None:
        raise ServerFailedError(f"no row from the server for: {query}")
    return row


def describe_settings(session: Session) -> Configuration:
    """Return the settings that somebody chose, and the rules of pg_hba.conf as text."""
    rows = session.execute(
        "select name, setting from pg_settings where source in "
        "('configuration file', 'database', 'user', 'command line', 'environment variable') "
        "and context <> 'internal'"
    ).fetchall()
    settings = {str(name): str(value) for name, value in rows if name not in _OWN}
    try:
        rules = session.execute(
            "select concat_ws(' ', type, array_to_string(database, ','), "
            "array_to_string(user_name, ','), address, netmask, auth_method, "
            "array_to_string(options, ' ')) from pg_hba_file_rules where error is null "
            "order by line_number"
        ).fetchall()
        outside = session.execute(
            "select name from pg_settings where name in ('config_file', 'hba_file', 'ident_file') "
            "and setting not like current_setting('data_directory') || '/%'"
        ).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return Configuration(settings=settings, hba="")
    return Configuration(
        settings=settings,
        hba="\n".join(str(rule) for (rule,) in rules),
        outside=tuple(str(name) for (name,) in outside),
    )


def shown(name: str, value: str) -> str:
    """Return a setting's value, or that it is not shown where it may be a secret."""
    return "(not shown)" if _MAY_BE_SECRET.search(name) else value


def as_moment(value: object) -> datetime | None:
    """Return a timestamp that the server gave, or None."""
    return value if isinstance(value, datetime) else None


def set_fence(session: Session, *, fenced: bool) -> None:
    """Let a server answer reads only, its clients cut off, or take writes again.

    Soft and reversible: a session of its own may still ask for a read-write transaction.
    """
    row = one(session, "select current_setting('default_transaction_read_only')")
    if (row[0] == "on") == fenced:
        return
    if fenced:
        # what waits for the archive of a server that loses its receiver would hang for ever
        session.execute("alter system reset synchronous_standby_names")
        session.execute("alter system set default_transaction_read_only = on")
    else:
        session.execute("alter system reset default_transaction_read_only")
    session.execute("select pg_reload_conf()")
    session.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where backend_type = 'client backend' and pid <> pg_backend_pid() "
        "and application_name not like 'refloat%'"
    )


def require_synchronous(session: Session, standby: str) -> bool:
    """Make commits wait for the receiver called `standby`; return whether they do.

    Only while it streams: before that, every commit would hang.
    """
    row = one(
        session,
        "select current_setting('synchronous_standby_names'),"
        " bool_or(state = 'streaming'), bool_or(sync_state = 'sync')"
        " from (select 1) as always left join pg_stat_replication on application_name = %s",
        [standby],
    )
    wanted = f'"{standby}"'
    if row[1] and row[0] != wanted:
        session.execute(f"alter system set synchronous_standby_names = '{wanted}'".encode())
        session.execute("select pg_reload_conf()")
    return bool(row[2]) and row[0] == wanted


def last_commit(session: Session) -> CommitMark | None:
    """Return the newest commit of a server, and a position after it, where commits are stamped."""
    if one(session, "select current_setting('track_commit_timestamp')")[0] != "on":
        return None
    row = one(
        session,
        "select xid::text, timestamp, pg_current_wal_lsn()::text from pg_last_committed_xact()",
    )
    at = as_moment(row[1])
    if at is None:
        return None
    return CommitMark(lsn=tidy_lsn(str(row[2])), at=at, xid=int(str(row[0])))
