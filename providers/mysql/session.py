"""Sessions with a restored or live MySQL or MariaDB, their failures named."""

import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import pymysql
from pymysql.connections import Connection as Wire

from domain.errors import (
    AccessDeniedError,
    ProviderUnavailableError,
    RecoveryError,
    ServerFailedError,
    UntrustedServerError,
)
from domain.recovery import RestoreHandle, Tls
from domain.resources import Connection
from providers.secrets.references import Secrets

_GREETS_WITHIN = 10.0
_TRUST = "name the file with the provider's certificates as `ca` of the provider in the catalog"
_NO_TLS = 2026
_NO_SUCH_SETTING = 1193
NO_PRIVILEGE = frozenset({1142, 1143, 1227, 1370})  # on a table, a column, globally, on a routine
_DENIED = NO_PRIVILEGE | {
    *(1044, 1045, 1049, 1129, 1130, 1251, 1698, 1820, 1862, 2054, 2059, 2061),
    *(3118, 3159, 4151),  # the account is locked, and a server that wants TLS
}
LOST = frozenset({0, 1053, 1077, 1927, 2002, 2003, 2006, 2013, 2055})
LOCKED = 1205
_PASSING = LOST | {LOCKED, 1040, 1041, 1135, 1203, 1213, 1226, 1317, 1412, 3032, 3168}
Row: TypeAlias = tuple[Any, ...]


class Session(Wire):
    """A connection that is bounded while it begins, and afterwards only where somebody asks."""

    def connect(self, sock: Any = None) -> None:  # noqa: ANN401 - whatever the driver takes
        """Connect; a server that takes connections and never greets is given up."""
        super().connect(sock)
        self.wait_at_most(None)

    def wait_at_most(self, seconds: float | None) -> None:
        """Give up on an answer that takes longer."""
        self._read_timeout = seconds

    def rows(self, statement: str, *values: object) -> tuple[Row, ...]:
        """Return what one statement returns."""
        with self.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall()

    def one(self, statement: str, *values: object) -> Row:
        """Return the one row of a statement."""
        return self.rows(statement, *values)[0]


@contextmanager
def session(
    server: RestoreHandle,
    connection: Connection,
    secrets: Secrets,
    *,
    application: str = "refloat-checks",
) -> Iterator[Session]:
    """Hold an autocommit session in UTC.

    Raises:
        ProviderUnavailableError: nobody answers.
        AccessDeniedError: it answers and does not let us in.
        UntrustedServerError: it cannot prove who it is.
        ServerFailedError: it answered with an error that nobody expected.
    """
    trusted = _trusted(server)
    password = secrets.read(connection.password) if connection.password else ""
    try:
        held = Session(
            host=server.host,
            port=server.port,
            user=connection.user,
            password=password.encode(),  # text would be sent as latin-1
            database=connection.database,
            charset="utf8mb4",
            autocommit=True,
            init_command="set time_zone = '+00:00'",
            connect_timeout=5,
            read_timeout=_GREETS_WITHIN,
            program_name=application,
            ssl=trusted,
            ssl_disabled=trusted is None,
        )
    except pymysql.Error as error:
        raise named(server, error) from None
    except (struct.error, IndexError):  # the driver reads whatever greets it
        raise ServerFailedError(f"{server.server}: no MySQL answers at {server.address}") from None
    try:
        yield held
    except pymysql.Error as error:
        raise named(server, error) from None
    finally:
        with suppress(pymysql.Error):  # a connection that broke is closed already
            held.close()


def _trusted(server: RestoreHandle) -> ssl.SSLContext | None:
    """Return what requires TLS and verifies the server; None for our own, in plaintext.

    Raises:
        UntrustedServerError: the certificates to trust cannot be read.
    """
    tls: Tls | None = server.tls
    if tls is None:
        return None
    try:
        made = ssl.create_default_context(cafile=tls.ca_file or None, cadata=tls.ca or None)
    except OSError as error:
        what = tls.ca_file or "its certificates"
        raise UntrustedServerError(f"{server.server}: {what}: {error.strerror}; {_TRUST}") from None
    # newer Pythons refuse the plain certificates that some clouds still sign with
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    made.check_hostname = tls.verify == "full" or not (tls.ca or tls.ca_file)
    return made


def named(server: RestoreHandle, error: pymysql.Error) -> RecoveryError:
    """Return the domain's error for one of the driver's."""
    line, code = f"{server.server}: {first_line(error)}", code_of(error)
    if isinstance(getattr(error, "original_exception", None), ssl.SSLCertVerificationError):
        return UntrustedServerError(f"{line}; {_TRUST}")
    if code == _NO_TLS:
        return UntrustedServerError(f"{line}; turn TLS on there, nothing is sent without it")
    if code in _DENIED:
        return AccessDeniedError(line)
    if code in _PASSING:
        return ProviderUnavailableError(line)
    return ServerFailedError(line)


def code_of(error: pymysql.Error) -> int:
    """Return the server's or the driver's number of an error; 0 for a closed connection."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def first_line(error: pymysql.Error) -> str:
    """Return the first line of what the server said."""
    told = str(error.args[-1]).strip() if error.args else ""
    return next(iter(told.splitlines()), type(error).__name__)


def quoted(*names: object) -> str:
    """Return a name of SQL, such as of a table in a database, as it is written."""
    return ".".join("`" + str(name).replace("`", "``") + "`" for name in names)


def limit(held: Session, seconds: float) -> None:
    """Let the server end the session's statements after a time; 0 lets them take any."""
    try:
        held.rows("set session max_execution_time = %s", round(seconds * 1000))
    except pymysql.Error as error:
        if code_of(error) != _NO_SUCH_SETTING:
            raise
        held.rows("set session max_statement_time = %s", seconds)  # MariaDB's name, in seconds
