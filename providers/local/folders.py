"""Configurations on this machine: files in a folder, and the applications that read them."""

import os
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path, PurePosixPath

from domain.checks import Finding, Verdict
from domain.configuration import (
    AppliedConfiguration,
    ConfigurationFile,
    FolderTarget,
    ProtectedConfiguration,
)
from domain.errors import ConfigurationRefusedError, ConflictError, NotYetError
from domain.platforms import ConfigurationPlatform
from domain.resources import LocalPlatform
from domain.values import Value
from providers.local.applications import (
    ApplicationRecord,
    ApplicationStatus,
    application_record,
    changing,
)
from providers.local.layout import locked, put_in_place, read_record, write_record

_PACE = timedelta(milliseconds=100)


class OwnedFiles(Value):
    """The files that we wrote, with the digest of what we wrote last, and the call that did.

    `before` are the digests from before a call that may have been cut short: either is ours.
    """

    files: dict[str, str] = {}
    before: dict[str, str] = {}
    key: str = ""


class LocalFolders(ConfigurationPlatform):
    """Writes files, prunes the ones that only we wrote, and restarts their readers."""

    def __init__(self, base: Path, root: Path) -> None:
        self._base, self._root = base, root

    def examine(
        self, configuration: ProtectedConfiguration, files: Sequence[ConfigurationFile]
    ) -> Sequence[Finding]:
        """Return whether the folder can be written, and whether somebody else wrote into it."""
        folder, owned = self._folder(configuration), self._owned(configuration)
        place = next(one for one in (folder, *folder.parents) if one.exists())
        writable = os.access(place, os.W_OK | os.X_OK)
        names = {one.path for one in files} | set(owned.files)
        foreign = sorted(one for one in names if self._is_foreign(folder, owned, one))
        return [
            _finding("folder", "a folder that can be written", str(folder), good=writable,
                     advice="give the worker's account the right to write it"),
            _finding("owner of the files", "files that only this configuration changed",
                     f"changed by somebody else: {', '.join(foreign)}" if foreign else "ours",
                     good=not foreign, advice="look at them; remove them, or commit what they hold"),
        ]  # fmt: skip

    def apply(
        self,
        configuration: ProtectedConfiguration,
        files: Sequence[ConfigurationFile],
        *,
        key: str,
    ) -> AppliedConfiguration:
        """Write what differs, remove what only we wrote, and have the readers restarted."""
        folder = self._folder(configuration)
        with locked(self._record(configuration).with_suffix(".lock")):
            owned = self._owned(configuration)
            names = {one.path for one in files} | set(owned.files)
            foreign = sorted(one for one in names if self._is_foreign(folder, owned, one))
            if foreign:
                raise ConflictError(
                    f"{configuration.path}: {', '.join(foreign)} in {folder} was changed by "
                    "somebody else; nothing was written"
                )
            changed, gone = self._write(folder, owned, files, key, configuration)
        for application in configuration.applications:
            if isinstance(application.platform, LocalPlatform) and application.platform.kept:
                self._restart(application.name, key)
        return AppliedConfiguration(
            changed=changed, unchanged=len(files) - len(changed), pruned=gone
        )

    def _write(
        self,
        folder: Path,
        owned: OwnedFiles,
        files: Sequence[ConfigurationFile],
        key: str,
        configuration: ProtectedConfiguration,
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Write what differs; our record goes first, so that a try cut short owns what it wrote."""
        wanted = {one.path: sha256(one.content).hexdigest() for one in files}
        known = OwnedFiles(
            files={**owned.files, **wanted}, before={**owned.before, **owned.files}, key=key
        )
        write_record(self._record(configuration), known)
        changed = []
        for one in files:
            path = folder / _safe(one.path)
            if _digest(path) != wanted[one.path]:
                _replace(path, one.content)
                changed.append(one.path)
        gone = sorted(set(owned.files) - set(wanted))
        for name in gone:
            (folder / _safe(name)).unlink(missing_ok=True)
        write_record(self._record(configuration), OwnedFiles(files=wanted, key=key))
        return tuple(changed), tuple(gone)

    def poll(
        self, configuration: ProtectedConfiguration, files: Sequence[ConfigurationFile]
    ) -> str:
        """Return once the files hold what they should and the readers were restarted."""
        folder = self._folder(configuration)
        for one in files:
            if _digest(folder / _safe(one.path)) != sha256(one.content).hexdigest():
                raise ConflictError(f"{folder / one.path} was changed by somebody else meanwhile")
        for application in configuration.applications:
            platform = application.platform
            if isinstance(platform, LocalPlatform) and platform.kept:
                path = application_record(self._root, application.name)
                wanted = read_record(path, ApplicationRecord)
                running = read_record(path.with_name("status.json"), ApplicationStatus)
                if wanted and (running is None or running.generation != wanted.generation):
                    raise NotYetError(f"the supervisor to restart {application.name}", _PACE)
        return f"{len(files)} files in {folder}"

    def _restart(self, name: str, key: str) -> None:
        with changing(self._root, name) as record:
            if record.configured != key:
                update = {"generation": record.generation + 1, "configured": key}
                write_record(application_record(self._root, name), record.model_copy(update=update))

    def _is_foreign(self, folder: Path, owned: OwnedFiles, name: str) -> bool:
        """Return whether a file exists that we did not write, or that was changed since."""
        found = _digest(folder / _safe(name))
        ours = {owned.files.get(name), owned.before.get(name)}
        return found is not None and found not in ours

    def _folder(self, configuration: ProtectedConfiguration) -> Path:
        target = configuration.platform
        if not isinstance(target, FolderTarget):
            raise ConfigurationRefusedError(f"{configuration.path} is not on this machine")
        return (self._base / Path(target.folder).expanduser()).resolve()

    def _record(self, configuration: ProtectedConfiguration) -> Path:
        name = configuration.path.replace("/", "-")
        return self._root / "configurations" / f"{name}.json"

    def _owned(self, configuration: ProtectedConfiguration) -> OwnedFiles:
        return read_record(self._record(configuration), OwnedFiles) or OwnedFiles()


def _safe(name: str) -> PurePosixPath:
    """Return a relative path that stays in its folder.

    Raises:
        ConfigurationRefusedError: it would leave it.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigurationRefusedError(f"{name!r} leads out of the configuration's folder")
    return path


def _replace(path: Path, content: bytes) -> None:
    """Replace a file at once; mode and owner stay those that it had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.stat() if path.exists() else None
    unfinished = path.with_name(f".{path.name}.refloat")
    unfinished.write_bytes(content)
    if before is not None:
        unfinished.chmod(before.st_mode & 0o777)
        if os.geteuid() == 0:
            os.chown(unfinished, before.st_uid, before.st_gid)
    put_in_place(unfinished, path)


def _digest(path: Path) -> str | None:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _finding(name: str, expected: str, observed: str, *, good: bool, advice: str) -> Finding:
    return Finding(
        name=name,
        kind="pre-flight",
        expected=expected,
        observed=observed,
        verdict=Verdict.PASSED if good else Verdict.FAILED,
        advice="" if good else advice,
    )
