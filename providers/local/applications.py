"""Applications on this machine: their setting is rewritten, they are restarted and asked how they are."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from domain.errors import NotYetError, PreflightRefusedError, ServerFailedError
from domain.provider import Consumers
from domain.resources import Consumer, LocalPlatform
from domain.values import UtcDatetime, Value
from providers.health import require_healthy
from providers.local.layout import locked, read_record, write_record, write_text


class ApplicationRecord(Value):
    """What the supervisor does for an application; a new generation means a restart.

    `image` is what a container runs, by digest, `written` how it was asked for; `release` counts
    the changes of it, `run` is the run that made the last one.
    """

    generation: int = 0
    address: str = ""
    key: str = ""
    configured: str = ""
    image: str = ""
    written: str = ""
    cause: str = ""
    release: int = 0
    run: str = ""
    changed_by: str = ""
    changed_at: UtcDatetime | None = None


class ApplicationStatus(Value):
    """Which generation of an application the supervisor has started, and how that went.

    `log_from` is where the log of this start begins, `log_before` where that of the one before did.
    """

    generation: int
    image: str = ""
    starts: int = 0
    started_at: UtcDatetime | None = None
    log_from: int = 0
    log_before: int = 0
    exit_code: int | None = None


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
            _rewrite(path, _platform(consumer).variable, after)
        record = application_record(self._root, consumer.name)
        known = read_record(record, ApplicationRecord) or ApplicationRecord()
        if (known.address, known.key) != (address, key):
            _restart(consumer.name, _platform(consumer))
            with changing(self._root, consumer.name) as known:
                made = {"generation": known.generation + 1, "address": address, "key": key}
                write_record(record, known.model_copy(update=made))  # last: a restart cut short

    def require_healthy(self, consumer: Consumer) -> None:
        """Return when the health address answers 200; a consumer without one is taken at its word."""
        self._require_restarted(consumer)
        if consumer.health is not None:
            require_healthy(consumer.name, consumer.health.url)

    def _setting(self, consumer: Consumer) -> tuple[Path, re.Match[str]]:
        platform = _platform(consumer)
        path = self._base / Path(platform.settings).expanduser()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise PreflightRefusedError(
                f"{consumer.name}: its settings file {path} cannot be read ({error.strerror})"
            ) from None
        variable = platform.variable
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
        if not _platform(consumer).kept:
            return
        path = application_record(self._root, consumer.name)
        wanted = read_record(path, ApplicationRecord)
        running = read_record(path.with_name("status.json"), ApplicationStatus)
        if wanted and (running is None or running.generation != wanted.generation):
            pace = timedelta(milliseconds=100)
            raise NotYetError(f"the supervisor to restart {consumer.name}", pace)


def _platform(consumer: Consumer) -> LocalPlatform:
    if isinstance(consumer.platform, LocalPlatform):
        return consumer.platform
    raise PreflightRefusedError(f"{consumer.name}: it does not run on this machine")


def _restart(name: str, platform: LocalPlatform) -> None:
    """Run the restart command of an application that the supervisor does not keep."""
    if platform.kept or not platform.restart:
        return
    try:
        done = subprocess.run(
            platform.restart, capture_output=True, text=True, check=False, timeout=50
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerFailedError(f"{name}: its restart command failed: {error}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ServerFailedError(
            f"{name}: its restart command ended with {done.returncode}: "
            f"{said[-1] if said else 'no word'}"
        )


def application_record(root: Path, name: str) -> Path:
    """Return where the supervisor reads what to do for an application."""
    return root / "applications" / name / "application.json"


@contextmanager
def changing(root: Path, name: str) -> Iterator[ApplicationRecord]:
    """Give out the record of an application that nobody else changes meanwhile."""
    path = application_record(root, name)
    with locked(path.with_name("application.lock")):
        yield read_record(path, ApplicationRecord) or ApplicationRecord()
