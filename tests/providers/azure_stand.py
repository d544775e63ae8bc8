"""A simulated Azure subscription for tests of its provider, with what they look up in it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.recovery import RestoredResource
from tests.providers.clouds import AZURE, Stand, stand_of
from tests.simulators.scripted import scripted_estate

OPEN: dict[str, Any] = {
    "network": {"publicNetworkAccess": "Enabled"},
    "dataEncryption": {"type": "SystemManaged"},
    "virtualEndpoint": None,
}


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Stand]:
    """Hold a subscription without a server."""
    with stand_of(AZURE, scripted_estate(), tmp_path) as made:
        yield made


@pytest.fixture
def stand(bare: Stand) -> Stand:
    """Hold a subscription with one closed server that has a virtual endpoint, `orders`."""
    bare.seed()
    return bare


@pytest.fixture
def mysql(tmp_path: Path) -> Iterator[Stand]:
    with stand_of(AZURE, scripted_estate(), tmp_path, "mysql") as made:
        made.seed()
        yield made


def account_of(stand: Stand) -> Any:
    plane: Any = stand.plane
    return plane.account


def server(stand: Stand, name: str) -> Any:
    plane: Any = stand.plane
    return plane.server(name)


def sent_by(stand: Stand, act: Callable[[], object]) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return verb, path, API version and body of what goes out while something is done."""
    seen: list[tuple[str, str, str, dict[str, Any]]] = []
    plane: Any = stand.plane
    answer = plane.answer

    def watched(request: Any) -> Any:
        body = json.loads(request.get_data() or b"{}")
        seen.append((request.method, request.path, request.args["api-version"], body))
        return answer(request)

    plane.answer = watched
    try:
        act()
    finally:
        plane.answer = answer
    return seen


def promoted(stand: Stand, restored: RestoredResource) -> str:
    cutover = stand.provider.cutover
    return stand.settle(lambda: cutover.promote(stand.resource, restored.handle)).address


def endpoint(stand: Stand, name: str) -> str | None:
    found = server(stand, name).endpoint
    return found.name if found else None
