"""The scripted worker, for tests of the command."""

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.client.scripted import scripted


@pytest.fixture(scope="package")
async def polled() -> AsyncIterator[WorkflowEnvironment]:
    """Return a server of its own with scripted workers on both queues."""
    async with scripted() as temporal:
        yield temporal
