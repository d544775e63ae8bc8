"""The whole story on a real Temporal server with a real database."""

import asyncio
import os
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from cli.html import render
from client.errors import AlreadyRunningError, NobodyPollsError, RunEndedError
from client.pollers import require_pollers
from client.questions import create_snapshot, find_suspects, plan_restore, release
from client.recoveries import await_report, new_request, start_recovery
from client.runs import cancel, find_run, list_runs, status_of
from domain.recovery import Target, TargetKind
from domain.report import Outcome, RunReport, exit_code
from domain.resources import Mode, ProtectedResource
from tests.station import Station
from tests.workflows.running import working
from workflows.database_restore import DatabaseRestoreWorkflow
from workflows.requests import ApprovalGiven

LATEST = Target(kind=TargetKind.LATEST)


async def _restore(
    client: Client, resource: ProtectedResource, target: Target, mode: Mode = Mode.INCIDENT
) -> RunReport:
    started = await start_recovery(client, new_request(resource, target, mode=mode))
    return await asyncio.wait_for(await_report(await find_run(client, started.workflow_id)), 90)


async def test_a_second_disaster_is_restored_like_the_first_and_release_takes_only_the_superseded(
    temporal: WorkflowEnvironment, fresh: Station
) -> None:
    client, resource = temporal.client, fresh.resource
    async with working(client, fresh):
        fresh.sql("create table orders (id int)")
        fresh.sql("insert into orders values (1)")
        await create_snapshot(client, resource, key="k" * 32, name="first")
        for round_, rows in ((1, 1), (2, 2)):
            await asyncio.sleep(2.5)
            fresh.sql("drop table orders")
            await asyncio.sleep(1.0)
            [suspect, *_] = await find_suspects(
                client, resource, datetime.now(UTC) - timedelta(minutes=1)
            )
            target = Target(kind=TargetKind.BEFORE_LSN, lsn=suspect.lsn)

            report = await _restore(client, resource, target)

            assert (report.outcome, report.failure) == (Outcome.DONE, "")
            assert exit_code(report) == 0, [f for f in report.findings if not f.good]
            assert fresh.servers.current().name == report.created[-1].name
            assert fresh.sql("select count(*) from orders") == [(rows,)]
            assert "<svg" in render(report)
            fresh.sql(f"insert into orders values ({round_ + 1})")
        current = fresh.servers.current().name

        gone = await release(client, resource)

        assert len(gone) == 2
        assert [record.name for record in fresh.servers.all()] == [current]
        assert fresh.sql("select count(*) from orders") == [(3,)]
        with pytest.raises(RunEndedError, match="no superseded server"):
            await release(client, resource)


async def test_a_drill_proves_the_content_and_leaves_nothing(
    temporal: WorkflowEnvironment, fresh: Station
) -> None:
    async with working(temporal.client, fresh):
        await create_snapshot(temporal.client, fresh.resource, key="d" * 32, name="proof")
        await asyncio.sleep(1.5)

        report = await _restore(
            temporal.client, fresh.resource, Target(kind=TargetKind.LATEST_PROOF), Mode.DRILL
        )

    assert exit_code(report) == 0, [f for f in report.findings if not f.good]
    assert any(one.kind == "content" for one in report.findings)
    assert [record.name for record in fresh.servers.all()] == ["orders-1"]
    assert all(not made.kept for made in report.created)


async def test_the_plan_says_what_the_run_then_does_and_changes_nothing(
    temporal: WorkflowEnvironment, fresh: Station
) -> None:
    async with working(temporal.client, fresh):
        await asyncio.sleep(1.5)
        target = Target(kind=TargetKind.TIME, time=datetime.now(UTC) - timedelta(seconds=1))
        request = new_request(fresh.resource, target, mode=Mode.DRILL)

        plan = await plan_restore(temporal.client, request)

        assert [record.name for record in fresh.servers.all()] == ["orders-1"]
        report = await _restore(temporal.client, fresh.resource, target, Mode.DRILL)
        assert report.allowed_point is not None
        assert (report.allowed_point.lsn, report.allowed_point.backup_id) == (
            plan.point.lsn,
            plan.point.backup_id,
        )


async def test_a_refusal_creates_nothing_and_says_what_can_work(
    temporal: WorkflowEnvironment, fresh: Station
) -> None:
    async with working(temporal.client, fresh):
        target = Target(kind=TargetKind.TIME, time=datetime.now(UTC) - timedelta(days=3))

        report = await _restore(temporal.client, fresh.resource, target)

    assert (report.outcome, exit_code(report)) == (Outcome.REFUSED, 2)
    assert "earliest possible time" in report.failure
    assert [record.name for record in fresh.servers.all()] == ["orders-1"]


async def test_approval_locks_and_cancel(temporal: WorkflowEnvironment, fresh: Station) -> None:
    """The wrong and the same person are refused; a second restore is; a cancel removes everything."""
    client = temporal.client
    me = new_request(fresh.resource, LATEST).requested_by
    approval = {"approval": {"approvers": ["alice", me], "within": "1m"}}
    content = fresh.resource.model_dump(mode="json") | approval
    resource = ProtectedResource.model_validate(content)
    async with working(client, fresh):
        started = await start_recovery(client, new_request(resource, LATEST))
        handle = client.get_workflow_handle_for(DatabaseRestoreWorkflow.run, started.workflow_id)
        for _ in range(100):
            status = await status_of(handle)
            if status and status.waiting_for:
                break
            await asyncio.sleep(0.1)

        for person, told in ((me, "another person"), ("mallory", "not an approver")):
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await handle.execute_update(
                    DatabaseRestoreWorkflow.approve, ApprovalGiven(by=person)
                )
            assert told in str(refused.value.cause)
        with pytest.raises(AlreadyRunningError, match=started.workflow_id):
            await start_recovery(client, new_request(resource, LATEST))

        await handle.execute_update(DatabaseRestoreWorkflow.approve, ApprovalGiven(by="alice"))
        for _ in range(200):
            if len(fresh.servers.all()) > 1:
                break
            await asyncio.sleep(0.02)
        assert len(fresh.servers.all()) > 1
        await cancel(handle)
        report = await asyncio.wait_for(await_report(handle), 60)

    assert report.outcome is Outcome.CANCELLED
    assert report.approval is not None
    assert report.approval.by == "alice"
    assert [record.name for record in fresh.servers.all()] == ["orders-1"]
    assert fresh.servers.current().name == "orders-1"


async def test_nobody_polling_is_told(temporal: WorkflowEnvironment) -> None:
    with pytest.raises(NobodyPollsError, match="refloat-worker"):
        await require_pollers(temporal.client, f"nobody-{os.getpid()}")
    assert await list_runs(temporal.client) is not None
