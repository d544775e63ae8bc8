"""Applications on this machine: their setting is rewritten, they are restarted and asked how they are."""

import logging
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

from domain.errors import NotYetError, PreflightRefusedError, ServerFailedError
from domain.provider import Consumers
from domain.resources import Consumer
from domain.values import Value
from providers.local.layout import read_record, write_record, write_text
from providers.local.processes import Daemon

_OK = 200
_LOG = logging.getLogger("refloat.applications")


class ApplicationRecord(Value):
    """What the supervisor does for an application; a new generation means a restart."""

    generation: int = 0
    address: str = ""
    key: str = ""


class ApplicationStatus(Value):
    """Which generation of an application the supervisor has started."""

    generation: int


_LINE = re.compile(r"(?P<head>\s*(?:export\s+)?(?P<name>\w+)\s*=\s*)(?P<value>.*?)\s*")
_URL = re.compile(
    r"(?P<quote>['\"]?)(?P<head>(?:postgres(?:ql)?|mysql)://(?:[^@/?#,'\"]*@)?)(?P<address>[^@/?#,'\"]+)"
    r"(?P<tail>(?:[/?#][^'\"]*)?)(?P=quote)"
)


def read_settings(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of a settings file, without the quotes around values."""
    found = (_LINE.fullmatch(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {line["name"]: _unquoted(line["value"]) for line in found if line}


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value


def _rewrite(path: Path, variable: str, value: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [(_LINE.fullmatch(line), line) for line in lines]
    kept = [
        f"{known['head']}{value}" if known and known["name"] == variable else line
        for known, line in found
    ]
    before = path.stat()
    write_text(path, "\n".join(kept) + "\n", before.st_mode & 0o777)
    if os.geteuid() == 0:  # the file stays its owner's
        os.chown(path, before.st_uid, before.st_gid)


class LocalConsumers(Consumers):
    """Applications of kind `local`."""

    def __init__(self, base: Path, root: Path) -> None:
        self._base, self._root = base, root

    def address(self, consumer: Consumer) -> str:
        """Return host and port of the consumer's database URL.

        Raises:
            PreflightRefusedError: the setting is missing, or no URL with one host.
        """
        return self._setting(consumer)[1]["address"]

    def switch(self, consumer: Consumer, address: str, key: str) -> None:
        """Rewrite host and port in the consumer's database URL and restart it."""
        path, url = self._setting(consumer)
        if url["address"] != address:
            quote = url["quote"]
            after = f"{quote}{url['head']}{address}{url['tail']}{quote}"
            _rewrite(path, consumer.platform.variable, after)
        record = application_record(self._root, consumer.name)
        known = read_record(record, ApplicationRecord) or ApplicationRecord()
        wanted = ApplicationRecord(generation=known.generation + 1, address=address, key=key)
        if (known.address, known.key) != (address, key):
            _restart(consumer)
            write_record(record, wanted)  # last: a restart that was cut short happens again

    def require_healthy(self, consumer: Consumer) -> None:
        """Return when the health address answers 200; a consumer without one is taken at its word."""
        self._require_restarted(consumer)
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

    def _setting(self, consumer: Consumer) -> tuple[Path, re.Match[str]]:
        path = self._base / Path(consumer.platform.settings).expanduser()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise PreflightRefusedError(
                f"{consumer.name}: its settings file {path} cannot be read ({error.strerror})"
            ) from None
        variable = consumer.platform.variable
        found = [line for text in lines if (line := _LINE.fullmatch(text))]
        values = [line["value"] for line in found if line["name"] == variable]
        if len(values) != 1:
            raise PreflightRefusedError(
                f"{consumer.name}: {path} has {len(values)} lines {variable}=…; it needs one"
            )
        url = _URL.fullmatch(values[0])
        if url is None:
            raise PreflightRefusedError(
                f"{consumer.name}: {variable} in {path} is not a URL postgresql://user@host:port/name "
                "with one host"
            )
        return path, url

    def _require_restarted(self, consumer: Consumer) -> None:
        """Wait for the new process: the word of the one before does not count."""
        if not consumer.platform.command:
            return
        path = application_record(self._root, consumer.name)
        wanted = read_record(path, ApplicationRecord)
        running = read_record(path.with_name("status.json"), ApplicationStatus)
        if wanted and (running is None or running.generation != wanted.generation):
            pace = timedelta(milliseconds=100)
            raise NotYetError(f"the supervisor to restart {consumer.name}", pace)


def _restart(consumer: Consumer) -> None:
    """Run the restart command of an application that the supervisor does not keep."""
    if consumer.platform.command or not consumer.platform.restart:
        return
    try:
        done = subprocess.run(
            consumer.platform.restart, capture_output=True, text=True, check=False, timeout=50
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerFailedError(f"{consumer.name}: its restart command failed: {error}") from None
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
        self._told = ""
        self._status = self.path.with_name("status.json")

    def safely(self) -> None:
        """Tick; an application that cannot be started takes nothing else down."""
        try:
            self.tick()
        except (OSError, ValueError) as error:
            if str(error) != self._told:
                _LOG.warning("%s: %s", self.consumer.name, error)
            self._told = str(error)

    def tick(self) -> None:
        """Do the next thing, if there is one."""
        wanted = (read_record(self.path, ApplicationRecord) or ApplicationRecord()).generation
        running = self.daemon.pid is not None
        if running and self._started_generation() != wanted:
            self.daemon.stop(signal.SIGTERM, within=5.0)
            running = False
        if not running:
            self.daemon.start(
                self.consumer.platform.command,
                environment={**os.environ, **self._settings()},
                folder=self._base,
            )
            write_record(self._status, ApplicationStatus(generation=wanted))

    def _started_generation(self) -> int:
        started = read_record(self._status, ApplicationStatus)
        return started.generation if started else 0

    def _settings(self) -> dict[str, str]:
        try:
            return read_settings(self._base / Path(self.consumer.platform.settings).expanduser())
        except OSError:
            return {}
