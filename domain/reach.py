"""Whether a moment can be reached, and what is the nearest that can."""

from collections.abc import Sequence
from datetime import datetime

from domain.errors import RecoveryPointUnreachableError
from domain.recovery import RecoveryWindow
from domain.values import show_time

_OFFERED = 5


def require_reachable(
    path: str, windows: Sequence[RecoveryWindow], moment: datetime, now: datetime
) -> RecoveryWindow:
    """Return the window that holds `moment`, or refuse with the nearest that can be had.

    Raises:
        RecoveryPointUnreachableError: with the offers to show.
    """
    if moment > now:
        raise RecoveryPointUnreachableError(
            path, f"{show_time(moment)} is in the future (now is {show_time(now)})"
        )
    for window in windows:
        if window.holds(moment):
            return window
    if not windows:
        raise RecoveryPointUnreachableError(
            path,
            "nothing can be restored, because no base backup has been completed",
            ("take one with `refloat snapshot create`",),
        )
    raise _outside(path, sorted(windows, key=lambda window: window.opens_at), moment)


def _outside(
    path: str, ordered: Sequence[RecoveryWindow], moment: datetime
) -> RecoveryPointUnreachableError:
    before = [window for window in ordered if window.closes_at < moment]
    after = [window for window in ordered if window.opens_at > moment]
    if not before:
        opens = ordered[0].opens_at
        return RecoveryPointUnreachableError(
            path,
            f"{show_time(moment)} is before the recovery window opens",
            (f"the earliest possible time is {show_time(opens)}",),
        )
    closes = max(window.closes_at for window in before)
    if not after:
        return RecoveryPointUnreachableError(
            path,
            f"{show_time(moment)} is after the recovery window closes",
            (f"the latest possible time is {show_time(closes)}", "`--latest` takes it"),
        )
    return RecoveryPointUnreachableError(
        path,
        f"{show_time(moment)} is in a gap of the archive, "
        f"from {show_time(closes)} to {show_time(after[0].opens_at)}",
        (
            f"the last time before it is {show_time(closes)}",
            f"the first after it is {show_time(after[0].opens_at)}",
        ),
    )


def unknown_snapshot(
    path: str, snapshot_id: str, known: Sequence[str]
) -> RecoveryPointUnreachableError:
    """Return the error for a snapshot that there is not, with some of those that there are."""
    offers = tuple(known[:_OFFERED]) or ("take one with `refloat snapshot create`",)
    return RecoveryPointUnreachableError(path, f"there is no snapshot {snapshot_id!r}", offers)
