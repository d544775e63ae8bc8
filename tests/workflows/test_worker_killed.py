"""A worker or a Temporal server killed at any moment: the run ends as if nothing had happened."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeAlias

import pytest
from temporalio.client import Client

from client.connection import connect
from client.questions import release
from client.recoveries import (
    StartedRun,
    await_report,
    handle_of,
    new_request,
    start_recovery,
)
from client.settings import TemporalSettings
from domain.clock import Phase
from domain.recovery import RestoreRequest, Target, TargetKind
from domain.report import Outcome, RunReport
from domain.resources import Mode
from providers.local.processes import Daemon
from sandbox.layout import Ports, SandboxLayout
from sandbox.programs import temporal_command
from tests.mortals import Mortal
from tests.station import Station, free_ports, station, wait_for
from tests.workflows.killing import held_worker

STEPS = (
    "points.choose",
    "preflight.examine",
    "evidence.estimate",
    "snapshot.mark",
    "restore.start",
    "restore.transfer",
    "restore.await",
    "restore.settings",
    "verify.restored",
    "cutover.protect",
    "cutover.promote",
    "consumer.locate",
    "consumer.switch",
    "consumer.await_healthy",
    "evidence.store",
)
"""Of a run that cuts over, in their order."""
OTHER_RUNS = ("restore.discard", "restore.keep")
"""Of a drill, and of a run without cutover."""
LONG_STEPS = ("restore.transfer", "verify.restored", "cutover.protect")
ACTING_STEPS = ("restore.start", "restore.transfer", "cutover.promote", "consumer.switch")
LANES = 5
THOROUGH = bool(os.environ.get("REFLOAT_TEST_THOROUGH"))
"""One death a run; otherwise the workers of one run die one after the other."""
Deaths: TypeAlias = list[tuple[str, str]]
"""At which steps the workers of one run die, and when: before, during, after, or once reported."""
CONSUMER = {"checkout": {"platform": {"kind": "local", "settings": "checkout.env"}}}


class Lane:
    """One database with a Temporal server and workers of its own, restored again and again."""

    def __init__(self, made: Station) -> None:
        self.station, self.started = made, 0
        first = free_ports(2)
        self.ports = Ports(database=1, temporal=first, web=first + 1, shop=1, first=1, last=1)
        self.server = Daemon(made.root / "temporal.pid", made.root / "temporal.log")
        server = made.servers.current()
        (made.root / "checkout.env").write_text(
            f"DATABASE_URL=postgresql://shop@{server.host}:{server.port}/shop\n"
        )
        (made.root / "refloat.yaml").write_text(json.dumps(made.content))
        self.settings = TemporalSettings(address=f"127.0.0.1:{self.ports.temporal}")
        (made.root / "temporal.json").write_text(self.settings.model_dump_json())

    def start_server(self) -> None:
        """Start Temporal on its own ports, with its state on disk."""
        command = temporal_command(SandboxLayout(self.station.root), self.ports)
        self.server.start(command, environment=dict(os.environ))

    @asynccontextmanager
    async def worker(self, step: str = "", point: str = "") -> AsyncIterator[Mortal]:
        """Hold a worker, deadly or not, that polls."""
        self.started += 1
        root = self.station.root
        log = root / f"worker-{self.started}.log"
        async with held_worker(root / "refloat.yaml", log, step, point) as held:
            yield held

    async def client(self) -> Client:
        """Return a client, once the server answers."""
        for _ in range(100):
            try:
                return await connect(self.settings)
            except Exception:  # noqa: BLE001 - a server that starts answers in many ways
                await asyncio.sleep(0.1)
        return await connect(self.settings)

    def request(self, step: str) -> RestoreRequest:
        """Return a request whose run has the step."""
        return new_request(
            self.station.resource,
            Target(kind=TargetKind.LATEST),
            mode=Mode.DRILL if step == "restore.discard" else Mode.INCIDENT,
            cutover=step != "restore.keep",
        )


@asynccontextmanager
async def lane() -> AsyncIterator[Lane]:
    """Hold a lane."""
    async with AsyncExitStack() as held:
        made = await asyncio.to_thread(
            held.enter_context, station({"consumers": ["checkout"]}, applications=CONSUMER)
        )
        running = Lane(made)
        running.start_server()
        held.callback(running.server.stop)
        yield running


def _require_as_if_nothing_happened(
    at: Lane, request: RestoreRequest, report: RunReport, before: set[str]
) -> None:
    made, name = at.station, f"refloat-{request.id[:8]}-orders"
    assert (report.outcome, report.failure, report.left_behind) == (Outcome.DONE, "", ())
    new = {record.name for record in made.servers.all()} - before
    assert new == (set() if request.mode is Mode.DRILL else {name})
    assert (made.servers.current().name == name) == request.cuts_over
    assert made.answers()
    current = made.servers.current()
    setting = (made.root / "checkout.env").read_text()
    assert f"@{current.host}:{current.port}/" in setting
    wait_for("nothing to be left over", lambda: not made.leftovers(), within=15)


async def _killed_at(at: Lane, client: Client, deaths: Deaths) -> None:
    """Run one restore by workers that die one after the other, and end it by one that lives."""
    before = {record.name for record in at.station.servers.all()}
    request = at.request(deaths[-1][0])
    started: StartedRun | None = None
    for step, point in deaths:
        async with at.worker(step, point) as deadly:
            started = started or await start_recovery(client, request)
            died = await asyncio.wait_for(asyncio.to_thread(deadly.wait), 60)
        assert died == -9, f"{step} {point}: the worker ended with {died}"
    assert started is not None
    async with at.worker():
        report = await asyncio.wait_for(await_report(handle_of(client, started)), 120)
        _require_as_if_nothing_happened(at, request, report, before)
        if request.mode is Mode.INCIDENT:
            await release(client, at.station.resource)
    assert len(at.station.servers.all()) == 1


async def _run_lane(runs: "asyncio.Queue[Deaths]") -> None:
    async with lane() as at:
        client = await at.client()
        while not runs.empty():
            deaths = runs.get_nowait()
            try:
                await _killed_at(at, client, deaths)
            except Exception as error:
                told = ", ".join(f"{point} {step}" for step, point in deaths)
                error.add_note(f"killed {told}")
                raise


async def _kill_at_all(runs: Sequence[Deaths]) -> None:
    if THOROUGH:
        runs = [[death] for deaths in runs for death in deaths]
    waiting: asyncio.Queue[Deaths] = asyncio.Queue()
    for deaths in runs:
        waiting.put_nowait(deaths)
    await asyncio.gather(*(_run_lane(waiting) for _ in range(min(LANES, len(runs)))))


@pytest.mark.slow
@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_worker_killed_at_any_step_changes_nothing(point: str) -> None:
    runs = [*(STEPS[first::3] for first in range(3)), *((step,) for step in OTHER_RUNS)]
    await _kill_at_all([[(step, point) for step in steps] for steps in runs])


@pytest.mark.slow
async def test_a_worker_killed_in_a_step_or_in_the_task_after_it_changes_nothing() -> None:
    during = [(step, "during") for step in LONG_STEPS]
    reported = [(step, "reported") for step in ACTING_STEPS]
    await _kill_at_all([during, reported[::2], reported[1::2]])


@pytest.mark.slow
async def test_a_temporal_server_killed_in_the_middle_changes_nothing() -> None:
    async with lane() as at:
        client, request = await at.client(), at.request("")
        async with at.worker():
            started = await start_recovery(client, request)
            handle = handle_of(client, started)
            wait = asyncio.get_running_loop().time() + 30
            while not at.station.servers.record(f"refloat-{request.id[:8]}-orders"):
                assert asyncio.get_running_loop().time() < wait
                await asyncio.sleep(0.02)
            at.server.tell(signal.SIGKILL)
            await asyncio.sleep(1.0)
            at.start_server()
            again = await at.client()
            handle = handle_of(again, started)

            report = await asyncio.wait_for(await_report(handle), 120)

        _require_as_if_nothing_happened(at, request, report, {"orders-1"})
        assert [record.phase for record in report.phases][-1] is Phase.HEALTH
