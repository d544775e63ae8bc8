"""Sessions with a restored or live server, their failures named."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from domain.errors import (
    AccessDeniedError,
    ProviderUnavailableError,
    ServerFailedError,
    UntrustedServerError,
)
from domain.recovery import RestoreHandle, Tls
from domain.resources import Connection
from providers.secrets.references import Secrets

_PASSING = ("08", "40", "53", "57P")  # connection, conflict, resources, a server that stops
_TRUST = "name the file with the provider's certificates as `ca` of the provider in the catalog"
_UNTRUSTED = ("certificate verify failed", "server certificate", "root certificate")
Session = psycopg.Connection[tuple[object, ...]]


@contextmanager
def certificates(tls: Tls | None) -> Iterator[dict[str, str]]:
    """Hold the arguments by which libpq requires TLS and verifies the server; none for our own."""
    if tls is None:
        yield {}
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as held:
        held.write(tls.ca)
        held.flush()
        root = held.name if tls.ca else tls.ca_file or "system"
        # libpq takes the system's certificates only together with the name
        mode = "verify-ca" if tls.verify == "ca" and root != "system" else "verify-full"
        yield {"sslmode": mode, "sslrootcert": root, "gssencmode": "disable"}


@contextmanager
def session(
    server: RestoreHandle,
    connection: Connection,
    secrets: Secrets,
    *,
    application: str = "refloat-checks",
) -> Iterator[Session]:
    """Hold an autocommit session.

    Raises:
        ProviderUnavailableError: nobody answers.
        AccessDeniedError: it answers and does not let us in.
        UntrustedServerError: it does not prove who it is.
        ServerFailedError: it answered with an error that nobody expected.
    """
    try:
        with certificates(server.tls) as tls:
            where = psycopg.conninfo.make_conninfo(
                host=server.host,
                port=server.port,
                dbname=connection.database,
                user=connection.user,
                password=secrets.read(connection.password) if connection.password else None,
                connect_timeout=5,
                application_name=application,
                client_encoding="UTF8",
                tcp_user_timeout=30_000,  # of a peer that is gone without a word
                **tls,
            )
            held = psycopg.connect(where, autocommit=True)
    except psycopg.OperationalError as error:
        line = str(error).strip().splitlines()[-1]
        if any(words in line for words in _UNTRUSTED):
            raise UntrustedServerError(f"{server.server}: {line}; {_TRUST}") from None
        if "authentication" in line or "pg_hba" in line or "does not exist" in line:
            raise AccessDeniedError(f"{server.server}: {line}") from None
        raise ProviderUnavailableError(f"{server.server}: {line}") from None
    try:
        yield held
    except psycopg.OperationalError as error:
        if error.sqlstate is None or error.sqlstate.startswith(_PASSING):
            raise ProviderUnavailableError(f"{server.server}: {first_line(error)}") from None
        raise ServerFailedError(f"{server.server}: {first_line(error)}") from None
    except psycopg.Error as error:
        raise ServerFailedError(f"{server.server}: {first_line(error)}") from None
    finally:
        held.close()


def first_line(error: psycopg.Error) -> str:
    """Return the first line of what the server said."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
