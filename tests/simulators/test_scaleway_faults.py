"""The simulated Scaleway fails as the provider does."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from scaleway import ScalewayException

from simulators.estate import Seed
from simulators.faults import Refusal
from simulators.scaleway.plane import ScalewayPlane
from simulators.wire import Wire
from tests.simulators.scaleway_ground import TOKEN, Ground, refused, standing
from tests.simulators.scripted import scripted_estate


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    wire = Wire(ScalewayPlane(scripted_estate()))
    yield wire
    wire.close()


@pytest.fixture
def ground(wire: Wire) -> Iterator[Ground]:
    with standing(wire) as ground:
        yield ground


def test_a_lag_hides_new_things_from_lists_and_new_tags_everywhere(ground: Ground) -> None:
    ground.estate.faults.lag = timedelta(minutes=5)
    snapshot = ground.api.create_snapshot(instance_id=ground.source.id, name="mine")
    begun = ground.api.create_instance_from_snapshot(
        snapshot_id=ground.newest().id, instance_name="copy"
    )

    assert ground.api.get_instance(instance_id=begun.id).name == "copy"
    assert ground.api.get_snapshot(snapshot_id=snapshot.id).name == "mine"
    assert not ground.api.list_instances_all(name="copy")
    assert not ground.api.list_snapshots_all(name="mine")
    copy = ground.settled(begun)
    assert ground.named("copy").id == copy.id
    written = ground.api.update_instance(instance_id=copy.id, tags=["ours"])
    assert written.tags == ["ours"]
    assert ground.api.get_instance(instance_id=copy.id).tags == []
    assert not ground.api.list_instances_all(tags=["ours"])
    ground.estate.clock.move(timedelta(minutes=6))
    assert [one.id for one in ground.api.list_instances_all(tags=["ours"])] == [copy.id]


def test_a_lost_reply_leaves_the_copy_behind(ground: Ground) -> None:
    ground.estate.faults.lose_reply("CreateInstanceFromSnapshot")

    with pytest.raises(requests.ConnectionError):
        ground.api.create_instance_from_snapshot(
            snapshot_id=ground.newest().id, instance_name="copy"
        )

    assert ground.named("copy").status == "provisioning"
    assert ground.wire.count()["CreateInstanceFromSnapshot"] == 1


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (
            Refusal(403, "permissions_denied", "insufficient permissions"),
            {"details": [{"action": "read", "resource": "rdb_instance"}]},
        ),
        (
            Refusal(403, "quotas_exceeded", "quota(s) exceeded for this resource"),
            {"details": [{"current": 1, "quota": 1, "resource": "rdb_instances"}]},
        ),
        (
            Refusal(401, "denied_authentication", "authentication is denied"),
            {"method": "api_key", "reason": "not_found"},
        ),
        (Refusal(404, "not_found", "resource is not found"), {"resource": "instance"}),
        (Refusal(409, "transient_state", "autohealing"), {"current_state": "autohealing"}),
        (Refusal(409, "transient_state", "wait"), {"message": "wait"}),
        (Refusal(412, "out_of_stock", "resource is out of stock"), {"resource": "instance"}),
        (Refusal(412, "precondition_failed", "no"), {"help_message": "no"}),
        (Refusal(400, "invalid_arguments", "no"), {"message": "invalid argument(s)"}),
    ],
)
def test_a_fault_is_told_in_the_form_of_its_type(
    ground: Ground, refusal: Refusal, told: dict[str, Any]
) -> None:
    ground.estate.faults.refuse("GetInstance", refusal)

    status, body = refused(ground.api.get_instance, instance_id=ground.source.id)

    assert (status, body["type"]) == (refusal.status, refusal.code)
    assert told.items() <= body.items()


def test_a_proxy_answers_a_page_that_is_no_json(ground: Ground) -> None:
    ground.estate.faults.refuse("ListInstances", Refusal(502, "html", "Bad Gateway"))

    with pytest.raises(requests.JSONDecodeError):
        ground.api.list_instances_all()


def test_too_many_calls_are_refused_with_when_to_come_again(ground: Ground) -> None:
    ground.estate.faults.throttle_for(timedelta(seconds=30))

    with pytest.raises(ScalewayException) as caught:
        ground.api.list_instances_all()

    assert caught.value.response.status_code == 429
    assert caught.value.response.json()["type"] == "too_many_requests"
    assert caught.value.response.headers["X-Ratelimit-Reset"] == "1"
    ground.estate.clock.move(timedelta(minutes=1))
    assert ground.api.list_instances_all()


def test_a_key_that_is_not_known_is_denied(ground: Ground) -> None:
    ground.plane.secret_key = TOKEN
    stranger = ground.sdk(token="7a0b9d43-6f4d-4b63-8f6e-0d8f4f1f5f10")

    status, body = refused(stranger.list_instances_all)

    assert (status, body["type"], body["reason"]) == (401, "denied_authentication", "not_found")
    assert ground.api.list_instances_all()
    answer = requests.get(f"{ground.wire.url}/rdb/v1/regions/fr-par/instances", timeout=5)
    assert (answer.status_code, answer.json()["reason"]) == (401, "invalid_argument")


def test_regions_know_nothing_of_each_other(ground: Ground) -> None:
    elsewhere = ground.sdk(region="nl-ams")

    assert not elsewhere.list_instances_all()
    assert not elsewhere.list_snapshots_all()
    for call, which in (
        (elsewhere.get_instance, {"instance_id": ground.source.id}),
        (elsewhere.get_snapshot, {"snapshot_id": ground.newest().id}),
        (elsewhere.get_endpoint, {"endpoint_id": ground.source.endpoints[0].id}),
        (ground.sdk(region="us-nyc").list_instances_all, {}),
    ):
        status, body = refused(call, **which)
        assert (status, body["type"]) == (404, "not_found")


def test_what_is_not_simulated_says_so(ground: Ground) -> None:
    status, body = refused(ground.api.clone_instance, instance_id=ground.source.id, name="copy")

    assert (status, body["resource"]) == (404, "simulated_call")
    assert ground.wire.count()["Unknown"] == 1


def test_a_node_type_without_stock_is_refused(ground: Ground) -> None:
    ground.plane.account.stock["db-pro2-xs"] = "out_of_stock"

    status, body = refused(
        ground.api.create_instance_from_snapshot,
        snapshot_id=ground.newest().id,
        instance_name="copy",
    )

    assert (status, body["type"], body["resource"]) == (412, "out_of_stock", "db-pro2-xs")


def test_a_disabled_key_locks_what_is_encrypted(ground: Ground) -> None:
    ground.plane.seed(Seed("plain", settings={"encryption": {"enabled": False}}))
    begun = ground.api.create_instance_from_snapshot(
        snapshot_id=ground.newest().id, instance_name="copy"
    )
    ground.plane.account.key_enabled = False

    assert ground.settled(begun).status == "locked"
    assert ground.named("shop").status == "locked"
    assert ground.named("plain").status == "ready"
    status, body = refused(
        ground.api.create_instance_from_snapshot,
        snapshot_id=ground.newest().id,
        instance_name="again",
    )
    assert (status, body["current_state"]) == (409, "locked")
    ground.plane.account.key_enabled = True
    assert ground.named("shop").status == "ready"


def test_a_forced_state_holds_until_it_is_let_go(ground: Ground) -> None:
    ground.plane.force("shop", "autohealing")
    assert ground.named("shop").status == "autohealing"
    ground.plane.force(ground.newest().id, "error")
    assert ground.newest().status == "error"

    ground.plane.force("shop", "")

    assert ground.named("shop").status == "ready"
    with pytest.raises(LookupError, match="nothing is called ghost"):
        ground.plane.force("ghost", "error")
