"""What every cloud's cutover promises: it comes to an end, and it can be taken back.

The instances exist by name only, as in `test_cloud_contract.py`.
"""

from datetime import timedelta

from domain.errors import RecoveryError
from domain.recovery import Superseded
from providers.managed.model import Instance
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


CORE = (
    test_a_protected_instance_is_released_only_after_its_cutover,
    test_a_cutover_is_undone_from_wherever_it_got_to,
    test_a_broken_source_does_not_stop_the_cutover_from_it,
)
"""What the same cloud is asked once more where it behaves in another way."""
