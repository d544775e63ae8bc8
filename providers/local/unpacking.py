"""Unpacks a base backup: decrypted, decompressed and written at once, then held against its manifest."""

import contextlib
import fcntl
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
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
from providers.local.programs import named_failure
from providers.local.records import BackupRecord

_READ = 1 << 20


class _Counted:
    """Reads from an iterator of pieces and tells the progress every 8 MiB."""

    def __init__(self, pieces: Iterable[bytes], total: int, progress: ReportProgress) -> None:
        self._pieces, self._total, self._progress = iter(pieces), total, progress
        self._left = b""
        self._count = self._told = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        if not self._left:
            self._left = next(self._pieces, b"")
        part, self._left = self._left[:size], self._left[size:]
        self._count += len(part)
        if self._count - self._told >= 8 * _READ:
            self._told = self._count
            self._progress(
                Progress(
                    what="unpack the base backup", done_bytes=self._count, total_bytes=self._total
                )
            )
        return part


def _in_thread(pieces: Iterator[bytes]) -> Iterator[bytes]:
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

    Decryption, decompression and writing overlap.

    Raises:
        BackupDamagedError: the file is missing, or a chunk does not unseal.
        DiskFullError: the file system ran full.
    """
    tar = shutil.which("tar")
    if tar is None:
        raise ServerFailedError("no program `tar` on this machine; install it to restore")
    stored = archive.backup_file(backup.id)
    try:
        source = stored.open("rb")
    except FileNotFoundError:
        raise BackupDamagedError(
            f"base backup {backup.id} is listed but its file {stored} is missing; "
            "choose a point after another backup"
        ) from None
    with source:
        counted = _Counted(
            _in_thread(unseal(source, master, stored.name)), backup.stored_bytes, progress
        )
        plain = zstandard.ZstdDecompressor().read_to_iter(  # the library only calls read
            cast("IO[bytes]", counted), read_size=_READ, write_size=_READ
        )
        _feed_tar(tar, plain, target, account)


def _feed_tar(tar: str, plain: Iterable[bytes], target: Path, account: Account) -> None:
    process = subprocess.Popen(
        # in records as large as the pipe: by tar's own 10 KiB it takes nearly twice as long
        [tar, "-b", "512", "-xf", "-", "-C", str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    _widen(process.stdin.fileno())
    try:
        for piece in plain:
            process.stdin.write(piece)
        process.stdin.close()
        told = process.stderr.read().decode(errors="replace")
        code = process.wait()
    except BrokenPipeError:
        told = process.stderr.read().decode(errors="replace")
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        process.stderr.close()
        _close_quietly(process.stdin.close)
    if code != 0:
        raise named_failure("unpack the base backup", told)


def _widen(pipe: int) -> None:
    """Make a pipe hold more than 64 KiB where the system lets us: fewer changes of process."""
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _READ)


def _close_quietly(close: Callable[[], None]) -> None:
    try:
        close()
    except BrokenPipeError:
        return  # tar ended first and told why on its error output


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
