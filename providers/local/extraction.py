"""Writes the members of a tar archive below a folder, on their way to disk while more are written.

The program `tar` does the same behind a pipe, whose copies cost a third of the time on two cores.
"""

import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from domain.errors import BackupDamagedError
from providers.local.config import Account
from providers.local.flushing import Flusher, flushing, new_file


def extract(pieces: Iterable[bytes], target: Path, account: Account) -> None:
    """Write every member of an archive below the empty folder `target`, owned by the account.

    The folders above must be such that the account cannot move them meanwhile.

    Raises:
        BackupDamagedError: the archive ends early or holds what a backup cannot hold.
        OSError: what the operating system says of a file.
    """
    source = _Source(iter(pieces))
    with flushing() as flusher:
        while (header := source.exactly(tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
            member = _member(header)
            path = target / member.name
            if member.isdir():
                path.mkdir(member.mode, exist_ok=True)
            else:
                _write(source, member, path, flusher)
            account.own(path)


def _member(header: bytes) -> tarfile.TarInfo:
    try:
        member = tarfile.TarInfo.frombuf(
            header, sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
        )
    except tarfile.HeaderError as error:
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


def _write(source: "_Source", member: tarfile.TarInfo, path: Path, flusher: Flusher) -> None:
    with new_file(path, member.mode & 0o777, flusher) as sink:
        for part in source.parts(member.size):
            sink.write(part)
    source.exactly(-member.size % tarfile.BLOCKSIZE)


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
