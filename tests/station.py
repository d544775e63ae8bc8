"""A real protected database for tests: server, archive and supervisor in one folder of its own."""

import base64
import itertools
import os
import secrets as randomness
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg

from domain.catalog import Catalog
from domain.entries import LocalProviderEntry
from domain.errors import NotYetError, ProviderUnavailableError
from domain.parsing import parse_catalog
from domain.provider import DatabaseProvider, Memory
from domain.recovery import (
    Progress,
    RecoveryPoint,
    RestoredResource,
    RestoreHandle,
    Target,
    TargetKind,
)
from domain.resources import Mode, ProtectedResource
from providers.local.archive import Archive
from providers.local.binaries import locate
from providers.local.config import LocalConfig
from providers.local.keys import backup_key
from providers.local.layout import Layout
from providers.local.provider import databases
from providers.local.servers import Servers, port_in_use
from providers.local.starting import create_server
from providers.local.supervisor import Supervisor
from providers.questions import EngineQuestions
from providers.secrets.references import Secrets

PATH = "shop/production/orders"


def no_progress(_progress: Progress) -> None:
    """Take progress and tell nobody."""


def rounds(usual: int, thorough: int) -> int:
    """Return how often a test repeats itself: more often when REFLOAT_TEST_THOROUGH is set."""
    return thorough if os.environ.get("REFLOAT_TEST_THOROUGH") else usual


class Notes(Memory):
    """Remembers while it lives, as one attempt of a step does."""

    def __init__(self) -> None:
        self.noted: tuple[str, ...] = ()

    def recall(self) -> tuple[str, ...]:
        """Return what was noted last."""
        return self.noted

    def note(self, what: Sequence[str]) -> None:
        """Keep it."""
        self.noted = tuple(what)


def wait_for(what: str, true: Callable[[], Any], within: float = 30.0) -> Any:
    """Return what `true` returns once it is true."""
    deadline = time.monotonic() + within
    while True:
        found = true()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {within:.0f} s for {what}"
        time.sleep(0.05)


_BLOCK = 2800  # ports for each of the processes that test at once
_FIRST = 20000 + _BLOCK * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4)
_OFFSETS = itertools.count((os.getpid() * 137) % _BLOCK)
_GIVING = threading.Lock()


def give_ports_from(first: int) -> None:
    """Give ports from `first` on, which the process that started this one gives nobody else."""
    global _OFFSETS  # noqa: PLW0603 - one row of ports for the whole process
    _OFFSETS = itertools.count(first - _FIRST)


def free_ports(count: int) -> int:
    """Return the first of `count` neighbouring free ports that this process never gave before."""
    with _GIVING:
        while True:
            ports = [_FIRST + next(_OFFSETS) % _BLOCK for _ in range(count)]
            if ports[-1] - ports[0] == count - 1 and not any(port_in_use(port) for port in ports):
                return ports[0]


class Station:
    """One protected PostgreSQL with everything around it."""

    def __init__(
        self,
        root: Path,
        database: dict[str, Any],
        binaries: str | None = None,
        applications: dict[str, Any] | None = None,
        configurations: dict[str, Any] | None = None,
    ) -> None:
        self.root = root
        first = free_ports(12)
        password, key = root / "password", root / "backup.key"
        self.password = randomness.token_urlsafe(12)
        password.write_text(self.password)
        key.write_text(base64.b64encode(randomness.token_bytes(32)).decode())
        self.content: dict[str, Any] = {
            "organization": "tests",
            "providers": {
                "here": {
                    "kind": "local",
                    "root": str(root),
                    "first_port": first + 1,
                    "last_port": first + 11,
                    "binaries": binaries,
                }
            },
            "projects": {
                "shop": {
                    "environments": {
                        "production": {
                            "applications": applications or {},
                            "configurations": configurations or {},
                            "databases": {
                                "orders": {
                                    "provider": "here",
                                    "engine": "postgresql",
                                    "instance": "orders",
                                    "backups": {"key": "file:backup.key"},
                                    "connection": {
                                        "database": "postgres",
                                        "user": "refloat",
                                        "password": "file:password",
                                    },
                                    **database,
                                }
                            },
                        }
                    }
                }
            },
        }
        self.catalog: Catalog = parse_catalog(self.content, "test")
        self.resource: ProtectedResource = self.catalog.resource(PATH)
        entry = self.catalog.providers["here"]
        assert isinstance(entry, LocalProviderEntry)
        self.config = LocalConfig.from_entry("here", entry, root)
        self.secrets = Secrets(root)
        self.provider: DatabaseProvider = databases("here", entry, root, self.secrets)
        self.questions = EngineQuestions(self.secrets)
        self.layout = Layout(self.config, "orders")
        self.servers = Servers(self.layout)
        if self.resource.server is None:
            create_server(
                self.layout, locate(self.config), "orders-1", first, "refloat", self.password
            )
        self.supervisor: Supervisor | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start a supervisor in a thread."""
        self.supervisor = Supervisor(self.catalog, self.root, "here")
        self._thread = threading.Thread(target=self.supervisor.run, daemon=True)
        self._thread.start()

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop the supervisor; by SIGINT everything it keeps as well."""
        if self.supervisor and self._thread:
            self.supervisor.ask_to_stop(how)
            self._thread.join(timeout=60)

    @contextmanager
    def session(self, server: str | None = None) -> "Iterator[psycopg.Connection[Any]]":
        """Hold a session with the current server, or with one by name."""
        record = self.servers.record(server) if server else self.servers.current()
        assert record is not None
        with psycopg.connect(
            host=record.host,
            port=record.port,
            dbname="postgres",
            user="refloat",
            password=self.password,
            autocommit=True,
            connect_timeout=5,
            options="-c search_path=public",
        ) as held:
            yield held

    def sql(self, query: str, server: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with self.session(server) as held:
            cursor = held.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def archive(self) -> Archive:
        """The archive of the current server."""
        return Archive(self.layout, self.servers.current().name)

    @property
    def key(self) -> bytes:
        """The key of the archive."""
        return backup_key(self.resource, self.secrets)

    def answers(self) -> bool:
        """Return whether the current server lets us in."""
        try:
            self.sql("select 1")
        except psycopg.OperationalError:
            return False
        return True

    def wait_protected(self) -> None:
        """Wait for the first base backup with its log."""
        wait_for("the server", self.answers)
        wait_for("a base backup", self.archive.backups.all)
        wait_for("its log", self.archive.stretches)

    def wait_archived(self, lsn: str | None = None) -> None:
        """Wait until everything up to now, or `lsn`, has been received."""
        wanted = lsn or self.sql("select pg_current_wal_flush_lsn()::text")[0][0]
        self.sql("select txid_current()")
        self.sql("create table if not exists archived_marker (); drop table archived_marker")

        def received() -> bool:
            status = self.archive.status()
            if status is None or status.received_lsn is None:
                return False
            high = [int(part, 16) for part in status.received_lsn.split("/")]
            low = [int(part, 16) for part in wanted.split("/")]
            return high >= low

        wait_for("the log to be received", received)

    def resolve(self, **target: Any) -> RecoveryPoint:
        """Return the point of a target."""
        return self.provider.points.resolve(self.resource, Target(**target))

    def at(self, moment: datetime) -> RecoveryPoint:
        """Return the point of a time."""
        return self.resolve(kind=TargetKind.TIME, time=moment)

    def latest(self) -> RecoveryPoint:
        """Return the latest point."""
        return self.resolve(kind=TargetKind.LATEST)

    def begin(
        self, point: RecoveryPoint, mode: Mode = Mode.INCIDENT, run_id: str | None = None
    ) -> RestoreHandle:
        """Start a restore."""
        return self.provider.recovery.start_restore(
            self.resource, point, run_id=run_id or uuid.uuid4().hex, mode=mode
        )

    def transfer(self, point: RecoveryPoint, handle: RestoreHandle) -> None:
        """Do the transfer of a restore."""
        self.provider.recovery.transfer(self.resource, point, handle, no_progress)

    def poll(self, handle: RestoreHandle, within: float = 60.0) -> RestoredResource:
        """Poll a restore until it is there."""
        deadline = time.monotonic() + within
        while True:
            try:
                return self.provider.recovery.poll_restore(self.resource, handle)
            except (NotYetError, ProviderUnavailableError):
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def restore(self, point: RecoveryPoint, mode: Mode = Mode.INCIDENT) -> RestoredResource:
        """Restore to a point, by the protocol's steps."""
        handle = self.begin(point, mode)
        self.transfer(point, handle)
        return self.poll(handle)

    def discard(self, handle: RestoreHandle) -> None:
        """Remove what a restore made."""
        self.provider.recovery.discard(self.resource, handle)

    def leftovers(self) -> list[str]:
        """Return processes, folders, files and slots that belong to nothing that is kept."""
        kept = {record.name for record in self.servers.all()}
        folder = self.layout.folder / "servers"
        found = [f"folder {path}" for path in folder.iterdir() if path.name not in kept]
        tenures = self.servers.tenures()
        ever = kept | {tenure.server for tenure in (tenures.tenures if tenures else ())}
        for where in (self.layout.stored / "archive", self.layout.stored / "spool"):
            found += [f"folder {path}" for path in where.iterdir() if path.name not in ever]
        found += [f"file {path}" for path in self.root.rglob(".read-*")]
        found += [f"file {path}" for path in self.root.rglob("backups/.*")]
        found += [f"process {told}" for told in self._strangers(kept)]
        slots = self.sql("select slot_name from pg_replication_slots")
        return found + [f"slot {slot}" for (slot,) in slots[1:]]

    def _strangers(self, kept: set[str]) -> Iterator[str]:
        """Yield processes that name our folder or ports and are neither server nor receiver."""
        servers = [str(self.servers.data(name)) for name in kept]
        spools = [str(self.layout.spool(name)) for name in kept]
        first, last = self.config.first_port - 1, self.config.last_port
        ports = {f"port={port}" for port in range(first, last + 1)}
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            line = " ".join(words[1:])  # a program may lie in our folder, and serve another
            ours = str(self.root) in line or ports & set(line.split())
            kept_one = any(path in words for path in (*servers, *spools))
            temporal = "start-dev" in words or "refloat.yaml" in line
            if ours and not kept_one and not temporal:
                yield line


@contextmanager
def station(
    database: dict[str, Any] | None = None,
    binaries: str | None = None,
    applications: dict[str, Any] | None = None,
    *,
    start: bool = True,
) -> Iterator[Station]:
    """Hold a running station and remove it, processes and all, when the block ends."""
    root = Path(tempfile.mkdtemp(prefix="refloat-test-"))
    root.chmod(0o755)
    made = Station(root, database or {}, binaries, applications)
    try:
        if start:
            made.start()
            made.wait_protected()
        yield made
    finally:
        made.stop()
        shutil.rmtree(root)


def now() -> datetime:
    """Return the present moment, aware and UTC."""
    return datetime.now(UTC)
