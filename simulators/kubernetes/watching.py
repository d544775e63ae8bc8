"""Watches: what happens to the selected objects from a version on, as it happens."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from simulators.kubernetes.kinds import Kind
from simulators.kubernetes.listing import Selection
from simulators.kubernetes.refusals import too_old
from simulators.kubernetes.selecting import Test
from simulators.kubernetes.store import Change, Store
from simulators.kubernetes.values import Json

_BEAT = 1.0
"""Seconds between two bookmarks; a server's are a minute apart."""


@dataclass(frozen=True)
class Watch:
    """How a watch is asked for."""

    selection: Selection
    version: int = 0
    bookmarks: bool = False
    seconds: float | None = None


class Watcher:
    """Follows the history for the watches of one server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.closed = False

    def close(self) -> None:
        """End every watch."""
        with self._store.changed:
            self.closed = True
            self._store.changed.notify_all()

    def follow(self, asked: Watch) -> Iterator[Json]:
        """Yield the events of a watch until its time is over, or the server's is.

        A watch that would begin in compacted history gets one event that says so.

        Raises:
            ApiError: a selector cannot be read.
        """
        return self._events(asked, asked.selection.test())

    def _events(self, asked: Watch, test: Test) -> Iterator[Json]:
        kind = asked.selection.kind
        with self._store.lock:
            at, first = self._start(asked, test)
        yield from first
        ends = time.monotonic() + (asked.seconds if asked.seconds is not None else 1800)
        beat = time.monotonic() + _BEAT
        while not self.closed:
            changes = self._next(at, kind, min(ends, beat))
            if changes is None:
                yield {"type": "ERROR", "object": too_old(at, self._store.compacted).status}
                return
            for change in changes:
                at = change.version
                yield from _event(change, test)
            now = time.monotonic()
            if asked.bookmarks and now >= min(beat, ends):
                with self._store.lock:
                    at = at if self._store.since(at, kind) else self._store.version
                yield _bookmark(kind, at)
            if now >= ends:
                return
            beat = beat if now < beat else now + _BEAT

    def _start(self, asked: Watch, test: Test) -> tuple[int, list[Json]]:
        if asked.version:
            return asked.version, []
        held = self._store.all(asked.selection.kind, asked.selection.namespace)
        first = [{"type": "ADDED", "object": thing} for thing in held if test(thing)]
        return self._store.version, first

    def _next(self, at: int, kind: Kind, until: float) -> list[Change] | None:
        """Return what happened after a version, once something did; None if nobody knows."""
        with self._store.changed:
            while True:
                if at < self._store.compacted:
                    return None
                changes = self._store.since(at, kind)
                left = until - time.monotonic()
                if changes or self.closed or left <= 0:
                    return changes
                self._store.changed.wait(left)


def _event(change: Change, test: Test) -> Iterator[Json]:
    """Yield a change as a watch sees it: an object that its selector no longer takes is gone."""
    before = change.before is not None and test(change.before)
    after = change.type != "DELETED" and test(change.object)
    if before and after:
        yield {"type": "MODIFIED", "object": change.object}
    elif after:
        yield {"type": "ADDED", "object": change.object}
    elif before:
        yield {"type": "DELETED", "object": change.object}


def _bookmark(kind: Kind, version: int) -> Json:
    metadata = {"resourceVersion": str(version), "creationTimestamp": None}
    thing = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    return {"type": "BOOKMARK", "object": thing}
