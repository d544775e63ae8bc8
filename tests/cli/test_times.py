"""Moments as people say them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cli.times import parse_moment, show_both
from domain.errors import RefusedError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T09:30:00Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01T09:30:00+01:00", datetime(2026, 3, 1, 8, 30, tzinfo=UTC)),
        ("10 minutes ago", NOW - timedelta(minutes=10)),
        ("90s ago", NOW - timedelta(seconds=90)),
        ("2 hours ago", NOW - timedelta(hours=2)),
        ("today 10:41", datetime(2026, 11, 23, 9, 41, tzinfo=UTC)),
        ("10:41:30", datetime(2026, 11, 23, 9, 41, 30, tzinfo=UTC)),
        ("yesterday 23:05", datetime(2026, 11, 22, 22, 5, tzinfo=UTC)),
        ("now", NOW),
    ],
)
def test_the_accepted_forms_are_understood(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW, PARIS) == moment


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-03-01T09:30:00", "no zone"),
        ("2026-03-01 09:30", "no zone"),
        ("soon", "not a time; write 2026"),
        ("", "not a time"),
        ("today 25:00", "not a time of day"),
        ("today 23:59", "in the future"),
        ("2030-01-01T00:00:00Z", "in the future"),
    ],
)
def test_anything_else_is_refused_with_the_accepted_forms(text: str, told: str) -> None:
    with pytest.raises(RefusedError, match=told):
        parse_moment(text, NOW, PARIS)


def test_an_hour_that_happens_twice_is_refused() -> None:
    after_change = datetime(2026, 10, 25, 12, tzinfo=UTC)

    with pytest.raises(RefusedError, match="twice or never"):
        parse_moment("today 02:30", after_change, PARIS)


def test_the_zone_is_shown_back() -> None:
    assert show_both(NOW, PARIS) == "Monday 2026-11-23 13:00:00 CET = 2026-11-23T12:00:00Z"
