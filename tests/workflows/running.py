"""The workers of a station's catalog, in this process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from temporalio.client import Client

from tests.station import Station
from worker import build_workers


@asynccontextmanager
async def working(client: Client, station: Station) -> AsyncIterator[None]:
    """Hold the workers of a station's catalog."""
    async with AsyncExitStack() as running:
        for worker in build_workers(client, station.catalog, station.root):
            await running.enter_async_context(worker)
        yield
