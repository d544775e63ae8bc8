"""A server's own log: where it is, and what it says went wrong."""

import os
import re
from pathlib import Path

from domain.errors import (
    DiskFullError,
    PermanentError,
    PointNotReachedError,
    PortTakenError,
    ServerFailedError,
    VersionMismatchError,
    WalDamagedError,
    WalMissingError,
)

_FAILURES: tuple[tuple[re.Pattern[str], type[PermanentError], str], ...] = (
    (
        re.compile(r"No space left on device|Disk quota exceeded"),
        DiskFullError,
        "the file system ran full during recovery; free room and restore again",
    ),
    (
        re.compile(r"Address already in use|could not create any TCP/IP sockets"),
        PortTakenError,
        "another process took the port of the new server; end it or widen the port range of the provider",
    ),
    (
        re.compile(r"not compatible with this version|database files are incompatible with server"),
        VersionMismatchError,
        "the programs do not fit the data; install the source's major version",
    ),
    (
        re.compile(r"incorrect resource manager data checksum"),
        WalDamagedError,
        "a log record is damaged before the point; choose a point before it",
    ),
    (
        re.compile(r"has wrong size: \d+ instead of"),
        WalDamagedError,
        "a log segment is cut short; choose a point before it",
    ),
    (
        re.compile(
            r"could not restore file|could not locate required checkpoint|could not find redo"
        ),
        WalMissingError,
        "recovery could not read the log it needs",
    ),
    (
        re.compile(r"recovery ended before configured recovery target was reached"),
        PointNotReachedError,
        "the log ends before the point: a segment is missing or damaged",
    ),
    (
        re.compile(r"requested recovery stop point is before consistent recovery point"),
        PointNotReachedError,
        "the point lies before the end of the base backup",
    ),
    (
        re.compile(r"could not load (?:private key|server certificate) file"),
        ServerFailedError,
        "the servers' account cannot read the TLS key of the data's settings; let it, or name another run_as",
    ),
    (
        re.compile(r"recovery aborted because of insufficient parameter settings"),
        ServerFailedError,
        "a capacity setting is lower than on the source",
    ),
)


def log_of(folder: Path) -> Path:
    """Return the log file of the server in `folder`."""
    return folder / "server.log"


def recent_log(folder: Path, size: int = 65536) -> str:
    """Return the end of a server's log."""
    try:
        with log_of(folder).open("rb") as source:
            source.seek(max(0, os.fstat(source.fileno()).st_size - size))
            return source.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def failure_of(name: str, log: str) -> PermanentError:
    """Return the domain's error for a server that stopped, with its own words."""
    lines = [line for line in log.splitlines() if line.strip()]
    for pattern, error, sentence in _FAILURES:
        line = next((line for line in reversed(lines) if pattern.search(line)), None)
        if line:
            words = line.partition("] ")[2] or line
            return error(f"{name}: {sentence} (the server said: {words.strip()})")
    telling = [line for line in lines if re.search(r"FATAL|PANIC|ERROR|error:", line)] or lines
    words = telling[-1].strip() if telling else "nothing"
    return ServerFailedError(f"{name}: the new server stopped (it said: {words})")
