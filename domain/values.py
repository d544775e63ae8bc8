"""The shapes every other type is made of: frozen models, aware UTC times, spans as people write them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, PlainSerializer
from pydantic.functional_validators import AfterValidator

_SPAN = re.compile(r"(?P<count>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h|d|w)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_SIZE = re.compile(r"(?P<count>\d+(?:\.\d+)?)\s*(?P<unit>B|KiB|MiB|GiB|TiB)")
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class Value(BaseModel):
    """A frozen value that crosses a boundary; unknown keys are ignored, so two versions can meet."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Written(Value):
    """A frozen value that a person writes; the catalog's reader refuses a key it does not know."""


def _as_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_as_utc)]


def parse_span(text: str) -> timedelta:
    """Return the span that `text` such as `45m`, `26h` or `1h30m` writes.

    Raises:
        ValueError: with the accepted form.
    """
    total, end = timedelta(), 0
    stripped = text.strip()
    for part in _SPAN.finditer(stripped):
        if part.start() != end:
            break
        total += float(part["count"]) * _UNITS[part["unit"]]
        end = part.end()
    if not stripped or end != len(stripped):
        message = (
            f"{text!r} is not a span; write a number and ms, s, m, h, d or w, as in 45m or 1h30m"
        )
        raise ValueError(message)
    return total


def _span(value: Any) -> Any:  # noqa: ANN401 - what a file holds before validation has any type
    if isinstance(value, str) and not value.startswith(("P", "-P")):
        return parse_span(value)
    return value


def _size(value: Any) -> Any:  # noqa: ANN401 - as above
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        message = f"{value!r} is not a size; write a number and B, KiB, MiB, GiB or TiB"
        raise ValueError(message)
    return int(float(found["count"]) * _SIZES[found["unit"]])


Span = Annotated[timedelta, BeforeValidator(_span)]
Bytes = Annotated[
    int, BeforeValidator(_size), PlainSerializer(lambda count: count, return_type=int)
]


def show_span(span: timedelta) -> str:
    """Return `span` as people read it: `850 ms`, `1.9 s`, `4 min 05 s`, `2 h 03 min`."""
    seconds = span.total_seconds()
    if seconds < 0:
        return f"-{show_span(-span)}"
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours >= 48 and not hours % 24:  # noqa: PLR2004 - two days
        return f"{hours // 24} days"
    return f"{hours} h {minutes:02d} min"


def show_bytes(count: int) -> str:
    """Return `count` bytes in the largest unit that keeps it above one."""
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":  # noqa: PLR2004 - the unit's own factor
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def show_time(moment: datetime) -> str:
    """Return `moment` as RFC 3339 in UTC, to the millisecond when it has one."""
    precision = "microseconds" if moment.microsecond else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
