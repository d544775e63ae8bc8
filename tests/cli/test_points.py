"""What the command prints of the points that there are."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from cli.printing import points_tables
from domain.recovery import RecoveryPointList, Snapshot


def _printed(snapshot: Snapshot) -> str:
    told = io.StringIO()
    console = Console(file=told, width=200)
    for table in points_tables(RecoveryPointList(windows=(), snapshots=(snapshot,))):
        console.print(table)
    return told.getvalue()


@pytest.mark.parametrize(
    ("lsn", "size", "told", "untold"),
    [
        ("", None, "unknown", "in the log"),
        ("0/3000060", None, "in the log", "unknown"),
        ("", 5 * 2**30, "5.0 GiB", "unknown"),
    ],
)
def test_a_size_that_nobody_knows_is_unknown_and_only_a_mark_is_in_the_log(
    lsn: str, size: int | None, told: str, untold: str
) -> None:
    printed = _printed(
        Snapshot(
            id="snap-1",
            taken_at=datetime(2026, 3, 1, tzinfo=UTC),
            lsn=lsn,
            source="orders",
            size_bytes=size,
        )
    )

    assert told in printed
    assert untold not in printed
