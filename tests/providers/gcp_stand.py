"""What the tests of Cloud SQL's provider do most, over a simulated project."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from domain.checks import Finding
from domain.errors import (
    NotYetError,
)
from domain.recovery import RecoveryPoint, RestoredResource, TargetKind
from domain.resources import Mode
from providers.managed.model import Instance, State
from simulators.gcp.plane import CloudSqlPlane
from tests.providers.clouds import Stand


def plane_of(stand: Stand) -> CloudSqlPlane:
    return cast("CloudSqlPlane", stand.plane)


def raw(stand: Stand, name: str) -> dict[str, Any]:
    """Return the settings that the stand-in holds, as its JSON."""
    settings: dict[str, Any] = plane_of(stand)._account.instances["sandbox", name].settings
    return settings


def key() -> str:
    return uuid.uuid4().hex


def an_hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


def in_time(stand: Stand) -> RecoveryPoint:
    return stand.point(kind=TargetKind.TIME, time=an_hour_ago())


def of_backup(stand: Stand) -> RecoveryPoint:
    newest = stand.provider.points.snapshots(stand.resource)[0]
    return stand.point(kind=TargetKind.SNAPSHOT, name=newest.id)


def present(stand: Stand, name: str) -> Instance:
    found = stand.account.instances.find(name)
    assert found is not None
    return found


def serving_now(stand: Stand) -> str:
    found = stand.account.current(stand.resource)
    assert found is not None
    return found.name


def cut_over(stand: Stand, restored: RestoredResource) -> None:
    stand.carry_over(restored)
    stand.settle(lambda: stand.provider.cutover.promote(stand.resource, restored.handle))


def deleted(stand: Stand, name: str, final_backup: str = "last") -> None:
    """Delete an instance, and let its deletion pass."""

    def act() -> None:
        found = stand.account.instances.find(name)
        if found is None:
            return
        if found.state is not State.GOING:
            stand.account.instances.delete(found, final_backup=final_backup)
        message = "the deletion"
        raise NotYetError(message)

    stand.settle(act)


def findings(stand: Stand, point: RecoveryPoint) -> dict[str, Finding]:
    found = stand.provider.preflight.examine(stand.resource, point, Mode.INCIDENT)
    return {one.name: one for one in found}
