"""From when to when an instance can be restored."""

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from simulators.aws.records import InstanceRecord
from simulators.aws.region import Region

Window: TypeAlias = tuple[datetime, datetime]
SECOND = timedelta(seconds=1)
_TICK = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def down_to(moment: datetime, step: timedelta) -> datetime:
    """Return the last full step at or before a moment."""
    return moment - (moment - _EPOCH) % step


def window_of(region: Region, record: InstanceRecord, retention: int) -> Window | None:
    """Return the window in full seconds, or None while there is none."""
    if retention == 0 or record.course.status == "creating":
        return None
    found = region.backends(record.engine).window(record.id)
    if found is None:
        return None
    oldest = max(found[0], region.estate.clock.now() - timedelta(days=retention))
    opens = down_to(oldest + SECOND - _TICK, SECOND)
    closes = down_to(found[1], max(region.limits.lag, SECOND))
    return (opens, closes) if closes >= opens else None
