"""What a cutover at Azure moves: tags, and a virtual endpoint where there is one."""

from datetime import timedelta
from typing import Any

import pytest

from domain.errors import BusyError, NotYetError
from providers.azure.cutover import ENDPOINT
from providers.managed.names import KEPT, SELF, SERVES, SUPERSEDED
from tests.providers import azure_stand
from tests.providers.azure_stand import account_of, endpoint, promoted, server
from tests.providers.clouds import Stand
from tests.providers.test_cloud_contract import a_point, key
from tests.station import Notes

bare, stand, mysql = azure_stand.bare, azure_stand.stand, azure_stand.mysql


def test_a_cutover_moves_the_virtual_endpoint_and_its_undoing_moves_it_back(stand: Stand) -> None:
    account = account_of(stand)
    before = f"127.0.0.1:{account.estate.front.open('azure-virtual-endpoint-orders-endpoint')}"
    restored = stand.restore(a_point(stand), key())

    assert promoted(stand, restored) == before
    assert endpoint(stand, "orders") is None
    assert endpoint(stand, restored.handle.server) == "orders-endpoint"
    stand.settle(lambda: stand.provider.cutover.demote(stand.resource, restored.handle))
    assert endpoint(stand, "orders") == "orders-endpoint"
    assert endpoint(stand, restored.handle.server) is None
    assert ENDPOINT not in stand.instances()[restored.handle.server].tags


def test_a_crash_between_two_servers_does_not_lose_the_virtual_endpoint(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())
    cutover = stand.provider.cutover
    while endpoint(stand, "orders"):
        with pytest.raises((NotYetError, BusyError)):
            cutover.promote(stand.resource, restored.handle)
        stand.estate.clock.move(timedelta(seconds=30))
        stand.connect()
        cutover = stand.provider.cutover

    assert promoted(stand, restored)
    assert endpoint(stand, restored.handle.server) == "orders-endpoint"


def test_the_next_disaster_moves_the_endpoint_from_the_server_that_has_it(stand: Stand) -> None:
    first = stand.restore(a_point(stand), key())
    promoted(stand, first)
    memory = Notes()
    stand.settle(lambda: stand.provider.cutover.release(stand.resource, memory))
    second = stand.restore(a_point(stand), key())

    promoted(stand, second)

    now = stand.account.current(stand.resource)
    assert now is not None
    assert now.name == second.handle.server
    assert endpoint(stand, second.handle.server) == "orders-endpoint"


@pytest.mark.parametrize("state", ["Stopped", "Inaccessible"])
def test_a_server_that_takes_no_change_holds_up_no_cutover(stand: Stand, state: str) -> None:
    restored = stand.restore(a_point(stand), key())
    plane: Any = stand.plane
    plane.force("orders", state)
    cutover = stand.provider.cutover

    moved = stand.settle(lambda: cutover.promote(stand.resource, restored.handle))

    assert moved.address == restored.handle.address
    assert any("stays at orders" in note for note in moved.notes)
    assert any("delete it yourself" in note for note in moved.notes)
    now = stand.account.current(stand.resource)
    assert now is not None
    assert now.name == restored.handle.server


def test_without_a_virtual_endpoint_the_path_has_a_new_address(bare: Stand) -> None:
    bare.seed(virtualEndpoint=None)
    restored = bare.restore(a_point(bare), key())

    assert promoted(bare, restored) == restored.handle.address
    assert ENDPOINT not in bare.instances()[restored.handle.server].tags


def test_a_copy_of_mysql_does_not_inherit_whom_its_source_serves(mysql: Stand) -> None:
    first = mysql.restore(a_point(mysql), key())
    promoted(mysql, first)
    second = mysql.restore(a_point(mysql), key())

    tags = mysql.instances()[second.handle.server].tags
    now = mysql.account.current(mysql.resource)
    assert SERVES not in tags
    assert tags[SELF] == second.handle.server
    assert now is not None
    assert now.name == first.handle.server


def test_a_tag_leaves_the_others_and_goes_when_it_is_empty(stand: Stand) -> None:
    source = stand.instances()["orders"]
    tag = stand.account.instances.tag
    tag(source, {KEPT: "orders", SUPERSEDED: "orders"})
    stand.settle(lambda: tag(source, {KEPT: ""}))

    tags = server(stand, "orders").tags.last
    assert tags == {
        "environment": "production",
        "team": "shop",
        SUPERSEDED: "orders",
        SELF: "orders",
    }
    stand.settle(lambda: tag(source, {SUPERSEDED: ""}))
    assert server(stand, "orders").tags.last == {"environment": "production", "team": "shop"}


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_tags_that_show_late_leave_no_cutover_half_undone(
    request: pytest.FixtureRequest, engine: str
) -> None:
    held: Stand = request.getfixturevalue({"postgresql": "stand"}.get(engine, engine))
    held.estate.faults.lag = timedelta(minutes=2)
    restored = held.restore(a_point(held), key())
    promoted(held, restored)
    held.estate.clock.move(timedelta(minutes=5))

    held.settle(lambda: held.provider.cutover.demote(held.resource, restored.handle))
    held.estate.clock.move(timedelta(minutes=5))

    now = held.account.current(held.resource)
    assert now is not None
    assert now.name == "orders"
    assert held.provider.cutover.superseded(held.resource) == []
