"""A region is gone: what was copied elsewhere is restored there, by a second entry of the catalog."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from domain.recovery import TargetKind
from tests.providers.clouds import CLOUD_TABLE, Stand, stand_of
from tests.providers.test_cloud_contract import key
from tests.simulators.scripted import scripted_estate
from tests.station import no_progress

ELSEWHERE = "eu-west-3"


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with stand_of(CLOUD_TABLE["aws"], scripted_estate(), tmp_path) as made:
        made.seed()
        yield made


def test_a_copied_snapshot_brings_the_database_back_in_another_region(stand: Stand) -> None:
    run_id, snapshots = key(), stand.provider.snapshots
    taken = stand.settle(
        lambda: snapshots.create(stand.resource, key=run_id, name="", progress=no_progress)
    )
    stand.estate.clock.move(timedelta(hours=5))
    snapshots.copy(stand.resource, taken.id, ELSEWHERE)
    stand.estate.clock.move(timedelta(hours=1))

    stand.cloud = replace(stand.cloud, entry={**stand.cloud.entry, "region": ELSEWHERE})
    stand.resource = stand.named("orders")
    stand.connect()
    point = stand.point(kind=TargetKind.LATEST)
    restored = stand.restore(point, run_id)
    compared = stand.carry_over(restored)
    moved = stand.settle(lambda: stand.provider.cutover.promote(stand.resource, restored.handle))

    assert point.snapshot_id == taken.id
    assert point.at == taken.taken_at
    assert compared == {"all": "left"}
    assert list(stand.instances()) == ["orders"]
    assert stand.instances()["orders"].settings["publicly accessible"] == "false"
    assert moved.server is None
    assert moved.address.endswith(f":{stand.instances()['orders'].port}")
