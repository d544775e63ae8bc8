"""How often something slow is asked about: soon noticed, and few calls."""

from dataclasses import dataclass
from datetime import datetime, timedelta

_FIRST = timedelta(seconds=2)
_SOON = timedelta(seconds=20)
_USUAL = timedelta(seconds=10)
_SHARE = 0.01
_NEAR = 0.1


@dataclass(frozen=True)
class Pacing:
    """The pace of polling one account.

    `least` is twice the shortest interval that the account's limits allow. `scale` is how many
    times faster than reality a simulated provider works; it is 1 for a real one.
    """

    least: timedelta = timedelta()
    scale: float = 1.0

    def after(self, elapsed: timedelta, expected: timedelta | None = None) -> timedelta:
        """Return how long to wait before asking again about what began `elapsed` ago.

        Both are real time. Seconds at first, where refusals show; then so that the end is noticed
        within ten seconds or one per cent of the duration; twice as often near the expected end.
        """
        passed = elapsed * self.scale
        pace = _FIRST if passed < _SOON else max(_USUAL, passed * _SHARE)
        if expected is not None and abs(passed - expected * self.scale) < expected * (
            self.scale * _NEAR
        ):
            pace /= 2
        return max(pace, self.least) / self.scale

    def short(self, span: timedelta) -> timedelta:
        """Return a provider's own span in real time."""
        return span / self.scale

    def since(self, began: datetime | None, now: datetime, expected: timedelta | None) -> timedelta:
        """Return the wait for what began at a moment, when that is known."""
        return self.after(now - began if began else timedelta(), expected)
