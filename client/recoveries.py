"""Starts recoveries and waits for their reports."""

import os
import pwd
import uuid
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, CancelledError, WorkflowAlreadyStartedError

from client.errors import AlreadyRunningError, RunEndedError
from client.pollers import require_pollers
from domain.recovery import RestoreRequest, Target
from domain.report import RunReport
from domain.resources import Mode, ProtectedResource
from domain.values import Value
from workflows.attributes import KIND, MODE, RESOURCE, RUN
from workflows.database_restore import DatabaseRestoreWorkflow
from workflows.requests import DRILL_QUEUE, RECOVERY_QUEUE


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


async def start_restore(client: Client, request: RestoreRequest) -> StartedRun:
    """Start a recovery; the workflow's id is the lock on the resource.

    Raises:
        AlreadyRunningError: with the id of the run that holds the lock.
        NobodyPollsError: no worker would take it.
    """
    name = workflow_id(request.mode, request.resource.path)
    queue = queue_of(name)
    await require_pollers(client, queue, request.resource.provider)
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
            f"{request.resource.path} is being restored or released already, by {name}; follow a "
            f"restore with `refloat run watch {name}`, or ask again when it has ended"
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
