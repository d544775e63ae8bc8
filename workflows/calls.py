"""How workflows call activities: every call with its deadlines, on the provider's own queue."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError
from temporalio.exceptions import TimeoutError as StepTimeoutError
from temporalio.workflow import ActivityCancellationType, ActivityConfig

with workflow.unsafe.imports_passed_through():
    from domain.resources import Protected

Owner = TypeVar("Owner")
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    maximum_interval=timedelta(seconds=15),
    non_retryable_error_types=["PayloadsTooLarge"],
)
_BRIEFLY = timedelta(seconds=5)
_HOURS = timedelta(hours=6)
_POLLING = RetryPolicy(initial_interval=timedelta(milliseconds=250), backoff_coefficient=1.0)


def queue_of(resource: Protected) -> str:
    """Return the task queue of a resource's provider, beside the workflow's own."""
    return f"{workflow.info().task_queue}-{resource.provider}"


def short(resource: Protected, summary: str) -> ActivityConfig:
    """Return the options of a call that is over in seconds.

    Its minutes are for an account whose calls wait their turn; a dead worker is noticed by its
    heartbeat long before.
    """
    return ActivityConfig(
        task_queue=queue_of(resource),
        start_to_close_timeout=timedelta(minutes=3),
        schedule_to_close_timeout=timedelta(minutes=10),
        heartbeat_timeout=_BRIEFLY,
        retry_policy=_RETRY,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
    )


def long(resource: Protected, summary: str) -> ActivityConfig:
    """Return the options of work that the worker does itself, with heartbeats."""
    return ActivityConfig(
        task_queue=queue_of(resource),
        start_to_close_timeout=timedelta(hours=12),
        schedule_to_close_timeout=timedelta(hours=24),
        heartbeat_timeout=timedelta(seconds=10),
        retry_policy=_RETRY,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
    )


def polling(resource: Protected, summary: str, within: timedelta) -> ActivityConfig:
    """Return the options of a wait: each attempt asks once, and Temporal asks again."""
    return ActivityConfig(
        task_queue=queue_of(resource),
        start_to_close_timeout=timedelta(seconds=60),
        schedule_to_close_timeout=within,
        heartbeat_timeout=_BRIEFLY,
        retry_policy=_POLLING,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
    )


def patient(resource: Protected, summary: str, within: timedelta = _HOURS) -> ActivityConfig:
    """Return the options of a call that is over in seconds, or says "not yet" for minutes or hours."""
    return short(resource, summary) | ActivityConfig(schedule_to_close_timeout=within)


async def perform(
    method: Callable[[Owner, Asked], Answer], asked: Asked, options: ActivityConfig
) -> Answer:
    """Run one activity and return its answer, unless the run was cancelled meanwhile.

    An activity that is waited for although the run was cancelled may still succeed; the SDK then
    returns its answer and the cancel would be lost.

    Raises:
        asyncio.CancelledError: the run was cancelled while the activity ran.
    """
    answer = await workflow.execute_activity_method(method, asked, **options)
    if workflow.cancellation_reason() is not None:
        raise asyncio.CancelledError
    return answer


def sentence_of(error: BaseException) -> tuple[str, str]:
    """Return the sentence and the kind of the deepest named failure."""
    sentence, kind = str(error) or "cancelled", "Cancelled"
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ApplicationError):
            sentence, kind = found.message, found.type or "ApplicationError"
        elif isinstance(found, ActivityError) and isinstance(found.__cause__, StepTimeoutError):
            sentence = (
                f"the step {found.activity_type} did not end in time; see the log of the worker "
                "and whether one polls the provider's queue"
            )
            return sentence, "TimeoutError"
        elif isinstance(found, FailureError) and not isinstance(found, ActivityError):
            sentence, kind = found.message, type(found).__name__
        found = found.__cause__
    return sentence, kind


def is_permanent(error: BaseException) -> bool:
    """Return whether the deepest named failure says that asking again gives the same answer."""
    permanent = False
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ApplicationError):
            permanent = found.non_retryable
        found = found.__cause__
    return permanent


async def uninterrupted(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Do the work to its end, although the run is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
        except FailureError:
            break
    return task.result()


class Undo:
    """What to take back, last first; an undo must accept that its step never happened."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = []
        self._removing: set[str] = set()
        self.left: list[str] = []

    def add(
        self, what: str, how: Callable[[], Coroutine[Any, Any, None]], *, removes: bool = False
    ) -> None:
        """Note how a step is undone, before the step is tried.

        What `removes` something is left undone when an undo before it failed: it may be in use.
        """
        self._steps.append((what, how))
        if removes:
            self._removing.add(what)

    def forget(self) -> None:
        """Make everything so far permanent."""
        self._steps.clear()

    def spare(self) -> None:
        """Take everything back but what removes something."""
        self._steps = [step for step in self._steps if step[0] not in self._removing]

    @property
    def planned(self) -> Sequence[str]:
        """What would be undone, last first."""
        return [what for what, _ in reversed(self._steps)]

    async def run(self) -> None:
        """Undo everything, a cancel notwithstanding; what cannot be undone is kept in `left`."""
        while self._steps:
            what, how = self._steps.pop()
            if self.left and what in self._removing:
                self.left.append(f"{what}: not done, because of what is left; look at both first")
                continue
            try:
                await uninterrupted(how())
            except FailureError as error:
                self.left.append(f"{what}: {sentence_of(error)[0]}")
