"""The simulated Scaleway lists, makes and changes instances as the provider does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scaleway import ScalewayException
from scaleway.rdb.v1.types import (
    ACLRuleRequest,
    EncryptionAtRest,
    InstanceSetting,
    ListInstancesRequestOrderBy,
    LogsPolicy,
    VolumeType,
)

from simulators.estate import Seed
from simulators.scaleway.plane import ScalewayPlane
from simulators.scaleway.seeding import PRIVATE_NETWORK_ID
from simulators.wire import Wire
from tests.simulators.scaleway_ground import GB, TOKEN, Ground, create, only, refused, standing
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


def test_a_seeded_instance_differs_from_every_default(ground: Ground) -> None:
    source = ground.source

    assert (source.status, source.engine, source.node_type) == (
        "ready",
        "PostgreSQL-15",
        "db-pro2-xs",
    )
    assert source.is_ha_cluster
    assert source.high_availability_mode == "multiple_zone"
    assert source.tags == ["environment=production", "team=shop"]
    assert source.backup_same_region
    assert source.encryption == EncryptionAtRest(enabled=True)
    assert source.logs_policy == LogsPolicy(90, 5 * GB)
    assert source.volume is not None
    assert (source.volume.type_, source.volume.class_, source.volume.size) == (
        "sbs_15k",
        "sbs",
        50 * GB,
    )
    assert {one.name: one.value for one in source.settings}["max_connections"] == "400"
    schedule = source.backup_schedule
    assert schedule is not None
    assert (schedule.frequency, schedule.retention, schedule.disabled) == (12, 14, False)
    assert schedule.next_run_at is not None
    assert timedelta(hours=11) < schedule.next_run_at - datetime.now(UTC) < timedelta(hours=12)
    rules = ground.api.list_instance_acl_rules_all(instance_id=source.id)
    assert [rule.ip for rule in rules] == ["10.20.0.0/16", "192.0.2.0/24"]


def test_a_new_instance_has_the_defaults_and_a_public_address_when_it_is_ready(
    ground: Ground,
) -> None:
    begun = create(ground)
    assert (begun.status, begun.endpoints, begun.settings) == ("provisioning", [], [])

    ready = ground.settled(begun)

    assert ready.status == "ready"
    assert only(ready.endpoints, "load_balancer").ip == "127.0.0.1"
    assert {one.name: one.value for one in ready.settings}["effective_cache_size"] == "1300"
    assert ready.node_type == "db-dev-s"
    assert ready.logs_policy == LogsPolicy(30, 0)
    assert ready.high_availability_mode == "disabled"
    assert begun.id in ground.backends.running


def test_a_seeded_instance_has_a_private_address_that_leads_to_its_server(ground: Ground) -> None:
    (endpoint,) = ground.source.endpoints

    assert endpoint.private_network is not None
    assert endpoint.private_network.private_network_id == PRIVATE_NETWORK_ID
    assert (endpoint.ip, endpoint.port) == ("127.0.0.1", ground.front.names[endpoint.id])
    assert ground.front.routes[endpoint.id] == ("127.0.0.1", 1)
    assert ground.api.get_endpoint(endpoint_id=endpoint.id) == endpoint


def test_a_seed_takes_overrides_and_refuses_unknown_ones(ground: Ground) -> None:
    ground.plane.seed(
        Seed("ledger", engine="mysql", settings={"tags": ["a"], "encryption": {"enabled": False}})
    )

    ledger = ground.named("ledger")
    assert (ledger.engine, ledger.tags) == ("MySQL-8", ["a"])
    assert ledger.encryption == EncryptionAtRest(enabled=False)
    with pytest.raises(ValueError, match="no such setting of an instance: tag"):
        ground.plane.seed(Seed("other", settings={"tag": []}))


def test_names_are_patterns_and_not_unique(ground: Ground) -> None:
    ground.plane.seed(Seed("shop"))
    ground.plane.seed(Seed("workshop"))

    found = ground.api.list_instances_all(name="shop")

    assert [one.name for one in found] == ["shop", "shop", "workshop"]
    assert len({one.id for one in found}) == 3


def test_lists_come_in_pages_and_orders(ground: Ground) -> None:
    for name in ("b", "a"):
        ground.plane.seed(Seed(name))

    page = ground.api.list_instances(page=2, page_size=2)

    assert [one.name for one in page.instances] == ["a"]
    assert page.total_count == 3
    assert len(ground.api.list_instances_all(page_size=1)) == 3
    ordered = ground.api.list_instances_all(order_by=ListInstancesRequestOrderBy.NAME_DESC)
    assert [one.name for one in ordered] == ["shop", "b", "a"]
    status, body = refused(ground.api.list_instances, page_size=1000)
    assert (status, body["details"][0]["argument_name"]) == (400, "page_size")


def test_lists_are_filtered_by_tags_project_and_booleans(ground: Ground) -> None:
    assert ground.api.list_instances_all(tags=["team=shop", "environment=production"])
    assert not ground.api.list_instances_all(tags=["team=shop", "team=other"])
    assert not ground.sdk(project=TOKEN).list_instances_all()
    assert not ground.sdk(project=TOKEN).list_snapshots_all()
    assert ground.api.list_instances_all(has_maintenances=False)
    assert not ground.api.list_instances_all(has_maintenances=True)


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"node_type": "db-none"}, "node_type"),
        ({"engine": "Oracle-19"}, "engine"),
        ({"volume_type": "tape"}, "volume_type"),
        ({"user_name": ""}, "user_name"),
    ],
)
def test_a_new_instance_is_refused_for_wrong_arguments(
    ground: Ground, wrong: dict[str, Any], argument: str
) -> None:
    with pytest.raises(ScalewayException) as caught:
        create(ground, **wrong)

    body = caught.value.response.json()
    assert (caught.value.status_code, body["type"]) == (400, "invalid_arguments")
    assert body["details"][0]["argument_name"] == argument


def test_a_change_makes_an_instance_configuring_and_other_changes_wait(ground: Ground) -> None:
    before = ground.source
    changed = ground.api.update_instance(
        instance_id=before.id, tags=["x"], backup_schedule_retention=30
    )
    assert (changed.status, changed.tags) == ("configuring", ["x"])

    status, body = refused(ground.api.update_instance, instance_id=before.id, tags=["y"])

    assert status == 409
    assert body == {
        "current_state": "configuring",
        "message": "resource is in a transient state",
        "resource": "instance",
        "resource_id": before.id,
        "type": "transient_state",
    }
    after = ground.settled(changed)
    assert (after.status, after.tags) == ("ready", ["x"])
    assert after.backup_schedule is not None
    assert (after.backup_schedule.retention, after.backup_schedule.frequency) == (30, 12)
    assert after.backup_same_region == before.backup_same_region


def test_a_disabled_schedule_has_no_next_run(ground: Ground) -> None:
    changed = ground.api.update_instance(
        instance_id=ground.source.id, is_backup_schedule_disabled=True, logs_policy=LogsPolicy(7, 0)
    )

    assert changed.backup_schedule is not None
    assert changed.backup_schedule.next_run_at is None
    assert changed.logs_policy == LogsPolicy(7, 0)
    status, body = refused(
        ground.api.update_instance,
        instance_id=ground.settled(changed).id,
        backup_schedule_retention=0,
    )
    assert (status, body["details"][0]["argument_name"]) == (400, "backup_schedule_retention")


def test_settings_are_set_added_and_deleted(ground: Ground) -> None:
    api, one = ground.api, ground.source.id

    api.add_instance_settings(instance_id=one, settings=[InstanceSetting("max_connections", "9")])
    added = settings_of(ground)
    assert (added["max_connections"], added["work_mem"]) == ("9", "32")
    api.delete_instance_settings(instance_id=one, setting_names=["max_connections"])
    assert settings_of(ground)["max_connections"] == "100"
    told = api.set_instance_settings(instance_id=one, settings=[InstanceSetting("work_mem", "8")])
    assert [each.value for each in told.settings] == ["8"]
    assert settings_of(ground) == {"work_mem": "8"}
    status, body = refused(
        api.set_instance_settings,
        instance_id=one,
        settings=[InstanceSetting("max_connections", "many")],
    )
    assert (status, body["type"]) == (400, "invalid_arguments")


def settings_of(ground: Ground) -> dict[str, str]:
    return {one.name: one.value for one in ground.settled(ground.source).settings}


def test_ranges_are_set_added_and_deleted(ground: Ground) -> None:
    api, one = ground.api, ground.source.id

    api.add_instance_acl_rules(instance_id=one, rules=[ACLRuleRequest("198.51.100.7", "desk")])
    assert ranges_of(ground) == ["10.20.0.0/16", "192.0.2.0/24", "198.51.100.7/32"]
    api.delete_instance_acl_rules(instance_id=one, acl_rule_ips=["192.0.2.0/24"])
    assert ranges_of(ground) == ["10.20.0.0/16", "198.51.100.7/32"]
    told = api.set_instance_acl_rules(
        instance_id=one, rules=[ACLRuleRequest("203.0.113.0/24", "new")]
    )
    assert (told.rules[0].action, told.rules[0].protocol) == ("allow", "tcp")
    assert ranges_of(ground) == ["203.0.113.0/24"]
    status, body = refused(
        api.set_instance_acl_rules, instance_id=one, rules=[ACLRuleRequest("nowhere", "")]
    )
    assert (status, body["details"][0]["reason"]) == (400, "format")


def ranges_of(ground: Ground) -> list[str]:
    ready = ground.settled(ground.source)
    return [rule.ip for rule in ground.api.list_instance_acl_rules_all(instance_id=ready.id)]


def test_an_upgrade_takes_effect_at_its_end(ground: Ground) -> None:
    begun = ground.api.upgrade_instance(instance_id=ground.source.id, volume_size=60 * GB)
    assert begun.status == "configuring"
    assert begun.volume is not None
    assert begun.volume.size == 50 * GB

    ready = ground.settled(begun)

    assert ready.volume is not None
    assert ready.volume.size == 60 * GB
    for wrong in (40 * GB, 61 * GB):
        status, _ = refused(ground.api.upgrade_instance, instance_id=ready.id, volume_size=wrong)
        assert status == 400


def test_encryption_availability_and_node_are_upgraded(ground: Ground) -> None:
    one = ground.settled(create(ground))
    for upgrade in (
        {"enable_encryption": True},
        {"enable_ha": True},
        {"node_type": "DB-DEV-M"},
        {"volume_type": VolumeType.SBS_15K},
    ):
        one = ground.settled(ground.api.upgrade_instance(instance_id=one.id, **upgrade))

    assert one.encryption == EncryptionAtRest(enabled=True)
    assert (one.high_availability_mode, one.node_type) == ("single_zone", "db-dev-m")
    assert one.volume is not None
    assert one.volume.type_ == "sbs_15k"
    status, _ = refused(ground.api.upgrade_instance, instance_id=one.id, enable_encryption=False)
    assert status == 400


def test_a_full_disk_takes_a_larger_volume_and_nothing_else(ground: Ground) -> None:
    ground.plane.force("shop", "disk_full")

    status, body = refused(ground.api.update_instance, instance_id=ground.source.id, tags=[])
    assert (status, body["current_state"]) == (409, "disk_full")
    refused(ground.api.upgrade_instance, instance_id=ground.source.id, node_type="db-pro2-s")
    ready = ground.settled(
        ground.api.upgrade_instance(instance_id=ground.source.id, volume_size=100 * GB)
    )

    assert ready.status == "ready"


def test_a_restart_stops_and_starts_the_server(ground: Ground) -> None:
    begun = ground.api.restart_instance(instance_id=ground.source.id)

    assert begun.status == "restarting"
    assert ground.settled(begun).status == "ready"
    assert not ground.backends.stopped


def test_users_databases_and_node_types_are_listed(ground: Ground) -> None:
    (user,) = ground.api.list_users_all(instance_id=ground.source.id)
    (database,) = ground.api.list_databases_all(instance_id=ground.source.id)
    ground.plane.account.stock["db-dev-s"] = "low_stock"
    nodes = {one.name: one for one in ground.api.list_node_types_all(include_disabled_types=False)}

    assert (user.name, user.is_admin, database.name) == ("owner", True, "shop")
    assert (nodes["db-pro2-xs"].memory, nodes["db-dev-s"].stock_status) == (16 * GB, "low_stock")
