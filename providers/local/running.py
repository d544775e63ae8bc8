"""Keeps applications of this machine running: programs as they are, images in containers."""

import hashlib
import logging
import os
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import RecoveryError
from domain.resources import Health, LocalPlatform
from providers.local.applications import (
    ApplicationRecord,
    ApplicationStatus,
    application_record,
    read_settings,
)
from providers.local.containers import Podman, Traces
from providers.local.layout import read_record, write_record
from providers.local.processes import Daemon
from providers.local.ran import HealthWatch, RanBefore

_LOG = logging.getLogger("refloat.applications")
_LONGEST_PAUSE = 10.0  # seconds
_STEADY = 30.0
_GRACE = 1.0


@dataclass(frozen=True)
class Kept:
    """What an application is, as far as keeping it running needs it."""

    name: str
    platform: LocalPlatform
    health: Health | None


class ApplicationKeeper:
    """Keeps one application running, restarted when its record says so."""

    def __init__(self, root: Path, base: Path, kept: Kept) -> None:
        self._kept, self._base = kept, base
        self.path = application_record(root, kept.name)
        folder = self.path.parent
        self.daemon = Daemon(folder / "application.pid", folder / "application.log")
        self._told = ""
        self._status = self.path.with_name("status.json")
        self._podman = Podman(containers_folder(root))
        self._traces = Traces(folder, container_name(root, kept.name))
        self._ended_at: float | None = None
        self._exit_code: int | None = None
        self._before = RanBefore(folder / "ran.json")
        self._next, self._pause = 0.0, 0.25
        self._watch: HealthWatch | None = None
        if kept.platform.container and kept.health is not None:
            self._watch = HealthWatch(kept.name, kept.health.url, self._before, self._runs)
            self._watch.start()

    def safely(self) -> None:
        """Tick; an application that cannot be started takes nothing else down."""
        try:
            self.tick()
        except (OSError, ValueError, RecoveryError) as error:
            if str(error) != self._told:
                _LOG.warning("%s: %s", self._kept.name, error)
            self._told = str(error)

    def tick(self) -> None:
        """Do the next thing, if there is one."""
        wanted = read_record(self.path, ApplicationRecord) or ApplicationRecord()
        if self._kept.platform.container and not wanted.image:
            return
        started = read_record(self._status, ApplicationStatus)
        changed = started is None or started.generation != wanted.generation
        running = self.daemon.pid is not None and not self._is_over()
        if running and changed:
            self.end()
            running = False
        if not running and (changed or time.monotonic() >= self._next):
            self._start(wanted, None if changed else started)

    def _is_over(self) -> bool:
        """Return whether a container's program has ended although `podman run` still waits.

        Podman 4.3 waits for twenty seconds where its own cleaning up was too quick or too slow.
        """
        if not self._kept.platform.container or not self._traces.has_ended():
            self._ended_at = None
            return False
        self._ended_at = self._ended_at or time.monotonic()
        if time.monotonic() - self._ended_at < _GRACE:
            return False
        self._exit_code = self._podman.exit_code(self._traces)
        self.daemon.stop(signal.SIGKILL, within=1.0)
        return True

    def _start(self, wanted: ApplicationRecord, before: ApplicationStatus | None) -> None:
        """Start it; what keeps ending is started ever more seldom."""
        steady = time.monotonic() - self._next > _STEADY
        self._pause = 0.25 if before is None or steady else min(_LONGEST_PAUSE, self._pause * 2)
        self._next = time.monotonic() + self._pause
        command, settings = self._command(wanted)
        if wanted.image:
            self._before.begin(wanted.image, wanted.written, wanted.cause)
        log = self.daemon.log
        end = log.stat().st_size if log.exists() else 0
        status = ApplicationStatus(
            generation=wanted.generation,
            image=wanted.image,
            starts=before.starts + 1 if before else 1,
            started_at=datetime.now(UTC),
            log_from=end,
            log_before=before.log_from if before else end,
            exit_code=(self._exit_code or self.daemon.exit_code) if before else None,
        )
        self._ended_at = self._exit_code = None
        self.daemon.start(command, environment=settings, folder=self._base)
        write_record(self._status, status)

    def _command(self, wanted: ApplicationRecord) -> tuple[list[str], dict[str, str]]:
        platform, settings = self._kept.platform, self._settings()
        if not platform.container:
            return list(platform.command), {**os.environ, **settings}
        mounts = [(self._base / Path(one).expanduser()).resolve() for one in platform.mounts]
        command = self._podman.command(self._traces, wanted.image, settings, mounts)
        return command, self._podman.environment(settings)

    def end(self) -> None:
        """Stop it."""
        self.daemon.stop(signal.SIGTERM, within=5.0)
        if self._kept.platform.container:
            self._podman.remove(self._traces.name)  # a container outlives a killed `podman run`

    def close(self) -> None:
        """Look no more at its health, and keep no namespace open."""
        if self._kept.platform.container:
            self._podman.leave()
        if self._watch is not None:
            self._watch.stop()

    def _runs(self) -> str:
        """Return the image that runs now, or nothing."""
        started = read_record(self._status, ApplicationStatus)
        return started.image if started and self.daemon.is_running() else ""

    def _settings(self) -> dict[str, str]:
        try:
            return read_settings(self._base / Path(self._kept.platform.settings).expanduser())
        except OSError:
            return {}


def containers_folder(root: Path) -> Path:
    """Return where images and containers of a provider are."""
    return root / "containers"


def container_name(root: Path, name: str) -> str:
    """Return the name of an application's container, its own in each state folder."""
    return f"refloat-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}-{name}"
