"""What many tests share: one protected database a process, and one Temporal server a process."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from client.connection import DATA_CONVERTER
from sandbox.programs import FAST
from tests.station import Station, station
from workflows.attributes import ALL


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests in every process, so that none of them is left over at the end.

    Each process gets an even part of the row, so each part begins with its share of the slow ones.
    """
    parts = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    length = -(-len(items) // parts)
    ordered: list[pytest.Item] = []
    for part in range(parts):
        mine = slow[part::parts]
        ordered += mine + quick[: length - len(mine)]
        quick = quick[length - len(mine) :]
    items[:] = ordered + quick


@pytest.fixture(scope="session")
def shared() -> Iterator[Station]:
    """Return a protected database for tests that leave it as it was."""
    with station() as made:
        yield made


@pytest.fixture
def fresh() -> Iterator[Station]:
    """Return a protected database that the test may ruin."""
    with station() as made:
        yield made


async def start_temporal() -> WorkflowEnvironment:
    """Start a real Temporal development server."""
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
        dev_server_log_level="never",
        dev_server_extra_args=[p for value in FAST for p in ("--dynamic-config-value", value)],
        data_converter=DATA_CONVERTER,
        search_attributes=list(ALL),
    )


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """Return a real Temporal development server."""
    async with await start_temporal() as environment:
        yield environment
