"""How a database is kept, held against what the catalog demands; apart from what an API allows."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from domain.resources import ProtectedResource
from domain.values import show_span, show_time
from providers.managed.model import Encrypted, Instance, KeptBackup, Limits, Window

_DAY = timedelta(days=1)


def problems(
    resource: ProtectedResource,
    instance: Instance,
    backups: Sequence[KeptBackup],
    window: Window | None,
    limits: Limits,
    now: datetime,
) -> list[str]:
    """Return every way in which an instance is kept worse than the catalog demands."""
    return [
        *_keeping(resource, instance, limits),
        *_age(resource, backups, window, now),
        *_depth(resource, instance, window, now),
        *_encryption(resource, instance),
    ]


def _keeping(resource: ProtectedResource, instance: Instance, limits: Limits) -> Iterator[str]:
    kept, wanted = instance.keeping, resource.backups.retention // _DAY
    if not kept.enabled:
        yield "automatic backups are off"
    elif kept.kept is not None and kept.kept < wanted:
        yield f"{kept.kept} {limits.unit} of backups are kept, the catalog demands {wanted}"


def _age(
    resource: ProtectedResource,
    backups: Sequence[KeptBackup],
    window: Window | None,
    now: datetime,
) -> Iterator[str]:
    usable = [one.taken_at for one in backups if one.usable]
    newest = max([*usable, *([window.closes_at] if window else [])], default=None)
    if newest is None:
        yield "nothing can be restored: no usable backup"
    elif now - newest > resource.backups.max_age:
        yield (
            f"the newest that can be restored is of {show_time(newest)}, older than "
            f"{show_span(resource.backups.max_age)}"
        )


def _depth(
    resource: ProtectedResource, instance: Instance, window: Window | None, now: datetime
) -> Iterator[str]:
    """Tell a window that is not yet as deep as its setting: the number alone satisfies nobody."""
    if window is None or not instance.keeping.point_in_time or instance.keeping.unit != "days":
        return
    young = instance.created_at and now - instance.created_at < resource.backups.retention
    if not young and now - window.opens_at < resource.backups.retention - _DAY:
        yield (
            f"the window opens at {show_time(window.opens_at)}, less than "
            f"{show_span(resource.backups.retention)} ago"
        )


def _encryption(resource: ProtectedResource, instance: Instance) -> Iterator[str]:
    if resource.backups.encrypted and instance.encryption.encrypted is Encrypted.NO:
        yield "data and backups are not encrypted at rest"
