"""Unpacks a base backup: decrypted, decompressed and written at once, then held against its manifest."""

import os
import queue
import subprocess
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, cast

import zstandard

from domain.errors import BackupDamagedError, ServerFailedError
from domain.provider import ReportProgress
from domain.recovery import Progress
from providers.local.archive import Archive
from providers.local.binaries import Binaries
from providers.local.config import Account
from providers.local.crypto import unseal
from providers.local.extraction import extract
from providers.local.programs import disk_named
from providers.local.records import BackupRecord

_READ = 1 << 20
_TELL_EVERY = 8 << 20


class _Reader:
    """Reads from an iterator of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        if not self._left:
            self._left = next(self._pieces, b"")
        part, self._left = self._left[:size], self._left[size:]
        return part


def _in_thread(pieces: Iterator[bytes]) -> Generator[bytes]:
    """Yield `pieces`, which another thread makes ahead of us: both cores work."""
    ready: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=16)
    stop = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for piece in pieces:
                if not put(piece):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            put(error)

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        maker.join()


def unpack(
    archive: Archive,
    backup: BackupRecord,
    target: Path,
    master: bytes,
    account: Account,
    progress: ReportProgress,
) -> None:
    """Unpack a base backup into the empty folder `target`, owned by the servers' account.

    Decryption and decompression, writing, and bringing to disk overlap.

    Raises:
        BackupDamagedError: the file is missing, a chunk does not unseal, or what it holds is no backup.
        DiskFullError: the file system ran full.
    """
    stored = archive.backups.file(backup.id)
    try:
        source = stored.open("rb")
    except FileNotFoundError:
        raise BackupDamagedError(
            f"base backup {backup.id} is listed but its file {stored} is missing; "
            "choose a point after another backup"
        ) from None
    with source, disk_named("unpack the base backup"):
        sealed = _Reader(unseal(source, master, stored.name))
        plain = zstandard.ZstdDecompressor().read_to_iter(  # the library only calls read
            cast("IO[bytes]", sealed), read_size=_READ, write_size=_READ
        )
        with closing(_in_thread(plain)) as pieces:
            extract(_telling(pieces, backup.plain_bytes, progress), target, account)


def _telling(pieces: Iterable[bytes], total: int, progress: ReportProgress) -> Iterator[bytes]:
    """Yield `pieces` and tell the progress every 8 MiB, in the thread that began the work."""
    count = 0
    for piece in pieces:
        before, count = count, count + len(piece)
        if count // _TELL_EVERY > before // _TELL_EVERY:
            progress(Progress(what="unpack the base backup", done_bytes=count, total_bytes=total))
        yield piece


def verify(binaries: Binaries, data: Path) -> None:
    """Hold every unpacked file against the backup's manifest, before recovery touches them.

    Raises:
        BackupDamagedError: naming the file that differs.
    """
    done = subprocess.run(
        [binaries["pg_verifybackup"], "-n", "-q", str(data)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode < 0:
        raise ServerFailedError(
            f"{binaries['pg_verifybackup']} crashed (signal {-done.returncode}), so the unpacked base "
            "backup is not verified; name another installation as `binaries` of the provider"
        )
    if done.returncode != 0:
        first = next(iter((done.stderr or done.stdout).strip().splitlines()), "no word")
        raise BackupDamagedError(
            f"the unpacked base backup does not match its manifest: {first}; restore from another backup"
        )
