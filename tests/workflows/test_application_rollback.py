"""Rollbacks of an application: real images, a real registry, Podman, a real Temporal server."""

import asyncio
from collections.abc import Iterator

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from client.errors import AlreadyRunningError, RunEndedError
from client.recoveries import await_report, handle_of, start_recovery
from client.rollbacks import list_candidates, plan_rollback, rollback_request
from domain.checks import Verdict
from domain.clock import Phase
from domain.plans import refusal_of
from domain.report import Outcome, RunReport
from domain.rollback import RollbackKind, RollbackRequest, RollbackTarget
from tests.providers.oci_ground import delete
from tests.station import wait_for
from tests.workflows.running import working
from tests.yard import Yard, needs_podman, yard

pytestmark = needs_podman
PREVIOUS = RollbackTarget(kind=RollbackKind.PREVIOUS)


@pytest.fixture
def shop() -> Iterator[Yard]:
    """Return an application whose first release works and whose second one is ill."""
    with yard() as made:
        made.push("v1", io_refloat_schema="1")
        made.push("v2", "ill", io_refloat_schema="1")
        made.push("crash", "crash")
        made.serve("v1")
        yield made


def named(reference: str) -> RollbackTarget:
    return RollbackTarget(kind=RollbackKind.REFERENCE, reference=reference)


def asked(
    made: Yard, target: RollbackTarget = PREVIOUS, despite_schema: str = ""
) -> RollbackRequest:
    return rollback_request(made.application, target, despite_schema=despite_schema)


async def rolled_back(client: Client, request: RollbackRequest) -> RunReport:
    return await await_report(handle_of(client, await start_recovery(client, request)))


async def deployed_ill(made: Yard) -> None:
    made.deploy("v2")
    await asyncio.to_thread(wait_for, "v2 to run", lambda: made.release() == "v2", 20)


async def test_the_previous_release_comes_back_by_digest_and_is_measured(
    temporal: WorkflowEnvironment, shop: Yard
) -> None:
    await deployed_ill(shop)
    async with working(temporal.client, shop):
        report = await rolled_back(temporal.client, asked(shop))

    assert report.passed, report
    assert shop.release() == "v1"
    assert report.rollback is not None
    assert report.rollback.image.digest == shop.digests["v1"]
    assert [one.phase for one in report.phases] == [
        Phase.PREFLIGHT, Phase.APPLY, Phase.ROLLOUT, Phase.HEALTH,
    ]  # fmt: skip
    assert report.measured_rto is not None
    assert report.measured_rto.total_seconds() < 15
    assert report.rollback.kept_by


async def test_a_release_that_keeps_ending_is_explained_and_undone(
    temporal: WorkflowEnvironment, shop: Yard
) -> None:
    async with working(temporal.client, shop):
        report = await rolled_back(temporal.client, asked(shop, named("crash")))

    assert report.outcome is Outcome.FAILED
    assert report.left_behind == ()
    assert "keeps ending" in report.failure
    assert "exit code 3" in report.failure
    assert "no payments" in report.failure
    assert "hunter2" not in report.model_dump_json()
    assert shop.release() == "v1"
    assert shop.healthy()


async def test_a_release_that_never_becomes_healthy_is_undone(
    temporal: WorkflowEnvironment, shop: Yard
) -> None:
    async with working(temporal.client, shop):
        report = await rolled_back(temporal.client, asked(shop, named("v2")))

    assert report.outcome is Outcome.FAILED
    assert "did not become healthy within 6 s" in report.failure
    assert shop.release() == "v1"


async def test_everything_that_cannot_work_is_refused_before_anything_changes(
    temporal: WorkflowEnvironment, shop: Yard
) -> None:
    gone = shop.push("gone", "ill")
    delete(shop.registry.host, "shop/checkout", "manifests", gone)
    holed = shop.push("holed", "ill")
    async with working(temporal.client, shop):
        with pytest.raises(RunEndedError, match="no earlier version is known") as earlier:
            await plan_rollback(temporal.client, asked(shop))
        with pytest.raises(RunEndedError, match=r"no image 'v9'.*knows no such"):
            await plan_rollback(temporal.client, asked(shop, named("v9")))
        with pytest.raises(RunEndedError, match="no image"):
            await plan_rollback(temporal.client, asked(shop, named(gone)))
        layer = shop.registry.file_of(holed).read_text()
        part = layer.rpartition('"digest": "')[2].partition('"')[0]
        shop.registry.file_of(part).unlink()
        report = await rolled_back(temporal.client, asked(shop, named("holed")))

    assert earlier.value.exit_code == 2
    assert report.outcome is Outcome.REFUSED
    assert part[:19] in report.failure
    assert shop.release() == "v1"
    assert shop.starts("v1") == 1


async def test_a_schema_that_moved_on_stops_a_rollback_unless_a_reason_is_given(
    temporal: WorkflowEnvironment, shop: Yard
) -> None:
    shop.push("v3", io_refloat_schema="2")
    shop.serve("v3")
    async with working(temporal.client, shop):
        refused = await rolled_back(temporal.client, asked(shop))
        plan = await plan_rollback(
            temporal.client, asked(shop, despite_schema="the new column is empty")
        )

    assert refused.outcome is Outcome.REFUSED
    assert "works with schema 1, the data are at 2" in refused.failure
    assert "--despite-schema" in refused.failure
    assert not refusal_of(plan.findings)
    told = next(one for one in plan.findings if one.name == "data fit the image")
    assert told.verdict is Verdict.UNPROVEN
    assert "the new column is empty" in told.observed
    assert shop.release() == "v3"


async def test_two_rollbacks_at_once_are_one(temporal: WorkflowEnvironment, shop: Yard) -> None:
    await deployed_ill(shop)
    async with working(temporal.client, shop):
        started = await start_recovery(temporal.client, asked(shop))
        with pytest.raises(AlreadyRunningError, match="refloat run watch"):
            await start_recovery(temporal.client, asked(shop))
        report = await await_report(handle_of(temporal.client, started))

    assert report.passed


async def test_a_deployment_that_is_being_made_stops_a_rollback(
    temporal: WorkflowEnvironment, shop: Yard
) -> None:
    await deployed_ill(shop)
    shop.stop()  # who would make the change
    shop.deploy("crash")
    async with working(temporal.client, shop):
        report = await rolled_back(temporal.client, asked(shop))

    assert report.outcome is Outcome.REFUSED
    assert "by pipeline) is still being made" in report.failure
    assert "supervisor" in report.failure


async def test_what_there_is_to_go_back_to_is_listed(
    temporal: WorkflowEnvironment, shop: Yard
) -> None:
    async with working(temporal.client, shop):
        found = await list_candidates(temporal.client, shop.application)

    assert [one.digest for one in found.ran] == [shop.digests["v1"]]
    assert {one.digest for one in found.images} == set(shop.digests.values())
