"""The simulated Scaleway takes snapshots, restores them and moves endpoints as the provider does."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from scaleway.rdb.v1.types import (
    EndpointSpec,
    LogsPolicy,
    VolumeType,
)

from simulators.estate import Seed
from simulators.scaleway.plane import ScalewayPlane
from simulators.wire import Wire
from tests.simulators.scaleway_ground import (
    GB,
    HOUR,
    LOAD_BALANCER,
    PRIVATE,
    Ground,
    create,
    only,
    refused,
    standing,
    wait_until,
)
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


def test_a_copy_is_public_open_and_untagged_and_has_the_default_schedule(ground: Ground) -> None:
    begun = ground.api.create_instance_from_snapshot(
        snapshot_id=ground.newest().id, instance_name="copy"
    )
    assert (begun.status, begun.endpoints) == ("provisioning", [])

    copy = ground.settled(begun)

    assert copy.status == "ready"
    assert [one.private_network for one in copy.endpoints] == [None]
    assert only(copy.endpoints, "load_balancer").port == ground.front.names[copy.endpoints[0].id]
    assert copy.tags == []
    assert copy.logs_policy == LogsPolicy(30, 0)
    assert not copy.backup_same_region
    assert not copy.is_ha_cluster
    assert copy.backup_schedule is not None
    assert (copy.backup_schedule.frequency, copy.backup_schedule.retention) == (24, 7)
    rules = ground.api.list_instance_acl_rules_all(instance_id=copy.id)
    assert [rule.ip for rule in rules] == ["0.0.0.0/0"]


def test_a_copy_on_a_smaller_node_has_default_settings(ground: Ground) -> None:
    copy = ground.restored(
        node_type="DB-DEV-S", is_ha_cluster=True, high_availability_mode="multiple_zone"
    )

    assert {one.name: one.value for one in copy.settings}["max_connections"] == "100"
    assert (copy.node_type, copy.high_availability_mode) == ("db-dev-s", "multiple_zone")


def test_automatic_snapshots_are_taken_and_expire_with_the_schedule(ground: Ground) -> None:
    first, second = ground.api.list_snapshots_all(instance_id=ground.source.id)

    assert {first.id, second.id} == set(ground.backends.snapshots)
    assert first.status == second.status == "ready"
    assert first.created_at is not None
    assert first.expires_at is not None
    kept = first.expires_at - first.created_at
    assert timedelta(days=13, hours=23) < kept <= timedelta(days=14)
    third = ground.plane.back_up("shop")
    assert ground.newest().id == third.id


def test_a_deleted_instance_is_gone_and_its_snapshots_are_not(ground: Ground) -> None:
    source, newest = ground.source, ground.newest()
    begun = ground.api.delete_instance(instance_id=source.id)
    assert begun.status == "deleting"
    assert ground.front.routes[source.endpoints[0].id] is None
    status, body = refused(ground.api.delete_instance, instance_id=source.id)
    assert (status, body["current_state"]) == (409, "deleting")

    ground.gone(ground.api.get_instance, instance_id=source.id)

    assert source.id not in ground.backends.running
    assert not ground.front.names
    assert len(ground.api.list_snapshots_all(instance_id=source.id)) == 2
    copy = ground.settled(
        ground.api.create_instance_from_snapshot(snapshot_id=newest.id, instance_name="copy")
    )
    assert copy.status == "ready"


def test_a_copy_keeps_node_volume_encryption_engine_and_settings(ground: Ground) -> None:
    source, copy = ground.source, ground.restored()

    assert copy.node_type == source.node_type
    assert copy.volume == source.volume
    assert copy.encryption == source.encryption
    assert copy.engine == source.engine
    assert copy.settings == source.settings
    assert copy.project_id == source.project_id
    assert ground.backends.running[copy.id] == ground.backends.snapshots[ground.newest().id]


def test_a_copy_can_carry_the_tags_of_its_source(ground: Ground) -> None:
    ground.plane.account.tags_restored = True

    assert ground.restored().tags == ground.source.tags


def test_a_copy_of_what_was_no_backups_schedule_has_none_either(ground: Ground) -> None:
    ground.plane.seed(
        Seed(
            "quiet",
            settings={"backup_schedule": {"frequency": 24, "retention": 7, "disabled": True}},
        )
    )
    (snapshot, _) = ground.api.list_snapshots_all(name="quiet")
    copy = ground.api.create_instance_from_snapshot(snapshot_id=snapshot.id, instance_name="copy")

    assert copy.backup_schedule is not None
    assert copy.backup_schedule.disabled


def test_a_snapshot_holds_what_the_instance_was_and_not_what_it_became(ground: Ground) -> None:
    ground.settled(ground.api.upgrade_instance(instance_id=ground.source.id, volume_size=60 * GB))
    ground.settled(ground.api.update_instance(instance_id=ground.source.id, name="renamed"))

    copy = ground.restored()

    assert copy.volume is not None
    assert copy.volume.size == 50 * GB
    assert ground.newest().instance_name == "shop"


def test_a_restore_that_fails_ends_in_error_and_can_be_deleted(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(snapshot: str, server: str) -> None:
        raise OSError(f"{snapshot} does not become {server}")

    monkeypatch.setattr(ground.backends, "restore_snapshot", fail)

    copy = ground.restored()

    assert (copy.status, copy.endpoints) == ("error", [])
    assert ground.newest().status == "ready"
    status, body = refused(ground.api.update_instance, instance_id=copy.id, tags=["x"])
    assert (status, body["current_state"]) == (409, "error")
    ground.api.delete_instance(instance_id=copy.id)
    ground.gone(ground.api.get_instance, instance_id=copy.id)


def test_a_snapshot_in_use_is_restoring_and_refuses_a_second_restore(ground: Ground) -> None:
    newest = ground.newest()
    begun = ground.api.create_instance_from_snapshot(snapshot_id=newest.id, instance_name="copy")

    assert ground.newest().status == "restoring"
    for call in (ground.api.create_instance_from_snapshot, ground.api.delete_snapshot):
        more = {"instance_name": "b"} if call == ground.api.create_instance_from_snapshot else {}
        status, body = refused(call, snapshot_id=newest.id, **more)
        assert (status, body["resource"]) == (409, "instance_snapshot")
        assert body["current_state"] == "restoring"
    ground.settled(begun)
    assert ground.newest().status == "ready"


def test_a_snapshot_on_demand_keeps_its_instance_busy_and_lasts_a_year(ground: Ground) -> None:
    begun = ground.api.create_snapshot(instance_id=ground.source.id, name="mine")
    assert (begun.status, begun.size, begun.updated_at) == ("creating", 0, None)
    assert ground.api.get_instance(instance_id=ground.source.id).status == "snapshotting"
    refused(ground.api.create_snapshot, instance_id=ground.source.id, name="another")

    ready = ground.kept(begun)

    assert (ready.status, ready.size) == ("ready", 50 * GB)
    assert ready.created_at is not None
    assert ready.expires_at == ready.created_at + timedelta(days=365)
    assert ready.volume_type is not None
    assert ready.volume_type.type_ == "sbs_15k"
    assert ground.api.get_instance(instance_id=ground.source.id).status == "ready"
    held = ground.plane.account.snapshots[ready.id].held_at
    assert held == ground.backends.snapshots[ready.id]


def test_a_snapshot_is_renamed_expires_and_is_deleted(ground: Ground) -> None:
    until = datetime.now(UTC) + timedelta(days=3)
    begun = ground.api.create_snapshot(instance_id=ground.source.id, name="mine", expires_at=until)
    mine = ground.kept(begun)
    assert mine.expires_at == until

    renamed = ground.api.update_snapshot(snapshot_id=mine.id, name="ours")
    assert (renamed.name, renamed.expires_at) == ("ours", until)
    assert ground.api.delete_snapshot(snapshot_id=mine.id).status == "deleting"
    ground.gone(ground.api.get_snapshot, snapshot_id=mine.id)
    assert mine.id not in ground.backends.snapshots
    gone = ground.newest()
    ground.api.update_snapshot(
        snapshot_id=gone.id, expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    assert gone.id not in [one.id for one in ground.api.list_snapshots_all()]
    wait_until(lambda: gone.id not in ground.backends.snapshots)


def test_a_snapshot_that_fails_is_in_error_and_leaves_its_instance_ready(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: str, snapshot: str) -> datetime:
        raise OSError(f"{source} gives no {snapshot}")

    monkeypatch.setattr(ground.backends, "take", fail)

    begun = ground.api.create_snapshot(instance_id=ground.source.id, name="mine")

    assert ground.kept(begun).status == "error"
    assert ground.settled(ground.source).status == "ready"


def test_a_local_volume_has_no_snapshots(ground: Ground) -> None:
    local = ground.settled(create(ground, volume_type=VolumeType.LSSD, volume_size=0))

    status, body = refused(ground.api.create_snapshot, instance_id=local.id, name="mine")

    assert (status, body["type"]) == (400, "invalid_arguments")


def test_an_endpoint_moves_with_its_port_and_back(ground: Ground) -> None:
    (endpoint,) = ground.source.endpoints
    copy = ground.restored()

    moved = ground.api.migrate_endpoint(endpoint_id=endpoint.id, instance_id=copy.id)

    assert (moved.id, moved.ip, moved.port) == (endpoint.id, endpoint.ip, endpoint.port)
    assert ground.settled(ground.source).endpoints == []
    assert only(ground.settled(copy).endpoints, "private_network").id == endpoint.id
    ground.api.migrate_endpoint(endpoint_id=endpoint.id, instance_id=ground.source.id)
    assert ground.settled(ground.source).endpoints == [endpoint]


def test_a_moved_endpoint_leads_to_the_other_server(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    (endpoint,) = ground.source.endpoints
    copy = ground.restored()
    places = {copy.id: ("127.0.0.1", 7), ground.source.id: ("127.0.0.1", 8)}
    monkeypatch.setattr(ground.backends, "address", places.__getitem__)

    ground.api.migrate_endpoint(endpoint_id=endpoint.id, instance_id=copy.id)

    assert ground.front.routes[endpoint.id] == ("127.0.0.1", 7)


def test_an_endpoint_does_not_move_where_its_kind_is_taken_or_a_side_is_busy(
    ground: Ground,
) -> None:
    (endpoint,) = ground.source.endpoints
    copy = ground.restored()
    ground.api.create_endpoint(instance_id=copy.id, endpoint_spec=PRIVATE)
    assert ground.api.get_instance(instance_id=copy.id).status == "initializing"
    move = {"endpoint_id": endpoint.id, "instance_id": copy.id}

    status, body = refused(ground.api.migrate_endpoint, **move)
    assert (status, body["current_state"]) == (409, "initializing")
    ground.settled(copy)
    status, body = refused(ground.api.migrate_endpoint, **move)

    assert (status, body["type"]) == (412, "precondition_failed")
    assert "private_network" in body["help_message"]


def test_a_public_address_is_removed_and_a_private_one_added(ground: Ground) -> None:
    copy = ground.restored()
    public = only(copy.endpoints, "load_balancer")

    ground.api.delete_endpoint(endpoint_id=public.id)
    assert public.id not in ground.front.names
    ground.settled(copy)
    ground.api.create_endpoint(instance_id=copy.id, endpoint_spec=PRIVATE)

    ready = ground.settled(copy)
    assert [one.load_balancer for one in ready.endpoints] == [None]
    assert ready.endpoint is not None
    assert ready.endpoint.id == ready.endpoints[0].id
    status, body = refused(ground.api.delete_endpoint, endpoint_id=public.id)
    assert (status, body["resource"]) == (404, "endpoint")
    status, _ = refused(
        ground.api.create_endpoint, instance_id=copy.id, endpoint_spec=EndpointSpec()
    )
    assert status == 400


def test_a_second_public_address_is_refused(ground: Ground) -> None:
    status, _ = refused(
        ground.api.create_endpoint, instance_id=ground.restored().id, endpoint_spec=LOAD_BALANCER
    )

    assert status == 412


def test_the_certificate_is_the_authority_of_the_ports(ground: Ground) -> None:
    told = ground.api.get_instance_certificate(instance_id=ground.source.id)

    assert told.content_type == "application/x-pem-file"
    assert base64.b64decode(told.content) == ground.front.authority.read_bytes()


def test_logical_backups_are_made_restored_exported_and_deleted(ground: Ground) -> None:
    api, one = ground.api, ground.source
    begun = api.create_database_backup(instance_id=one.id, database_name="shop", name="dump")
    assert (begun.status, begun.same_region) == ("creating", True)
    assert api.get_instance(instance_id=one.id).status == "backuping"
    ground.settled(one)

    (made,) = api.list_database_backups_all(instance_id=one.id)
    assert made.status == "ready"
    assert api.restore_database_backup(database_backup_id=made.id, instance_id=one.id).status == (
        "restoring"
    )
    ground.settled(one)
    assert api.export_database_backup(database_backup_id=made.id).status == "exporting"
    ground.estate.clock.move(HOUR)
    assert api.get_database_backup(database_backup_id=made.id).download_url
    assert api.update_database_backup(database_backup_id=made.id, name="kept").name == "kept"
    api.delete_database_backup(database_backup_id=made.id)
    ground.gone(api.get_database_backup, database_backup_id=made.id)
