"""Asks the workers: what is there, what could be done, and the short acts beside a recovery."""

import uuid
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.steps import CopySnapshot, DeleteSnapshot
from client.errors import AlreadyRunningError, RunEndedError
from client.pollers import require_pollers, while_polled
from client.recoveries import ended, queue_of, workflow_id
from domain.errors import PermanentError, concrete_errors
from domain.recovery import RecoveryPointList, RestoreRequest, Snapshot, Suspect
from domain.report import FindReport, LastRun, ResourceDescription, RestorePlan, RunReport
from domain.resources import Mode, Protected, ProtectedResource
from workflows.attributes import KIND, MODE, RESOURCE
from workflows.requests import CreateSnapshot, FindSuspects
from workflows.short import (
    CopySnapshotWorkflow,
    CreateSnapshotWorkflow,
    DeleteSnapshotWorkflow,
    DescribeResourceWorkflow,
    FindReportWorkflow,
    FindSuspectsWorkflow,
    LastRunsWorkflow,
    ListRecoveryPointsWorkflow,
    PlanRestoreWorkflow,
    ReleaseWorkflow,
)

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_DAY = timedelta(days=1)
_PERMANENT = {one.__name__ for one in concrete_errors() if issubclass(one, PermanentError)}


async def ask(  # noqa: PLR0913 - one question with everything that makes it readable
    client: Client,
    method: Callable[[Any, Asked], Coroutine[Any, Any, Answer]],
    asked: Asked,
    resource: Protected,
    *,
    act: str,
    mode: Mode = Mode.INCIDENT,
    name: str = "",
) -> Answer:
    """Run a short workflow on the resource's workers and return its answer."""
    queue = queue_of(workflow_id(mode, resource.path))
    await require_pollers(client, queue, resource.provider)
    attributes = {RESOURCE: resource.path, KIND: resource.kind.value, MODE: mode.value}
    answer = client.execute_workflow(
        method,
        asked,
        id=name or f"{act.split(maxsplit=1)[0]}:{resource.path}:{uuid.uuid4().hex[:8]}",
        task_queue=queue,
        execution_timeout=_DAY,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        static_summary=f"{act} {resource.path}",
        search_attributes=TypedSearchAttributes(
            [SearchAttributePair(key, value) for key, value in attributes.items()]
        ),
    )
    try:
        return await while_polled(client, queue, resource.provider, answer)
    except WorkflowFailureError as error:
        raise ended(error) from None
    except WorkflowAlreadyStartedError:
        raise AlreadyRunningError(
            f"{resource.path} is being restored or released already; `refloat run list` shows by "
            "what; ask again when it has ended"
        ) from None


async def plan_restore(client: Client, request: RestoreRequest) -> RestorePlan:
    """Return what a restore would do, from where that restore would run.

    Raises:
        RunEndedError: it cannot work, with exit code 2, or could not be looked into.
    """
    return await ask_for_plan(
        client, PlanRestoreWorkflow.run, request, request.resource, request.mode
    )


async def ask_for_plan(
    client: Client,
    method: Callable[[Any, Asked], Coroutine[Any, Any, Answer]],
    request: Asked,
    resource: Protected,
    mode: Mode = Mode.INCIDENT,
) -> Answer:
    """Return what a recovery would do, from the workflow of its plan.

    Raises:
        RunEndedError: it cannot work, with exit code 2, or could not be looked into.
    """
    try:
        return await ask(client, method, request, resource, act="plan a recovery of", mode=mode)
    except RunEndedError as error:
        if error.kind in _PERMANENT:
            error.exit_code = 2  # nothing was created
        raise


async def describe(client: Client, resource: ProtectedResource) -> ResourceDescription:
    """Return what a path means now, and how its last runs went."""
    return await ask(client, DescribeResourceWorkflow.run, resource, resource, act="describe")


async def last_runs(client: Client, resource: Protected) -> list[LastRun]:
    """Return the last incident and the last drill that restored the resource."""
    return await ask(client, LastRunsWorkflow.run, resource, resource, act="last runs of")


async def find_report(
    client: Client, resources: Sequence[Protected], run_id: str
) -> RunReport | None:
    """Return a report that is kept at one of the providers, also when Temporal forgot the run."""
    for resource in {one.provider: one for one in resources}.values():
        found = await ask(
            client,
            FindReportWorkflow.run,
            FindReport(resource=resource, run_id=run_id),
            resource,
            act="find a report of",
        )
        if found.report is not None:
            return found.report
    return None


async def list_recovery_points(client: Client, resource: ProtectedResource) -> RecoveryPointList:
    """Return windows and snapshots, live."""
    return await ask(client, ListRecoveryPointsWorkflow.run, resource, resource, act="points of")


async def find_suspects(
    client: Client, resource: ProtectedResource, since: datetime
) -> list[Suspect]:
    """Return the commits that removed or replaced relations since a moment, newest first."""
    asked = FindSuspects(resource=resource, since=since)
    return await ask(client, FindSuspectsWorkflow.run, asked, resource, act="suspects of")


async def create_snapshot(
    client: Client, resource: ProtectedResource, *, key: str, name: str
) -> Snapshot:
    """Take a snapshot with its proof."""
    asked = CreateSnapshot(resource=resource, key=key, name=name)
    return await ask(client, CreateSnapshotWorkflow.run, asked, resource, act="snapshot of")


async def copy_snapshot(
    client: Client, resource: ProtectedResource, snapshot_id: str, region: str
) -> str:
    """Begin a copy of a snapshot in another region and return its name there."""
    asked = CopySnapshot(resource=resource, snapshot_id=snapshot_id, region=region)
    return await ask(client, CopySnapshotWorkflow.run, asked, resource, act="copy snapshot of")


async def delete_snapshot(client: Client, resource: ProtectedResource, snapshot_id: str) -> None:
    """Delete a snapshot that somebody took."""
    asked = DeleteSnapshot(resource=resource, snapshot_id=snapshot_id)
    await ask(client, DeleteSnapshotWorkflow.run, asked, resource, act="delete snapshot of")


async def release(client: Client, resource: ProtectedResource) -> list[str]:
    """Delete what is superseded; holds the resource's lock, so that no restore runs meanwhile."""
    return await ask(
        client,
        ReleaseWorkflow.run,
        resource,
        resource,
        act="release what is superseded of",
        name=workflow_id(Mode.INCIDENT, resource.path),
    )
