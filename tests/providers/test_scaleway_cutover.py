"""Scaleway's cutover: endpoints and names change hands, from wherever a crash left them."""

import contextlib
import random
from datetime import timedelta
from typing import Any

import pytest

from domain.errors import RecoveryError
from providers.managed.names import old_name_of
from simulators.scaleway.shapes import LOAD_BALANCER, PRIVATE_NETWORK
from tests.providers import scaleway_stand
from tests.providers import test_cloud_contract as contract
from tests.providers.clouds import Stand
from tests.providers.scaleway_stand import (
    MINUTES,
    PRIVATE,
    PUBLIC,
    copied,
    kinds,
    promoted,
    records,
)
from tests.station import Notes

empty, plain = scaleway_stand.empty, scaleway_stand.plain
key, a_point = contract.key, contract.a_point


@pytest.mark.parametrize("specs", [(PRIVATE,), (PUBLIC,), (PRIVATE, PUBLIC)])
def test_endpoints_keep_their_ports_when_they_move_and_when_they_go_back(
    empty: Stand, specs: tuple[dict[str, Any], ...]
) -> None:
    empty.seed(endpoints=specs)
    before = kinds(empty, "orders")
    restored = copied(empty)

    moved = promoted(empty, restored)
    after, aside = (
        kinds(empty, "orders"),
        kinds(empty, old_name_of(restored.handle.run_id, "orders")),
    )
    empty.settle(lambda: empty.provider.cutover.demote(empty.resource, restored.handle))

    assert (after, aside) == (before, {})
    assert moved.address == f"127.0.0.1:{before.get(PRIVATE_NETWORK, before.get(LOAD_BALANCER))}"
    assert "certificate" in " ".join(moved.notes)
    assert kinds(empty, "orders") == before
    assert restored.handle.server in records(empty)
    assert not [tag for tag in records(empty)["orders"].tags.versions[-1][1] if "refloat" in tag]


def test_a_private_path_is_never_public_after_a_cutover_and_its_undoing(plain: Stand) -> None:
    restored = plain.restore(a_point(plain), key())  # not carried over: its own endpoint is public

    promoted(plain, restored)
    assert set(kinds(plain, "orders")) == {PRIVATE_NETWORK}
    plain.settle(lambda: plain.provider.cutover.demote(plain.resource, restored.handle))

    assert set(kinds(plain, "orders")) == {PRIVATE_NETWORK}


@pytest.mark.parametrize("calls", range(1, 12))
def test_a_cutover_goes_on_from_wherever_it_stopped(plain: Stand, calls: int) -> None:
    restored, before = copied(plain), kinds(plain, "orders")
    plain.estate.faults.lag = 2 * MINUTES
    plain.estate.clock.move(3 * MINUTES)
    for _ in range(calls):
        try:
            plain.provider.cutover.promote(plain.resource, restored.handle)
            break
        except RecoveryError:
            assert plain.account.current(plain.resource) is not None
            plain.estate.clock.move(timedelta(seconds=20))
    plain.connect()

    moved = promoted(plain, restored)

    current = plain.account.current(plain.resource)
    assert current is not None
    assert current.id == restored.handle.id
    assert (kinds(plain, "orders"), moved.fenced) == (before, True)


@pytest.mark.parametrize("seed", range(4))
def test_a_cutover_and_its_undoing_survive_lost_answers_and_late_tags(
    empty: Stand, seed: int
) -> None:
    chance = random.Random(seed)
    empty.seed(endpoints=(PRIVATE, PUBLIC))
    restored, before = copied(empty), kinds(empty, "orders")
    empty.estate.clock.move(5 * MINUTES)
    empty.estate.faults.lag = 2 * MINUTES
    cutover = empty.provider.cutover
    for act in (cutover.promote, cutover.demote, cutover.promote):
        for _ in range(chance.randrange(15)):
            for call in ("UpdateInstance", "MigrateEndpoint", "DeleteEndpoint"):
                empty.estate.faults.lose_reply(call, chance.random() < 0.2)
            with contextlib.suppress(RecoveryError):
                act(empty.resource, restored.handle)
            empty.estate.clock.move(timedelta(seconds=chance.randrange(5, 70)))

    promoted(empty, restored)
    assert kinds(empty, "orders") == before
    empty.estate.clock.move(5 * MINUTES)
    empty.settle(lambda: cutover.demote(empty.resource, restored.handle))

    assert kinds(empty, "orders") == before
    assert restored.handle.server in records(empty)


@pytest.mark.parametrize("state", ["error", "disk_full", "locked"])
def test_a_broken_old_instance_keeps_its_endpoint_and_the_new_one_serves(
    plain: Stand, state: str
) -> None:
    restored = copied(plain)
    old = records(plain)["orders"].id
    own = kinds(plain, restored.handle.server)
    plain.plane.force(old, state)

    moved = promoted(plain, restored)

    now = plain.account.current(plain.resource)
    assert now is not None
    assert now.id == restored.handle.id
    assert moved.address == f"127.0.0.1:{own[PRIVATE_NETWORK]}"
    assert f"is {state}" in " ".join(moved.notes)
    assert "delete it yourself" in " ".join(moved.notes)
    plain.settle(lambda: plain.provider.cutover.demote(plain.resource, restored.handle))
    back = plain.account.current(plain.resource)
    assert back is not None
    assert back.id == old


def test_an_old_instance_that_breaks_halfway_leaves_the_new_one_reachable(plain: Stand) -> None:
    restored = copied(plain)
    old = records(plain)["orders"].id
    while kinds(plain, restored.handle.server):
        with pytest.raises(RecoveryError):
            plain.provider.cutover.promote(plain.resource, restored.handle)
        plain.estate.clock.move(timedelta(seconds=20))
    plain.plane.force(old, "error")

    moved = promoted(plain, restored)

    assert moved.address == f"127.0.0.1:{kinds(plain, 'orders')[PRIVATE_NETWORK]}"


def test_a_deleted_old_instance_leaves_the_new_ones_own_address(plain: Stand) -> None:
    point = a_point(plain)
    plain.settle(lambda: contract._deleted(plain, "orders"))
    restored = plain.restore(point, key())

    moved = promoted(plain, restored)

    assert moved.server is None
    assert "consumers are pointed to the new one" in " ".join(moved.notes)
    assert set(plain.instances()) == {"orders"}


def test_a_release_keeps_a_last_snapshot(plain: Stand) -> None:
    restored = copied(plain)
    promoted(plain, restored)

    memory = Notes()
    plain.settle(lambda: plain.provider.cutover.release(plain.resource, memory))

    last = f"{old_name_of(restored.handle.run_id, 'orders')}-last"
    kept = {
        one.name: one for one in plain.account.backups.all("orders", plain.instances()["orders"])
    }
    assert kept[last].usable
