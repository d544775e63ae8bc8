"""Starts recoveries and waits for their reports."""

import os
import pwd
import uuid
from collections.abc import Callable, Coroutine
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
from domain.configuration import ConfigurationRequest
from domain.recovery import RestoreRequest, Target
from domain.report import RunReport
from domain.resources import Mode, ProtectedResource, ResourceKind
from domain.rewind import RewindRequest
from domain.rollback import RollbackRequest
from domain.values import Value
from workflows.application_rollback import ApplicationRollbackWorkflow
from workflows.attributes import KIND, MODE, RESOURCE, RUN
from workflows.configuration_rollback import ConfigurationRollbackWorkflow
from workflows.database_restore import DatabaseRestoreWorkflow
from workflows.requests import DRILL_QUEUE, RECOVERY_QUEUE
from workflows.rewind import RewindWorkflow


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


def stamped() -> dict[str, Any]:
    """Return an id of its own, the present time and who asks, for a new request."""
    return {
        "id": uuid.uuid4().hex,
        "requested_at": datetime.now(UTC),
        "requested_by": whoami(),
    }


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
        **stamped(),
        resource=resource,
        target=target,
        mode=mode,
        cutover=cutover,
        incident_at=incident_at,
        reason=reason,
    )


_ACTS = {
    ResourceKind.DATABASE: "restore",
    ResourceKind.APPLICATION: "rollback",
    ResourceKind.CONFIGURATION: "rollback",
    ResourceKind.ENVIRONMENT: "rewind",
}
ACTS = ("restore", "rollback", "drill", "rewind")
"""What the id of a recovery's workflow begins with."""

AnyRecovery = RestoreRequest | RollbackRequest | ConfigurationRequest | RewindRequest


def workflow_id(mode: Mode, path: str, kind: ResourceKind = ResourceKind.DATABASE) -> str:
    """Return the id that is the lock on a resource; a drill never stands in an incident's way."""
    return f"{'drill' if mode is Mode.DRILL else _ACTS[kind]}:{path}"


def queue_of(workflow: str) -> str:
    """Return the task queue of a workflow id."""
    return DRILL_QUEUE if workflow.startswith("drill:") else RECOVERY_QUEUE


def _story(request: AnyRecovery) -> Callable[..., Coroutine[Any, Any, RunReport]]:
    """Return the workflow that brings back what a request is about."""
    if isinstance(request, RestoreRequest):
        return DatabaseRestoreWorkflow.run
    if isinstance(request, RollbackRequest):
        return ApplicationRollbackWorkflow.run
    if isinstance(request, RewindRequest):
        return RewindWorkflow.run
    return ConfigurationRollbackWorkflow.run


async def start_recovery(client: Client, request: AnyRecovery) -> StartedRun:
    """Start a recovery; the workflow's id is the lock on the resource.

    Raises:
        AlreadyRunningError: with the id of the run that holds the lock.
        NobodyPollsError: no worker would take it.
    """
    resource = request.resource
    name = workflow_id(request.mode, resource.path, resource.kind)
    queue = queue_of(name)
    await require_pollers(client, queue, resource.provider)
    attributes = {
        RESOURCE: resource.path,
        KIND: resource.kind.value,
        MODE: request.mode.value,
        RUN: request.id,
    }
    try:
        handle = await client.start_workflow(
            _story(request),
            request,
            id=name,
            task_queue=queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(key, value) for key, value in attributes.items()]
            ),
            static_summary=f"{request.mode.value}: {resource.path} to {request.target}",
            static_details=f"Asked for by {request.requested_by}. {request.reason}".strip(),
        )
    except WorkflowAlreadyStartedError:
        raise AlreadyRunningError(
            f"{resource.path} is being brought back or released already, by {name}; follow it with "
            f"`refloat run watch {name}`, or ask again when it has ended"
        ) from None
    return StartedRun(
        workflow_id=name, run_id=request.id, temporal_run_id=handle.first_execution_run_id or ""
    )


def handle_of(client: Client, started: StartedRun) -> WorkflowHandle[Any, RunReport]:
    """Return the very run that was started; a listing may still show the one before it."""
    return client.get_workflow_handle(
        started.workflow_id, run_id=started.temporal_run_id, result_type=RunReport
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
