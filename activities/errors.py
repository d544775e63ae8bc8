"""The one place where a domain error becomes a Temporal failure, and where every step beats."""

import contextvars
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import ParamSpec, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from domain.errors import (
    BusyError,
    NotYetError,
    PermanentError,
    RecoveryError,
    StoppedError,
    ThrottledError,
    TransientError,
    WorkerStoppingError,
)
from domain.provider import Memory, ReportProgress
from domain.recovery import Progress

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")

_BEAT_SECONDS = 1.0


def as_failure(error: RecoveryError) -> ApplicationError:
    """Return the failure that tells Temporal whether, and when, to ask again."""
    waiting = isinstance(error, NotYetError | BusyError | ThrottledError)
    return ApplicationError(
        str(error),
        type=type(error).__name__,
        non_retryable=isinstance(error, PermanentError),
        next_retry_delay=error.pace if isinstance(error, TransientError) else None,
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
                with _beating():
                    return method(*args, **kwargs)
            except RecoveryError as error:
                raise as_failure(error) from None

        return run

    return made


class _Beat:
    """Heartbeats once a second, with the progress noted last."""

    def __init__(self) -> None:
        self.noted = earlier_progress().noted
        self.latest = Progress(what="begin", noted=self.noted)
        self.stop = threading.Event()

    def run(self) -> None:
        """Beat until told to stop."""
        while not self.stop.wait(_BEAT_SECONDS):
            activity.heartbeat(self.latest)

    def note(self, progress: Progress) -> None:
        """Tell progress now, and hear a cancel."""
        self.latest = progress.model_copy(update={"noted": progress.noted or self.noted})
        activity.heartbeat(self.latest)
        if not activity.is_cancelled():
            return
        details = activity.cancellation_details()
        if details is not None and details.cancel_requested:
            raise StoppedError(f"stopped on request: {progress}")
        raise WorkerStoppingError(f"this worker gives the step back: {progress}")


_BEAT: contextvars.ContextVar[_Beat] = contextvars.ContextVar("beat")


@contextmanager
def _beating() -> Iterator[None]:
    """Heartbeat while the block runs, so that a step of a killed worker is soon taken over.

    The beat proves that the process lives; deadlines prove that the work moves.
    """
    beat = _Beat()
    token = _BEAT.set(beat)
    beater = threading.Thread(target=contextvars.copy_context().run, args=(beat.run,), daemon=True)
    beater.start()
    try:
        yield
    finally:
        beat.stop.set()
        beater.join()
        _BEAT.reset(token)


def earlier_progress() -> Progress:
    """Return what the last attempt of the running step told, or an empty progress."""
    told = activity.info().heartbeat_details
    return Progress.model_validate(told[0]) if told else Progress(what="begin")


class _StepMemory(Memory):
    """Keeps notes in the heartbeats of the running step, where its next attempt finds them."""

    def recall(self) -> tuple[str, ...]:
        """Return what was noted last, by this attempt or an earlier one."""
        return _BEAT.get().noted

    def note(self, what: Sequence[str]) -> None:
        """Write down what the next attempt should know."""
        beat = _BEAT.get()
        beat.noted = tuple(what)
        beat.note(Progress(what="write down", noted=beat.noted))


def memory() -> Memory:
    """Return what earlier attempts of the running step wrote down, and where to write."""
    return _StepMemory()


def first_scheduled_at() -> datetime:
    """Return when the running step was asked for first, aware and UTC: the same in each attempt."""
    return activity.info().scheduled_time


def progress() -> ReportProgress:
    """Return the callback by which the running step tells its progress and hears a cancel."""
    return _BEAT.get().note
