"""How runs end when something goes wrong: taken back, kept, refused or gone on with, and said so."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from client.questions import describe, plan_restore, release
from client.recoveries import await_report, handle_of, new_request, start_recovery
from client.runs import cancel, status_of
from domain.checks import Verdict
from domain.clock import Phase
from domain.recovery import RestoreRequest, Target, TargetKind
from domain.report import Outcome, RunReport, exit_code
from domain.resources import Mode, ProtectedResource
from providers.local.databases import LOCK
from providers.local.layout import held
from tests.station import Station, station, wait_for
from tests.workflows.killing import held_worker
from tests.workflows.running import working
from workflows.database_restore import DatabaseRestoreWorkflow
from workflows.requests import ApprovalGiven

LATEST = Target(kind=TargetKind.LATEST)


class _Health(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        """Answer as the test wants."""
        self.send_response(type(self).status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep quiet."""


@contextmanager
def _shop(status: int) -> Iterator[Station]:
    """Hold a database whose consumer answers its health check with `status`."""
    handler = type("Health", (_Health,), {"status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    checkout = {
        "platform": {"kind": "local", "settings": "checkout.env"},
        "health": {"url": f"http://127.0.0.1:{server.server_port}/", "within": "2s"},
    }
    try:
        with station({"consumers": ["checkout"]}, applications={"checkout": checkout}) as made:
            port = made.servers.current().port
            (made.root / "checkout.env").write_text(
                f'export DATABASE_URL="postgresql://shop@127.0.0.1:{port}/shop?sslmode=disable"\n'
            )
            yield made
    finally:
        server.shutdown()
        server.server_close()


async def _start(client: Client, request: RestoreRequest) -> WorkflowHandle[Any, RunReport]:
    return handle_of(client, await start_recovery(client, request))


async def _report(client: Client, request: RestoreRequest) -> RunReport:
    return await asyncio.wait_for(await_report(await _start(client, request)), 90)


async def _until(handle: WorkflowHandle[Any, RunReport], phase: Phase) -> None:
    for _ in range(300):
        status = await status_of(handle)
        if status and status.phase is phase:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(phase)


def _changed(resource: ProtectedResource, **changes: Any) -> ProtectedResource:
    content = resource.model_dump(mode="json") | changes
    return ProtectedResource.model_validate(content)


def _require_as_before(made: Station) -> None:
    assert [record.name for record in made.servers.all()] == ["orders-1"]
    made.sql("create table if not exists still_writable ()")
    wait_for("nothing to be left over", lambda: not made.leftovers(), within=15)


async def test_an_unhealthy_consumer_is_turned_back_and_the_old_server_takes_writes_again(
    temporal: WorkflowEnvironment,
) -> None:
    with _shop(503) as made:
        before = (made.root / "checkout.env").read_text()
        async with working(temporal.client, made):
            report = await _report(temporal.client, new_request(made.resource, LATEST))
            (kept,) = (one.name for one in report.created if one.what == "server" and one.kept)
            copy = made.servers.record(kept)
            made.sql("create table after_the_undo ()")
            in_the_copy = made.sql("select to_regclass('after_the_undo')", kept)
            released = await release(temporal.client, made.resource)

        assert (report.outcome, exit_code(report)) == (Outcome.FAILED, 1)
        assert "did not become healthy within 2 s: checkout" in report.failure
        assert "HTTP 503" in report.failure
        assert report.failure_type == "ConsumerUnhealthyError"
        assert report.left_behind == ()
        assert report.cutovers == ()
        assert report.superseded is None
        assert (made.root / "checkout.env").read_text() == before
        assert copy is not None
        assert f"the copy is kept at {copy.host}:{copy.port}: look at it" in report.failure
        assert in_the_copy == [(None,)]
        assert released == [kept]
        _require_as_before(made)


async def test_a_cancel_after_the_cutover_turns_everything_back(
    temporal: WorkflowEnvironment,
) -> None:
    with _shop(503) as made:
        before = (made.root / "checkout.env").read_text()
        content = made.resource.model_dump(mode="json")
        content["consumers"][0]["health"]["within"] = "5m"
        resource = ProtectedResource.model_validate(content)
        async with working(temporal.client, made):
            handle = await _start(temporal.client, new_request(resource, LATEST))
            await _until(handle, Phase.HEALTH)
            await cancel(handle)
            report = await asyncio.wait_for(await_report(handle), 90)

        assert report.outcome is Outcome.CANCELLED
        assert report.failure.startswith("cancelled by ")
        assert (made.root / "checkout.env").read_text() == before
        _require_as_before(made)


async def test_a_healthy_consumer_is_pointed_to_the_new_server_with_its_line_kept_in_shape(
    temporal: WorkflowEnvironment,
) -> None:
    with _shop(200) as made:
        async with working(temporal.client, made):
            report = await _report(temporal.client, new_request(made.resource, LATEST))

        port = made.servers.current().port
        assert report.outcome is Outcome.DONE
        assert [one for one in report.findings if one.verdict is Verdict.FAILED] == []
        assert (made.root / "checkout.env").read_text() == (
            f'export DATABASE_URL="postgresql://shop@127.0.0.1:{port}/shop?sslmode=disable"\n'
        )


async def test_a_consumer_that_cannot_be_pointed_elsewhere_is_refused_before_anything_is_made(
    temporal: WorkflowEnvironment,
) -> None:
    with _shop(200) as made:
        (made.root / "checkout.env").write_text("DATABASE_URL=host=127.0.0.1 dbname=shop\n")
        async with working(temporal.client, made):
            report = await _report(temporal.client, new_request(made.resource, LATEST))

        assert (report.outcome, exit_code(report)) == (Outcome.REFUSED, 2)
        assert "not a URL postgresql://" in report.failure
        _require_as_before(made)


async def test_a_failed_check_keeps_the_copy_and_never_says_that_the_service_is_back(
    temporal: WorkflowEnvironment, fresh: Station
) -> None:
    client = temporal.client
    check = {"name": "orders", "query": "select count(*) from pg_class where false", "at_least": 1}
    resource = _changed(fresh.resource, checks=[check])
    async with working(client, fresh):
        report = await _report(client, new_request(resource, LATEST))
        shown = await describe(client, resource)

        assert (report.outcome, exit_code(report)) == (Outcome.DONE, 3)
        assert [one.verdict for one in report.objectives if one.name == "rto"] == [Verdict.UNPROVEN]
        assert fresh.servers.current().name == "orders-1"
        [copy] = shown.server.superseded
        assert f"the copy answers at {report.reached.handle.host}:" in str(report.events)  # type: ignore[union-attr]
        assert await release(client, resource) == [copy]
    _require_as_before(fresh)


async def test_a_missing_key_is_refused_and_so_is_its_plan(
    temporal: WorkflowEnvironment, fresh: Station
) -> None:
    client = temporal.client
    backups = fresh.resource.backups.model_dump(mode="json") | {"key": "env:NO_SUCH_KEY"}
    request = new_request(_changed(fresh.resource, backups=backups), LATEST)
    async with working(client, fresh):
        report = await _report(client, request)
        with pytest.raises(Exception, match="NO_SUCH_KEY") as planned:
            await plan_restore(client, request)

    assert (report.outcome, exit_code(report)) == (Outcome.REFUSED, 2)
    assert "NO_SUCH_KEY: the variable is not set" in report.failure
    assert getattr(planned.value, "exit_code", None) == 2
    _require_as_before(fresh)


async def test_the_objective_is_told_to_be_at_risk_once_and_missed_once(
    temporal: WorkflowEnvironment, fresh: Station
) -> None:
    approval = {"approvers": ["alice"], "within": "1m"}
    resource = _changed(fresh.resource, approval=approval, objectives={"rto": "4s", "rpo": "5s"})
    async with working(temporal.client, fresh):
        handle = await _start(temporal.client, new_request(resource, LATEST))
        await asyncio.sleep(5)
        await handle.execute_update(DatabaseRestoreWorkflow.approve, ApprovalGiven(by="alice"))
        report = await asyncio.wait_for(await_report(handle), 90)

    told = [event.what for event in report.events]
    assert sum("objective at risk" in what for what in told) == 1, told
    assert sum("objective missed" in what for what in told) == 1, told
    assert exit_code(report) == 3
    assert [one.verdict for one in report.objectives if one.name == "rto"] == [Verdict.FAILED]


async def test_an_approval_that_comes_too_late_or_twice_is_refused(
    temporal: WorkflowEnvironment, fresh: Station
) -> None:
    client, me = temporal.client, new_request(fresh.resource, LATEST).requested_by
    nobody = _changed(fresh.resource, approval={"approvers": [me], "within": "1m"})
    brief = _changed(fresh.resource, approval={"approvers": ["alice"], "within": "1s"})
    async with working(client, fresh):
        alone = await _report(client, new_request(nobody, LATEST))
        handle = await _start(client, new_request(brief, LATEST))
        late = await asyncio.wait_for(await_report(handle), 90)
        with pytest.raises(Exception, match=r"completed|waits for no approval"):
            await handle.execute_update(DatabaseRestoreWorkflow.approve, ApprovalGiven(by="alice"))

        long = _changed(fresh.resource, approval={"approvers": ["alice", "bob"], "within": "1m"})
        handle = await _start(client, new_request(long, LATEST))
        await _until(handle, Phase.APPROVAL)
        approve = DatabaseRestoreWorkflow.approve
        answers = await asyncio.gather(
            handle.execute_update(approve, ApprovalGiven(by="alice")),
            handle.execute_update(approve, ApprovalGiven(by="bob")),
            return_exceptions=True,
        )
        report = await asyncio.wait_for(await_report(handle), 90)

    assert (alone.outcome, exit_code(alone)) == (Outcome.REFUSED, 2)
    assert "nobody else is an approver" in alone.failure
    assert (late.outcome, exit_code(late)) == (Outcome.REFUSED, 2)
    assert "nobody approved within" in late.failure
    assert sum(isinstance(answer, WorkflowUpdateFailedError) for answer in answers) == 1
    assert report.outcome is Outcome.DONE


async def test_a_cancel_while_a_drill_cleans_up_lets_it_finish(
    temporal: WorkflowEnvironment, fresh: Station
) -> None:
    async with working(temporal.client, fresh):
        request = new_request(fresh.resource, LATEST, mode=Mode.DRILL)
        handle = await _start(temporal.client, request)
        await _until(handle, Phase.VERIFY)
        name = f"refloat-{request.id[:8]}-orders"
        with held(fresh.layout.server(name) / LOCK, name):  # nothing can be removed yet
            await _until(handle, Phase.CLEAN_UP)
            await cancel(handle)
            await asyncio.sleep(0.5)
        report = await asyncio.wait_for(await_report(handle), 90)

    assert report.left_behind == ()
    _require_as_before(fresh)


async def test_a_worker_that_is_told_to_stop_hands_the_run_on(
    temporal: WorkflowEnvironment, fresh: Station
) -> None:
    client = temporal.client
    (fresh.root / "refloat.yaml").write_text(json.dumps(fresh.content))
    address = client.service_client.config.target_host
    (fresh.root / "temporal.json").write_text(json.dumps({"address": address}))
    request = new_request(fresh.resource, LATEST)
    async with held_worker(fresh.root / "refloat.yaml", fresh.root / "worker.log"):
        handle = await _start(client, request)
        folder = fresh.layout.server(f"refloat-{request.id[:8]}-orders") / "data"
        await asyncio.to_thread(wait_for, "the transfer", folder.exists)
    async with working(client, fresh):
        report = await asyncio.wait_for(await_report(handle), 90)

    assert (report.outcome, report.failure) == (Outcome.DONE, "")
    assert len(fresh.servers.all()) == 2
