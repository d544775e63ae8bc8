"""Starting, finding and ending runs, against a real Temporal server."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from client import pollers
from client.connection import temporal_errors
from client.errors import (
    AlreadyRunningError,
    ClientError,
    DeniedError,
    NobodyPollsError,
    RunEndedError,
    UnknownRunError,
)
from client.pollers import require_pollers, while_polled
from client.questions import describe, find_report, last_runs, plan_restore, release
from client.recoveries import (
    await_report,
    handle_of,
    new_request,
    start_recovery,
    whoami,
)
from client.runs import (
    approve,
    cancel,
    find_run,
    has_ended,
    list_runs,
    report_of,
    status_of,
)
from domain.recovery import RestoreRequest, Target, TargetKind
from domain.report import Outcome, exit_code
from domain.resources import Mode, ProtectedResource
from tests.client.scripted import KEPT_RUN, LAST_RUN

LATEST = Target(kind=TargetKind.LATEST)
Named = Callable[[str], ProtectedResource]


@pytest.fixture
def client(polled: WorkflowEnvironment) -> Client:
    return polled.client


async def _ended(client: Client, request: RestoreRequest) -> None:
    with contextlib.suppress(RunEndedError):
        await await_report(handle_of(client, await start_recovery(client, request)))


def test_a_request_is_stamped_with_who_asks_and_an_id_of_its_own(named: Named) -> None:
    first, second = (new_request(named("orders"), LATEST) for _ in range(2))

    assert first.requested_by == whoami()
    assert first.id != second.id
    assert first.requested_at.utcoffset() is not None


async def test_a_started_restore_is_followed_and_not_the_one_before_it(
    client: Client, named: Named
) -> None:
    for _ in range(5):
        request = new_request(named("orders"), LATEST)
        started = await start_recovery(client, request)

        report = await await_report(handle_of(client, started))

        assert report.run_id == request.id


async def test_a_workflow_id_means_its_newest_run_at_once(client: Client, named: Named) -> None:
    for _ in range(5):
        request = new_request(named("orders"), LATEST)
        started = await start_recovery(client, request)

        handle = await find_run(client, started.workflow_id)

        assert (await await_report(handle)).run_id == request.id


@pytest.mark.parametrize(("reason", "code"), [("", 0), ("refused", 2), ("failed", 1)])
async def test_a_report_arrives_however_the_run_ended(
    client: Client, named: Named, reason: str, code: int
) -> None:
    request = new_request(named("stock"), LATEST, reason=reason)

    report = await await_report(handle_of(client, await start_recovery(client, request)))

    assert report.run_id == request.id
    assert exit_code(report) == code


async def test_a_second_restore_of_a_resource_is_refused_while_a_drill_may_run(
    client: Client, named: Named
) -> None:
    started = await start_recovery(client, new_request(named("users"), LATEST, reason="waits"))
    with pytest.raises(
        AlreadyRunningError, match="refloat run watch restore:shop/production/users"
    ):
        await start_recovery(client, new_request(named("users"), LATEST))
    drill = await start_recovery(client, new_request(named("users"), LATEST, mode=Mode.DRILL))

    assert (await await_report(handle_of(client, drill))).mode is Mode.DRILL
    await approve(client, handle_of(client, started), "yes")


async def test_a_run_is_found_by_its_id_the_beginning_of_it_and_its_path(
    client: Client, named: Named
) -> None:
    request = new_request(named("carts"), LATEST)
    await _ended(client, request)

    for wanted in (request.id, request.id[:8], request.resource.path):
        found = await report_of(await find_run(client, wanted))
        assert found.run_id == request.id


@pytest.mark.parametrize(
    "wanted", ["abcdef012", "restore:no/such/one", "no/such/one", "it's", "ab"]
)
async def test_an_unknown_run_is_refused(client: Client, wanted: str) -> None:
    with pytest.raises(UnknownRunError, match="run list"):
        await find_run(client, wanted)


async def test_a_release_under_the_same_id_does_not_hide_the_last_restore(
    client: Client, named: Named
) -> None:
    request = new_request(named("mails"), LATEST)
    await _ended(client, request)
    assert await release(client, named("mails")) == ["old-mails"]

    found = await report_of(await find_run(client, "restore:shop/production/mails"))

    assert found.run_id == request.id


async def test_a_release_is_refused_while_a_restore_runs(client: Client, named: Named) -> None:
    started = await start_recovery(client, new_request(named("prices"), LATEST, reason="waits"))

    with pytest.raises(AlreadyRunningError, match="shop/production/prices is being restored"):
        await release(client, named("prices"))
    await approve(client, handle_of(client, started), "yes")


async def test_an_approval_is_refused_with_the_runs_own_sentence(
    client: Client, named: Named
) -> None:
    started = await start_recovery(client, new_request(named("stock"), LATEST, reason="waits"))
    handle = handle_of(client, started)

    with pytest.raises(DeniedError, match="ask somebody else"):
        await approve(client, handle, "")
    assert not await has_ended(handle)
    await approve(client, handle, "four eyes")

    assert (await await_report(handle)).outcome is Outcome.DONE


async def test_a_run_tells_where_it_stands_and_a_cancelled_one_has_no_report(
    client: Client, named: Named
) -> None:
    request = new_request(named("carts"), LATEST, reason="waits")
    handle = handle_of(client, await start_recovery(client, request))

    status = await status_of(handle)
    assert status is not None
    assert status.run_id == request.id
    with pytest.raises(RunEndedError, match="still runs"):
        await report_of(handle)
    await cancel(handle)

    with pytest.raises(RunEndedError, match="cancelled") as told:
        await await_report(handle)
    assert told.value.exit_code == 1


async def test_a_refused_plan_is_exit_code_2(client: Client, named: Named) -> None:
    with pytest.raises(RunEndedError, match="no backup") as told:
        await plan_restore(client, new_request(named("orders"), LATEST))

    assert told.value.exit_code == 2


async def test_a_short_request_is_answered(client: Client, named: Named) -> None:
    assert (await describe(client, named("orders"))).server.name == "orders"


async def test_runs_are_listed_newest_first_with_their_attributes(
    client: Client, named: Named
) -> None:
    request = new_request(named("orders"), LATEST, mode=Mode.DRILL)
    await _ended(client, request)
    await find_run(client, request.id)

    runs = await list_runs(client)

    assert [run.started_at for run in runs] == sorted(
        (run.started_at for run in runs), reverse=True
    )
    [listed] = [run for run in runs if run.run_id == request.id]
    assert (listed.resource, listed.mode) == ("shop/production/orders", "drill")


async def test_the_last_proof_is_told_for_the_list(client: Client, named: Named) -> None:
    assert await last_runs(client, named("users")) == [LAST_RUN]


async def test_a_kept_report_is_found_when_temporal_has_forgotten_the_run(
    client: Client, named: Named
) -> None:
    found = await find_report(client, [named("users"), named("orders")], KEPT_RUN)

    assert found is not None
    assert found.run_id == KEPT_RUN
    assert await find_report(client, [named("users")], "abcdef") is None


async def test_a_queue_that_nobody_polls_is_told(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pollers, "_PATIENCE", 0.2)

    with pytest.raises(NobodyPollsError, match="refloat-worker") as told:
        await require_pollers(client, "a-queue-of-nobody")
    assert told.value.exit_code == 4


async def test_waiting_ends_when_the_last_worker_has_gone(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pollers, "_PATIENCE", 0.2)
    monkeypatch.setattr(pollers, "_LOOK_AGAIN", 0.1)

    with pytest.raises(NobodyPollsError):
        await while_polled(client, "a-queue-of-nobody", "here", asyncio.sleep(60))


async def test_what_temporal_refuses_is_one_sentence(client: Client) -> None:
    with pytest.raises(ClientError, match="Temporal at here refused"), temporal_errors("here"):
        [run async for run in client.list_workflows("NoSuchAttribute = 'x'")]
