"""Finds runs, tells where they stand, and passes on what people decide."""

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from client.errors import ClientError, DeniedError, RunEndedError, UnknownRunError
from client.pollers import require_pollers
from client.recoveries import ACTS, await_report, queue_of, whoami
from domain.recovery import Progress
from domain.report import RunReport, RunStatus
from workflows.attributes import MODE, PHASE, RESOURCE, RUN, VERDICT
from workflows.requests import ApprovalGiven
from workflows.story import Story

_STORIES = (
    "DatabaseRestoreWorkflow",
    "ApplicationRollbackWorkflow",
    "ConfigurationRollbackWorkflow",
    "RewindWorkflow",
)
_QUERY = f"WorkflowType IN ({', '.join(repr(one) for one in _STORIES)})"
_RUN_ID = re.compile(r"[0-9a-f]{6,32}")
_LISTING_PATIENCE = 2.0
_ANSWER = timedelta(seconds=5)


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
    found = [_line(one) async for one in client.list_workflows(_QUERY, limit=limit)]
    return sorted(found, key=lambda line: line.started_at, reverse=True)


async def find_run(client: Client, wanted: str) -> WorkflowHandle[Any, RunReport]:
    """Return the run of a run id (or its beginning), a workflow id or a resource path.

    Raises:
        UnknownRunError: there is none, or several begin so.
    """
    if _RUN_ID.fullmatch(wanted):
        found = await _by_run_id(client, wanted)
    else:
        names = [wanted] if ":" in wanted else [f"{act}:{wanted}" for act in ACTS]
        newest = [one for name in names if (one := await _newest(client, name))]
        found = max(newest, key=lambda one: one.start_time, default=None)
    if found is None:
        raise UnknownRunError(f"no run {wanted!r}; `refloat run list` shows all")
    return client.get_workflow_handle(found.id, run_id=found.run_id, result_type=RunReport)


async def _by_run_id(client: Client, beginning: str) -> WorkflowExecution | None:
    """Look a while longer: a run of a moment ago is not listed yet."""
    deadline = asyncio.get_running_loop().time() + _LISTING_PATIENCE
    while True:
        found = await _matching(client, f"RefloatRun STARTS_WITH '{beginning}'", limit=20)
        if len({one.typed_search_attributes.get(RUN) for one in found}) > 1:
            raise UnknownRunError(f"several runs begin with {beginning!r}; write more of the id")
        if found or asyncio.get_running_loop().time() > deadline:
            return max(found, key=lambda one: one.start_time, default=None)
        await asyncio.sleep(0.3)


async def _newest(client: Client, name: str) -> WorkflowExecution | None:
    """Return the last recovery of a workflow id; a release may have used the id since."""
    try:
        described = await client.get_workflow_handle(name).describe()
    except RPCError as error:
        if error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT}:
            return None
        raise
    if described.workflow_type in _STORIES:
        return described
    found = await _matching(client, f"WorkflowId = {_quoted(name)}", limit=1)
    return found[0] if found else None


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


async def _matching(client: Client, condition: str, limit: int) -> list[WorkflowExecution]:
    query = f"{_QUERY} AND {condition}"
    return [execution async for execution in client.list_workflows(query, limit=limit)]


async def status_of(handle: WorkflowHandle[Any, RunReport]) -> RunStatus | None:
    """Return where a run stands, or None while no worker answers for it."""
    try:
        return await handle.query(Story.status, rpc_timeout=_ANSWER)
    except (RPCError, WorkflowQueryFailedError):
        return None


async def progress_of(client: Client, handle: WorkflowHandle[Any, RunReport]) -> str:
    """Return what the run's current step says of itself: its progress, or what it waits for."""
    described = await handle.describe()
    for pending in described.raw_description.pending_activities:
        failed = pending.last_failure.message if pending.HasField("last_failure") else ""
        if failed:
            return f"{failed} (attempt {pending.attempt})"
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
    if not await has_ended(handle):
        raise RunEndedError(
            f"{handle.id} still runs; `refloat run watch {handle.id}` follows it", ""
        )
    return await await_report(handle)


async def has_ended(handle: WorkflowHandle[Any, RunReport]) -> bool:
    """Return whether a run is over, which Temporal knows without a worker."""
    return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING


async def approve(client: Client, handle: WorkflowHandle[Any, RunReport], note: str) -> None:
    """Say yes to a run's plan, as the account that runs this process.

    Raises:
        DeniedError: with the run's own reason.
        NobodyPollsError: no worker would hear it.
    """
    if not await has_ended(handle):
        await require_pollers(client, queue_of(handle.id))
    try:
        await handle.execute_update(Story.approve, ApprovalGiven(by=whoami(), note=note))
    except WorkflowUpdateRPCTimeoutOrCancelledError:
        raise ClientError(
            f"{handle.id} did not answer; `refloat run show {handle.id}` tells whether it counted"
        ) from None
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        told = cause.message if isinstance(cause, ApplicationError) else str(cause)
        raise DeniedError(told) from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise DeniedError(f"{handle.id}: it has ended already") from None
        raise


async def cancel(handle: WorkflowHandle[Any, RunReport]) -> None:
    """Ask a run to stop and take back what it made.

    Raises:
        UnknownRunError: it has ended already.
    """
    try:
        if await has_ended(handle):  # Temporal takes such a request for some time, for nothing
            raise UnknownRunError(f"{handle.id}: it has ended already")
        await handle.cancel(reason=whoami())
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise UnknownRunError(f"{handle.id}: it has ended already") from None
        raise
