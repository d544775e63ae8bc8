"""Moments as people say them, strictly: what could mean two things is refused."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from domain.errors import RefusedError
from domain.values import parse_span, show_time

FORMS = (
    "write 2026-03-01T09:30:00Z (a zone is needed), '10 minutes ago', 'today 10:41', "
    "'yesterday 23:05' or '10:41:30'"
)
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|seconds?|minutes?|hours?|days?|min)\s+ago")
_CLOCK = re.compile(r"(?:(today|yesterday)\s+)?(\d{1,2}):(\d\d)(?::(\d\d)(\.\d{1,6})?)?")
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.IGNORECASE
)
_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class LocalZone(tzinfo):
    """The zone of this machine on any date: a fixed offset would be wrong across a clock change."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """Return the offset that was or will be in force at a local moment."""
        return None if moment is None else self._at(moment).utcoffset()

    def tzname(self, moment: datetime | None) -> str | None:
        """Return the zone's name at a local moment."""
        return None if moment is None else self._at(moment).tzname()

    def dst(self, _moment: datetime | None) -> timedelta | None:
        """Return nothing: the offset holds all that is needed."""
        return None

    def fromutc(self, moment: datetime) -> datetime:
        """Return the local moment; the second of two equal ones is marked as such."""
        universal = moment.replace(tzinfo=UTC)
        local = universal.astimezone().replace(tzinfo=None, fold=0)
        again = local.astimezone() != universal
        return local.replace(tzinfo=self, fold=int(again))

    @staticmethod
    def _at(moment: datetime) -> datetime:
        return moment.replace(tzinfo=None).astimezone()


def parse_moment(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Return the moment that `text` means, aware and UTC; local forms count in `zone`.

    Raises:
        RefusedError: unparsable, without a zone, ambiguous, or in the future.
    """
    stripped = " ".join(text.strip().split())
    found = _ago(stripped, now) or _clock(stripped, now, zone) or _rfc3339(stripped)
    if stripped.lower() == "now":
        found = now
    if found is None:
        raise RefusedError(f"{text!r} is not a time; {FORMS}")
    try:
        moment = found.astimezone(UTC)
    except OverflowError:
        moment = datetime.min.replace(tzinfo=UTC)
    if moment < _OLDEST:
        raise RefusedError(f"{text!r} is before 1970; {FORMS}")
    if moment > now:
        raise RefusedError(
            f"{text!r} is in the future: {show_time(moment)}, and now is {show_time(now)}"
        )
    return moment


def _ago(text: str, now: datetime) -> datetime | None:
    found = _AGO.fullmatch(text.lower())
    if found is None:
        return None
    unit = _NAMES[found[2][0]]
    return _before(now, lambda: timedelta(**{unit: float(found[1])}))


def _before(now: datetime, span: Callable[[], timedelta]) -> datetime:
    """Return the moment a span ago; one that no calendar holds is the oldest there is."""
    try:
        return now - span()
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _clock(text: str, now: datetime, zone: tzinfo) -> datetime | None:
    found = _CLOCK.fullmatch(text.lower())
    if found is None:
        return None
    day = now.astimezone(zone).date()
    if found[1] == "yesterday":
        day -= timedelta(days=1)
    fraction = round(float(found[5]) * 1_000_000) if found[5] else 0
    try:
        local = datetime(
            day.year,
            day.month,
            day.day,
            int(found[2]),
            int(found[3]),
            int(found[4] or 0),
            fraction,
            zone,
        )
    except ValueError as error:
        raise RefusedError(f"{text!r} is not a time of day ({error}); {FORMS}") from None
    first, second = local.replace(fold=0), local.replace(fold=1)
    if first.utcoffset() != second.utcoffset():
        raise RefusedError(
            f"{text!r} happens twice or never in the local zone, where the clock changes that day; "
            "write it with its zone, as in 2026-03-01T09:30:00+01:00"
        )
    return local


def _rfc3339(text: str) -> datetime | None:
    if _RFC3339.fullmatch(text) is None:
        return None
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    if found.tzinfo is None:
        raise RefusedError(f"{text!r} has no zone, so it could mean several moments; {FORMS}")
    return found


def parse_since(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Return the moment that `--since` means: a span such as 2h, or a moment."""
    try:
        moment = _before(now, lambda: parse_span(text))
    except ValueError:
        try:
            return parse_moment(text, now, zone)
        except RefusedError as error:
            raise RefusedError(f"{error}; or a span, as in 2h or 90m") from None
    return max(moment, _OLDEST)


def show_both(moment: datetime, zone: tzinfo) -> str:
    """Return a moment in the local zone and in UTC."""
    local = moment.astimezone(zone)
    return f"{local.strftime('%A %Y-%m-%d %H:%M:%S %Z')} = {show_time(moment)}"
