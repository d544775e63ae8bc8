"""What a release leaves of the instances that it deletes.

The instances exist by name only, as in `test_cloud_contract.py`.
"""

from collections.abc import Callable, Sequence
from functools import partial

import pytest

from domain.errors import NotYetError, ServerFailedError
from providers.managed.model import Instance
from providers.managed.names import KEPT, SERVED, SUPERSEDED
from tests.providers.clouds import Stand
from tests.providers.test_cloud_contract import stand
from tests.station import Notes

__all__ = ["stand"]

pytestmark = pytest.mark.parametrize("stand", ["aws"], indirect=True)


def _marked(stand: Stand, name: str, *marks: str, protected: bool = False) -> None:
    """Make an instance that an earlier run left with these marks."""
    stand.seed(name, DeletionProtection=protected)
    stand.account.instances.tag(stand.instances()[name], dict.fromkeys(marks, "orders"))


def _release(stand: Stand) -> Callable[[], Sequence[str]]:
    return partial(stand.provider.cutover.release, stand.resource, Notes())


def test_what_is_busy_is_not_deleted_before_its_last_snapshot_can_be_taken(stand: Stand) -> None:
    release = _release(stand)
    _marked(stand, "was", SUPERSEDED)
    stand.plane.force("was", "backing-up")

    with pytest.raises(NotYetError, match="was to be available for its last snapshot"):
        release()
    assert not stand.wire.count()["DeleteDBInstance"]
    stand.plane.force("was", "")

    assert stand.settle(release) == ["was"]
    assert "was-last" in {one.id for one in stand.account.backups.all("was", None) if one.usable}


@pytest.mark.parametrize(("state", "advice"), [("stopped", "start it"), ("failed", "delete it")])
def test_a_protected_instance_that_takes_no_change_is_told_and_not_waited_for(
    stand: Stand, state: str, advice: str
) -> None:
    _marked(stand, "was", SUPERSEDED, protected=True)
    stand.plane.force("was", state)

    with pytest.raises(ServerFailedError, match=f"protected from deletion and {state}.*{advice}"):
        _release(stand)()


def test_of_the_copies_that_are_kept_those_that_served_leave_a_last_backup_and_no_others(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    _marked(stand, "served", KEPT, SERVED)
    _marked(stand, "never", KEPT)
    lasts = dict[str, str]()
    delete = stand.account.instances.delete

    def deleted(instance: Instance, final_backup: str) -> None:
        lasts[instance.name] = final_backup
        delete(instance, final_backup)

    monkeypatch.setattr(stand.account.instances, "delete", deleted)

    assert set(stand.settle(_release(stand))) == {"served", "never"}
    assert lasts == {"served": "served-last", "never": ""}
    assert set(stand.instances()) == {"orders"}
