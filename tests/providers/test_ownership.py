"""Whose an instance is, from what its provider tells of it."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.resources import Engine
from providers.managed.model import Instance, State
from providers.managed.names import RUN, Ownership, ownership, run_tag

MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUN_ID = "0f" * 20
NAME = "refloat-0f0f0f0f-orders"
MINE, THEIRS, NONE = {RUN: run_tag(RUN_ID)}, {RUN: run_tag("another")}, dict[str, str]()


def _whose(
    tags: dict[str, str],
    created: timedelta | None,
    *,
    asked: timedelta | None,
    at_restore: bool,
    name: str = NAME,
) -> Ownership:
    """Return whose something is that was created, and asked for, so long ago."""
    found = Instance(
        name=name,
        id="db-1",
        state=State.BUSY,
        told="creating",
        engine=Engine.POSTGRESQL,
        tags=tags,
        created_at=None if created is None else NOW - created,
    )
    since = None if asked is None else NOW - asked
    return ownership(found, NAME, RUN_ID, since, now=NOW, tags_at_restore=at_restore)


@pytest.mark.parametrize(
    ("tags", "created", "asked", "whose"),
    [
        (MINE, 90 * MINUTE, 5 * MINUTE, Ownership.OURS),
        (THEIRS, MINUTE, 5 * MINUTE, Ownership.STRANGE),
        (NONE, MINUTE, 5 * MINUTE, Ownership.UNKNOWN),
        (NONE, None, 5 * MINUTE, Ownership.UNKNOWN),  # no time of its own while it is made
        (NONE, 6 * MINUTE, 5 * MINUTE, Ownership.UNKNOWN),  # two clocks differ
        (NONE, 8 * MINUTE, 5 * MINUTE, Ownership.STRANGE),
        (NONE, 20 * MINUTE, 30 * MINUTE, Ownership.STRANGE),  # tags show long before that
        (NONE, MINUTE, None, Ownership.STRANGE),
    ],
)
def test_a_tag_that_does_not_show_yet_is_waited_for_while_the_instance_can_be_ours(
    tags: dict[str, str],
    created: timedelta | None,
    asked: timedelta | None,
    whose: Ownership,
) -> None:
    assert _whose(tags, created, asked=asked, at_restore=True) is whose


@pytest.mark.parametrize(
    ("tags", "created", "name", "whose"),
    [
        (MINE, 90 * MINUTE, "orders", Ownership.OURS),
        (NONE, MINUTE, NAME, Ownership.OURS),
        (THEIRS, MINUTE, NAME, Ownership.OURS),  # came along with the data
        (NONE, MINUTE, "orders", Ownership.STRANGE),
        (NONE, 8 * MINUTE, NAME, Ownership.STRANGE),
        (NONE, None, NAME, Ownership.STRANGE),
    ],
)
def test_where_no_tag_goes_with_a_restore_name_and_age_prove_whose_it_is(
    tags: dict[str, str], created: timedelta | None, name: str, whose: Ownership
) -> None:
    assert _whose(tags, created, asked=5 * MINUTE, at_restore=False, name=name) is whose
