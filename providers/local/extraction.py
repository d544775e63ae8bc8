"""Writes the members of a tar archive below a folder, on their way to disk while more are written.

The program `tar` does the same behind a pipe, whose copies cost a third of the time on two cores.
"""

import os
import queue
import tarfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path, PurePosixPath

from domain.errors import BackupDamagedError
from providers.local.config import Account

_FLUSH_EVERY = 64 << 20
_WAITING = 8  # files of which a part waits to be brought to disk: the writer waits for the disk


def extract(pieces: Iterable[bytes], target: Path, account: Account) -> None:
    """Write every member of an archive below the empty folder `target`, owned by the account.

    Until all are there, nobody but this process can enter the folder.

    Raises:
        BackupDamagedError: the archive ends early or holds what a backup cannot hold.
        OSError: what the operating system says of a file.
    """
    source = _Source(iter(pieces))
    os.chown(target, os.geteuid(), os.getegid())
    with _flushing() as flusher:
        while (header := source.exactly(tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
            member = _member(header)
            path = target / member.name
            if member.isdir():
                path.mkdir(member.mode, exist_ok=True)
            else:
                _write(source, member, path, flusher)
            account.own(path)
    account.own(target)


def _member(header: bytes) -> tarfile.TarInfo:
    try:
        member = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise BackupDamagedError(
            f"the base backup holds a member that cannot be read: {error}"
        ) from None
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isdir() or member.isreg()):
        raise BackupDamagedError(
            f"the base backup holds {member.name!r}, which no base backup holds; "
            "restore from another backup"
        )
    return member


def _write(source: "_Source", member: tarfile.TarInfo, path: Path, flusher: "_Flusher") -> None:
    made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, member.mode & 0o777)
    with os.fdopen(made, "wb", buffering=0) as sink:
        unflushed = 0
        for part in source.parts(member.size):
            _write_whole(sink, part)
            unflushed += len(part)
            if unflushed >= _FLUSH_EVERY:
                flusher.bring_to_disk(sink.fileno())
                unflushed = 0
    source.exactly(-member.size % tarfile.BLOCKSIZE)


def _write_whole(sink: FileIO, part: memoryview) -> None:
    while part:
        part = part[sink.write(part) :]


class _Source:
    """Cuts a stream of pieces into the sizes that are asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def parts(self, size: int) -> Iterator[memoryview]:
        """Yield exactly `size` bytes, in parts as they come."""
        while size:
            if not self._left:
                self._left = memoryview(next(self._pieces, b""))
            if not self._left:
                raise BackupDamagedError("the base backup ends early; restore from another backup")
            part, self._left = self._left[:size], self._left[size:]
            size -= len(part)
            yield part

    def exactly(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        return b"".join(self.parts(size))


class _Flusher(threading.Thread):
    """Brings files to disk while others are written, so that the server need not wait for it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._waiting: queue.Queue[int | None] = queue.Queue(_WAITING)
        self._failed: OSError | None = None

    def bring_to_disk(self, descriptor: int) -> None:
        """Ask for it; the file may be closed meanwhile."""
        self._waiting.put(os.dup(descriptor))

    def run(self) -> None:
        """Flush one after the other, until told to end."""
        while (descriptor := self._waiting.get()) is not None:
            try:
                os.fsync(descriptor)
            except OSError as error:
                self._failed = error
            finally:
                os.close(descriptor)

    def finish(self) -> None:
        """Wait for what was asked.

        Raises:
            OSError: the disk did not take a file.
        """
        self._waiting.put(None)
        self.join()
        if self._failed is not None:
            raise self._failed


@contextmanager
def _flushing() -> Iterator[_Flusher]:
    flusher = _Flusher()
    flusher.start()
    try:
        yield flusher
    finally:
        flusher.finish()
