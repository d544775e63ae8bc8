"""Moments as Google writes them: RFC 3339, UTC with a Z."""

import re
from datetime import UTC, datetime

MOMENT = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"


def written(moment: datetime) -> str:
    """Return an aware moment as text, with six digits of a second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def read(text: str) -> datetime:
    """Return the moment that a text means, rounded down to microseconds; `ValueError` for none."""
    match = re.fullmatch(MOMENT, text)
    if match is None:
        raise ValueError(f"{text!r} is no moment")
    second, part, zone = match.groups()
    moment = datetime.fromisoformat(f"{second}{(part or '.0')[:7]:0<7}{zone}")
    return moment.astimezone(UTC)


def is_moment(text: str) -> bool:
    """Return whether a text is meant as a moment."""
    return re.match(r"\d{4}-\d\d-\d\dT", text) is not None
