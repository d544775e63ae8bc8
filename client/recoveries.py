"""Starts recoveries and the short requests around them."""

import asyncio
import os
import pwd
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, CancelledError, WorkflowAlreadyStartedError

from client.errors import AlreadyRunningError, NobodyPollsError, RunEndedError
from domain.recovery import (
    RecoveryPointList,
    RestoreRequest,
    ServerDescription,
    Snapshot,
    Suspect,
    Target,
)
from domain.report import RestorePlan, RunReport
from domain.resources import Mode, ProtectedResource
from domain.values import Value
from workflows.attributes import KIND, MODE, RESOURCE, RUN
from workflows.database_restore import DatabaseRestoreWorkflow
from workflows.requests import (
    DRILL_QUEUE,
    RECOVERY_QUEUE,
    CreateSnapshot,
    FindSuspects,
)
from workflows.short import (
    CreateSnapshotWorkflow,
    DescribeResourceWorkflow,
    FindSuspectsWorkflow,
    ListRecoveryPointsWorkflow,
    PlanRestoreWorkflow,
    ReleaseWorkflow,
)

Answer = TypeVar("Answer")

_POLLER_PATIENCE = 5.0
_LOOK_AGAIN = 5.0
_DAY = timedelta(days=1)


class StartedRun(Value):
    """A run that was started."""

    workflow_id: str
    run_id: str
    temporal_run_id: str


def whoami() -> str:
    """Return the account of the operating system that runs this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def new_request(
    resource: ProtectedResource,
    target: Target,
    *,
    mode: Mode = Mode.INCIDENT,
    cutover: bool = True,
    incident_at: datetime | None = None,
    reason: str = "",
) -> RestoreRequest:
    """Return a request stamped with an id of its own, the time and who asks."""
    return RestoreRequest(
        id=uuid.uuid4().hex,
        resource=resource,
        target=target,
        mode=mode,
        cutover=cutover,
        requested_at=datetime.now(UTC),
        requested_by=whoami(),
        incident_at=incident_at,
        reason=reason,
    )


def workflow_id(mode: Mode, path: str) -> str:
    """Return the id that is the lock on a resource; a drill never stands in an incident's way."""
    return f"{'drill' if mode is Mode.DRILL else 'restore'}:{path}"


def queue_of(workflow: str) -> str:
    """Return the task queue of a workflow id."""
    return DRILL_QUEUE if workflow.startswith("drill:") else RECOVERY_QUEUE


async def require_pollers(client: Client, queue: str) -> None:
    """Return once somebody polls `queue` for workflows.

    Raises:
        NobodyPollsError: nobody did within a few seconds.
    """
    deadline = asyncio.get_running_loop().time() + _POLLER_PATIENCE
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    while True:
        told = await client.workflow_service.describe_task_queue(request)
        now = datetime.now(UTC)
        seen = [poller.last_access_time.ToDatetime(UTC) for poller in told.pollers]
        if any(now - moment < timedelta(minutes=2) for moment in seen):
            return
        if asyncio.get_running_loop().time() > deadline:
            raise NobodyPollsError(
                f"no worker polls the queue {queue!r}; start `refloat-worker` beside the data "
                "(`refloat sandbox up` starts the sandbox's)"
            )
        await asyncio.sleep(0.3)


async def start_restore(client: Client, request: RestoreRequest) -> StartedRun:
    """Start a recovery; the workflow's id is the lock on the resource.

    Raises:
        AlreadyRunningError: with the id of the run that holds the lock.
        NobodyPollsError: no worker would take it.
    """
    name = workflow_id(request.mode, request.resource.path)
    queue = queue_of(name)
    await require_pollers(client, queue)
    attributes = {
        RESOURCE: request.resource.path,
        KIND: request.resource.kind.value,
        MODE: request.mode.value,
        RUN: request.id,
    }
    try:
        handle = await client.start_workflow(
            DatabaseRestoreWorkflow.run,
            request,
            id=name,
            task_queue=queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(key, value) for key, value in attributes.items()]
            ),
            static_summary=f"{request.mode.value}: {request.resource.path} to {request.target}",
            static_details=f"Asked for by {request.requested_by}. {request.reason}".strip(),
        )
    except WorkflowAlreadyStartedError:
        raise AlreadyRunningError(
            f"{request.resource.path} is being restored or released already, by {name}; follow it "
            f"with `refloat run watch {name}`"
        ) from None
    return StartedRun(
        workflow_id=name, run_id=request.id, temporal_run_id=handle.first_execution_run_id or ""
    )


def handle_of(client: Client, started: StartedRun) -> WorkflowHandle[Any, RunReport]:
    """Return the very run that was started; a listing may still show the one before it."""
    return client.get_workflow_handle_for(
        DatabaseRestoreWorkflow.run, started.workflow_id, run_id=started.temporal_run_id
    )


def ended(error: WorkflowFailureError) -> RunEndedError:
    """Return the sentence, the kind and the report of a run that failed."""
    found: BaseException | None = error
    deepest: ApplicationError | None = None
    report: RunReport | None = None
    while found is not None:
        if isinstance(found, ApplicationError):
            deepest = found
            if found.type and found.type.startswith("Run") and found.details:
                report = RunReport.model_validate(found.details[0])
                break
        found = found.__cause__
    if deepest is not None:
        kind = report.failure_type if report else deepest.type or ""
        kind = "RunRefused" if deepest.type == "RunRefused" else kind
        return RunEndedError(deepest.message, kind, report)
    cancelled = isinstance(error.cause, CancelledError)
    return RunEndedError("cancelled" if cancelled else str(error.cause), "", None)


async def await_report(handle: WorkflowHandle[Any, RunReport]) -> RunReport:
    """Return the report of a run once it has ended, however it did."""
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        told = ended(error)
        if told.report is not None:
            return told.report
        raise told from None


async def _while_polled(client: Client, queue: str, answer: Awaitable[Answer]) -> Answer:
    """Return the answer; stop waiting for it once no worker is left that could give it."""
    waiting = asyncio.ensure_future(answer)
    try:
        while not (await asyncio.wait([waiting], timeout=_LOOK_AGAIN))[0]:
            await require_pollers(client, queue)
        return await waiting
    finally:
        waiting.cancel()


async def _short(client: Client, name: str, run: Callable[[str], Awaitable[Answer]]) -> Answer:
    await require_pollers(client, RECOVERY_QUEUE)
    try:
        unique = f"{name}:{uuid.uuid4().hex[:8]}"
        return await _while_polled(client, RECOVERY_QUEUE, run(unique))
    except WorkflowFailureError as error:
        raise ended(error) from None
    except WorkflowAlreadyStartedError:
        path = name.partition(":")[2]
        raise AlreadyRunningError(
            f"{path} is being restored or released already; `refloat run list` shows by what"
        ) from None


async def plan_restore(client: Client, request: RestoreRequest) -> RestorePlan:
    """Return what a restore would do."""
    return await _short(
        client,
        f"plan:{request.resource.path}",
        lambda name: client.execute_workflow(
            PlanRestoreWorkflow.run,
            request,
            id=name,
            task_queue=RECOVERY_QUEUE,
            execution_timeout=_DAY,
        ),
    )


async def describe(client: Client, resource: ProtectedResource) -> ServerDescription:
    """Return what a path means now."""
    return await _short(
        client,
        f"describe:{resource.path}",
        lambda name: client.execute_workflow(
            DescribeResourceWorkflow.run,
            resource,
            id=name,
            task_queue=RECOVERY_QUEUE,
            execution_timeout=_DAY,
        ),
    )


async def list_recovery_points(client: Client, resource: ProtectedResource) -> RecoveryPointList:
    """Return windows and snapshots, live."""
    return await _short(
        client,
        f"points:{resource.path}",
        lambda name: client.execute_workflow(
            ListRecoveryPointsWorkflow.run,
            resource,
            id=name,
            task_queue=RECOVERY_QUEUE,
            execution_timeout=_DAY,
        ),
    )


async def find_suspects(
    client: Client, resource: ProtectedResource, since: datetime
) -> list[Suspect]:
    """Return the commits that removed or replaced relations since a moment, newest first."""
    return await _short(
        client,
        f"suspects:{resource.path}",
        lambda name: client.execute_workflow(
            FindSuspectsWorkflow.run,
            FindSuspects(resource=resource, since=since),
            id=name,
            task_queue=RECOVERY_QUEUE,
            execution_timeout=_DAY,
        ),
    )


async def create_snapshot(
    client: Client, resource: ProtectedResource, *, key: str, name: str
) -> Snapshot:
    """Take a snapshot with its proof."""
    asked = CreateSnapshot(resource=resource, key=key, name=name)
    return await _short(
        client,
        f"snapshot:{resource.path}",
        lambda identity: client.execute_workflow(
            CreateSnapshotWorkflow.run,
            asked,
            id=identity,
            task_queue=RECOVERY_QUEUE,
            execution_timeout=_DAY,
        ),
    )


async def release(client: Client, resource: ProtectedResource) -> list[str]:
    """Delete what is superseded; holds the resource's lock, so that no restore runs meanwhile."""
    return await _short(
        client,
        f"release:{resource.path}",
        lambda _: client.execute_workflow(
            ReleaseWorkflow.run,
            resource,
            id=workflow_id(Mode.INCIDENT, resource.path),
            task_queue=RECOVERY_QUEUE,
            execution_timeout=_DAY,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        ),
    )
