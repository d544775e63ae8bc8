"""Counts how long something may take to become healthy, only while somebody asks."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from activities.errors import earlier_progress, first_scheduled_at, progress
from domain.errors import ConsumerUnhealthyError, NotYetError
from domain.recovery import Progress

Answer = TypeVar("Answer")

_LONGEST_ASKING = timedelta(seconds=6)
_QUICKEST = timedelta(milliseconds=200)
DEFAULT_PATIENCE = timedelta(seconds=30)


def quick_at_first(look: Callable[[], Answer]) -> Answer:
    """Return the answer of one look; what is not there yet is asked for soon, later at its pace.

    Raises:
        NotYetError: ask again after a tenth of what was waited, at most the pace it came with.
    """
    try:
        return look()
    except NotYetError as error:
        waited = datetime.now(UTC) - first_scheduled_at()
        pace = error.pace or _QUICKEST
        error.pace = min(pace, max(_QUICKEST, waited / 10))
        raise


def within_patience(name: str, within: timedelta, look: Callable[[], Answer]) -> Answer:
    """Return the answer of one look; a worker that is away is no illness of what is looked at.

    Raises:
        NotYetError: it is not healthy, and may still take its time.
        ConsumerUnhealthyError: its time is over.
    """
    before, now = earlier_progress(), datetime.now(UTC)
    try:
        return look()
    except NotYetError as error:
        since = now - before.asked_at if before.asked_at else timedelta()
        waited = before.waited + min(since, _LONGEST_ASKING)
        progress()(Progress(what=str(error), waited=waited, asked_at=now))
        if waited >= within:
            raise ConsumerUnhealthyError(
                f"{name} did not become healthy within {within.total_seconds():g} s: "
                f"{str(error).removeprefix('not yet: ')}; see its log"
            ) from None
        raise
