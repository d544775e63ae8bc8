"""A worker killed in each phase of a rollback: the same result, one rollout, one commit."""

import asyncio
from collections.abc import Sequence

import pytest

from client.rollbacks import configuration_request, rollback_request
from domain.configuration import ConfigurationTarget, PointKind
from domain.report import Outcome
from domain.rollback import RollbackKind, RollbackTarget
from tests.station import wait_for
from tests.workflows.configured import configured
from tests.workflows.killing import Death, Mortals
from tests.yard import Yard, needs_podman, yard

pytestmark = needs_podman

STEPS = (
    "rollback.choose",
    "rollback.examine",
    "rollback.declared_schema",
    "evidence.estimate",
    "rollback.apply",
    "rollback.await_rollout",
    "rollback.await_healthy",
    "rollback.protect",
    "evidence.store",
)


DEATHS: Sequence[Sequence[Death]] = [
    *([(step, "before") for step in STEPS[first::2]] for first in range(2)),
    *([(step, "after") for step in STEPS[first::2]] for first in range(2)),
    [("rollback.apply", "reported"), ("rollback.await_healthy", "during")],
]


async def _killed_at(deaths: Sequence[Death]) -> None:
    with yard() as shop:
        mortals = Mortals(shop.root)
        try:
            await _rolled_back(shop, mortals, deaths)
        finally:
            mortals.stop()


async def _rolled_back(shop: Yard, mortals: Mortals, deaths: Sequence[Death]) -> None:
    shop.push("v1")
    shop.push("v2", "ill")
    await asyncio.to_thread(shop.serve, "v1")
    shop.deploy("v2")
    await asyncio.to_thread(wait_for, "v2 to run", lambda: shop.release() == "v2", 20)
    request = rollback_request(shop.application, RollbackTarget(kind=RollbackKind.PREVIOUS))

    report = await mortals.run(request, deaths)

    assert (report.outcome, report.failure, report.left_behind) == (Outcome.DONE, "", ()), deaths
    assert shop.release() == "v1"
    assert shop.starts("v1") == 2


@pytest.mark.slow
async def test_a_worker_killed_in_any_phase_changes_nothing() -> None:
    await asyncio.gather(*(_killed_at(deaths) for deaths in DEATHS))


CONFIGURATION_STEPS = (
    "configuration.resolve",
    "configuration.difference",
    "configuration.examine",
    "evidence.estimate",
    "configuration.restore",
    "configuration.apply",
    "configuration.await_effect",
    "consumer.await_healthy",
    "configuration.mark_good",
    "evidence.store",
)


async def _reconfigured_at(deaths: Sequence[Death]) -> None:
    with configured() as shop:
        mortals = Mortals(shop.yard.root)
        try:
            await asyncio.to_thread(shop.break_it)
            target = ConfigurationTarget(kind=PointKind.REFERENCE, reference="v1")

            report = await mortals.run(
                configuration_request(shop.yard.configuration, target), deaths
            )

            told = (report.outcome, report.failure, report.left_behind)
            assert told == (Outcome.DONE, "", ()), deaths
            assert shop.healthy()
            assert len(shop.commits()) == 3, shop.commits()
            assert len(shop.ground.git("tag").splitlines()) == 2
        finally:
            mortals.stop()


@pytest.mark.slow
async def test_a_worker_killed_in_any_phase_makes_no_second_commit() -> None:
    deaths: list[list[Death]] = [
        [(step, point) for step in CONFIGURATION_STEPS[first::2]]
        for point in ("before", "after")
        for first in range(2)
    ]
    await asyncio.gather(*(_reconfigured_at(one) for one in deaths))
