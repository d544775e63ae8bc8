"""One command on each of five providers: the same story, the same steps, real data behind it."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from client.questions import create_snapshot, release
from client.recoveries import await_report, handle_of, new_request, start_recovery
from domain.checks import Verdict
from domain.recovery import Target, TargetKind
from domain.report import Outcome, RunReport, exit_code
from domain.resources import ProtectedResource
from providers.heartbeats import hearts
from tests.providers.clouds import CLOUD_TABLE, PASSWORD, Stand, real_stand
from tests.station import Station, station, wait_for
from tests.workflows.running import working
from worker import build_workers

ORDERS = (
    "create table orders (id bigint generated always as identity, "
    "at timestamptz not null default clock_timestamp())"
)
SETTINGS = "checkout.env"


def _application(folder: Path, address: str) -> dict[str, Any]:
    (folder / SETTINGS).write_text(f"DATABASE_URL=postgresql://shop@{address}/shop\n")
    return {"checkout": {"platform": {"kind": "local", "settings": str(folder / SETTINGS)}}}


class Shop:
    """A database with orders that keep coming, wherever its path leads."""

    def __init__(self, resource: ProtectedResource, where: dict[str, Any]) -> None:
        self.resource, self.where = resource, where
        self.stop = threading.Event()

    def session(self, host: str, port: int) -> "psycopg.Connection[Any]":
        return psycopg.connect(host=host, port=port, autocommit=True, **self.where)

    def sell(self, host: str, port: int) -> None:
        with self.session(host, port) as held:
            while not self.stop.wait(0.05):
                held.execute("insert into orders default values")


@asynccontextmanager
async def cloud_workers(client: Client, stand: Stand) -> AsyncIterator[None]:
    stop = threading.Event()
    beating = hearts(stand.catalog, stand.folder, stop)
    for heart in beating:
        heart.start()
    try:
        async with AsyncExitStack() as running:
            for worker in build_workers(client, stand.catalog, stand.folder):
                await running.enter_async_context(worker)
            yield
    finally:
        stop.set()
        for heart in beating:
            await asyncio.to_thread(heart.join)


async def _tell(
    client: Client, resource: ProtectedResource, target: Target
) -> tuple[RunReport, list[str]]:
    """Restore, and return the report with the steps of the history in their order."""
    started = await start_recovery(client, new_request(resource, target))
    handle = handle_of(client, started)
    report = await asyncio.wait_for(await_report(handle), 120)
    steps = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    return report, steps


async def _on_this_machine(temporal: WorkflowEnvironment) -> tuple[RunReport, list[str]]:
    folder = Path(tempfile.mkdtemp(prefix="refloat-test-"))
    try:
        with station(
            {"consumers": ["checkout"]}, applications=_application(folder, "127.0.0.1:1")
        ) as made:
            async with working(temporal.client, made):
                return await _local_story(temporal.client, made)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _local_story(client: Client, made: Station) -> tuple[RunReport, list[str]]:
    made.sql(ORDERS)
    made.sql("insert into orders default values")
    await create_snapshot(client, made.resource, key="f" * 32, name="first")
    await asyncio.sleep(2.5)
    moment = datetime.now(UTC)
    await asyncio.sleep(1.5)
    return await _tell(client, made.resource, Target(kind=TargetKind.TIME, time=moment))


@pytest.fixture(scope="session")
async def here(temporal: WorkflowEnvironment) -> tuple[RunReport, list[str]]:
    """Return how the same disaster goes on this machine."""
    return await _on_this_machine(temporal)


@pytest.mark.slow
@pytest.mark.parametrize("kind", tuple(CLOUD_TABLE))
async def test_a_lost_table_comes_back_at_each_cloud_by_the_steps_of_this_machine(
    temporal: WorkflowEnvironment, here: tuple[RunReport, list[str]], kind: str
) -> None:
    local_report, local_steps = here
    with real_stand(kind) as stand:
        described = stand.provider.points.describe(stand.resource)
        applications = _application(stand.folder, described.handle.address)
        stand.resource = stand.named("orders", consumers=["checkout"], applications=applications)
        async with cloud_workers(temporal.client, stand):
            report, steps = await _cloud_story(temporal.client, stand)

    assert steps == local_steps
    assert [one.phase for one in report.phases] == [one.phase for one in local_report.phases]
    assert [one.verdict for one in report.objectives] == [Verdict.PASSED, Verdict.PASSED]
    assert (report.outcome, local_report.outcome) == (Outcome.DONE, Outcome.DONE)


async def _cloud_story(client: Client, stand: Stand) -> tuple[RunReport, list[str]]:
    resource = stand.resource
    server = stand.provider.points.describe(resource)
    shop = Shop(
        resource,
        {
            "dbname": "shop",
            "user": "refloat",
            "password": PASSWORD,
            "sslmode": "verify-full",
            "sslrootcert": str(stand.estate.front.authority),
        },
    )
    with shop.session(server.host, server.port) as held:
        held.execute(ORDERS)
        wait_for("a heartbeat", lambda: _beats(held))
    selling = threading.Thread(target=shop.sell, args=(server.host, server.port), daemon=True)
    selling.start()
    await asyncio.sleep(1.0)
    await create_snapshot(client, resource, key="f" * 32, name="first")
    await asyncio.sleep(3.0)
    moment = datetime.now(UTC).replace(microsecond=0)
    await asyncio.sleep(0.5)
    shop.stop.set()
    selling.join()
    with shop.session(server.host, server.port) as held:
        sold = held.execute("select at from orders").fetchall()
        held.execute("drop table orders")
    target = (
        Target(kind=TargetKind.TIME, time=moment)
        if stand.cloud.point_in_time
        else Target(kind=TargetKind.LATEST)
    )

    if stand.cloud.point_in_time:
        await asyncio.to_thread(wait_for, "the window", lambda: _reaches(stand, moment))

    report, steps = await _tell(client, resource, target)

    assert exit_code(report) == 0, [one for one in report.findings if not one.good]
    now = await asyncio.to_thread(stand.provider.points.describe, resource)
    with shop.session(now.host, now.port) as held:
        kept = held.execute("select at from orders").fetchall()
        if stand.cloud.point_in_time:
            assert sorted(kept) == sorted(at for at in sold if at[0] <= moment)
        else:
            assert 0 < len(kept) <= len(sold)
        held.execute("insert into orders default values")  # it takes writes
    assert (stand.folder / SETTINGS).read_text().count(f"{now.host}:{now.port}/") == 1 or (
        report.cutovers[0].after in (stand.folder / SETTINGS).read_text()
    )
    assert len(await release(client, resource)) == 1
    return report, steps


def _reaches(stand: Stand, moment: datetime) -> bool:
    return any(one.closes_at >= moment for one in stand.provider.points.windows(stand.resource))


def _beats(held: "psycopg.Connection[Any]") -> bool:
    try:
        row = held.execute("select count(*) from refloat.heartbeat").fetchone()
    except psycopg.errors.UndefinedTable:
        return False
    return bool(row and row[0] > 1)
