"""The workers of a catalog, in this process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from temporalio.client import Client

from domain.catalog import Catalog
from worker import build_workers


class Place(Protocol):
    """A folder with a catalog."""

    root: Path
    catalog: Catalog


@asynccontextmanager
async def working(client: Client, place: Place) -> AsyncIterator[None]:
    """Hold the workers of a place's catalog."""
    async with AsyncExitStack() as running:
        for worker in build_workers(client, place.catalog, place.root):
            await running.enter_async_context(worker)
        yield
