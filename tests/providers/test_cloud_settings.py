"""What every cloud's provider does with a setting that it cannot carry over.

The instances exist by name only, as in `test_cloud_contract.py`.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest

from domain.errors import AccessDeniedError, ServerFailedError
from domain.recovery import RestoredResource, SettingDifference
from domain.resources import Mode
from providers.managed.model import Instance
from tests.providers.clouds import Stand
from tests.providers.test_cloud_contract import a_point, key, stand
from tests.station import Notes

__all__ = ["stand"]

MOVED = {
    "aws": {"IAM authentication": "false", "minor upgrades": "true"},
    "gcp": {"connectors only": "REQUIRED", "days of log": "5"},
}
"""What somebody changes at the source meanwhile, where a restore takes everything along."""
ONE = pytest.mark.parametrize("stand", ["azure"], indirect=True)
"""Where the clouds do not differ, and one repairs setting by setting."""
NOT_ALLOWED = "change it: the credentials lack the permission iam:PassRole"


def test_a_setting_that_the_provider_refuses_is_left_and_the_others_are_repaired(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored = _restored(stand)
    victim = _differing(stand, restored, essential=False)
    _around(stand, monkeypatch, victim, _refuse)

    found = _carried_over(stand, restored)

    told = found.pop(victim)
    assert told.outcome == "left"
    assert told.why == f"refused: {NOT_ALLOWED}"
    assert {one.name for one in found.values() if one.outcome == "left"} <= _never(stand)


@ONE
def test_nobody_goes_on_while_who_may_get_in_is_not_as_at_the_source(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored = _restored(stand)
    victim = _differing(stand, restored, essential=True)
    _around(stand, monkeypatch, victim, _refuse)

    with pytest.raises(AccessDeniedError, match="iam:PassRole"):
        _carried_over(stand, restored)


@ONE
def test_a_change_that_is_accepted_and_never_made_does_not_hold_the_recovery_up(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored = _restored(stand)
    victim = _differing(stand, restored, essential=False)
    _around(stand, monkeypatch, victim, lambda: None)

    found = _carried_over(stand, restored)

    told = found.pop(victim)
    assert told.outcome == "left"
    assert "accepts the change time and again" in told.why
    assert {one.name for one in found.values() if one.outcome == "left"} <= _never(stand)


@ONE
def test_access_that_never_changes_although_accepted_ends_the_step(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored = _restored(stand)
    victim = _differing(stand, restored, essential=True)
    _around(stand, monkeypatch, victim, lambda: None)

    with pytest.raises(ServerFailedError, match="accepts the change time and again"):
        _carried_over(stand, restored)


def _restored(stand: Stand) -> RestoredResource:
    """Return a copy that differs from its source in something of each kind."""
    restored = stand.restore(a_point(stand), key())
    source = stand.instances()["orders"]
    if stand.cloud.kind in MOVED:
        stand.settle(lambda: stand.account.settings.change(source, MOVED[stand.cloud.kind], source))
        stand.estate.clock.move(timedelta(minutes=10))
    return restored


def _refuse() -> None:
    raise AccessDeniedError(NOT_ALLOWED)


def _around(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, victim: str, instead: Callable[[], None]
) -> None:
    """Make every change of one setting end otherwise; what else is asked for is done."""
    change = stand.account.settings.change

    def changed(instance: Instance, wanted: Mapping[str, str], like: Instance) -> None:
        if victim in wanted:
            instead()
        others = {name: value for name, value in wanted.items() if name != victim}
        if others or not wanted:
            change(instance, others, like)

    monkeypatch.setattr(stand.account.settings, "change", changed)


def _differing(stand: Stand, restored: RestoredResource, *, essential: bool) -> str:
    """Return a setting that a restore here drops, and that can be repaired."""
    everything = stand.instances()
    source, copy = everything["orders"], everything[restored.handle.server]
    settings = stand.account.settings
    return next(
        row.name
        for row in reversed(settings.table)  # last: others may depend on the first
        if row.essential == essential
        and not row.left
        and source.settings.get(row.name) != copy.settings.get(row.name)
        and not settings.left(row.name, source, copy)
    )


def _carried_over(stand: Stand, restored: RestoredResource) -> dict[str, SettingDifference]:
    memory = Notes()
    found = stand.settle(
        lambda: stand.provider.settings.carry_over(stand.resource, restored, Mode.INCIDENT, memory)
    )
    return {one.name: one for one in found}


def _never(stand: Stand) -> set[str]:
    return {row.name for row in stand.account.settings.table if row.left}
