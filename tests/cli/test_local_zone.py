"""The zone of whoever types, as the command uses it: on the date meant, not on today's."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.context import local_zone
from cli.times import parse_moment, parse_since, show_both
from domain.errors import RefusedError

PARIS = ZoneInfo("Europe/Paris")
AFTER_CHANGE = datetime(2026, 10, 25, 12, tzinfo=UTC)


@pytest.fixture(autouse=True, scope="module")
def _in_paris() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Paris")
        time.tzset()
        yield
    time.tzset()


def test_yesterday_before_a_change_of_clock_has_yesterdays_offset() -> None:
    meant = parse_moment("yesterday 01:00", AFTER_CHANGE, local_zone())

    assert meant == datetime(2026, 10, 23, 23, tzinfo=UTC)


def test_an_hour_that_happens_twice_or_never_is_refused() -> None:
    with pytest.raises(RefusedError, match="twice or never"):
        parse_moment("today 02:30", AFTER_CHANGE, local_zone())
    with pytest.raises(RefusedError, match="twice or never"):
        parse_moment("today 02:30", datetime(2026, 3, 29, 12, tzinfo=UTC), local_zone())


def test_a_moment_is_shown_in_the_zone_in_force_on_its_date() -> None:
    summer = datetime(2026, 7, 1, 12, tzinfo=UTC)

    assert show_both(summer, local_zone()) == (
        "Wednesday 2026-07-01 14:00:00 CEST = 2026-07-01T12:00:00Z"
    )


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2036, 1, 1)))  # noqa: DTZ001 - made aware below
def test_the_local_zone_agrees_with_the_time_zone_database(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    ours, theirs = moment.astimezone(local_zone()), moment.astimezone(PARIS)

    assert ours.replace(tzinfo=None) == theirs.replace(tzinfo=None)
    assert (ours.fold, ours.utcoffset(), ours.tzname()) == (
        theirs.fold,
        theirs.utcoffset(),
        theirs.tzname(),
    )
    assert ours.astimezone(UTC) == moment


@pytest.mark.parametrize(
    "text",
    [
        "999999999 days ago",
        "9999999999999 days ago",
        "0001-01-01T00:00:00+05:00",
        "1969-12-31T00:00Z",
    ],
)
def test_a_moment_that_no_backup_can_hold_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="before 1970"):
        parse_moment(text, AFTER_CHANGE, local_zone())


@pytest.mark.parametrize(
    "text", ["2026-03-01x09:30:00Z", "20260301T093000Z", "2026-W09-7T09:30:00Z", "2026-03-01T09Z"]
)
def test_forms_beyond_rfc_3339_are_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="is not a time"):
        parse_moment(text, AFTER_CHANGE, local_zone())


@given(st.text("0123456789 :.-+TZadeghimnorstuwy", max_size=26))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        found = parse_moment(text, AFTER_CHANGE, PARIS)
    except RefusedError:
        return
    assert found <= AFTER_CHANGE
    assert found.utcoffset() == timedelta()


def test_since_takes_a_span_or_a_moment() -> None:
    assert parse_since("2h", AFTER_CHANGE, PARIS) == AFTER_CHANGE - timedelta(hours=2)
    assert parse_since("now", AFTER_CHANGE, PARIS) == AFTER_CHANGE
    assert parse_since("99999999999d", AFTER_CHANGE, PARIS).year == 1970
    with pytest.raises(RefusedError):
        parse_since("a while", AFTER_CHANGE, PARIS)
