"""The one place where a domain error becomes a Temporal failure."""

import contextvars
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from domain.errors import NotYetError, PermanentError, RecoveryError, StoppedError
from domain.provider import ReportProgress
from domain.recovery import Progress

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")

_BEAT_SECONDS = 1.0


def as_failure(error: RecoveryError) -> ApplicationError:
    """Return the failure that tells Temporal whether, and when, to ask again."""
    waiting = isinstance(error, NotYetError)
    return ApplicationError(
        str(error),
        type=type(error).__name__,
        non_retryable=isinstance(error, PermanentError),
        next_retry_delay=error.pace if isinstance(error, NotYetError) else None,
        category=ApplicationErrorCategory.BENIGN
        if waiting
        else ApplicationErrorCategory.UNSPECIFIED,
    )


def step(name: str) -> Callable[[Callable[Parameters, Answer]], Callable[Parameters, Answer]]:
    """Make a method an activity called `name`, with its errors translated.

    Names live in histories: never rename one, add another.
    """

    def made(method: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
        @activity.defn(name=name, no_thread_cancel_exception=True)
        @functools.wraps(method)
        def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Answer:
            try:
                return method(*args, **kwargs)
            except RecoveryError as error:
                raise as_failure(error) from None

        return run

    return made


@contextmanager
def beating() -> Iterator[ReportProgress]:
    """Heartbeat once a second while the block runs; the callback notes progress and hears a cancel.

    The beat proves that the process lives; deadlines prove that the work moves.
    """
    stop, latest = threading.Event(), [Progress(what="begin")]

    def beat() -> None:
        while not stop.wait(_BEAT_SECONDS):
            activity.heartbeat(latest[0])

    def note(progress: Progress) -> None:
        latest[0] = progress
        activity.heartbeat(progress)
        if activity.is_cancelled():
            raise StoppedError(f"stopped on request: {progress}")

    beater = threading.Thread(target=contextvars.copy_context().run, args=(beat,), daemon=True)
    beater.start()
    try:
        yield note
    finally:
        stop.set()
        beater.join()
