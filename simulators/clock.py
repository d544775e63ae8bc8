"""The time scale of a simulation: how fast operations go, and a hand to move them on."""

import threading
import time
from datetime import UTC, datetime, timedelta


class SimulatedClock:
    """Measures the simulated time that operations take.

    Only durations are simulated: `scale` simulated seconds pass in each real one, and tests may
    move the clock on. Stamps are real, because the data behind the instances is.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self._began = time.monotonic()
        self._moved = timedelta()
        self._lock = threading.Lock()

    def elapsed(self) -> timedelta:
        """Return the simulated time since the clock was made."""
        real = time.monotonic() - self._began
        with self._lock:
            return timedelta(seconds=real * self.scale) + self._moved

    def move(self, span: timedelta) -> None:
        """Let `span` pass at once."""
        with self._lock:
            self._moved += span

    @staticmethod
    def now() -> datetime:
        """Return the present moment, aware, UTC and real."""
        return datetime.now(UTC)
