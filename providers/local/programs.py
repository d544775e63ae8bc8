"""Runs PostgreSQL's client programs: password by file, output kept, failures named."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from domain.errors import (
    AccessDeniedError,
    DiskFullError,
    ProviderUnavailableError,
    RecoveryError,
    ServerFailedError,
)
from domain.resources import Connection
from providers.local.processes import own_mark, sweep
from providers.local.records import ServerRecord
from providers.secrets.references import Secrets

_LOGIN = "refloat-login-"
_SAID = (
    (
        re.compile(r"No space left on device|Disk quota exceeded"),
        DiskFullError,
        "no room on the file system; free some or give the provider another root",
    ),
    (
        re.compile(
            r"password authentication failed|no pg_hba.conf entry|must be superuser|permission denied"
        ),
        AccessDeniedError,
        "the login of the catalog is not allowed to; see docs/own-server.md for the rights",
    ),
    (
        re.compile(
            r"Connection refused|could not connect|the database system is (?:starting|shutting)|"
            r"server closed the connection|could not receive data"
        ),
        ProviderUnavailableError,
        "the server does not answer",
    ),
    (
        re.compile(r"checksum verification fail"),
        ServerFailedError,
        "a page of the server is damaged on its disk: restore to a time before it was, or repair it",
    ),
)


def passfile(folder: Path, secrets: Secrets, connection: Connection) -> dict[str, str]:
    """Write a password file of mode 0600 into `folder`; return the variables that name it."""
    environment = {**os.environ, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "5"}
    environment.pop("PGPASSWORD", None)
    if connection.password is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"pass-{connection.user}"
        escaped = secrets.read(connection.password).replace("\\", "\\\\").replace(":", "\\:")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
            sink.write(f"*:*:*:*:{escaped}\n")
        environment["PGPASSFILE"] = str(path)
    return environment


@contextmanager
def login(secrets: Secrets, connection: Connection) -> Iterator[dict[str, str]]:
    """Hold an environment whose password file exists only while the block runs."""
    sweep(Path(gettempdir()), _LOGIN)
    with TemporaryDirectory(prefix=f"{_LOGIN}{own_mark()}-") as folder:
        yield passfile(Path(folder), secrets, connection)


def address(server: ServerRecord, connection: Connection, application: str) -> str:
    """Return the connection string of a replication connection, without a password."""
    return (
        f"host={server.host} port={server.port} user={connection.user} dbname=replication "
        f"application_name={application}"
    )


def named_failure(what: str, told: str) -> RecoveryError:
    """Return the domain's error for what a program said when it failed."""
    last = next((line for line in reversed(told.strip().splitlines()) if line), "no word")
    for pattern, error, advice in _SAID:
        found = pattern.search(told)
        if found:
            line = next((line for line in told.splitlines() if pattern.search(line)), last)
            return error(f"{what}: {advice} ({line.strip()})")
    return ServerFailedError(f"{what}: {last}")


@contextmanager
def disk_named(what: str) -> Iterator[None]:
    """Turn what the operating system says of a file into the domain's error."""
    try:
        yield
    except OSError as error:
        raise named_failure(what, f"{error.strerror}: {error.filename or 'a file'}") from error


def run(what: str, command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        RecoveryError: of the kind that what it said stands for.
    """
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=environment or {**os.environ, "LC_ALL": "C"},
    )
    if done.returncode != 0:
        raise named_failure(what, done.stderr or done.stdout)
    return done.stdout
