"""A worker whose recoveries end as their reason says: real server, real client, no database."""

import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.steps import CopySnapshot, DeleteSnapshot
from client.connection import DATA_CONVERTER
from domain.clock import Phase, judge
from domain.parsing import parse_catalog
from domain.reach import unknown_snapshot
from domain.recovery import RestoreRequest, ServerDescription, Target, TargetKind
from domain.report import (
    ApprovalRecord,
    FindReport,
    FoundReport,
    LastRun,
    Outcome,
    ResourceDescription,
    RestorePlan,
    RunReport,
    RunStatus,
    Scope,
)
from domain.resources import Mode, ProtectedResource
from workflows.attributes import ALL
from workflows.requests import DRILL_QUEUE, RECOVERY_QUEUE, ApprovalGiven

CATALOG = {
    "organization": "acme",
    "providers": {"here": {"kind": "local"}},
    "projects": {
        "shop": {
            "environments": {
                "production": {
                    "databases": {
                        name: {
                            "provider": "here",
                            "engine": "postgresql",
                            "instance": name,
                            "connection": {"database": "shop", "user": "refloat"},
                        }
                        for name in ("orders", "stock", "users", "carts", "mails", "prices")
                    }
                }
            }
        }
    },
}


KEPT_RUN = "feedc0ffee"
LAST_RUN = LastRun(
    run_id="0123456789",
    mode=Mode.DRILL,
    verdict="passed",
    ended_at=datetime(2026, 3, 1, tzinfo=UTC),
)


def resource(service: str) -> ProtectedResource:
    """Return one of the catalog's databases."""
    return parse_catalog(CATALOG, "test").resource(f"shop/production/{service}")


def report_for(request: RestoreRequest, outcome: Outcome, failure: str = "") -> RunReport:
    """Return the report of a run that ended as told."""
    return RunReport(
        run_id=request.id,
        workflow_id=f"restore:{request.resource.path}",
        mode=request.mode,
        scope=Scope.SERVICE,
        resource=request.resource.path,
        kind="database",
        provider="here",
        provider_kind="local",
        reason=request.reason,
        requested_by=request.requested_by,
        outcome=outcome,
        failure=failure,
        failure_type="ServerFailedError" if failure else "",
        requested_at=request.requested_at,
        ended_at=datetime.now(UTC),
        requested_point=request.target,
        objectives=(judge("rto", timedelta(hours=1), timedelta(minutes=1)),),
    )


@workflow.defn(name="DatabaseRestoreWorkflow")
class ScriptedRestore:
    """Ends as the request's reason says."""

    @workflow.init
    def __init__(self, request: RestoreRequest) -> None:
        self._request = request
        self._approval: ApprovalRecord | None = None

    @workflow.run
    async def run(self, request: RestoreRequest) -> RunReport:
        """Pass, fail, wait for an approval, or wait for ever."""
        if request.reason == "waits":
            await workflow.wait_condition(lambda: self._approval is not None)
        if request.reason in {"refused", "failed"}:
            outcome = Outcome(request.reason)
            raise ApplicationError(
                "no room on the disk",
                report_for(request, outcome, "no room on the disk"),
                type=f"Run{outcome.value.capitalize()}",
                non_retryable=True,
            )
        return report_for(request, Outcome.DONE)

    @workflow.query
    def status(self) -> RunStatus:
        """Tell the least that a status holds."""
        return RunStatus(
            run_id=self._request.id,
            resource=self._request.resource.path,
            mode=self._request.mode,
            phase=Phase.PREFLIGHT,
            phases=(),
            estimates=(),
            started_counting_at=self._request.started_counting_at,
            rto=timedelta(hours=1),
        )

    @workflow.update
    def approve(self, given: ApprovalGiven) -> None:
        """Take a yes that carries a note."""
        self._approval = ApprovalRecord(by=given.by, at=workflow.now(), note=given.note)

    @approve.validator
    def _may_approve(self, given: ApprovalGiven) -> None:
        if not given.note:
            raise ApplicationError("ask somebody else", type="ApprovalDeniedError")


@workflow.defn(name="PlanRestoreWorkflow")
class ScriptedPlan:
    """Refuses every plan."""

    @workflow.run
    async def run(self, request: RestoreRequest) -> RestorePlan:
        """Refuse, as an unreachable point is."""
        raise ApplicationError(
            f"{request.resource.path}: no backup", type="RecoveryPointUnreachableError"
        )


def _unknown(asked: CopySnapshot | DeleteSnapshot) -> ApplicationError:
    error = unknown_snapshot(asked.resource.path, asked.snapshot_id, ["snap-1"])
    return ApplicationError(str(error), type=type(error).__name__, non_retryable=True)


@workflow.defn(name="CopySnapshotWorkflow")
class ScriptedCopy:
    """Knows no snapshot but one."""

    @workflow.run
    async def run(self, asked: CopySnapshot) -> str:
        """Refuse any other."""
        if asked.snapshot_id != "snap-1":
            raise _unknown(asked)
        return "copy-1"


@workflow.defn(name="DeleteSnapshotWorkflow")
class ScriptedDeletion:
    """Knows no snapshot but one."""

    @workflow.run
    async def run(self, asked: DeleteSnapshot) -> None:
        """Refuse any other."""
        if asked.snapshot_id != "snap-1":
            raise _unknown(asked)


@workflow.defn(name="ReleaseWorkflow")
class ScriptedRelease:
    """Releases one server."""

    @workflow.run
    async def run(self, released: ProtectedResource) -> list[str]:
        """Name what was deleted."""
        return [f"old-{released.instance}"]


@workflow.defn(name="DescribeResourceWorkflow")
class ScriptedDescription:
    """Describes any server."""

    @workflow.run
    async def run(self, described: ProtectedResource) -> ResourceDescription:
        """Return a description."""
        server = ServerDescription(name=described.instance, host="127.0.0.1", port=5432)
        return ResourceDescription(resource=described, server=server, last=(LAST_RUN,))


@workflow.defn(name="LastRunsWorkflow")
class ScriptedLastRuns:
    """Tells of one drill."""

    @workflow.run
    async def run(self, resource: ProtectedResource) -> list[LastRun]:
        """Return it."""
        del resource
        return [LAST_RUN]


class FindDatabaseReport(FindReport):
    """The question, with all that it carries of a database."""

    resource: ProtectedResource


@workflow.defn(name="FindReportWorkflow")
class ScriptedReports:
    """Keeps one report, of a run that Temporal knows nothing of."""

    @workflow.run
    async def run(self, asked: FindDatabaseReport) -> FoundReport:
        """Return it when it is asked for."""
        request = RestoreRequest(
            id=KEPT_RUN,
            resource=asked.resource,
            target=Target(kind=TargetKind.LATEST),
            requested_at=datetime(2026, 3, 1, tzinfo=UTC),
            requested_by="ops",
        )
        kept = report_for(request, Outcome.DONE) if asked.run_id == KEPT_RUN else None
        return FoundReport(report=kept)


@activity.defn(name="never.called")
def never_called() -> None:
    """Stand for the provider's steps, so that its queue is polled."""


@asynccontextmanager
async def scripted() -> AsyncIterator[WorkflowEnvironment]:
    """Start a server and poll both queues with the scripted workflows.

    The shared server of the tests stays free for real workers: a queue takes one worker a process.
    """
    workflows = [
        ScriptedRestore,
        ScriptedPlan,
        ScriptedCopy,
        ScriptedDeletion,
        ScriptedRelease,
        ScriptedDescription,
        ScriptedLastRuns,
        ScriptedReports,
    ]
    async with AsyncExitStack() as running:
        temporal = await running.enter_async_context(
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
                dev_server_log_level="never",
                data_converter=DATA_CONVERTER,
                search_attributes=list(ALL),
            )
        )
        for queue in (RECOVERY_QUEUE, DRILL_QUEUE):
            worker = Worker(
                temporal.client,
                task_queue=queue,
                workflows=workflows,
                workflow_runner=UnsandboxedWorkflowRunner(),
            )
            await running.enter_async_context(worker)
            steps = Worker(
                temporal.client,
                task_queue=f"{queue}-here",
                activities=[never_called],
                activity_executor=running.enter_context(ThreadPoolExecutor(1)),
            )
            await running.enter_async_context(steps)
        yield temporal
