"""A snapshot on this machine is deleted by its id or its name, and by nothing else."""

import uuid

import pytest

from domain.errors import RecoveryPointUnreachableError, UnsupportedResourceError
from domain.recovery import Snapshot
from tests.station import Notes, Station


def _marked(made: Station, name: str = "") -> Snapshot:
    mark = made.provider.snapshots.mark(made.resource, key=uuid.uuid4().hex, name=name)
    assert mark is not None
    return mark


def _kept(made: Station) -> set[str]:
    return {one.id for one in made.provider.points.snapshots(made.resource)}


@pytest.mark.parametrize("unknown", ["nothing", ""])
def test_a_snapshot_nobody_has_is_refused_with_those_that_there_are(
    shared: Station, unknown: str
) -> None:
    mark, snapshots = _marked(shared), shared.provider.snapshots

    for act in (
        lambda: snapshots.copy(shared.resource, unknown, "elsewhere"),
        lambda: snapshots.remove(shared.resource, unknown, Notes()),
    ):
        with pytest.raises(RecoveryPointUnreachableError, match="no snapshot") as refused:
            act()
        assert mark.id in refused.value.offers
    assert mark.id in _kept(shared)


def test_a_snapshot_is_deleted_by_its_name_and_a_second_attempt_of_the_step_is_content(
    shared: Station,
) -> None:
    other, mark, memory = _marked(shared), _marked(shared, "before-the-update"), Notes()

    for _attempt in range(2):
        shared.provider.snapshots.remove(shared.resource, "before-the-update", memory)

    assert mark.id not in _kept(shared)
    assert other.id in _kept(shared)


def test_a_snapshot_of_this_machine_goes_to_no_other_region(shared: Station) -> None:
    mark = _marked(shared)

    with pytest.raises(UnsupportedResourceError, match="has no region 'elsewhere'"):
        shared.provider.snapshots.copy(shared.resource, mark.id, "elsewhere")
