"""Finds runs, tells where they stand, and passes on what people decide."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from client.errors import DeniedError, RunEndedError, UnknownRunError
from client.recoveries import await_report, whoami
from domain.recovery import Progress
from domain.report import RunReport, RunStatus
from workflows.attributes import MODE, PHASE, RESOURCE, RUN, VERDICT
from workflows.database_restore import DatabaseRestoreWorkflow
from workflows.requests import ApprovalGiven

_QUERY = "WorkflowType = 'DatabaseRestoreWorkflow'"
_SHORTEST = 6


@dataclass(frozen=True)
class RunLine:
    """One run as the list shows it."""

    run_id: str
    workflow_id: str
    temporal_run_id: str
    resource: str
    mode: str
    phase: str
    verdict: str
    running: bool
    started_at: datetime


def _line(execution: WorkflowExecution) -> RunLine:
    attributes = execution.typed_search_attributes
    return RunLine(
        run_id=attributes.get(RUN) or "",
        workflow_id=execution.id,
        temporal_run_id=execution.run_id,
        resource=attributes.get(RESOURCE) or "",
        mode=attributes.get(MODE) or "",
        phase=attributes.get(PHASE) or "",
        verdict=attributes.get(VERDICT) or "",
        running=execution.status is WorkflowExecutionStatus.RUNNING,
        started_at=execution.start_time,
    )


async def list_runs(client: Client, limit: int = 50) -> list[RunLine]:
    """Return the newest runs first."""
    found = [_line(one) async for one in _listed(client, limit)]
    return sorted(found, key=lambda line: line.started_at, reverse=True)


async def _listed(client: Client, limit: int) -> AsyncIterator[WorkflowExecution]:
    async for execution in client.list_workflows(_QUERY, limit=limit):
        yield execution


async def find_run(client: Client, wanted: str) -> WorkflowHandle[Any, RunReport]:
    """Return the run of a run id (or its beginning), a workflow id or a resource path.

    Raises:
        UnknownRunError: there is none.
    """
    for line in await list_runs(client, 500):
        by_id = len(wanted) >= _SHORTEST and line.run_id.startswith(wanted)
        if by_id or wanted in {line.workflow_id, line.resource}:
            return client.get_workflow_handle_for(
                DatabaseRestoreWorkflow.run, line.workflow_id, run_id=line.temporal_run_id
            )
    try:  # a run of a moment ago is not listed yet, but is known by its workflow id
        handle = client.get_workflow_handle_for(DatabaseRestoreWorkflow.run, wanted)
        await handle.describe()
    except RPCError:
        raise UnknownRunError(f"no run {wanted!r}; `refloat run list` shows all") from None
    return handle


async def status_of(handle: WorkflowHandle[Any, RunReport]) -> RunStatus | None:
    """Return where a run stands, or None while no worker answers for it."""
    try:
        return await handle.query(DatabaseRestoreWorkflow.status)
    except (RPCError, WorkflowQueryFailedError):
        return None


async def progress_of(client: Client, handle: WorkflowHandle[Any, RunReport]) -> str:
    """Return what the run's current step says of itself."""
    described = await handle.describe()
    for pending in described.raw_description.pending_activities:
        if not pending.HasField("heartbeat_details"):
            continue
        try:
            [progress] = await client.data_converter.decode(
                pending.heartbeat_details.payloads, [Progress]
            )
        except (ValidationError, ValueError):
            continue
        return str(progress)
    return ""


async def report_of(handle: WorkflowHandle[Any, RunReport]) -> RunReport:
    """Return the report of a run that has ended.

    Raises:
        RunEndedError: it still runs, or it ended without a report.
    """
    described = await handle.describe()
    if described.status is WorkflowExecutionStatus.RUNNING:
        raise RunEndedError(
            f"{handle.id} still runs; `refloat run watch {handle.id}` follows it", ""
        )
    return await await_report(handle)


async def approve(handle: WorkflowHandle[Any, RunReport], note: str) -> None:
    """Say yes to a run's plan, as the account that runs this process.

    Raises:
        DeniedError: with the run's own reason.
    """
    try:
        await handle.execute_update(
            DatabaseRestoreWorkflow.approve, ApprovalGiven(by=whoami(), note=note)
        )
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        told = cause.message if isinstance(cause, ApplicationError) else str(cause)
        raise DeniedError(told) from None
    except RPCError as error:
        raise DeniedError(f"{handle.id}: {error.message}") from None


async def cancel(handle: WorkflowHandle[Any, RunReport]) -> None:
    """Ask a run to stop and take back what it made.

    Raises:
        UnknownRunError: it has ended already.
    """
    try:
        await handle.cancel()
    except RPCError as error:
        raise UnknownRunError(f"{handle.id}: {error.message}") from None
