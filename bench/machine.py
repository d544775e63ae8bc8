"""The machine under the bench: what it is, and its own ways to copy, clone and sync."""

import fcntl
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import psutil

from domain.errors import RecoveryError, ServerFailedError
from providers.local.config import Account
from providers.local.layout import remove_tree

_FICLONE = 0x40049409  # <linux/fs.h>: share the blocks of another file
_GONE = "No such file or directory"


class BenchError(RecoveryError):
    """The bench cannot measure here."""


def describe(folder: Path, postgresql: str) -> dict[str, str | int]:
    """Return what somebody needs to know to compare two runs."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "file_system": file_system(folder),
        "folder": str(folder),
        "postgresql": postgresql,
        "python": platform.python_version(),
        "account": "root" if os.geteuid() == 0 else "ordinary user",
    }


def file_system(path: Path) -> str:
    """Return the type of the file system that holds `path`."""
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    whole = path.resolve()
    above = (str(folder) for folder in (whole, *whole.parents))
    return next((mounts[folder] for folder in above if folder in mounts), "unknown")


def can_clone(folder: Path) -> bool:
    """Return whether files in `folder` can share their blocks, tried on two small ones."""
    with NamedTemporaryFile(dir=folder) as source, NamedTemporaryFile(dir=folder) as target:
        source.write(bytes(4096))
        source.flush()
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError:
            return False
    return True


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BenchError(f"no program `{name}` on this machine")
    return found


def sync(folder: Path) -> None:
    """Write everything of the file system that holds `folder` to its disk (syncfs)."""
    subprocess.run([_program("sync"), "-f", str(folder)], check=True)


def copy(sources: Sequence[Path], target: Path, *how: str) -> None:
    """Copy by `cp -a`; a file that went away meanwhile is no failure, as in any copy of a server.

    Raises:
        ServerFailedError: with the first other thing that cp said.
    """
    done = subprocess.run(
        [_program("cp"), "-a", *how, *(str(source) for source in sources), str(target)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    )
    said = [line for line in done.stderr.splitlines() if not line.endswith(_GONE)]
    if done.returncode != 0 and said:
        raise ServerFailedError(said[0])


def size_of(folder: Path) -> int:
    """Return the bytes of the files below `folder`."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


@contextmanager
def scratch(parent: Path, name: str, account: Account) -> Iterator[Path]:
    """Hold a new folder of the servers' account, removed with all in it at the end."""
    folder = parent / name
    folder.mkdir()
    account.own(folder)
    try:
        yield folder
    finally:
        remove_tree(folder)
