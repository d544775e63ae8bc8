"""The choice of what an application goes back to."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import RecoveryPointUnreachableError
from domain.rollback import (
    ContainerImage,
    Image,
    Revision,
    RollbackKind,
    RollbackTarget,
    choose,
    works_with,
)

PATH = "shop/production/checkout"
BEGIN = datetime(2026, 3, 1, 9, tzinfo=UTC)
PREVIOUS = RollbackTarget(kind=RollbackKind.PREVIOUS)


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def ran(number: int, letter: str, *, minutes: float = 60, **more: Any) -> Revision:
    """Return a revision that began at the hour of its number."""
    started = BEGIN + timedelta(hours=number)
    values = {
        "id": f"checkout-{number}",
        "number": number,
        "images": (
            ContainerImage(
                container="shop",
                written=f"registry.example/shop:v{number}",
                digest=digest(letter) if letter else "",
            ),
        ),
        "container": "shop",
        "started_at": started,
        "ended_at": started + timedelta(minutes=minutes),
    }
    return Revision.model_validate(values | more)


def now(number: int, letter: str, **more: Any) -> Revision:
    return ran(number, letter, current=True, ended_at=None, **more)


def named(reference: str) -> RollbackTarget:
    return RollbackTarget(kind=RollbackKind.REFERENCE, reference=reference)


def test_previous_is_the_newest_healthy_one_with_another_image() -> None:
    history = [
        now(5, "e"),
        ran(4, "e", healthy=True),
        ran(3, "d", healthy=False),
        ran(2, "b", healthy=True),
        ran(1, "a", healthy=True),
    ]

    assert choose(PATH, history, PREVIOUS, None).digest == digest("b")


def test_previous_takes_what_nobody_watched_only_when_it_served_for_long() -> None:
    history = [now(3, "c"), ran(2, "b", minutes=2), ran(1, "a", minutes=30)]

    assert choose(PATH, history, PREVIOUS, None).digest == digest("a")


def test_previous_without_an_earlier_version_is_refused() -> None:
    with pytest.raises(RecoveryPointUnreachableError, match="no earlier version is known"):
        choose(PATH, [now(1, "a")], PREVIOUS, None)


def test_previous_without_a_healthy_version_is_refused_with_the_ones_that_can_be_named() -> None:
    history = [now(2, "b"), ran(1, "a", healthy=False)]

    with pytest.raises(RecoveryPointUnreachableError, match="no earlier version was healthy") as no:
        choose(PATH, history, PREVIOUS, None)

    assert no.value.offers[0].startswith(f"--to {digest('a')[:19]} (registry.example/shop:v1")


def test_a_digest_may_be_written_by_its_first_twelve_digits() -> None:
    history = [now(2, "b"), ran(1, "a")]

    assert choose(PATH, history, named("sha256:" + "a" * 12), None).revision == history[1]
    assert choose(PATH, history, named("a" * 12), None).revision == history[1]


def test_a_tag_that_moved_means_the_digest_that_ran_and_is_told() -> None:
    history = [now(2, "b"), ran(1, "a")]
    today = Image(repository="registry.example/shop", digest=digest("f"), tags=("v1",))

    chosen = choose(PATH, history, named("v1"), today)

    assert chosen.digest == digest("a")
    assert "means sha256:ffffffffffff in the registry now" in chosen.notes[0]


def test_what_never_ran_comes_back_as_an_image_alone() -> None:
    kept = Image(repository="registry.example/shop", digest=digest("9"), tags=("v0",))

    chosen = choose(PATH, [now(2, "b")], named("v0"), kept)

    assert chosen.revision is None
    assert chosen.digest == digest("9")
    assert "not in the platform's history" in chosen.notes[0]


def test_what_neither_ran_nor_is_kept_is_refused() -> None:
    with pytest.raises(RecoveryPointUnreachableError, match="no image 'v7'"):
        choose(PATH, [now(2, "b")], named("v7"), None)


def test_what_runs_now_is_nothing_to_go_back_to() -> None:
    with pytest.raises(RecoveryPointUnreachableError, match="is what runs now"):
        choose(PATH, [now(2, "b"), ran(1, "a")], named(digest("b")), None)


@pytest.mark.parametrize(("minutes", "letter"), [(61, "a"), (119, "a"), (121, "b")])
def test_a_time_means_what_ran_then(minutes: int, letter: str) -> None:
    history = [now(3, "c"), ran(2, "b"), ran(1, "a")]
    target = RollbackTarget(kind=RollbackKind.AT, time=BEGIN + timedelta(minutes=minutes))

    assert choose(PATH, history, target, None).digest == digest(letter)


def test_a_time_before_everything_known_is_refused_with_since_when_it_is_known() -> None:
    target = RollbackTarget(kind=RollbackKind.AT, time=BEGIN)

    with pytest.raises(RecoveryPointUnreachableError, match="known since 2026-03-01T10:00:00Z"):
        choose(PATH, [now(2, "b"), ran(1, "a")], target, None)


def test_an_image_that_nothing_shows_is_refused_and_never_guessed() -> None:
    with pytest.raises(RecoveryPointUnreachableError, match="nothing shows which image"):
        choose(PATH, [now(2, "b"), ran(1, "", healthy=True)], PREVIOUS, None)


@pytest.mark.parametrize(
    ("declared", "present", "fits"),
    [
        ("4", "4", True),
        ("4", "5", False),
        ("3..5", "4", True),
        ("3..5", "6", False),
        ("3 .. 10", "9", True),
        ("2026.03..2026.05", "2026.04", True),
        ("", "4", None),
        ("4", "", None),
    ],
)
def test_an_image_fits_the_schema_that_it_declares(
    declared: str, present: str, *, fits: bool | None
) -> None:
    assert works_with(declared, present) is fits
