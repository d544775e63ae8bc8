"""The binary log of a simulated MySQL: when each piece of it was written, and where a moment lies in it.

MariaDB stamps an event when its statement starts, in whole seconds, and the client can set the
stamp; so the log's growth is watched from outside as well. A transaction counts as committed when
its last byte is in the log.
"""

import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("<IBIIIH")  # stamp, type, server id, size, next position, flags
_QUERY, _XID, _XA_PREPARE, _GTID = 2, 16, 38, 162
_FIRST_EVENT = 4
_GTID_FLAGS = 12  # after the sequence number and the domain
_STANDALONE = 1
_QUERY_HEAD = struct.Struct("<IIBHH")  # thread, seconds, name's size, error, states' size
_CHECKSUM = 4
_LOOK_EVERY = 0.01


class Position(NamedTuple):
    """A place in the log: the number of a file, and an offset in it."""

    number: int
    offset: int


START = Position(1, _FIRST_EVENT)


@dataclass(frozen=True)
class Growth:
    """What one look at the log found new: written later than `after` and not later than `by`."""

    after: float
    by: float
    reached: Position


@dataclass(frozen=True)
class Transaction:
    """A whole transaction: where it ends, and the second in which its last statement began."""

    end: Position
    second: int


def log_file(folder: Path, number: int) -> Path:
    """Return the path of one file of the log."""
    return folder / f"bin.{number:06d}"


def transactions(folder: Path, number: int) -> Iterator[Transaction]:
    """Yield the whole transactions of the log from a file on; the last may still be written."""
    while (path := log_file(folder, number)).exists():
        yield from _in_file(path.read_bytes(), number)
        number += 1


def _in_file(content: bytes, number: int) -> Iterator[Transaction]:
    at, standalone = _FIRST_EVENT, False
    while at + _HEAD.size <= len(content):
        second, kind, _, size, _, _ = _HEAD.unpack_from(content, at)
        if at + size > len(content) or size < _HEAD.size:
            return
        body, at = at + _HEAD.size, at + size
        if kind == _GTID:
            standalone = bool(content[body + _GTID_FLAGS] & _STANDALONE)
        elif kind == _QUERY:
            if standalone or _ends(content[body : at - _CHECKSUM]):
                yield Transaction(Position(number, at), second)
        elif kind in {_XID, _XA_PREPARE}:
            yield Transaction(Position(number, at), second)


def _ends(query: bytes) -> bool:
    """Return whether a query event ends its transaction, as it does for engines without any."""
    _, _, name, _, states = _QUERY_HEAD.unpack_from(query)
    return query[_QUERY_HEAD.size + states + name + 1 :] in {b"COMMIT", b"ROLLBACK"}


class LogWatch:
    """Looks at the log of one server, and keeps in a file when it had grown how far."""

    def __init__(self, folder: Path, notes: Path) -> None:
        self.folder, self._notes = folder, notes
        known = list(self._growths())
        self._reached = known[-1].reached if known else Position(1, 0)
        self._looked = known[-1].by if known else 0.0
        self._lock = threading.Lock()

    @property
    def looked_at(self) -> datetime:
        """Moment of the last look: everything committed until then is known."""
        return datetime.fromtimestamp(self._looked, UTC)

    def look(self) -> None:
        """Note what has been written since the last look."""
        with self._lock:
            began, found = time.time(), list(self._new())
            by = time.time()
            if found:
                with self._notes.open("a", encoding="ascii") as notes:
                    notes.writelines(
                        f"\n{self._looked!r} {by!r} {number} {offset} ." for number, offset in found
                    )
                self._reached = found[-1]
            self._looked = began

    def _new(self) -> Iterator[Position]:
        """Yield how far each file of the log has come, where that is farther than known."""
        number, known = self._reached
        while True:
            is_whole = log_file(self.folder, number + 1).exists()  # asked first: no byte is missed
            try:
                size = os.stat(log_file(self.folder, number)).st_size  # noqa: PTH116 - half the time of Path's
            except FileNotFoundError:
                return
            if size != known:
                yield Position(number, size)
            if not is_whole:
                return
            number, known = number + 1, 0

    def _growths(self) -> Iterator[Growth]:
        if not self._notes.exists():
            return
        for line in self._notes.read_text(encoding="ascii").splitlines():
            match line.split():
                case [
                    after,
                    by,
                    number,
                    offset,
                    ".",
                ]:  # a writer that was killed leaves half a line
                    yield Growth(float(after), float(by), Position(int(number), int(offset)))

    def end_at(self, moment: datetime | None) -> Position:
        """Return where the last transaction ends that was committed at or before a moment.

        One whose commit lies between two looks around the moment belongs to the side on which its
        last statement began; within the moment's own second, to what comes after.
        """
        at = moment.timestamp() if moment else time.time()
        sure, maybe = START, START
        for growth in self._growths():
            if growth.by <= at:
                sure = maybe = growth.reached
            elif growth.after < at:
                maybe = growth.reached
        end = Position(sure.number, _FIRST_EVENT)
        for one in transactions(self.folder, sure.number):
            if one.end > sure and (one.end > maybe or one.second + 1 > at):
                break
            end = one.end
        return end

    def moment_of(self, position: Position) -> datetime:
        """Return the latest known moment at which the log had reached a position and no further."""
        reached_by, passed_after = 0.0, time.time()
        for growth in self._growths():
            if growth.reached > position and reached_by:
                passed_after = growth.after
                break
            if growth.reached >= position:
                reached_by = growth.by
        return datetime.fromtimestamp(max(reached_by, passed_after), UTC)


class Watcher:
    """Looks at the logs of all servers that run, a hundred times a second."""

    def __init__(self) -> None:
        self._watches: dict[str, LogWatch] = {}
        self._changing = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="mysql-log")
        self._thread.start()

    def follow(self, server: str, watch: LogWatch) -> None:
        """Begin to look at a server's log."""
        watch.look()
        with self._changing:
            self._watches = {**self._watches, server: watch}

    def leave(self, server: str) -> None:
        """Look no more, once everything written so far is known."""
        with self._changing:
            watch = self._watches.get(server)
            self._watches = {name: one for name, one in self._watches.items() if name != server}
        if watch is not None:
            watch.look()

    def close(self) -> None:
        """Look no more at any."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            for watch in self._watches.values():
                with suppress(OSError):  # such as a full disk: the next look finds it again
                    watch.look()
