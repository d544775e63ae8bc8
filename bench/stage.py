"""A protected pgbench database with Temporal, worker and supervisor, in one folder, removed at the end."""

import base64
import json
import os
import secrets as randomness
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine import Engine, Source
from bench.machine import BenchError, sync
from bench.programs import Programs, wait_for
from client.catalog_file import load_catalog
from client.settings import TemporalSettings
from domain.entries import LocalProviderEntry
from domain.errors import ProviderUnavailableError, RecoveryPointUnreachableError
from domain.recovery import RecoveryPoint, Target, TargetKind
from domain.values import show_bytes
from providers.local.archive import Archive
from providers.local.binaries import locate, reachable
from providers.local.config import LocalConfig
from providers.local.keeper import ServerKeeper
from providers.local.keys import backup_key
from providers.local.layout import Layout, remove_tree, write_text
from providers.local.points import LocalPoints
from providers.local.processes import Daemon
from providers.local.programs import login, run
from providers.local.records import Desired, ServerRecord
from providers.local.servers import Servers, port_in_use
from providers.local.sql import connect, one
from providers.local.starting import create_server
from providers.local.wal import parse_lsn, tidy_lsn
from providers.secrets.references import Secrets

PATH = "bench/production/pgbench"
HISTORY = 1000
"""Transactions after the base backup, so that a restore has some log to replay."""

_BYTES_PER_SCALE = 16 << 20
_LOADING = ("fsync=off", "wal_level=minimal", "max_wal_senders=0")


@dataclass(frozen=True)
class Ports:
    """Neighbouring free ports; those from `first` on are for restored servers."""

    database: int
    temporal: int
    by_hand: int
    clone: int
    elsewhere: int
    first: int
    last: int


def _ports() -> Ports:
    start = 20000 + (os.getpid() * 41) % 9000
    while any(_taken(port) for port in range(start, start + 16)):
        start += 16
    return Ports(
        database=start,
        temporal=start + 1,
        by_hand=start + 2,
        clone=start + 3,
        elsewhere=start + 4,
        first=start + 5,
        last=start + 15,
    )


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return port_in_use(port) or probe.connect_ex(("127.0.0.1", port)) == 0


def _catalog(ports: Ports, binaries: Path | None) -> dict[str, Any]:
    database = {
        "provider": "here",
        "engine": "postgresql",
        "instance": "bench",
        "backups": {"key": "file:backup.key"},
        "connection": {"database": "postgres", "user": "refloat", "password": "file:password"},
        "checks": [
            {
                "name": "the history ends at the point",
                "query": "select count(*) from pgbench_history",
                "equals": str(HISTORY),
            }
        ],
    }
    provider = {
        "kind": "local",
        "root": ".",
        "first_port": ports.first,
        "last_port": ports.last,
        "binaries": str(binaries) if binaries else None,
    }
    return {
        "organization": "bench",
        "providers": {"here": provider},
        "projects": {
            "bench": {"environments": {"production": {"databases": {"pgbench": database}}}}
        },
    }


class Stage:
    """One protected database of one scale, and everything that a contender needs of it."""

    point: RecoveryPoint

    def __init__(self, root: Path, binaries: Path | None) -> None:
        self.root, self.ports = root, _ports()
        write_text(root / "password", randomness.token_urlsafe(12), 0o600)
        key = base64.b64encode(randomness.token_bytes(32)).decode()
        write_text(root / "backup.key", key, 0o600)
        catalog = root / "refloat.yaml"
        write_text(catalog, json.dumps(_catalog(self.ports, binaries)))
        self.temporal = TemporalSettings(address=f"127.0.0.1:{self.ports.temporal}")
        write_text(root / "temporal.json", self.temporal.model_dump_json())
        loaded = load_catalog(catalog)
        self.resource = loaded.resource(PATH)
        entry = loaded.providers["here"]
        assert isinstance(entry, LocalProviderEntry)
        self.config = LocalConfig.from_entry("here", entry, root)
        self.secrets = Secrets(root)
        self.layout = Layout(self.config, self.resource.instance)
        self.servers = Servers(self.layout)
        self.programs = Programs(root, catalog, self.ports.temporal)
        self.engine = Engine(
            locate(self.config), self.config.account, self.resource.connection, self.secrets
        )

    @property
    def server(self) -> ServerRecord:
        """The protected server."""
        return self.servers.current()

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.servers.data(self.server.name)

    @property
    def archive(self) -> Archive:
        """Its archive."""
        return Archive(self.layout, self.server.name)

    @property
    def master(self) -> bytes:
        """The key of the archive."""
        return backup_key(self.resource, self.secrets)

    @property
    def source(self) -> Source:
        """What a restore to the point reads."""
        archive = self.archive
        [backup] = [one for one in archive.backups.all() if one.id == self.point.backup_id]
        return Source(archive, backup, self.point, self.master)

    def load(self, scale: int) -> None:
        """Create the server and fill it, unprotected and therefore fast."""
        name = f"{self.resource.instance}-1"
        password = self.secrets.read("file:password")
        binaries, user = self.engine.binaries, self.resource.connection.user
        record = create_server(self.layout, binaries, name, self.ports.database, user, password)
        with self.engine.serving(record, self.layout.server(name), *_LOADING):
            self._pgbench("-i", "-q", "-s", str(scale))
        sync(self.root)

    def _pgbench(self, *arguments: str) -> None:
        server, connection = self.server, self.resource.connection
        where = ["-h", server.host, "-p", str(server.port), "-U", connection.user]
        with login(self.secrets, connection) as environment:
            command = [self.engine.binaries["pgbench"], *where, *arguments, connection.database]
            run("pgbench", command, environment)

    def protect(self) -> None:
        """Start everything, wait for the first base backup, and fix the point of all restores."""
        self.programs.start()
        wait_for("the first base backup", self._is_protected, 1800)
        self._pgbench("-n", "-c", "4", "-t", str(HISTORY // 4))
        with connect(self.server, self.resource.connection, self.secrets) as session:
            lsn = tidy_lsn(str(one(session, "select pg_current_wal_insert_lsn()::text")[0]))
            session.execute("checkpoint")
        self.point = wait_for("the log to be archived", lambda: self._resolve(lsn), 60)

    def _is_protected(self) -> bool:
        with suppress(ProviderUnavailableError):
            return bool(self.archive.backups.all() and self.archive.stretches())
        return False

    def _resolve(self, lsn: str) -> RecoveryPoint | None:
        status = self.archive.status()
        received = status.received_lsn if status else None
        if received is None or parse_lsn(received) <= parse_lsn(lsn):
            return None
        target = Target(kind=TargetKind.BEFORE_LSN, lsn=lsn)
        with suppress(RecoveryPointUnreachableError):
            return LocalPoints(self.config, self.secrets).resolve(self.resource, target)
        return None

    def stop(self) -> None:
        """Stop everything, also what a supervisor that died has left running."""
        self.programs.stop()
        for record in self.servers.all():
            stopped = record.model_copy(update={"desired": Desired.STOPPED})
            ServerKeeper(self.servers, record.name).tick(stopped)
            spool = self.layout.spool(record.name)
            Daemon(spool / "receiver.pid", spool / "receiver.log").stop(signal.SIGINT, within=5)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off interrupts while the block cleans up."""
    held = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sign, handler in held.items():
            signal.signal(sign, handler)


def _require_place(root: Path, made: Stage, scale: int) -> None:
    account, binaries = made.config.account, made.engine.binaries
    if account.uid is not None and not reachable(root, account.uid):
        raise BenchError(
            f"account {account.name} cannot reach {root}; name another folder with --folder"
        )
    if not Path(binaries["pgbench"]).exists():
        raise BenchError(
            f"no pgbench in {binaries.folder}; name another installation with --binaries"
        )
    needed, free = 3 * scale * _BYTES_PER_SCALE + (3 << 30), shutil.disk_usage(root).free
    if free < needed:
        raise BenchError(f"{root}: needs {show_bytes(needed)}, has {show_bytes(free)} free")


@contextmanager
def stage(folder: Path, scale: int, binaries: Path | None) -> Iterator[Stage]:
    """Hold a protected database of a scale; whatever happens, nothing of it is left afterwards."""
    root = Path(tempfile.mkdtemp(prefix="refloat-bench-", dir=folder)).resolve()
    try:
        root.chmod(0o755)  # servers of root run under an account that has to pass
        made = Stage(root, binaries)
        _require_place(root, made, scale)
        try:
            made.load(scale)
            made.protect()
            yield made
        except Exception:
            print(made.programs.last_words(), file=sys.stderr)
            raise
        finally:
            with undisturbed():
                made.stop()
    finally:
        with undisturbed():
            remove_tree(root)
