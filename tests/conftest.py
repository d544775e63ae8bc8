"""What many tests share: one protected database a process, and one Temporal server a process."""

import gc
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from temporalio.testing import WorkflowEnvironment

from client.connection import DATA_CONVERTER
from sandbox.programs import FAST
from tests.station import Station, station
from workflows.attributes import ALL

_IN_MEMORY, _ENOUGH = Path("/dev/shm"), 8 * 2**30  # noqa: S108 - where Linux keeps files in memory


def pytest_configure() -> None:
    """Keep the tests' servers in memory where there is plenty: they make and remove many files.

    A TMPDIR of one's own wins. What a power cut does to a disk is not what these tests are about.
    """
    free = psutil.virtual_memory().available
    roomy = os.access(_IN_MEMORY, os.W_OK) and psutil.disk_usage(str(_IN_MEMORY)).free > _ENOUGH
    if roomy and free > _ENOUGH:
        os.environ.setdefault("TMPDIR", str(_IN_MEMORY))


def pytest_collection_finish() -> None:
    """Take what was collected out of every later search for garbage."""
    gc.freeze()


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
