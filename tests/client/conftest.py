"""The scripted worker, for tests of the client."""

from collections.abc import AsyncIterator, Callable

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.resources import ProtectedResource
from tests.client.scripted import resource, scripted


@pytest.fixture(scope="session")
def named() -> Callable[[str], ProtectedResource]:
    """Return the databases of the catalog, by service."""
    return resource


@pytest.fixture(scope="package")
async def polled() -> AsyncIterator[WorkflowEnvironment]:
    """Return a server of its own with scripted workers on both queues."""
    async with scripted() as temporal:
        yield temporal
