"""Folders and small JSON records of the local provider, written so that a crash leaves old or new."""

import ctypes
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import IO, TypeVar

from pydantic import BaseModel

from domain.errors import NotYetError
from providers.local.config import LocalConfig

_FORK = 0.5  # seconds: a child between fork and exec holds its parent's locks for a moment
Record = TypeVar("Record", bound=BaseModel)


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace `path` by `text` at once and durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as target:
            target.write(text)
            target.flush()
            os.fchmod(target.fileno(), mode)
            os.fsync(target.fileno())
    except OSError:
        unfinished.unlink()
        raise
    put_in_place(unfinished, path)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Give a finished file its name, so that a power cut leaves the old or the new one."""
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_record(path: Path, record: BaseModel) -> None:
    """Replace the record at `path` at once and durably."""
    write_text(path, record.model_dump_json(indent=1))


def read_record(path: Path, model: type[Record]) -> Record | None:
    """Return the record at `path`, or None where there is none."""
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None


def read_mapping(path: Path) -> dict[str, str]:
    """Return the JSON object of texts at `path`, empty where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return {str(name): str(value) for name, value in found.items()}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` while the block runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as held:
        flock(held, LOCK_EX)
        yield


def _taken(lock: IO[str]) -> bool:
    try:
        flock(lock, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs, if nobody else does.

    Raises:
        NotYetError: another attempt, perhaps one that was given up, still holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        deadline = time.monotonic() + _FORK
        while not _taken(lock):
            if time.monotonic() > deadline:
                raise NotYetError(f"an earlier attempt to let go of {what}")
            time.sleep(0.02)
        yield


def bring_to_disk(folder: Path) -> None:
    """Bring everything on the file system of `folder` to its disk, so that a power cut takes none of it.

    Raises:
        OSError: the disk did not take it.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # not Linux
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a folder that may be gone already, or that a dying process still writes into."""
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.05)
    shutil.rmtree(path)


GONE = ".gone-"


class Layout:
    """The folders of one instance."""

    def __init__(self, config: LocalConfig, instance: str) -> None:
        self.config = config
        self.instance = instance
        self.folder = config.root / "databases" / instance
        self.stored = config.archive / "databases" / instance

    @property
    def current(self) -> Path:
        """Record of the server that the path means."""
        return self.folder / "current.json"

    def server(self, name: str) -> Path:
        """Folder of one server; everything in it goes with the server."""
        return self.folder / "servers" / name

    def archive(self, name: str) -> Path:
        """Folder of one server's archive; outlives the server."""
        return self.stored / "archive" / name

    def spool(self, name: str) -> Path:
        """Folder where the open log segment arrives; on the archive's disk, not the server's."""
        return self.stored / "spool" / name
