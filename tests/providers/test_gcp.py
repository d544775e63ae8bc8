"""What is particular to Cloud SQL: overwriting, inherited labels and protection, deleted sources."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from domain.errors import (
    BusyError,
    CapacityMissingError,
    KeyUnavailableError,
    NameTakenError,
    NotOursError,
    NotYetError,
    ProviderUnavailableError,
    RecoveryError,
    ServerFailedError,
    UnsupportedResourceError,
)
from domain.resources import Mode
from providers.gcp.databases import GcpInstances
from providers.managed.model import Order
from providers.managed.names import RUN, SELF, SERVES, SINCE, SUPERSEDED, name_of
from simulators.faults import Refusal
from tests.providers.clouds import GCP, Stand, stand_of
from tests.providers.gcp_stand import (
    cut_over,
    deleted,
    in_time,
    key,
    of_backup,
    plane_of,
    present,
    raw,
    serving_now,
)
from tests.simulators.scripted import scripted_estate
from tests.station import Notes, no_progress


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """Hold one project with one database, `orders`."""
    with stand_of(GCP, scripted_estate(), tmp_path) as made:
        made.seed()
        yield made


def test_a_backup_is_never_restored_over_an_instance(stand: Stand) -> None:
    run_id, point = key(), of_backup(stand)
    stand.seed(name_of(run_id, "orders"))
    before = plane_of(stand).server_of(name_of(run_id, "orders"))
    order = Order("orders", name_of(run_id, "orders"), run_id, point, Mode.INCIDENT, {}, None)

    with pytest.raises(NameTakenError):
        stand.account.instances.restore(order)
    with pytest.raises(NotOursError, match="left alone"):
        stand.begin(point, run_id)

    stand.estate.clock.move(timedelta(hours=1))
    assert plane_of(stand).server_of(name_of(run_id, "orders")) == before
    assert stand.wire.count()["RestoreBackup"] == 0


def test_a_restore_of_a_backup_whose_answer_was_lost_is_not_sent_again(stand: Stand) -> None:
    run_id, point = key(), of_backup(stand)
    stand.estate.faults.lag = timedelta(minutes=2)
    stand.estate.faults.lose_reply("RestoreBackup")

    with pytest.raises(ProviderUnavailableError):
        stand.begin(point, run_id)
    stand.connect()
    stand.restore(point, run_id)

    assert stand.wire.count()["RestoreBackup"] == 1


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (("ERROR_GCE_STOCKOUT", "no room"), CapacityMissingError),
        (("CLOUD_KMS_KEY_ERROR", "disabled"), KeyUnavailableError),
        (("INTERNAL_ERROR", "a problem of our own"), ServerFailedError),
        (("NOBODY_KNOWS", "polishing"), ServerFailedError),
    ],
)
def test_a_clone_that_failed_is_told_and_removed_although_it_is_protected(
    stand: Stand, failure: tuple[str, str], told: type[RecoveryError]
) -> None:
    plane_of(stand).switches.failures["CLONE"] = failure
    handle = stand.begin(in_time(stand), key())

    with pytest.raises(told, match=failure[0]):
        stand.poll(handle)

    assert raw(stand, handle.server)["deletionProtectionEnabled"] is True
    stand.settle(lambda: stand.provider.recovery.discard(stand.resource, handle))
    assert set(stand.instances()) == {"orders"}


def test_a_discarded_copy_leaves_no_backups_behind(stand: Stand) -> None:
    restored = stand.restore(in_time(stand), key(), Mode.DRILL)
    copy = present(stand, restored.handle.server)
    assert copy.settings["backups after deletion"] == "true"
    stand.settle(lambda: stand.account.backups.take(copy, "of the copy"))
    stand.estate.clock.move(timedelta(hours=1))
    assert [one.name for one in stand.account.backups.all(copy.name, copy)] == ["of the copy"]

    stand.settle(lambda: stand.provider.recovery.discard(stand.resource, restored.handle))

    assert stand.account.backups.all(copy.name, None) == []


def test_a_released_instance_leaves_a_last_backup_and_its_others(stand: Stand) -> None:
    restored = stand.restore(in_time(stand), key())
    cut_over(stand, restored)
    memory = Notes()

    gone = stand.settle(lambda: stand.provider.cutover.release(stand.resource, memory))

    assert gone == ["orders"]
    kept = stand.provider.points.snapshots(stand.resource)
    assert {one.source for one in kept} == {"orders"}
    assert {"orders-last", "automatic"} <= {one.name for one in kept}


def test_labels_that_a_clone_inherits_make_it_nothing(stand: Stand) -> None:
    first = stand.restore(in_time(stand), key())
    cut_over(stand, first)
    assert serving_now(stand) == first.handle.server
    assert {RUN, SELF, SERVES, SINCE} <= set(raw(stand, first.handle.server)["userLabels"])

    run_id = key()
    second = stand.restore(in_time(stand), run_id)

    assert serving_now(stand) == first.handle.server
    copy = present(stand, second.handle.server)
    assert {one for one in copy.tags if one.startswith("refloat-")} == {RUN, SELF}
    assert (copy.tags[RUN], copy.tags[SELF]) == (run_id, copy.name)
    assert copy.tags["team"] == "shop"
    assert stand.carry_over(second) == {}
    cut_over(stand, second)
    assert serving_now(stand) == second.handle.server
    stand.settle(lambda: stand.provider.cutover.demote(stand.resource, second.handle))
    assert serving_now(stand) == first.handle.server
    assert list(stand.provider.cutover.superseded(stand.resource)) == ["orders"]


def test_an_undo_waits_for_labels_that_do_not_show_yet(stand: Stand) -> None:
    restored = stand.restore(in_time(stand), key())
    cutover = stand.provider.cutover
    with pytest.raises(NotYetError, match="labels of orders"):
        cutover.promote(stand.resource, restored.handle)
    assert SUPERSEDED not in present(stand, "orders").tags

    with pytest.raises(NotYetError, match="labels of orders"):
        cutover.demote(stand.resource, restored.handle)
    stand.settle(lambda: cutover.demote(stand.resource, restored.handle))
    stand.estate.clock.move(timedelta(hours=1))

    assert SUPERSEDED not in present(stand, "orders").tags


def test_a_broken_source_is_cut_over_whether_it_takes_a_label_or_not(stand: Stand) -> None:
    restored = stand.restore(in_time(stand), key())
    plane_of(stand).force("orders", "FAILED")
    stand.settle(lambda: stand.provider.cutover.promote(stand.resource, restored.handle))
    assert serving_now(stand) == restored.handle.server

    stand.estate.clock.move(timedelta(hours=1))
    stand.estate.faults.refuse("Patch", Refusal(409, "invalidState", "not now"))
    stand.account.instances.tag(present(stand, "orders"), {"other": "label"})
    plane_of(stand).force("orders", "")
    with pytest.raises(BusyError):
        stand.account.instances.tag(present(stand, "orders"), {"other": "label"})


def test_the_address_and_the_authority_are_the_providers_own(stand: Stand) -> None:
    restored = stand.restore(in_time(stand), key())
    moved = stand.settle(lambda: stand.provider.cutover.promote(stand.resource, restored.handle))
    notes = " ".join(moved.notes)
    assert moved.address == restored.handle.address != "127.0.0.1:5432"
    assert f"sandbox:europe-west9:{restored.handle.server}" in notes
    assert "still answers until the release" in notes
    entry = stand.catalog.providers["cloud"].model_copy(update={"ca": None})
    instances = cast("GcpInstances", stand.account.instances)
    own = GcpInstances(instances._client, "", 1.0).find(restored.handle.server)
    assert entry.kind == "gcp"
    assert own is not None
    assert own.tls.verify == "ca"
    assert own.tls.ca == stand.estate.front.authority.read_text()
    assert own.version == "15"


def test_a_deleted_source_is_restored_of_its_last_backup_as_it_was(stand: Stand) -> None:
    deleted(stand, "orders")
    assert stand.account.current(stand.resource) is None
    (window,) = stand.provider.points.windows(stand.resource)
    assert window.note == "of the deleted instance"

    restored = stand.restore(of_backup(stand), key())

    made = raw(stand, restored.handle.server)
    assert made["databaseFlags"]
    assert made["backupConfiguration"]["enabled"] is True
    stand.settle(
        lambda: stand.provider.cutover.protect(stand.resource, restored.handle, no_progress)
    )


def test_a_deleted_source_without_retained_backups_has_no_window(stand: Stand) -> None:
    raw(stand, "orders")["retainBackupsOnDelete"] = False
    deleted(stand, "orders")
    for hidden in (False, True):
        plane_of(stand).switches.hides_missing = hidden
        assert stand.provider.points.windows(stand.resource) == []
    assert [one.name for one in stand.provider.points.snapshots(stand.resource)] == ["last"]


def test_what_was_cut_over_to_and_is_deleted_can_be_restored_too(stand: Stand) -> None:
    first = stand.restore(in_time(stand), key())
    cut_over(stand, first)
    memory = Notes()
    stand.settle(lambda: stand.provider.cutover.release(stand.resource, memory))
    deleted(stand, first.handle.server)
    assert stand.instances() == {}

    (window,) = stand.provider.points.windows(stand.resource)
    assert window.source_id.startswith(f"{first.handle.server}@")
    assert first.handle.server in window.note
    run_id = key()
    stand.restore(in_time(stand), run_id)

    assert set(stand.instances()) == {name_of(run_id, "orders")}


def test_a_backup_cannot_be_copied_and_goes_where_the_instances_own_go(stand: Stand) -> None:
    orders = present(stand, "orders")
    stand.account.backups.take(orders, "mine")
    stand.account.backups.take(orders, "mine")
    stand.estate.clock.move(timedelta(hours=1))
    mine, automatic = stand.account.backups.all("orders", orders)
    assert (mine.name, mine.usable, mine.told) == ("mine", True, "successful")
    assert automatic.automatic
    assert plane_of(stand)._account.backups[-1].location == "eu"
    with pytest.raises(UnsupportedResourceError, match="multi-region"):
        stand.account.backups.copy(mine, "europe-west1")
    for plane_of(stand).switches.hides_missing in (False, True):
        stand.settle(lambda: stand.account.backups.delete(mine))
        stand.estate.clock.move(timedelta(hours=1))
    assert stand.account.backups.all("orders", orders) == [automatic]
