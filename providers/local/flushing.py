"""Brings files to disk while more is written, so that nobody waits for it at the end."""

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.abc import Buffer

_FLUSH_EVERY = 32 << 20  # bytes of one file
_WAITING = 8  # requests that may wait for the disk; the writer waits with the ninth


class Flusher(threading.Thread):
    """Flushes files behind the back of who writes them."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._waiting: queue.Queue[int | None] = queue.Queue(_WAITING)
        self._failed: OSError | None = None

    def bring_to_disk(self, descriptor: int) -> None:
        """Ask for what has been written of a file, which may be closed meanwhile.

        Raises:
            OSError: the disk did not take an earlier one.
        """
        if self._failed is not None:
            raise self._failed
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
def flushing() -> Iterator[Flusher]:
    """Hold a flusher; at the end everything that it was asked for is on disk."""
    flusher = Flusher()
    flusher.start()
    try:
        yield flusher
    finally:
        flusher.finish()


class NewFile:
    """A file that was not there before, on its way to disk from its first 32 MiB on."""

    def __init__(self, descriptor: int, flusher: Flusher) -> None:
        self._descriptor, self._flusher = descriptor, flusher
        self._unflushed = 0

    def write(self, content: Buffer) -> int:
        """Write all of `content`."""
        left = memoryview(content)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._unflushed += len(content)
        if self._unflushed >= _FLUSH_EVERY:
            self.flush()
        return len(content)

    def flush(self) -> None:
        """Have all of it on disk by the end of the flusher."""
        self._unflushed = 0
        self._flusher.bring_to_disk(self._descriptor)


@contextmanager
def new_file(path: Path, mode: int, flusher: Flusher) -> Iterator[NewFile]:
    """Hold a new file of the permissions `mode`, through no link.

    Raises:
        FileExistsError: something of that name is there.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(path, flags, mode)
    try:
        yield NewFile(descriptor, flusher)
    finally:
        os.close(descriptor)
