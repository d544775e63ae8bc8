"""Keeps one worker's calls to an account under the account's limits, and names what they raise."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TypeAlias

from domain.errors import ThrottledError, TransientError

Translator: TypeAlias = Callable[[str], AbstractContextManager[None]]
_AFTER_THROTTLING = timedelta(seconds=5)
_AFTER_OTHERS = timedelta(seconds=2)


class Limiter:
    """Lets `rate` calls through each second, evenly, and makes the others wait their turn.

    The distance counts from when a call really went, so that a busy machine that wakes several late
    does not send them in a bunch.
    """

    def __init__(self, rate: float, scale: float = 1.0) -> None:
        self._apart = 1 / (rate * scale)
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when this call may go out."""
        with self._lock:  # those who wait for it wait their turn
            early = self._next - time.monotonic()
            if early > 0:
                time.sleep(early)
            self._next = time.monotonic() + self._apart


class Gate:
    """The one way to an account: each call waits its turn, and its errors are translated.

    What may pass by itself says when to ask again: Temporal retries, and nobody else.
    """

    def __init__(self, rate: float, scale: float, translate: Translator) -> None:
        self._limiter, self._scale, self._translate = Limiter(rate, scale), scale, translate

    def wait(self) -> None:
        """Return when the next request may go out."""
        self._limiter.wait()

    @contextmanager
    def translating(self, doing: str) -> Iterator[None]:
        """Name what goes wrong, without a turn: for an SDK whose one call is several requests."""
        try:
            with self._translate(doing):
                yield
        except TransientError as error:
            usual = _AFTER_THROTTLING if isinstance(error, ThrottledError) else _AFTER_OTHERS
            error.pace = (error.pace or usual) / self._scale
            raise

    @contextmanager
    def call(self, doing: str) -> Iterator[None]:
        """Hold one call."""
        self.wait()
        with self.translating(doing):
            yield
