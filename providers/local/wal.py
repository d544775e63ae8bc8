"""Reads the write-ahead log: segment arithmetic, and the commits that `pg_waldump` prints.

What a segment holds is summed up once, when it is archived, so that a point in time is found
without opening every segment.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from domain.recovery import CommitMark, Suspect
from domain.values import Value
from providers.local.binaries import Binaries

SEGMENT_NAME = re.compile(r"[0-9A-F]{24}")
_LINE = re.compile(
    r"rmgr: (?P<rmgr>\w+)\s.*?tx:\s+(?P<xid>\d+), lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+), "
    r"prev [^,]+, desc: (?P<desc>.*)"
)
_COMMIT = re.compile(
    r"COMMIT(?:_PREPARED (?P<prepared>\d+):)?\s+"
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC(?P<rest>.*)"
)
_RELS = re.compile(r"; rels: ([^;]+)")
_SUBXACTS = re.compile(r"; subxacts: ([\d ]+)")
_DROPPED = re.compile(r"2/(\d+)/(\d+)")
_FILE = re.compile(r"base/(\d+)/(t?\d+)")
_DATABASE = re.compile(r"DROP dir (?:\d+/(\d+)|base/(\d+))")
_LAST_READ = re.compile(r"error in WAL record at ([0-9A-F]+/[0-9A-F]+): (.*)")
_END_OF_LOG = (
    "invalid record length",
    "could not find file",
    "could not open file",
    "unexpected pageaddr",
    "could not read",
    "contrecord",
    "invalid magic number 0000",
    "record with incorrect prev-link",
    "invalid resource manager ID",
)
_DAMAGE = ("incorrect resource manager data checksum",)


def parse_lsn(text: str) -> int:
    """Return the position that `0/1A2B3C` writes.

    Raises:
        ValueError: when it is not of that form.
    """
    high, slash, low = text.partition("/")
    if not slash:
        message = f"{text!r} is not an LSN; write it as in 0/1A2B3C8"
        raise ValueError(message)
    return (int(high, 16) << 32) + int(low, 16)


def show_lsn(position: int) -> str:
    """Return `position` as PostgreSQL prints it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def tidy_lsn(text: str) -> str:
    """Return an LSN without leading zeros, so that two writings of one are equal."""
    return show_lsn(parse_lsn(text))


@dataclass(frozen=True)
class Segments:
    """The arithmetic of one timeline's segments."""

    timeline: int
    size: int

    def number(self, lsn: str) -> int:
        """Return the number of the segment that holds `lsn`."""
        return parse_lsn(lsn) // self.size

    def name(self, number: int) -> str:
        """Return the file name of segment `number`."""
        per_file = 2**32 // self.size
        return f"{self.timeline:08X}{number // per_file:08X}{number % per_file:08X}"

    def number_of(self, name: str) -> int:
        """Return the number of the segment called `name`."""
        return int(name[8:16], 16) * (2**32 // self.size) + int(name[16:24], 16)

    def start(self, number: int) -> str:
        """Return the first position of segment `number`."""
        return show_lsn(number * self.size)


class RestorePointMark(Value):
    """A named restore point in the log."""

    name: str
    lsn: str


class LogSummary(Value):
    """What one stretch of log holds."""

    last_record: str | None = None
    first_commit: CommitMark | None = None
    last_commit: CommitMark | None = None
    newest_at: datetime | None = None
    commits: int = 0
    suspects: tuple[Suspect, ...] = ()
    restore_points: tuple[RestorePointMark, ...] = ()
    creating: tuple[int, ...] = ()
    damage: str = ""
    read_to_end: bool = True


@dataclass
class Record:
    """One printed record, or the end of what could be read."""

    lsn: str
    xid: int
    rmgr: str
    desc: str


@dataclass
class Reading:
    """Records of a stretch of log; what follows is known when it was read through.

    `last_record` is the last one that could be read where the log broke off, `complete` says that
    it did not, and `damage` why it did unless it simply ended there.
    """

    binaries: Binaries
    folder: Path
    segments: Segments
    first: int
    last: int
    managers: tuple[str, ...] = ("Transaction", "Storage", "XLOG", "Database")
    last_record: str | None = None
    damage: str = ""
    complete: bool = False
    interrupted: bool = False

    def __iter__(self) -> Iterator[Record]:
        """Yield the records from the first one that begins in segment `first`."""
        process = self._begin()
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with process.stdout, process.stderr:
                for line in process.stdout:
                    found = _LINE.match(line)
                    if found:
                        yield Record(
                            lsn=tidy_lsn(found["lsn"]),
                            xid=int(found["xid"]),
                            rmgr=found["rmgr"],
                            desc=found["desc"],
                        )
                told = process.stderr.read()
            self._finish(told, process.wait())
        finally:
            process.kill()  # a reader that saw enough leaves before the end
            process.wait()

    def _begin(self) -> "subprocess.Popen[str]":
        chosen = [f"--rmgr={manager}" for manager in self.managers]
        return subprocess.Popen(
            [
                self.binaries["pg_waldump"],
                "-p",
                str(self.folder),
                *chosen,
                # both named: else the program learns the segment size from any file, an empty one too
                self.segments.name(self.first),
                self.segments.name(self.last),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C for us must not look like the end of the log
            env={**os.environ, "TZ": "UTC", "PGTZ": "UTC", "LC_ALL": "C"},
        )

    def _finish(self, told: str, code: int) -> None:
        self.complete, self.interrupted = code == 0, code < 0
        found = _LAST_READ.search(told)
        if found:
            self.last_record = tidy_lsn(found[1])
        if any(phrase in told for phrase in _DAMAGE) or (
            told
            and not any(
                phrase in told
                for phrase in (
                    *_END_OF_LOG,
                    "first record is after",
                    "could not find a valid record",
                )
            )
        ):
            self.damage = told.strip().splitlines()[-1]


def commit_of(record: Record) -> tuple[CommitMark, str] | None:
    """Return the commit that a record is, with the rest of its description, or None."""
    if record.rmgr != "Transaction":
        return None
    found = _COMMIT.match(record.desc)
    if not found:
        return None
    at = datetime.fromisoformat(found["at"]).replace(tzinfo=UTC)
    xid = int(found["prepared"] or record.xid)
    return CommitMark(lsn=record.lsn, at=at, xid=xid), found["rest"]


@dataclass
class Names:
    """Names of relations by object id and by file node, as the supervisor noted them.

    Keys are `database/id`, both as numbers; the name is empty for what is not worth telling, as an
    index. A database that nobody looked into has only its own name, under `database`.
    """

    by_oid: Mapping[str, str]
    by_node: Mapping[str, str]
    databases: Mapping[str, str]

    def of_oid(self, database: str, oid: str) -> str | None:
        """Return the name of a relation, or None for one that is not worth telling."""
        return (
            self.by_oid.get(f"{database}/{oid}", self._foreign("relation", database, oid)) or None
        )

    def of_node(self, database: str, node: str) -> str | None:
        """Return the name of the relation that once lived in file `node`."""
        return self.by_node.get(f"{database}/{node}", self._foreign("file", database, node)) or None

    def of_database(self, oid: str) -> str:
        """Return the name of a database."""
        return self.databases.get(oid, oid)

    def _foreign(self, what: str, database: str, number: str) -> str:
        return f"{what} {number} of database {self.of_database(database)}"


class Summing:
    """Adds up records into a `LogSummary`."""

    def __init__(self, names: Names, creating: tuple[int, ...] = ()) -> None:
        self._names = names
        self._creating = set(creating)
        self._dropping: dict[int, list[str]] = {}
        self._suspects: list[Suspect] = []
        self._points: list[RestorePointMark] = []
        self._first: CommitMark | None = None
        self._last: CommitMark | None = None
        self._newest: datetime | None = None
        self._commits = 0

    def add(self, record: Record) -> None:
        """Take one record into account."""
        if record.rmgr == "Storage" and record.desc.startswith("CREATE"):
            self._creating.add(record.xid)
        elif record.rmgr == "XLOG" and record.desc.startswith("RESTORE_POINT "):
            name = record.desc.removeprefix("RESTORE_POINT ")
            self._points.append(RestorePointMark(name=name, lsn=record.lsn))
        elif record.rmgr == "Database" and (gone := _DATABASE.search(record.desc)):
            name = self._names.of_database(gone[1] or gone[2])
            self._dropping.setdefault(record.xid, []).append(f"dropped database {name}")
        found = commit_of(record)
        if found:
            self._commit(*found)

    def _commit(self, mark: CommitMark, rest: str) -> None:
        self._commits += 1
        self._first = self._first or mark
        self._last = mark
        self._newest = max(self._newest or mark.at, mark.at)
        below = _SUBXACTS.search(rest)
        family = {mark.xid, *(int(xid) for xid in below[1].split())} if below else {mark.xid}
        acts = (
            *self._dropping.pop(mark.xid, []),
            *_acts(rest, self._names, created=bool(family & self._creating)),
        )
        self._creating -= family
        if acts:
            self._suspects.append(Suspect(lsn=mark.lsn, at=mark.at, xid=mark.xid, acts=acts))

    def result(self, reading: Reading) -> LogSummary:
        """Return the sum, with what the reading found at its end."""
        return LogSummary(
            last_record=reading.last_record,
            first_commit=self._first,
            last_commit=self._last,
            newest_at=self._newest,
            commits=self._commits,
            suspects=tuple(self._suspects),
            restore_points=tuple(self._points),
            creating=tuple(sorted(self._creating)),
            damage=reading.damage,
        )


def _acts(rest: str, names: Names, *, created: bool) -> tuple[str, ...]:
    removed = _RELS.search(rest)
    if not removed:
        return ()
    gone = _DROPPED.findall(rest.partition("dropped stats:")[2])
    # a rewrite drops a table of its own that never had a name
    dropped = [
        names.of_oid(database, oid)
        for database, oid in gone
        if not created or f"{database}/{oid}" in names.by_oid
    ]
    acts = [f"dropped {name}" for name in dropped if name]
    if not dropped or created:
        files = _FILE.findall(removed[1])
        kept = [names.of_node(database, node) for database, node in files if node[0] != "t"]
        told = {name for name in kept if name} - {name for name in dropped if name}
        verb = "truncated or rewrote" if created else "removed the file of"
        acts += [f"{verb} {name}" for name in sorted(told)]
    return tuple(dict.fromkeys(acts))
