"""What goes wrong on purpose: throttling, errors, lost replies, lists that lag behind."""

import threading
from dataclasses import dataclass
from datetime import timedelta

from simulators.clock import SimulatedClock


@dataclass(frozen=True)
class Refusal:
    """An error to answer, in the provider's own status and code."""

    status: int
    code: str
    message: str


class Faults:
    """Faults that tests and users switch on; every control plane asks before it answers."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._throttled_until = timedelta()
        self._lost: dict[str, int] = {}
        self._refused: dict[str, tuple[Refusal, int]] = {}
        self.lag = timedelta()
        """How far lists and tags lag behind what was written, in simulated time."""

    def throttle_for(self, span: timedelta) -> None:
        """Refuse every call as too many for `span` of simulated time."""
        with self._lock:
            self._throttled_until = self._clock.elapsed() + span

    @property
    def throttling(self) -> bool:
        """Whether calls are refused as too many now."""
        return self._clock.elapsed() < self._throttled_until

    def lose_reply(self, operation: str, times: int = 1) -> None:
        """Carry out the next calls of `operation` and cut their connections before the answer."""
        with self._lock:
            self._lost[operation] = times

    def takes_reply_of(self, operation: str) -> bool:
        """Return whether the answer to this call is to be lost, and count it."""
        with self._lock:
            left = self._lost.get(operation, 0)
            self._lost[operation] = max(0, left - 1)
            return left > 0

    def refuse(self, operation: str, refusal: Refusal, times: int = 1_000_000) -> None:
        """Answer the next calls of `operation` with an error; nothing is carried out."""
        with self._lock:
            self._refused[operation] = (refusal, times)

    def allow(self, operation: str) -> None:
        """Carry out calls of `operation` again."""
        with self._lock:
            self._refused.pop(operation, None)

    def refusal_of(self, operation: str) -> Refusal | None:
        """Return the error to answer this call with, and count it."""
        with self._lock:
            refusal, left = self._refused.get(operation, (None, 0))
            if refusal is None or left <= 0:
                return None
            self._refused[operation] = (refusal, left - 1)
            return refusal
