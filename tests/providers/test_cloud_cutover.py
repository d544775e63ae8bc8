"""What every cloud's cutover promises: it comes to an end, and it can be taken back.

The instances exist by name only, as in `test_cloud_contract.py`.
"""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from domain.errors import (
    NothingToReleaseError,
    NotYetError,
    ProviderUnavailableError,
    RecoveryError,
    ServerFailedError,
)
from domain.recovery import RestoreHandle, Superseded
from domain.resources import Connection, ProtectedResource
from providers.managed.account import Account
from providers.managed.cutover import ManagedCutover
from providers.managed.model import Instance, State
from tests.providers.clouds import Stand
from tests.providers.test_cloud_contract import a_point, key, stand
from tests.station import Notes, no_progress

__all__ = ["stand"]


def test_a_protected_instance_is_released_only_after_its_cutover(stand: Stand) -> None:
    run_id = key()
    restored = stand.restore(a_point(stand), run_id)
    stand.carry_over(restored)
    cutover = stand.provider.cutover
    stand.settle(lambda: cutover.protect(stand.resource, restored.handle, no_progress))
    old = stand.account.current(stand.resource)
    assert old is not None
    moved = stand.settle(lambda: cutover.promote(stand.resource, restored.handle))
    now = stand.account.current(stand.resource)

    assert now is not None
    assert now.id == restored.handle.id
    assert moved.address
    memory = Notes()
    gone = stand.settle(lambda: cutover.release(stand.resource, memory))
    assert len(gone) == 1
    assert [one.id for one in stand.instances().values()] == [restored.handle.id]


def test_a_cutover_is_undone_from_wherever_it_got_to(stand: Stand) -> None:
    run_id = key()
    restored = stand.restore(a_point(stand), run_id)
    cutover = stand.provider.cutover
    old = stand.account.current(stand.resource)
    assert old is not None
    for calls in (0, 1, 2, 3, 50):
        for _ in range(calls):
            try:
                cutover.promote(stand.resource, restored.handle)
                break
            except RecoveryError:
                stand.estate.clock.move(timedelta(seconds=30))

        stand.settle(lambda: cutover.demote(stand.resource, restored.handle))

        back = stand.account.current(stand.resource)
        assert back is not None
        assert back.id == old.id
        assert back.name == old.name
        assert cutover.superseded(stand.resource) == []


def test_a_broken_source_does_not_stop_the_cutover_from_it(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())
    stand.carry_over(restored)
    old = stand.instances()["orders"]
    for state in stand.cloud.terminal:

        def promote(state: str = state) -> Superseded:
            _hold(stand, old.id, state)
            return stand.provider.cutover.promote(stand.resource, restored.handle)

        moved = stand.settle(promote)

        now = _meant(stand)
        assert now.id == restored.handle.id, state
        assert moved.address == f"{now.host}:{now.port}", state
        _hold(stand, old.id, "")
        stand.settle(lambda: stand.provider.cutover.demote(stand.resource, restored.handle))
        assert _meant(stand).id == old.id, state


def _meant(stand: Stand) -> Instance:
    found = stand.account.current(stand.resource)
    assert found is not None
    return found


def _hold(stand: Stand, identity: str, state: str) -> None:
    """Hold one instance in a state, whatever it is called by now, and no other."""
    for one in stand.account.instances.all():
        held = one.name if stand.cloud.kind != "scaleway" else one.id
        stand.plane.force(held, state if one.id == identity else "")


def test_an_undo_insists_on_freeing_what_it_fenced_and_on_nothing_else(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())
    silent = ProviderUnavailableError("nobody answers")
    for fails, told in ((False, "run `alter database shop reset"), (True, "")):
        _with_fence(stand, silent if fails else None).promote(stand.resource, restored.handle)

        undo = partial(_with_fence(stand, silent).demote, stand.resource, restored.handle)

        if told:
            with pytest.raises(ServerFailedError, match=told):
                stand.settle(undo)
        else:
            stand.settle(undo)
        stand.settle(partial(_with_fence(stand, None).demote, stand.resource, restored.handle))
        assert _meant(stand).name == "orders"


def test_the_last_instance_is_not_released_when_what_serves_is_gone(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())
    stand.settle(lambda: stand.provider.cutover.promote(stand.resource, restored.handle))
    for one in stand.instances().values():
        if one.id == restored.handle.id:
            stand.settle(partial(_gone, stand, one.id))

    with pytest.raises(NothingToReleaseError):
        stand.settle(lambda: stand.provider.cutover.release(stand.resource, Notes()))

    assert len(stand.instances()) == 1


def test_a_copy_that_served_for_a_moment_leaves_a_last_backup_and_no_other_does(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    lasts = dict[str, str]()
    delete = stand.account.instances.delete

    def deleted(instance: Instance, final_backup: str) -> None:
        lasts[instance.id] = final_backup
        delete(instance, final_backup)

    monkeypatch.setattr(stand.account.instances, "delete", deleted)
    copies = [stand.restore(a_point(stand), key()) for _ in range(2)]
    served = copies[0].handle
    stand.settle(lambda: stand.provider.cutover.promote(stand.resource, served))
    stand.settle(lambda: stand.provider.cutover.demote(stand.resource, served))

    for copy in copies:
        stand.settle(partial(stand.provider.recovery.discard, stand.resource, copy.handle))

    assert lasts == {served.id: f"{served.server}-last", copies[1].handle.id: ""}
    assert set(stand.instances()) == {"orders"}


def _with_fence(stand: Stand, raised: RecoveryError | None) -> ManagedCutover:
    """Return the cutover with a fence that works, or does not."""

    def fence(server: RestoreHandle, connection: Connection, fenced: bool) -> None:  # noqa: FBT001 - as the real one
        del server, connection, fenced
        if raised is not None:
            raise raised

    return _Settling(replace(stand.account, fence=fence), stand)


class _Settling(ManagedCutover):
    """Lets time pass until a cutover is over."""

    def __init__(self, account: Account, stand: Stand) -> None:
        super().__init__(account)
        self._stand = stand

    def promote(self, resource: ProtectedResource, handle: RestoreHandle) -> Superseded:
        """Promote to the end."""
        return self._stand.settle(lambda: super(_Settling, self).promote(resource, handle))


def _gone(stand: Stand, identity: str) -> None:
    found = [one for one in stand.account.instances.all() if one.id == identity]
    if found and found[0].state is not State.GOING:
        stand.account.instances.delete(found[0], "")
    if found:
        raise NotYetError(identity)


CORE = (
    test_a_protected_instance_is_released_only_after_its_cutover,
    test_a_cutover_is_undone_from_wherever_it_got_to,
    test_a_broken_source_does_not_stop_the_cutover_from_it,
)
"""What the same cloud is asked once more where it behaves in another way."""
