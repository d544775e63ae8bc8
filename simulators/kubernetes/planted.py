"""Faults that a test plants: answers that do not come, or come as errors, or come late."""

import re
import threading
from dataclasses import dataclass
from typing import Literal

from simulators.kubernetes.refusals import ApiError

_REASONS = {
    429: ("TooManyRequests", "Too many requests, please try again later."),
    500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within requested timeout"),
}


@dataclass(frozen=True)
class Fault:
    """What happens to the next calls of a method (`*`: any) whose path matches a pattern."""

    method: str = "*"
    path: str = ".*"
    """A regular expression that the whole path, without its query, matches."""
    status: int | None = None
    """The error to answer instead of carrying the call out."""
    retry_after: int | None = None
    """What the header `Retry-After` of that error says."""
    drop: Literal["before", "after"] | None = None
    """Cut the connection before the call is carried out, or after it."""
    seconds: float = 0.0
    """How long the answer lets one wait."""
    times: int = 1

    def refusal(self) -> ApiError | None:
        """Return the error to answer."""
        if self.status is None:
            return None
        reason, message = _REASONS.get(self.status, ("", f"answer {self.status} was asked for"))
        error = ApiError(self.status, reason, message, {})
        error.retry_after = self.retry_after
        return error


class Planted:
    """The faults that wait for their calls; the first that matches happens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Fault, int]] = []

    def plant(self, fault: Fault) -> None:
        """Let a fault wait for its calls."""
        with self._lock:
            self._waiting.append((fault, fault.times))

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that happens to a call, and count it."""
        with self._lock:
            for place, (fault, left) in enumerate(self._waiting):
                if fault.method in ("*", method) and re.fullmatch(fault.path, path):
                    self._waiting[place : place + 1] = [(fault, left - 1)] if left > 1 else []
                    return fault
        return None
