"""Reads a base backup over the replication protocol: one tar archive, the manifest its last member.

The protocol is PostgreSQL's, "Streaming Replication Protocol", command BASE_BACKUP since version 15.
`pg_basebackup` speaks it as well, in a process of its own: on two cores the copies through its pipe
make a backup take nearly twice as long.
"""

import select
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psycopg import pq
from psycopg.abc import Buffer
from psycopg.errors import Diagnostic

from domain.errors import (
    ProviderUnavailableError,
    RecoveryError,
    ServerFailedError,
    UnsupportedResourceError,
)
from providers.local.programs import named_failure
from providers.local.sql import Session
from providers.local.wal import tidy_lsn

OLDEST = 15
"""The oldest major version whose stream is understood."""

# without WAIT 0 it would wait for an archiver of the server's own, which may never succeed
_COMMAND = b"BASE_BACKUP (LABEL 'refloat', CHECKPOINT 'fast', WAL, WAIT 0, MANIFEST 'yes')"
_TRAILER = bytes(2 * tarfile.BLOCKSIZE)
_HELD = 64 << 10
_MANIFEST, _DATA = b"m", b"d"
_TELL_EVERY = 8 << 20
_HEAR_EVERY = 1000  # milliseconds without a byte


def tablespaces_refused(server: str) -> UnsupportedResourceError:
    """Return the refusal of a cluster whose tables lie outside its data directory."""
    return UnsupportedResourceError(
        f"{server}: has tablespaces of its own, which a streamed backup cannot carry; "
        "move their tables to pg_default"
    )


@dataclass(frozen=True)
class LogPlace:
    """A place in the log, as the server tells where a backup begins and ends."""

    lsn: str
    timeline: int


class BackupStream:
    """One base backup on its way over a replication connection.

    `report` hears how many bytes have come, every 8 MiB and every second without any; what it
    raises ends the backup.
    """

    start: LogPlace
    stop: LogPlace

    def __init__(self, session: Session, server: str, report: Callable[[int], None]) -> None:
        self._connection: pq.abc.PGconn = session.pgconn
        self._server, self._report = server, report
        self._warnings: list[str] = []
        self._socket = select.poll()
        self._socket.register(self._connection.socket, select.POLLIN)
        self.count = 0
        session.add_notice_handler(self._hear)

    def pieces(self) -> Iterator[Buffer]:
        """Yield the archive in pieces; `start` is known after the first, `stop` at the end.

        Raises:
            UnsupportedResourceError: the cluster has tablespaces of its own.
            RecoveryError: named from what the server said.
        """
        self._connection.send_query(_COMMAND)
        self.start = _place(self._answer(pq.ExecStatus.TUPLES_OK))
        self._require_one_tablespace(self._answer(pq.ExecStatus.TUPLES_OK))
        self._answer(pq.ExecStatus.COPY_OUT)
        messages = self._messages()
        yield from without_trailer(self._server, self._data(messages))
        yield from _member("backup_manifest", b"".join(self._data(messages)))
        yield _TRAILER
        self._answer(pq.ExecStatus.COMMAND_OK)

    def _hear(self, told: Diagnostic) -> None:
        if told.severity_nonlocalized == "WARNING" and told.message_primary:
            self._warnings.append(told.message_primary)

    def _require_one_tablespace(self, listed: pq.abc.PGresult) -> None:
        if listed.ntuples != 1:
            raise tablespaces_refused(self._server)

    def _answer(self, expected: pq.ExecStatus) -> pq.abc.PGresult:
        """Return the next result of the command, which must be of the status `expected`."""
        while self._connection.is_busy():
            self._await()
        result = self._connection.get_result()
        if result is not None and result.status == expected:
            return result
        raise self._failure(result)

    def _failure(self, result: pq.abc.PGresult | None) -> RecoveryError:
        if result is None:
            return ServerFailedError(f"base backup of {self._server}: the answer ended early")
        what, told = f"base backup of {self._server}", result.get_error_message().strip()
        state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        if state.startswith(("08", "57P")):
            return ProviderUnavailableError(f"{what}: {told}")
        return named_failure(what, "\n".join([*self._warnings[:3], told]))

    def _data(self, messages: Iterator[memoryview]) -> Iterator[memoryview]:
        """Yield the contents of the archive, or of the manifest, and take what ends it."""
        for message in messages:
            if message[:1] == _MANIFEST:
                return
            if message[:1] == _DATA:
                yield message[1:]

    def _messages(self) -> Iterator[memoryview]:
        """Yield every message of the copy and tell the progress."""
        told = 0
        while True:
            size, message = self._connection.get_copy_data(1)
            if size == 0:
                self._connection.consume_input()  # what has come since; cheaper than to wait for it
                size, message = self._connection.get_copy_data(1)
            if size > 0:
                self.count += size
                yield message
            elif size < 0:
                self.stop = _place(self._answer(pq.ExecStatus.TUPLES_OK))
                return
            else:
                self._await()
            if self.count - told >= _TELL_EVERY:
                told = self.count
                self._report(self.count)

    def _await(self) -> None:
        """Wait until the server has sent something."""
        while not self._socket.poll(_HEAR_EVERY):
            self._report(self.count)
        self._connection.consume_input()


def _place(row: pq.abc.PGresult) -> LogPlace:
    lsn, timeline = row.get_value(0, 0), row.get_value(0, 1)
    assert lsn is not None
    assert timeline is not None
    return LogPlace(tidy_lsn(lsn.decode()), int(timeline))


def without_trailer(server: str, parts: Iterator[memoryview]) -> Iterator[Buffer]:
    """Yield an archive without the two empty blocks that end it, so that a member can follow."""
    held: Buffer = b""
    for part in parts:
        if len(part) < len(_TRAILER):
            held = bytes(held) + part
            if len(held) > _HELD:
                yield held[: -len(_TRAILER)]
                held = held[-len(_TRAILER) :]
            continue
        yield held
        held = part
    if held[-len(_TRAILER) :] != _TRAILER:
        raise ServerFailedError(f"base backup of {server}: the archive ended early")
    yield held[: -len(_TRAILER)]


def _member(name: str, content: bytes) -> Iterator[bytes]:
    """Yield a file as a member of an archive: header, content, padding."""
    header = tarfile.TarInfo(name)
    header.size, header.mode = len(content), 0o600
    yield header.tobuf(tarfile.USTAR_FORMAT)
    yield content
    yield bytes(-len(content) % tarfile.BLOCKSIZE)
