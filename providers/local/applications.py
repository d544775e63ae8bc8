"""Applications on this machine: their setting is rewritten, they are restarted and asked how they are."""

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from domain.errors import NotYetError, PreflightRefusedError, ServerFailedError
from domain.provider import Consumers
from domain.recovery import CutoverRecord
from domain.resources import Consumer
from domain.values import Value
from providers.local.layout import read_record, write_record, write_text
from providers.local.processes import Daemon

_OK = 200


class ApplicationRecord(Value):
    """What the supervisor does for an application; a new generation means a restart."""

    generation: int = 0
    wanted: bool = True


def read_settings(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of a settings file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _rewrite(path: Path, variable: str, value: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [
        f"{variable}={value}" if line.partition("=")[0].strip() == variable else line
        for line in lines
    ]
    mode = path.stat().st_mode & 0o777
    write_text(path, "\n".join(kept) + "\n", mode)


class LocalConsumers(Consumers):
    """Applications of kind `local`."""

    def __init__(self, base: Path, root: Path) -> None:
        self._base, self._root = base, root

    def switch(self, consumer: Consumer, host: str, port: int) -> CutoverRecord:
        """Rewrite host and port in the consumer's database URL and restart it."""
        path, before = self._setting(consumer)
        parts = urlsplit(before)
        login = parts.netloc.rpartition("@")[0]
        netloc = f"{login}@{host}:{port}" if login else f"{host}:{port}"
        after = urlunsplit((parts.scheme, netloc, parts.path, parts.query, parts.fragment))
        if after != before:
            _rewrite(path, consumer.platform.variable, after)
            self._restart(consumer)
        return CutoverRecord(
            consumer=consumer.name, before=f"{parts.hostname}:{parts.port}", after=f"{host}:{port}"
        )

    def turn_back(self, consumer: Consumer, record: CutoverRecord) -> None:
        """Point the consumer to where it was."""
        host, _, port = record.before.rpartition(":")
        self.switch(consumer, host, int(port))

    def require_healthy(self, consumer: Consumer) -> None:
        """Return when the health address answers 200; a consumer without one is taken at its word."""
        if consumer.health is None:
            return
        if not consumer.health.url.startswith(("http://", "https://")):
            raise PreflightRefusedError(
                f"{consumer.name}: health url must begin with http:// or https://"
            )
        pace = timedelta(milliseconds=250)
        try:
            with urllib.request.urlopen(consumer.health.url, timeout=5) as answer:  # noqa: S310 - scheme checked above
                if answer.status == _OK:
                    return
                told = f"HTTP {answer.status}"
        except urllib.error.HTTPError as error:
            told = f"HTTP {error.code}"
            error.close()
        except (OSError, urllib.error.URLError) as error:
            told = str(getattr(error, "reason", error))
        raise NotYetError(f"{consumer.name} to be healthy at {consumer.health.url}: {told}", pace)

    def _setting(self, consumer: Consumer) -> tuple[Path, str]:
        path = self._base / Path(consumer.platform.settings).expanduser()
        try:
            settings = read_settings(path)
        except OSError as error:
            raise PreflightRefusedError(
                f"{consumer.name}: its settings file {path} cannot be read ({error.strerror})"
            ) from None
        if consumer.platform.variable not in settings:
            raise PreflightRefusedError(
                f"{consumer.name}: {path} has no line {consumer.platform.variable}="
            )
        return path, settings[consumer.platform.variable]

    def _restart(self, consumer: Consumer) -> None:
        if consumer.platform.command:
            path = application_record(self._root, consumer.name)
            known = read_record(path, ApplicationRecord) or ApplicationRecord()
            write_record(path, known.model_copy(update={"generation": known.generation + 1}))
        elif consumer.platform.restart:
            done = subprocess.run(
                consumer.platform.restart, capture_output=True, text=True, check=False, timeout=120
            )
            if done.returncode != 0:
                said = (done.stderr or done.stdout).strip().splitlines()
                raise ServerFailedError(
                    f"{consumer.name}: its restart command ended with {done.returncode}: "
                    f"{said[-1] if said else 'no word'}"
                )


def application_record(root: Path, name: str) -> Path:
    """Return where the supervisor reads what to do for an application."""
    return root / "applications" / name / "application.json"


class ApplicationKeeper:
    """Keeps one application running, restarted when its record says so."""

    def __init__(self, root: Path, base: Path, consumer: Consumer) -> None:
        self.consumer, self._base = consumer, base
        self.path = application_record(root, consumer.name)
        folder = self.path.parent
        self.daemon = Daemon(folder / "application.pid", folder / "application.log")
        self._generation: int | None = None

    def tick(self) -> None:
        """Do the next thing, if there is one."""
        record = read_record(self.path, ApplicationRecord) or ApplicationRecord()
        running = self.daemon.pid is not None
        if running and (not record.wanted or self._generation not in {None, record.generation}):
            self.daemon.stop(signal.SIGTERM, within=5.0)
            running = False
        self._generation = record.generation
        if record.wanted and not running:
            self.daemon.start(
                self._command(), environment={**os.environ, **self._settings()}, folder=self._base
            )

    def _command(self) -> Sequence[str]:
        return self.consumer.platform.command

    def _settings(self) -> dict[str, str]:
        try:
            return read_settings(self._base / Path(self.consumer.platform.settings).expanduser())
        except OSError:
            return {}
