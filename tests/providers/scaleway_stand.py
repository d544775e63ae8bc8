"""A simulated Scaleway account for tests of its provider, with what they look up in its records."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from domain.recovery import RestoredResource, Superseded
from simulators.scaleway.plane import ScalewayPlane
from simulators.scaleway.refusals import ApiError
from simulators.scaleway.routes import HANDLERS
from simulators.scaleway.seeding import PRIVATE_NETWORK_ID
from simulators.scaleway.shapes import LOAD_BALANCER, PRIVATE_NETWORK, Instance
from tests.providers.clouds import SCALEWAY, Stand, stand_of
from tests.providers.test_cloud_contract import a_point, key
from tests.simulators.scripted import scripted_estate

PUBLIC: dict[str, Any] = {LOAD_BALANCER: {}}
PRIVATE: dict[str, Any] = {PRIVATE_NETWORK: {"private_network_id": PRIVATE_NETWORK_ID}}
MINUTES = timedelta(minutes=1)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Stand]:
    with stand_of(SCALEWAY, scripted_estate(), tmp_path) as made:
        yield made


@pytest.fixture(params=(False, True))
def plain(request: pytest.FixtureRequest, empty: Stand, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Hold an account with one database; names are unique in it, or not."""
    empty.seed(tags=("environment=production", "critical"))
    for call, field in (
        ("UpdateInstance", "name"),
        ("CreateInstanceFromSnapshot", "instance_name"),
    ):
        if request.param:
            monkeypatch.setitem(cast("dict[str, Any]", HANDLERS), call, unique(call, field))
    return empty


def unique(call: str, field: str) -> Any:
    """Return a call's handler that takes no name twice."""
    carry_out = HANDLERS[call]

    def handle(account: Any, asked: Any) -> Any:
        known = asked.ids.get("instance_id")
        others = {one.name for one in account.instances.values() if one.id != known}
        if asked.body.get(field) in others:
            raise ApiError(409, "already_exists", "name")
        return carry_out(account, asked)

    return handle


def plane(stand: Stand) -> ScalewayPlane:
    return cast("ScalewayPlane", stand.plane)


def records(stand: Stand) -> dict[str, Instance]:
    """Return the account's own records by name, those being deleted left out."""
    plane(stand).account.settle()
    everything = plane(stand).account.instances.values()
    return {one.name: one for one in everything if not one.doing or one.doing.status != "deleting"}


def kinds(stand: Stand, name: str) -> dict[str, int]:
    return {one.kind: one.port for one in plane(stand).account.addresses(records(stand)[name])}


def changes(stand: Stand) -> list[str]:
    return [
        one.operation for one in stand.wire.calls if not one.operation.startswith(("Get", "List"))
    ]


def promoted(stand: Stand, restored: RestoredResource) -> Superseded:
    cutover = stand.provider.cutover
    return stand.settle(lambda: cutover.promote(stand.resource, restored.handle))


def copied(stand: Stand) -> RestoredResource:
    restored = stand.restore(a_point(stand), key())
    stand.carry_over(restored)
    return restored
