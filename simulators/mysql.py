"""Real MariaDB servers behind simulated MySQL instances, restored to a moment by base and log."""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import psutil

from domain.errors import ServerFailedError
from domain.values import UtcDatetime, Value, show_time
from providers.local.layout import read_record, remove_tree, write_record
from simulators.backends import Backends, Master
from simulators.mysql_log import Position, Watcher
from simulators.mysql_programs import ADMIN, Programs
from simulators.mysql_server import MysqlRecord, MysqlServer, make_template, run_before_start

_MASTER = (
    # what a managed service grants its first user: no SUPER, no FILE, no SHUTDOWN, no read_only
    "alter, alter routine, binlog monitor, create, create routine, create temporary tables, "
    "create user, create view, delete, drop, event, execute, index, insert, lock tables, process, "
    "references, reload, replication slave, select, show databases, show view, trigger, update"
)


class SnapshotRecord(Value):
    """A kept copy of a server's data, and the place in the server's log that it reaches."""

    id: str
    source: str
    taken_at: UtcDatetime
    number: int
    offset: int

    @property
    def position(self) -> Position:
        """Place in the source's log up to which it holds everything."""
        return Position(self.number, self.offset)


class MysqlBackends(Backends):
    """MariaDB servers under one root folder, which nobody else may use meanwhile.

    A restore to a moment holds every transaction whose last byte was in the log of the source at
    or before the moment, and none that came after. The log is looked at a hundred times a second;
    a commit within the one look around the moment, or while no simulator ran, is placed by the
    whole second in which its last statement began. So a whole second is exact but for a commit
    that ran across it. Servers end TLS themselves and refuse TCP without it; `version` is the
    control plane's word only, because behind it is the MariaDB of this machine.
    """

    def __init__(self, root: Path, certificate: tuple[Path, Path]) -> None:
        """Take over the root folder with the servers in it; `certificate` is file and key.

        Raises:
            ServerFailedError: another process uses the folder, or a server does not start.
        """
        root.mkdir(parents=True, exist_ok=True)
        self._root, self._certificate = root.resolve(), certificate
        self._lock = _locked(self._root)
        self._programs = Programs(self._root)
        self._servers: dict[str, MysqlServer] = {}
        self._turns: dict[str, threading.RLock] = {}
        self._changing = threading.Lock()
        self._copying = threading.Lock()
        self._closed = False
        self._watcher = Watcher()
        try:
            self._adopt()
        except BaseException:
            self.close()
            raise

    def create(self, server: str, *, version: str, master: Master) -> None:
        """Make an empty server with its first login and database."""
        del version
        with self._making(server) as made:
            with self._copying:
                template = make_template(self._root, self._programs)
            self._programs.copy(template, made.data)
            run_before_start(made.data, _first(master, self._programs.password), self._programs)
            self._open(made)

    def restore(self, source: str, server: str, moment: datetime | None) -> None:
        """Make a server from the newest copy before the moment and the log up to it."""
        with self._making(server) as made:
            with self._turn(source):
                origin = self._known(source, retained=True)
                self._require(origin, moment)
                end = origin.watch.end_at(moment)
                begin = self._copy_base(origin, end, made)
                log = origin.log_between(begin, end, made.folder / "replay") if begin < end else []
            if log:
                made.start(self._certificate, logged=False)
                made.replay(log, begin, end)
                made.stop()
                remove_tree(made.folder / "replay")
            self._open(made)

    def take(self, source: str, snapshot: str) -> datetime:
        """Back the server up without stopping it."""
        folder = self._snapshot(snapshot)
        with self._turn(source):
            origin = self._known(source)
            with self._filling(folder):
                position = self._back_up(origin, folder / "data")
            held = SnapshotRecord(
                id=snapshot,
                source=source,
                taken_at=origin.watch.moment_of(position),
                number=position.number,
                offset=position.offset,
            )
            write_record(folder / "snapshot.json", held)
        return held.taken_at

    def _back_up(self, origin: MysqlServer, data: Path) -> Position:
        if origin.daemon.pid is None:
            self._programs.copy(origin.data, data)
            return origin.watch.end_at(None)
        position = origin.back_up(data)
        origin.watch.look()
        return position

    def restore_snapshot(self, snapshot: str, server: str) -> None:
        """Make a server from a backup."""
        with self._making(server) as made:
            with self._copying:
                folder = self._snapshot(snapshot)
                if read_record(folder / "snapshot.json", SnapshotRecord) is None:
                    raise LookupError(f"no snapshot {snapshot}")
                self._programs.copy(folder / "data", made.data)
            self._open(made)

    def forget(self, snapshot: str) -> None:
        """Delete a backup."""
        with self._copying:
            remove_tree(self._snapshot(snapshot))

    def window(self, server: str) -> tuple[datetime, datetime] | None:
        """Return the span from the first copy to the last look at the log."""
        found = self._servers.get(server)
        if found is None or found.record.opens_at is None:
            return None
        closes = found.record.until or found.watch.looked_at
        return found.record.opens_at, max(closes, found.record.opens_at)

    def address(self, server: str) -> tuple[str, int] | None:
        """Return where a running server listens on loopback, with TLS of its own."""
        found = self._servers.get(server)
        return found.address if found else None

    def stop(self, server: str) -> None:
        """Stop a server; its data stays."""
        with self._turn(server):
            self._end(self._known(server))

    def start(self, server: str) -> None:
        """Start a stopped server."""
        with self._turn(server):
            found = self._known(server)
            found.start(self._certificate)
            found.note(running=True, until=None)
            self._watcher.follow(server, found.watch)

    def remove(self, server: str, *, retain: bool) -> None:
        """Remove a server, and unless told otherwise what it can be restored from."""
        with self._turn(server):
            found = self._servers.get(server)
            if found is None:
                return
            if found.record.state == "whole":
                self._end(found)
            if retain:
                found.note(state="retained")
                found.forget_data()
            else:
                self._servers.pop(server)
                remove_tree(found.folder)

    def close(self) -> None:
        """Stop every server; they run again when the folder is taken over next."""
        if self._closed:
            return
        self._closed = True
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(MysqlServer.stop, self._servers.values()))
        for server in self._servers:
            self._watcher.leave(server)
        self._watcher.close()
        os.close(self._lock)

    def _adopt(self) -> None:
        """Take over what an earlier process left: running servers as they are, the others started."""
        for left in (*self._root.glob("snapshots/*"), *self._root.glob("*.making")):
            if not (left / "snapshot.json").exists():
                remove_tree(left)
        for folder in self._root.glob("servers/*"):
            found = MysqlServer.found(folder, self._programs)
            if found is None or found.record.state == "making":
                _end_strays(folder)
                remove_tree(folder)
            else:
                self._servers[found.record.id] = found
        wanted = [one for one in self._servers.values() if one.record.running]
        for one in self._servers.values():
            _end_strays(one.folder, but=one.daemon.pid)
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda one: self.start(one.record.id), wanted))

    @contextmanager
    def _making(self, server: str) -> Iterator[MysqlServer]:
        """Hold a new server's folder while it is filled; nothing of it stays where that fails."""
        folder = self._root / "servers" / quote(server, safe="")
        self._programs.prepare()
        with self._turn(server), self._filling(folder):
            made = MysqlServer(folder, MysqlRecord(id=server, state="making"), self._programs)
            made.note()
            try:
                yield made
            except BaseException:
                made.stop()
                raise
            self._servers[server] = made

    @contextmanager
    def _filling(self, folder: Path) -> Iterator[None]:
        """Hold a new folder, removed again where filling it fails.

        Raises:
            ServerFailedError: there is one of that name.
        """
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise ServerFailedError(f"{folder.name} exists already under {self._root}") from None
        try:
            yield
        except BaseException:
            remove_tree(folder)
            raise

    def _open(self, made: MysqlServer) -> None:
        """Keep a first copy and start a new server with a log of its own."""
        made.keep_base()
        opens_at = datetime.now(UTC)
        made.start(self._certificate)
        self._watcher.follow(made.record.id, made.watch)
        made.note(state="whole", opens_at=opens_at)

    def _end(self, found: MysqlServer) -> None:
        """Stop a server, and know all that it wrote."""
        found.stop()
        self._watcher.leave(found.record.id)
        if found.record.running:
            found.note(running=False, until=found.watch.looked_at)

    def _known(self, server: str, *, retained: bool = False) -> MysqlServer:
        found = self._servers.get(server)
        if found is None or (found.record.state == "retained" and not retained):
            raise LookupError(f"no server {server}")
        return found

    @contextmanager
    def _turn(self, server: str) -> Iterator[None]:
        """Hold one server for one act at a time."""
        with self._changing:
            turn = self._turns.setdefault(server, threading.RLock())
        with turn:
            yield

    def _require(self, origin: MysqlServer, moment: datetime | None) -> None:
        """Refuse a moment outside of the window; look at the log again for one near its end."""
        if origin.record.until is None:
            origin.watch.look()
        span = self.window(origin.record.id)
        if span is None or (moment is not None and not span[0] <= moment <= span[1]):
            told = " to ".join(show_time(one) for one in span) if span else "nothing"
            raise LookupError(
                f"{origin.record.id}: {moment and show_time(moment)} is not in {told}"
            )

    def _copy_base(self, origin: MysqlServer, end: Position, made: MysqlServer) -> Position:
        """Copy the newest data of the source from before a place in its log; return its place."""
        with self._copying:
            bases = [origin.own_base()]
            for kept in self._root.glob("snapshots/*/snapshot.json"):
                record = read_record(kept, SnapshotRecord)
                if record and record.source == origin.record.id and record.position <= end:
                    bases.append((kept.parent / "data", record.position))
            data, begin = max(bases, key=lambda base: base[1])
            self._programs.copy(data, made.data)
        return begin

    def _snapshot(self, snapshot: str) -> Path:
        return self._root / "snapshots" / quote(snapshot, safe="")


def _locked(root: Path) -> int:
    """Return the descriptor that keeps the root folder ours.

    Raises:
        ServerFailedError: another process has it.
    """
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ServerFailedError(f"{root}: another process keeps its servers there") from None
    return descriptor


def _end_strays(folder: Path, but: int | None = None) -> None:
    """Kill servers on a folder that nobody wrote down, because their maker was killed then."""
    for process in psutil.process_iter(["cmdline"]):
        words: Sequence[str] = process.info["cmdline"] or ()
        if f"--datadir={folder / 'data'}" in words and process.pid != but:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
                process.wait(10)


def _first(master: Master, admin: str) -> list[str]:
    """Return the statements that give an empty server its logins and first database."""
    user, password = _text(master.user), _text(master.password)
    return [
        "delete from mysql.global_priv where user <> 'mariadb.sys'",
        "delete from mysql.proxies_priv",
        "flush privileges",
        f"create user '{ADMIN}'@'localhost' identified by {_text(admin)}",
        f"grant all privileges on *.* to '{ADMIN}'@'localhost' with grant option",
        f"create user {user}@'%' identified by {password}",
        f"grant {_MASTER} on *.* to {user}@'%' with grant option",
        f"create database `{master.database.replace('`', '``')}`",
    ]


def _text(value: str) -> str:
    """Return a value as a literal of SQL."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
