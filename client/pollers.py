"""Whether anybody is there to do the work: told at once, instead of a wait without an end."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from client.errors import NobodyPollsError
from domain.values import show_span

Answer = TypeVar("Answer")

_PATIENCE = 5.0
_LOOK_AGAIN = 5.0
_LONG_POLL = timedelta(seconds=75)  # a worker that lives asks again within a minute

_WORKFLOWS = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
_ACTIVITIES = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY


async def require_pollers(client: Client, queue: str, provider: str | None = None) -> None:
    """Return once somebody polls `queue` for workflows, and the provider's queue for steps.

    Raises:
        NobodyPollsError: nobody did within a few seconds.
    """
    await _require(client, queue, _WORKFLOWS)
    if provider is not None:
        await _require(client, f"{queue}-{provider}", _ACTIVITIES)


async def _require(client: Client, queue: str, kind: "TaskQueueType.ValueType") -> None:
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while True:
        seen = await _last_seen(client, queue, kind)
        age = datetime.now(UTC) - seen if seen else None
        if age is not None and age < _LONG_POLL:
            return
        if asyncio.get_running_loop().time() > deadline:
            told = f"; the last one was seen {show_span(age)} ago" if age is not None else ""
            raise NobodyPollsError(
                f"no worker polls the queue {queue!r}{told}; start `refloat-worker` beside the data, "
                "with the catalog that names this provider (`refloat sandbox up` starts the "
                "sandbox's)"
            )
        await asyncio.sleep(0.3)


async def _last_seen(
    client: Client, queue: str, kind: "TaskQueueType.ValueType"
) -> datetime | None:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
    )
    told = await client.workflow_service.describe_task_queue(request)
    seen = [poller.last_access_time.ToDatetime(UTC) for poller in told.pollers]
    return max(seen, default=None)


async def while_polled(
    client: Client, queue: str, provider: str, answer: Awaitable[Answer]
) -> Answer:
    """Return the answer; stop waiting for it once no worker is left that could give it.

    Raises:
        NobodyPollsError: the last worker has gone.
    """
    waiting = asyncio.ensure_future(answer)
    try:
        while not (await asyncio.wait([waiting], timeout=_LOOK_AGAIN))[0]:
            await require_pollers(client, queue, provider)
        return await waiting
    finally:
        waiting.cancel()
