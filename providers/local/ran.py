"""What an application on this machine ran, and how it was: written by the supervisor alone."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.errors import NotYetError, PermanentError
from domain.values import UtcDatetime, Value
from providers.health import require_healthy
from providers.local.layout import read_record, write_record

_KEPT = 50
_LOOK = 0.5  # seconds between two looks at the health address
_WRITE = timedelta(seconds=10)


class Ran(Value):
    """One image for as long as it was what should run; times are UTC."""

    number: int
    image: str
    written: str
    cause: str = ""
    started_at: UtcDatetime
    ended_at: UtcDatetime | None = None
    healthy_at: UtcDatetime | None = None
    healthy_for: timedelta = timedelta()


class RanList(Value):
    """Everything that ran, oldest first."""

    ran: tuple[Ran, ...] = ()


class RanBefore:
    """The kept list of one application."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def all(self) -> tuple[Ran, ...]:
        """Return what ran, oldest first."""
        found = read_record(self._path, RanList)
        return found.ran if found else ()

    def begin(self, image: str, written: str, cause: str) -> None:
        """Note that an image begins to run, unless it is the one that did already."""
        with self._lock:
            known = self.all()
            if known and known[-1].image == image:
                return
            now = datetime.now(UTC)
            before = (*known[:-1], known[-1].model_copy(update={"ended_at": now})) if known else ()
            number = known[-1].number + 1 if known else 1
            new = Ran(number=number, image=image, written=written, cause=cause, started_at=now)
            write_record(self._path, RanList(ran=(*before, new)[-_KEPT:]))

    def healthy(self, image: str, since: datetime, span: timedelta) -> None:
        """Add to how long an image was healthy, where it is the one that runs."""
        with self._lock:
            known = self.all()
            if not known or known[-1].image != image:
                return
            last = known[-1].model_copy(
                update={
                    "healthy_at": known[-1].healthy_at or since,
                    "healthy_for": known[-1].healthy_for + span,
                }
            )
            write_record(self._path, RanList(ran=(*known[:-1], last)))


class HealthWatch(threading.Thread):
    """Looks at an application's health and adds up how long each image had it."""

    def __init__(self, name: str, url: str, before: RanBefore, running: Callable[[], str]) -> None:
        super().__init__(daemon=True, name=f"health of {name}")
        self._name, self._url, self._before, self._running = name, url, before, running
        self._end = threading.Event()

    def stop(self) -> None:
        """End, and write down what was seen last."""
        self._end.set()
        if self.is_alive():
            self.join(timeout=10)

    def run(self) -> None:
        """Look until told to stop."""
        image = ""
        since: datetime | None = None
        while not self._end.wait(_LOOK):
            now, found = datetime.now(UTC), self._running()
            well = bool(found) and self._is_healthy()
            if since is not None and (not well or found != image):
                self._before.healthy(image, since, now - since)
                since = None
            if well and since is None:
                image, since = found, now
                self._before.healthy(image, now, timedelta())
            elif since is not None and now - since > _WRITE:
                self._before.healthy(image, since, now - since)
                since = now
        if since is not None:
            self._before.healthy(image, since, datetime.now(UTC) - since)

    def _is_healthy(self) -> bool:
        try:
            require_healthy(self._name, self._url, 2.0)
        except (NotYetError, PermanentError):
            return False
        return True
