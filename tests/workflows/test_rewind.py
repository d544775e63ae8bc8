"""A whole environment back to one time: database, image and configuration, all of it or nothing."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from cli.printing import report_lines
from client.recoveries import StartedRun, await_report, handle_of, start_recovery
from client.rewinds import plan_rewind, rewind_request
from client.runs import cancel
from domain.configuration import ProtectedConfiguration
from domain.report import Outcome, RunReport
from domain.rewind import RewindRequest, problems
from providers.local.folders import LocalFolders
from tests.providers.git_ground import make_ground
from tests.providers.oci_ground import registry_server
from tests.station import Station, free_ports, now, wait_for
from tests.workflows.killing import Mortals
from tests.workflows.running import working
from tests.yard import Releases, needs_podman

pytestmark = [needs_podman, pytest.mark.slow]
SETTINGS = "shop/production/settings"


class Whole:
    """One environment: orders in a database, a release that runs, settings in a repository."""

    def __init__(self, root: Path, held: ExitStack, **database: Any) -> None:
        self.root, self.ground = root, make_ground(root / "ground")
        served = held.enter_context(registry_server(root / "registry"))
        self.port = free_ports(1)
        self.station = Station(
            root,
            {"consumers": ["checkout"], **database},
            applications={"checkout": self._application(served.host)},
            configurations={
                "settings": {
                    "repository": {"url": str(self.ground.remote), "path": "deploy"},
                    "platform": {"kind": "local", "folder": "config"},
                    "applications": ["checkout"],
                }
            },
        )
        self.catalog = self.station.catalog
        server = self.station.servers.current()
        (root / "checkout.env").write_text(
            f"DATABASE_URL=postgresql://refloat@{server.host}:{server.port}/postgres\n"
            f"PORT={self.port}\n"
        )
        (root / "refloat.yaml").write_text(json.dumps(self.station.content))
        self.releases = Releases(root, served, self.port)
        held.callback(self.station.stop)
        self.station.start()

    def _application(self, host: str) -> dict[str, Any]:
        return {
            "platform": {"kind": "local", "settings": "checkout.env", "container": True},
            "image": f"{host}/shop/checkout",
            "health": {"url": f"http://127.0.0.1:{self.port}/healthz", "within": "6s"},
        }

    def commit(self, content: str) -> None:
        """Commit settings and put them into effect, as a pipeline does."""
        made = self.ground.ada.commit({"deploy/app.yaml": content}, f"Say {content}", now())
        configuration = self.catalog.find(SETTINGS)
        assert isinstance(configuration, ProtectedConfiguration)
        files = self.ground.provider().files(configuration, made)
        LocalFolders(self.root, self.root).apply(configuration, files, key=f"pipeline {made}")

    def begin(self) -> datetime:
        """Have everything work; return a moment at which it did, before all of it breaks."""
        self.releases.push("v1", "fragile")
        self.releases.push("v2", "ill")
        self.commit("replicas: 3\n")
        self.station.wait_protected()
        self.releases.serve("v1")
        self.station.sql("create table orders as select generate_series(1, 10) as id")
        moment = _whole_second_later()
        self.station.sql("select txid_current()")
        return moment

    def break_it(self) -> None:
        """Drop the table, deploy a bad release, commit bad settings."""
        self.station.sql("drop table orders")
        self.commit("replicas: 0\n")
        self.releases.deploy("v2")
        wait_for("v2 to run", lambda: self.releases.release() == "v2")
        self.station.wait_archived()

    def request(self, to: datetime) -> RewindRequest:
        """Return a request for the whole environment."""
        return rewind_request("shop/production", self.catalog.environment("shop/production"), to)

    def require_back(self) -> None:
        """Require everything to be as it was at the moment."""
        assert self.station.sql("select count(*) from orders") == [(10,)]
        assert self.releases.release() == "v1"
        assert (self.root / "config" / "app.yaml").read_text() == "replicas: 3\n"
        server = self.station.servers.current()
        assert f"@{server.host}:{server.port}/" in (self.root / "checkout.env").read_text()

    def require_untouched(self, commits: int) -> None:
        """Require everything to be as bad as it was."""
        assert self.station.servers.current().name == "orders-1"
        assert self.station.sql("select to_regclass('orders')") == [(None,)]
        self.station.sql("select txid_current()")
        wait_for("v2 to run", lambda: self.releases.release() == "v2")
        assert (self.root / "config" / "app.yaml").read_text() == "replicas: 0\n"
        assert len(self.ground.git("log", "--format=%s", "main").splitlines()) == commits


def _whole_second_later() -> datetime:
    """Return a moment after which Git's whole seconds are later than what was committed."""
    began = now()
    wait_for("a whole second", lambda: now().second != began.second, 5)
    moment = now().replace(microsecond=0) + timedelta(milliseconds=500)
    wait_for("the moment to pass", lambda: now() > moment + timedelta(seconds=1), 5)
    return moment


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> Iterator[Whole]:
    """Return an environment; the parameter is what the database is declared with besides."""
    root = Path(tempfile.mkdtemp(prefix="refloat-whole-"))
    root.chmod(0o755)
    (root / "ground").mkdir()
    with ExitStack() as held:
        held.callback(shutil.rmtree, root)
        yield Whole(root, held, **getattr(request, "param", {}))


def require_good(report: RunReport) -> None:
    """Require everything to have passed but the row counts, for want of an earlier snapshot."""
    told = "\n".join(report_lines(report))
    assert report.outcome is Outcome.DONE, told
    short = {one for part in report.parts for one in part.shortfalls}
    assert short == {"row counts against the last snapshot: unproven"}, told


async def rewound(temporal: WorkflowEnvironment, request: RewindRequest) -> RunReport:
    started = await start_recovery(temporal.client, request)
    return await await_report(handle_of(temporal.client, started))


async def test_database_image_and_configuration_come_back_as_one(
    temporal: WorkflowEnvironment, whole: Whole
) -> None:
    moment = await asyncio.to_thread(whole.begin)
    await asyncio.to_thread(whole.break_it)
    async with working(temporal.client, whole):
        plan = await plan_rewind(temporal.client, whole.request(moment))
        report = await rewound(temporal, whole.request(moment))
        again = await plan_rewind(temporal.client, whole.request(now()))

    assert not problems(plan)
    require_good(report)
    whole.require_back()
    assert [part.already for part in again.parts if part.kind != "database"] == [True, True]


async def test_a_time_that_one_part_cannot_reach_is_told_for_each(
    temporal: WorkflowEnvironment, whole: Whole
) -> None:
    moment = await asyncio.to_thread(whole.begin)
    async with working(temporal.client, whole):
        plan = await plan_rewind(temporal.client, whole.request(moment - timedelta(days=400)))
        report = await rewound(temporal, whole.request(moment - timedelta(days=400)))

    assert [bool(part.problem) for part in plan.parts] == [True, True, True]
    assert "shop/production/orders: " in problems(plan)
    assert "what ran is known since" in problems(plan)
    assert report.outcome is Outcome.REFUSED
    assert report.parts == ()


@pytest.mark.parametrize(
    "whole",
    [{"checks": [{"name": "many orders", "query": "select count(*) from orders", "at_least": 99}]}],
    indirect=True,
)
async def test_a_part_that_does_not_become_ready_keeps_all_from_taking_effect(
    temporal: WorkflowEnvironment, whole: Whole
) -> None:
    moment = await asyncio.to_thread(whole.begin)
    await asyncio.to_thread(whole.break_it)
    async with working(temporal.client, whole):
        report = await rewound(temporal, whole.request(moment))

    assert report.outcome is Outcome.FAILED
    assert "shop/production/orders" in report.failure
    assert report.left_behind == ()
    await asyncio.to_thread(whole.require_untouched, 2)


async def test_what_does_not_become_healthy_is_taken_back_in_all_parts(
    temporal: WorkflowEnvironment, whole: Whole
) -> None:
    moment = await asyncio.to_thread(whole.begin)
    await asyncio.to_thread(whole.break_it)
    whole.releases.spoil()
    async with working(temporal.client, whole):
        report = await rewound(temporal, whole.request(moment))

    assert report.outcome is Outcome.FAILED
    assert "healthy" in report.failure
    assert report.left_behind == ()
    await asyncio.to_thread(whole.require_untouched, 4)


async def test_a_cancel_takes_every_part_back(temporal: WorkflowEnvironment, whole: Whole) -> None:
    moment = await asyncio.to_thread(whole.begin)
    await asyncio.to_thread(whole.break_it)
    async with working(temporal.client, whole):
        started: StartedRun = await start_recovery(temporal.client, whole.request(moment))
        handle = handle_of(temporal.client, started)
        servers = whole.station.servers
        await asyncio.to_thread(wait_for, "a new server", lambda: len(servers.all()) > 1)
        await cancel(handle)
        report = await await_report(handle)

    assert report.outcome is Outcome.CANCELLED
    assert report.left_behind == ()
    assert {part.verdict for part in report.parts} == {"cancelled"}
    await asyncio.to_thread(whole.require_untouched, 2)
    assert len(servers.all()) == 1


async def test_a_worker_killed_in_each_part_changes_nothing(whole: Whole) -> None:
    moment = await asyncio.to_thread(whole.begin)
    await asyncio.to_thread(whole.break_it)
    mortals = Mortals(whole.root)
    try:
        report = await mortals.run(
            whole.request(moment),
            [
                ("restore.start", "after"),
                ("cutover.promote", "after"),
                ("configuration.restore", "after"),
                ("rollback.apply", "after"),
            ],
        )
    finally:
        mortals.stop()

    require_good(report)
    whole.require_back()
    assert len(whole.ground.git("log", "--format=%s", "main").splitlines()) == 3
    assert whole.releases.starts("v1") == 2
