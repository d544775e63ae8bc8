"""What a control plane does in the background: takes simulated time, and real work where there is some."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

from simulators.clock import SimulatedClock

_LOG = logging.getLogger(__name__)


class Operation:
    """One piece of background work; over when its simulated time has passed and its work is done."""

    def __init__(
        self, clock: SimulatedClock, kind: str, lasts: timedelta, work: "Future[None] | None"
    ) -> None:
        self.kind, self.lasts = kind, lasts
        self._clock, self._work = clock, work
        self._began = clock.elapsed()

    @property
    def failed(self) -> BaseException | None:
        """What went wrong in the real work, or None so far."""
        return self._work.exception() if self._work is not None and self._work.done() else None

    @property
    def over(self) -> bool:
        """Whether nothing is left to wait for."""
        worked = self._work is None or self._work.done()
        return worked and self._clock.elapsed() - self._began >= self.lasts

    @property
    def percent(self) -> int:
        """How far the simulated time has gone, at most 99 before the end."""
        if self.over:
            return 100
        share = (self._clock.elapsed() - self._began) / self.lasts if self.lasts else 0.99
        return min(99, int(100 * share))


class Operations:
    """Begins background work."""

    def __init__(self, clock: SimulatedClock, threads: int = 8) -> None:
        self._clock = clock
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="simulated")

    def begin(
        self, kind: str, lasts: timedelta, work: Callable[[], None] | None = None
    ) -> Operation:
        """Begin an operation that lasts `lasts` of simulated time, and at least as long as `work`."""
        running = self._pool.submit(_logged(kind, work)) if work is not None else None
        return Operation(self._clock, kind, lasts, running)

    def close(self) -> None:
        """Wait for the work that runs and take no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _logged(kind: str, work: Callable[[], None]) -> Callable[[], None]:
    """Return work whose failure is told to whoever runs the simulator: its client hears no reason."""

    def run() -> None:
        try:
            work()
        except Exception as error:
            _LOG.warning("simulated %s failed: %s: %s", kind, type(error).__name__, error)
            raise

    return run
