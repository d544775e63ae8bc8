"""Keeps a database of MySQL or MariaDB from taking writes, softly and reversibly."""

import pymysql

from domain.errors import UnsupportedResourceError
from domain.recovery import RestoreHandle
from domain.resources import Connection
from providers.mysql.session import (
    LOCKED,
    NO_PRIVILEGE,
    Session,
    code_of,
    first_line,
    quoted,
    session,
)
from providers.secrets.references import Secrets

_PATIENCE = 5  # seconds that transactions which run now may take to end
_UNKNOWN = 1064  # to every MariaDB, and to MySQL before 8.0.22
_UNABLE = NO_PRIVILEGE | {1044, _UNKNOWN}
_STAYS = NO_PRIVILEGE | {1094, 1095}  # it is gone already, or somebody else's
_OTHERS = (
    "select id from information_schema.processlist "
    "where db = database() and id <> connection_id() and command <> 'Daemon'"
)


def fence(server: RestoreHandle, connection: Connection, secrets: Secrets, *, fenced: bool) -> None:
    """Make the database read-only for every session, or let it take writes again.

    `ALTER DATABASE … READ ONLY` of MySQL 8.0.22 asks for no more than the right to alter the
    database, holds over restarts, and stops administrators too; sessions stay and go on reading.
    Nothing else that a login without SUPER may do is as harmless: locked accounts shut readers
    out, and revoked rights have to be given back one by one.

    Raises:
        UnsupportedResourceError: the server does not know it, or the login may not do it.
        ProviderUnavailableError: a transaction that runs now does not end.
    """
    with session(server, connection, secrets, application="refloat-fence") as held:
        held.rows("set session lock_wait_timeout = %s", _PATIENCE)
        try:
            _set(held, connection.database, fenced=fenced)
        except pymysql.Error as error:
            if code_of(error) not in _UNABLE:
                raise
            raise UnsupportedResourceError(
                f"{server.server}: the database cannot be made read-only by SQL "
                f"({first_line(error)}); that takes MySQL 8.0.22 and the right to alter it"
            ) from None


def _set(held: Session, database: str, *, fenced: bool) -> None:
    """Set the mode of the database; who holds it up for long is ended, and it is tried again."""
    statement = f"alter database {quoted(database)} read only = {int(fenced)}"
    try:
        held.rows(statement)
    except pymysql.Error as error:
        if code_of(error) != LOCKED:
            raise
        end_others(held)
        held.rows(statement)


def end_others(held: Session) -> None:
    """End the other sessions of the database, as far as the login may."""
    for (session_id,) in held.rows(_OTHERS):
        try:
            held.rows("kill %s", session_id)
        except pymysql.Error as error:
            if code_of(error) not in _STAYS:
                raise
