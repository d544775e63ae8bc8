"""Rollbacks of a configuration: a real repository, a real application, a real Temporal server."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime

import pytest
from temporalio.testing import WorkflowEnvironment

from client.recoveries import await_report, handle_of, start_recovery
from client.rollbacks import configuration_request, list_commits, plan_configuration
from domain.configuration import ConfigurationRequest, ConfigurationTarget, PointKind
from domain.report import Outcome, RunReport
from tests.providers.git_ground import BEGUN, MINUTE
from tests.station import wait_for
from tests.workflows.configured import MARKER, Configured, configured
from tests.workflows.running import working
from tests.yard import needs_podman

pytestmark = needs_podman


@pytest.fixture
def shop() -> Iterator[Configured]:
    """Return an application with a good configuration in effect."""
    with configured() as made:
        yield made


def asked(
    shop: Configured, reference: str = "", time: datetime | None = None
) -> ConfigurationRequest:
    kind = PointKind.REFERENCE if reference else PointKind.TIME if time else PointKind.PREVIOUS
    target = ConfigurationTarget(kind=kind, reference=reference, time=time)
    return configuration_request(shop.yard.configuration, target, reason="the shop is down")


async def rolled_back(temporal: WorkflowEnvironment, request: ConfigurationRequest) -> RunReport:
    started = await start_recovery(temporal.client, request)
    return await await_report(handle_of(temporal.client, started))


@pytest.mark.parametrize("by", ["commit", "tag", "time"])
async def test_a_bad_configuration_is_rolled_back_by_one_new_commit(
    temporal: WorkflowEnvironment, shop: Configured, by: str
) -> None:
    bad = shop.break_it()
    request = {
        "commit": lambda: asked(shop, reference=shop.good[:10]),
        "tag": lambda: asked(shop, reference="v1"),
        "time": lambda: asked(shop, time=BEGUN + MINUTE / 2),
    }[by]()

    async with working(temporal.client, shop.yard):
        report = await rolled_back(temporal, request)

    assert report.passed, report
    assert shop.healthy()
    assert "replicas: 3" in (shop.folder / "app.yaml").read_text()
    assert len(shop.commits()) == 3
    assert shop.ground.git("rev-parse", "main^") == bad
    assert report.configuration is not None
    assert report.configuration.commit is not None
    assert report.configuration.commit.id == shop.ground.head()
    assert report.configuration.marked in shop.ground.git("tag").splitlines()


async def test_previous_is_the_commit_that_a_run_marked_good(
    temporal: WorkflowEnvironment, shop: Configured
) -> None:
    shop.break_it()
    async with working(temporal.client, shop.yard):
        refused = await rolled_back(temporal, asked(shop))
        await rolled_back(temporal, asked(shop, reference="v1"))
        shop.ground.ada.pull()
        shop.break_it()
        report = await rolled_back(temporal, asked(shop))
        listed = await list_commits(temporal.client, shop.yard.configuration)

    assert refused.outcome is Outcome.REFUSED
    assert "is marked good by a tag refloat/good/" in refused.failure
    assert report.passed
    assert len(listed.commits) == 5
    assert len(listed.good) == 2


async def test_no_secret_is_in_history_report_plan_or_log(
    temporal: WorkflowEnvironment, shop: Configured, caplog: pytest.LogCaptureFixture
) -> None:
    shop.break_it()
    request = asked(shop, reference="v1")
    async with working(temporal.client, shop.yard):
        plan = await plan_configuration(temporal.client, request)
        report = await rolled_back(temporal, request)
        handle = temporal.client.get_workflow_handle(report.workflow_id)
        history = (await handle.fetch_history()).to_json()

    assert "replicas" in plan.model_dump_json()
    assert "masked" in plan.model_dump_json() or "secret" in plan.model_dump_json()
    for text in (plan.model_dump_json(), report.model_dump_json(), history, caplog.text):
        assert MARKER not in text
    for file in shop.yard.root.glob("reports/*.json"):
        assert MARKER not in file.read_text()


async def test_a_push_meanwhile_stops_the_rollback_and_stays(
    temporal: WorkflowEnvironment, shop: Configured
) -> None:
    shop.break_it()
    hook = shop.ground.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    other = shop.ground.clone("bob")
    theirs = other.commit({"deploy/theirs.yaml": "a: 1\n"}, "Meanwhile", push=False)
    # the first push, which is the rollback's, finds that another one has just come in
    hook.write_text(
        f"#!/bin/sh\nrm {hook}\n"
        f"env -i PATH=$PATH git -C {other.folder} push -q origin HEAD || exit 1\n"
    )
    hook.chmod(0o755)

    async with working(temporal.client, shop.yard):
        report = await rolled_back(temporal, asked(shop, reference="v1"))

    assert report.outcome is Outcome.FAILED
    assert "Meanwhile" in report.failure
    assert "refloat rollback" in report.failure
    assert shop.ground.head() == theirs
    assert report.left_behind == ()


async def test_a_file_that_somebody_else_changed_is_refused_before_a_commit_is_made(
    temporal: WorkflowEnvironment, shop: Configured
) -> None:
    shop.break_it()
    (shop.folder / "app.yaml").write_text("replicas: 7\n")

    async with working(temporal.client, shop.yard):
        report = await rolled_back(temporal, asked(shop, reference="v1"))

    assert report.outcome is Outcome.REFUSED
    assert "app.yaml" in report.failure
    assert len(shop.commits()) == 2
    assert (shop.folder / "app.yaml").read_text() == "replicas: 7\n"


async def test_a_configuration_that_does_not_heal_is_taken_back_by_one_more_commit(
    temporal: WorkflowEnvironment, shop: Configured
) -> None:
    bad = shop.break_it()
    shop.ground.ada.commit({"deploy/healthz": "works"}, "Repair it by hand")
    shop.put_into_effect(shop.ground.head())
    await asyncio.to_thread(wait_for, "it to be healthy", shop.healthy)

    async with working(temporal.client, shop.yard):
        report = await rolled_back(temporal, asked(shop, reference=bad))

    assert report.outcome is Outcome.FAILED
    assert "did not become healthy" in report.failure
    assert report.left_behind == ()
    assert (shop.folder / "healthz").exists()
    assert shop.commits()[0].startswith("Take back")
    assert shop.ground.git("rev-parse", "main^{tree}") == shop.ground.git(
        "rev-parse", "main~2^{tree}"
    )


async def test_a_report_is_kept_where_the_worker_keeps_them(
    temporal: WorkflowEnvironment, shop: Configured
) -> None:
    shop.break_it()
    async with working(temporal.client, shop.yard):
        report = await rolled_back(temporal, asked(shop, reference="v1"))

    kept = json.loads((shop.yard.root / "reports" / f"{report.run_id}.json").read_text())
    assert kept["configuration"]["changed_files"] == ["app.yaml", "healthz"]
