"""What Azure is asked before a restore: rights, locks, quota, key."""

from typing import Any

import pytest

from domain.checks import Verdict
from domain.resources import Mode
from tests.providers import azure_stand
from tests.providers.azure_stand import account_of
from tests.providers.clouds import Stand
from tests.providers.test_cloud_contract import a_point

stand, bare = azure_stand.stand, azure_stand.bare


def findings(stand: Stand, mode: Mode = Mode.INCIDENT) -> dict[str, Verdict]:
    found = stand.provider.preflight.examine(stand.resource, a_point(stand), mode)
    return {one.name: one.verdict for one in found}


def test_a_preflight_finds_nothing_in_the_way(stand: Stand) -> None:
    found = findings(stand)

    assert found.pop("login of the checks") is Verdict.NOT_APPLICABLE  # nobody answers here
    assert set(found.values()) == {Verdict.PASSED}


def test_each_finding_is_understood_without_the_question(stand: Stand) -> None:
    found = stand.provider.preflight.examine(stand.resource, a_point(stand), Mode.INCIDENT)
    told = {one.name: one.observed for one in found}

    assert told["credentials"].startswith("resource group ")
    assert told["credentials"].endswith(" can be read")
    assert told["activity log"] == "can be read"
    assert told["quota"] == "room for one more"


def test_a_role_without_a_right_is_found_before_anything_is_made(stand: Stand) -> None:
    account_of(stand).denied.add("Microsoft.DBforPostgreSQL/flexibleServers/write")

    found = findings(stand)

    assert found["permission to restore"] is Verdict.FAILED
    assert found["permission to delete"] is Verdict.PASSED


@pytest.mark.parametrize(
    ("level", "mode", "verdict"),
    [
        ("CanNotDelete", Mode.DRILL, Verdict.FAILED),
        ("CanNotDelete", Mode.INCIDENT, Verdict.PASSED),
        ("ReadOnly", Mode.INCIDENT, Verdict.FAILED),
    ],
)
def test_a_lock_of_the_group_would_hold_for_the_copy(
    stand: Stand, level: str, mode: Mode, verdict: Verdict
) -> None:
    plane: Any = stand.plane
    plane.lock("sandbox", level)

    assert findings(stand, mode)["management locks"] is verdict
    plane.lock("sandbox", "")
    plane.lock("orders", level)
    assert findings(stand, mode)["management locks"] is Verdict.PASSED


def test_a_full_quota_is_found(stand: Stand) -> None:
    account_of(stand).quota = 1

    assert findings(stand)["quota"] is Verdict.FAILED


def test_whose_key_it_is_is_told(stand: Stand) -> None:
    facts = stand.provider.points.describe(stand.resource).facts

    assert facts[0].startswith("encrypted at rest: yes, key https://shop-keys.vault.azure.net")
    assert "of the customer, rotation on" in facts[0]
