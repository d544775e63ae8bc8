"""Runs a recovery by workers that are killed one after the other, and ends it by one that lives."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.client import Client

from client.connection import connect
from client.errors import TemporalUnreachableError
from client.recoveries import (
    AnyRecovery,
    StartedRun,
    await_report,
    handle_of,
    start_recovery,
)
from client.settings import TemporalSettings
from domain.report import RunReport
from providers.local.processes import Daemon
from sandbox.layout import Ports, SandboxLayout
from sandbox.programs import temporal_command
from tests.mortals import Mortal, nursery
from tests.station import free_ports, wait_for

Death = tuple[str, str]
"""A step at which a worker dies, and when: before, during, after, or once reported."""


@asynccontextmanager
async def held_worker(
    catalog: Path, log: Path, step: str = "", point: str = ""
) -> AsyncIterator[Mortal]:
    """Hold a worker of a catalog, deadly or not, that polls."""

    def polls() -> bool:
        return "polling" in log.read_text()

    held = await asyncio.to_thread(nursery().start, catalog, log, step, point)
    try:
        await asyncio.to_thread(wait_for, "a worker to poll", polls, 60)
        yield held
    finally:
        held.terminate()
        await asyncio.to_thread(held.wait)


class Mortals:
    """Workers of one catalog, in processes of their own, on a Temporal server of their own."""

    def __init__(self, root: Path) -> None:
        self._root, self._started = root, 0
        first = free_ports(2)
        ports = Ports(database=1, temporal=first, web=first + 1, shop=1, first=1, last=1)
        self._settings = TemporalSettings(address=f"127.0.0.1:{first}")
        (root / "temporal.json").write_text(self._settings.model_dump_json())
        self._server = Daemon(root / "temporal.pid", root / "temporal.log")
        command = temporal_command(SandboxLayout(root), ports)
        self._server.start(command, environment=dict(os.environ))

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    async def client(self) -> Client:
        """Return a client, once the server answers."""
        for _ in range(100):
            try:
                return await connect(self._settings)
            except TemporalUnreachableError:
                await asyncio.sleep(0.1)
        return await connect(self._settings)

    @asynccontextmanager
    async def worker(self, step: str = "", point: str = "") -> AsyncIterator[Mortal]:
        """Hold a worker, deadly or not, that polls."""
        self._started += 1
        log = self._root / f"worker-{self._started}.log"
        async with held_worker(self._root / "refloat.yaml", log, step, point) as held:
            yield held

    async def run(self, request: AnyRecovery, deaths: Sequence[Death]) -> RunReport:
        """Return the report of a run whose workers died at each of these steps."""
        client = await self.client()
        started: StartedRun | None = None
        for step, point in deaths:
            async with self.worker(step, point) as deadly:
                started = started or await start_recovery(client, request)
                died = await asyncio.wait_for(asyncio.to_thread(deadly.wait), 60)
            assert died == -9, f"{step} {point}: the worker ended with {died}"
        assert started is not None
        async with self.worker():
            return await asyncio.wait_for(await_report(handle_of(client, started)), 120)
