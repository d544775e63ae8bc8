"""What is particular to Scaleway: names that are not unique, tags that are copied, open copies.

The whole contract runs once more here, on an account whose copies carry their source's tags.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.checks import Verdict
from domain.errors import ProviderUnavailableError, UnsupportedResourceError
from domain.resources import Mode
from providers.managed.names import RUN, SELF, name_of
from simulators.faults import Refusal
from simulators.scaleway.shapes import LOAD_BALANCER, PRIVATE_NETWORK
from tests.providers import scaleway_stand
from tests.providers import test_cloud_contract as contract
from tests.providers import test_cloud_cutover as cutover
from tests.providers.clouds import Stand
from tests.providers.scaleway_stand import (
    MINUTES,
    PRIVATE,
    PUBLIC,
    changes,
    copied,
    kinds,
    plane,
    promoted,
    records,
)

empty, plain = scaleway_stand.empty, scaleway_stand.plain
key, a_point, in_time = contract.key, contract.a_point, contract.in_time
globals().update({test.__name__: test for test in (*contract.CORE, *cutover.CORE)})


@pytest.fixture
def stand(empty: Stand) -> Stand:
    """Hold an account with one database that was cut over to once, and copies with its tags."""
    empty.seed()
    orders = records(empty)["orders"]
    own = (f"{SELF}={orders.id}", "refloat-run=0", "refloat-serves=orders", "refloat-since=x")
    orders.tags.write(timedelta.min, ("environment=production", "critical", *own))
    plane(empty).account.tags_restored = True
    return empty


def test_a_double_that_a_late_list_hid_is_deleted(stand: Stand) -> None:
    run_id, point = key(), a_point(stand)
    stand.estate.faults.lag = 2 * MINUTES
    stand.estate.faults.lose_reply("CreateInstanceFromSnapshot")
    with pytest.raises(ProviderUnavailableError):
        stand.begin(point, run_id)

    restored = stand.restore(point, run_id)
    stand.estate.clock.move(5 * MINUTES)

    assert len(stand.account.instances.all()) == 2
    assert restored.handle.id in {one.id for one in stand.account.instances.all()}


def test_a_double_goes_with_the_run_that_is_taken_back(plain: Stand) -> None:
    run_id, point = key(), a_point(plain)
    plain.estate.faults.lose_reply("CreateInstanceFromSnapshot")
    plain.estate.faults.lag = 2 * MINUTES
    with pytest.raises(ProviderUnavailableError):
        plain.begin(point, run_id)
    plain.estate.faults.lag = timedelta()
    handle = plain.settle(lambda: plain.begin(point, run_id))

    plain.settle(lambda: plain.provider.recovery.discard(plain.resource, handle))

    assert set(plain.instances()) == {"orders"}


@pytest.mark.parametrize("strange", ["tag", "node_type", "created_at"])
def test_an_instance_of_our_name_that_may_be_somebody_elses_stays(
    empty: Stand, strange: str
) -> None:
    empty.seed()
    restored = empty.restore(a_point(empty), key())
    empty.seed(restored.handle.server, tags=("owner=me",) if strange == "tag" else ())
    theirs = list(plane(empty).account.instances.values())[-1]
    theirs.created_at = datetime.now(UTC)
    if strange == "node_type":
        theirs.node_type = "db-pro2-s"
    if strange == "created_at":
        theirs.created_at -= timedelta(hours=1)

    empty.account.instances.drop_doubles(empty.instances()[restored.handle.server])
    empty.provider.recovery.poll_restore(empty.resource, restored.handle)

    assert theirs.doing is None


def test_tags_that_are_no_pairs_are_kept_and_carried_over(plain: Stand) -> None:
    restored = copied(plain)

    promoted(plain, restored)

    for one in records(plain).values():
        tags = one.tags.versions[-1][1]
        assert {"environment=production", "critical"} <= set(tags)
        assert f"{SELF}={one.id}" in tags


def test_tags_of_ours_that_came_with_the_data_are_not_believed(stand: Stand) -> None:
    run_id = key()

    handle = stand.settle(lambda: stand.begin(a_point(stand), run_id))
    begun = stand.instances()[handle.server]
    restored = stand.poll(handle)

    assert not any(name.startswith("refloat-") for name in begun.tags)
    assert stand.instances()[restored.handle.server].tags[RUN] == run_id


def test_a_copy_of_a_private_database_is_shut_before_anything_else(plain: Stand) -> None:
    restored = plain.restore(a_point(plain), key(), Mode.DRILL)
    assert set(kinds(plain, restored.handle.server)) == {LOAD_BALANCER}
    assert records(plain)[restored.handle.server].high_availability == "multiple_zone"
    plain.wire.calls.clear()

    plain.carry_over(restored, Mode.DRILL)

    assert changes(plain) == ["DeleteEndpoint", "CreateEndpoint", "SetInstanceACLRules"]
    assert set(kinds(plain, restored.handle.server)) == {PRIVATE_NETWORK}


def test_a_copy_of_a_public_database_lets_in_whom_the_source_does_first(empty: Stand) -> None:
    empty.seed(endpoints=(PUBLIC, PRIVATE), encryption={"enabled": False})
    restored = empty.restore(a_point(empty), key())
    empty.wire.calls.clear()

    empty.carry_over(restored)

    assert changes(empty)[:2] == ["SetInstanceACLRules", "CreateEndpoint"]
    assert set(kinds(empty, restored.handle.server)) == {LOAD_BALANCER, PRIVATE_NETWORK}


def test_a_copy_is_opened_only_when_its_rules_are_the_sources(empty: Stand) -> None:
    empty.seed(endpoints=(PUBLIC,))
    restored = empty.restore(a_point(empty), key())
    account = plane(empty).account
    (public,) = account.addresses(records(empty)[restored.handle.server])
    del account.endpoints[public.id]
    empty.wire.calls.clear()

    empty.carry_over(restored, Mode.DRILL)

    assert changes(empty) == ["SetInstanceACLRules", "CreateEndpoint"]


def test_who_may_connect_is_asked_only_when_somebody_compares(plain: Stand) -> None:
    plain.wire.calls.clear()

    plain.restore(a_point(plain), key())

    assert plain.wire.count()["ListInstanceACLRules"] == 0


def test_a_worker_reaches_a_copy_in_its_private_network(plain: Stand) -> None:
    restored = copied(plain)

    found = plain.account.instances.find("", restored.handle.id)

    assert found is not None
    assert found.port == kinds(plain, restored.handle.server)[PRIVATE_NETWORK]


def test_snapshots_of_a_namesake_are_not_ours(empty: Stand) -> None:
    empty.seed()
    empty.seed("theirs")
    empty.estate.clock.move(MINUTES)
    mine = {one.id for one in empty.account.backups.all("orders", empty.instances()["orders"])}
    for snapshot in plane(empty).account.snapshots.values():
        snapshot.source.name = "orders"
    records(empty)["theirs"].name = "orders"

    ours = empty.account.current(empty.resource)

    assert ours is not None
    assert {one.id for one in empty.account.backups.all("orders", ours)} == mine


def test_a_snapshot_whose_answer_is_lost_is_taken_once(plain: Stand) -> None:
    orders = plain.instances()["orders"]
    plain.estate.faults.lose_reply("CreateSnapshot")

    with pytest.raises(ProviderUnavailableError):
        plain.account.backups.take(orders, "mine")
    plain.account.backups.take(orders, "mine")

    kept = plain.account.backups.all("orders", orders)
    assert [one.name for one in kept].count("mine") == 1


def test_a_restore_goes_on_while_its_source_is_snapshotted(plain: Stand) -> None:
    point = a_point(plain)
    plain.provider.snapshots.mark(plain.resource, key=key(), name="before")
    assert plain.instances()["orders"].told == "snapshotting"

    handle = plain.begin(point, key())

    assert handle.id


def test_what_scaleway_has_no_call_for_is_refused_with_what_has(empty: Stand) -> None:
    empty.seed(volume={"type": "lssd", "size": 50_000_000_000}, automatic_snapshots=1)
    orders = empty.instances()["orders"]
    backup = empty.account.backups.all("orders", orders)[0]

    with pytest.raises(UnsupportedResourceError, match="logical"):
        empty.account.backups.copy(backup, "nl-ams")
    with pytest.raises(UnsupportedResourceError, match="volume-type"):
        empty.account.backups.take(orders, "mine")


def test_a_deleted_sources_node_type_comes_from_its_snapshot(plain: Stand) -> None:
    point = a_point(plain)
    plain.settle(lambda: contract._deleted(plain, "orders"))

    restored = plain.restore(point, key())

    assert plain.instances()[restored.handle.server].settings["node type"] == "db-pro2-xs"
    findings = plain.provider.preflight.examine(plain.resource, point, Mode.INCIDENT)
    assert {one.name: one.verdict for one in findings}["stock"] is Verdict.PASSED


@pytest.mark.parametrize(
    ("fault", "name", "told"),
    [
        ("denied", "permission to change", "RelationalDatabasesFullAccess"),
        ("stock", "stock", "out_of_stock"),
        ("locked", "encryption key", "locked"),
        ("keys", "credentials", "SCW_SECRET_KEY"),
    ],
)
def test_what_stands_in_the_way_is_found_before_anything_is_made(
    plain: Stand, fault: str, name: str, told: str
) -> None:
    point, account = a_point(plain), plane(plain).account
    if fault == "denied":
        plain.estate.faults.refuse("UpdateInstance", Refusal(403, "permissions_denied", "no"))
    elif fault == "stock":
        account.stock["db-pro2-xs"] = "out_of_stock"
    elif fault == "locked":
        plain.plane.force("orders", "locked")

    access = plain.account.access
    source = plain.account.current(plain.resource)
    if fault == "keys":
        plane(plain).secret_key = key()
    findings = {
        one.name: one for one in access.examine(plain.resource, point, source, Mode.INCIDENT)
    }

    assert findings[name].verdict is Verdict.FAILED
    assert told in findings[name].observed
    assert "CreateInstanceFromSnapshot" not in plain.wire.count()


def test_without_a_file_each_instance_proves_itself_with_its_own_certificate(plain: Stand) -> None:
    entry = plain.catalog.providers["cloud"].model_copy(update={"ca": None})
    plain.catalog = plain.catalog.model_copy(update={"providers": {"cloud": entry}})
    plain.connect()

    everything = plain.account.instances.all()
    for _ in range(2):
        found = plain.account.current(plain.resource)

    assert (everything[0].tls.ca, plain.wire.count()["GetInstanceCertificate"]) == ("", 1)
    assert found is not None
    assert (found.tls.verify, found.tls.ca_file) == ("ca", "")
    assert found.tls.ca == plain.estate.front.authority.read_text()


def test_a_logs_policy_without_a_limit_is_carried_over_too(empty: Stand) -> None:
    empty.seed(logs_policy={"max_age_retention": None, "total_disk_retention": 5_000_000_000})

    restored = copied(empty)

    told = json.loads(empty.instances()[restored.handle.server].settings["logs policy"])
    assert told == {"max_age_retention": 0, "total_disk_retention": 5_000_000_000}
    assert name_of(restored.handle.run_id, "orders") in records(empty)


def test_a_snapshot_that_is_renamed_later_does_not_become_the_newest(plain: Stand) -> None:
    newest = a_point(plain).snapshot_id
    everything = plane(plain).account.snapshots.values()
    oldest = min(everything, key=lambda one: one.created_at)
    oldest.created_at -= timedelta(days=1)
    oldest.updated_at = datetime.now(UTC)

    assert a_point(plain).snapshot_id == newest != oldest.id


def test_a_copy_that_is_encrypted_stays_so_and_ends_no_run(plain: Stand) -> None:
    source = plain.instances()["orders"]
    bare = replace(source, settings={**source.settings, "encryption": "false"})

    assert "encrypted" in plain.account.settings.left("encryption", bare, source)
    assert not plain.account.settings.left("encryption", source, bare)
