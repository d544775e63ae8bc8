"""Servers on this machine: records, creation, start arguments, and what their logs say went wrong."""

import os
import re
import secrets as randomness
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import (
    CatalogError,
    DiskFullError,
    NotOursError,
    PermanentError,
    PointNotReachedError,
    PortTakenError,
    ServerFailedError,
    VersionMismatchError,
    WalDamagedError,
    WalMissingError,
)
from domain.resources import ProtectedResource
from providers.local.archive import Archive
from providers.local.binaries import Binaries
from providers.local.config import LocalConfig
from providers.local.layout import Layout, locked, read_record, write_record
from providers.local.records import (
    CurrentRecord,
    Desired,
    ServerRecord,
    ServerStatus,
    Tenure,
)

_FAILURES: tuple[tuple[re.Pattern[str], type[PermanentError], str], ...] = (
    (
        re.compile(r"No space left on device|Disk quota exceeded"),
        DiskFullError,
        "the file system ran full during recovery; free room and restore again",
    ),
    (
        re.compile(r"Address already in use|could not create any TCP/IP sockets"),
        PortTakenError,
        "another process took the port of the new server; end it or widen the port range of the provider",
    ),
    (
        re.compile(r"not compatible with this version|database files are incompatible with server"),
        VersionMismatchError,
        "the programs do not fit the data; install the source's major version",
    ),
    (
        re.compile(r"incorrect resource manager data checksum"),
        WalDamagedError,
        "a log record is damaged before the point; choose a point before it",
    ),
    (
        re.compile(r"has wrong size: \d+ instead of"),
        WalDamagedError,
        "a log segment is cut short; choose a point before it",
    ),
    (
        re.compile(
            r"could not restore file|could not locate required checkpoint|could not find redo"
        ),
        WalMissingError,
        "recovery could not read the log it needs",
    ),
    (
        re.compile(r"recovery ended before configured recovery target was reached"),
        PointNotReachedError,
        "the log ends before the point: a segment is missing or damaged",
    ),
    (
        re.compile(r"requested recovery stop point is before consistent recovery point"),
        PointNotReachedError,
        "the point lies before the end of the base backup",
    ),
    (
        re.compile(r"could not load (?:private key|server certificate) file"),
        ServerFailedError,
        "the servers' account cannot read the TLS key of the data's settings; let it, or name another run_as",
    ),
    (
        re.compile(r"recovery aborted because of insufficient parameter settings"),
        ServerFailedError,
        "a capacity setting is lower than on the source",
    ),
)


class Servers:
    """The servers of one instance."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def record(self, name: str) -> ServerRecord | None:
        """Return what is written of a server, or None."""
        return read_record(self.layout.server(name) / "server.json", ServerRecord)

    def write(self, record: ServerRecord) -> ServerRecord:
        """Write a record for the supervisor to act on."""
        write_record(self.layout.server(record.name) / "server.json", record)
        return record

    def status(self, name: str) -> ServerStatus | None:
        """Return what the supervisor saw last of a server, or None."""
        return read_record(self.layout.server(name) / "status.json", ServerStatus)

    def all(self) -> list[ServerRecord]:
        """Return every server, oldest first."""
        folder = self.layout.folder / "servers"
        found = (self.record(path.parent.name) for path in folder.glob("[!.]*/server.json"))
        return sorted((record for record in found if record), key=lambda record: record.made_at)

    def data(self, name: str) -> Path:
        """Return the data directory of a managed server."""
        return self.layout.server(name) / "data"

    def tenures(self) -> CurrentRecord | None:
        """Return which server the path means now and meant before, or None."""
        return read_record(self.layout.current, CurrentRecord)

    def current(self) -> ServerRecord:
        """Return the server that the path means.

        Raises:
            CatalogError: none is known yet.
        """
        tenures = self.tenures()
        record = self.record(tenures.server) if tenures else None
        if record is None:
            raise CatalogError(
                f"no server is known for instance {self.layout.instance!r} under "
                f"{self.layout.folder}; start `refloat-supervisor`, or give the database a `server` "
                "in the catalog"
            )
        return record

    def superseded(self) -> list[str]:
        """Return the servers that the path meant before, and the copies that runs kept."""
        tenures = self.tenures()
        if tenures is None:
            return []
        before = [
            tenure.server
            for tenure in tenures.tenures
            if tenure.until and not tenure.released and tenure.server != tenures.server
        ]
        kept = [one.name for one in self.all() if one.kept and one.name != tenures.server]
        return list(dict.fromkeys([*before, *kept]))

    def install(self, record: ServerRecord, run_id: str = "") -> None:
        """Make `record` what the path means, from now on."""
        now = datetime.now(UTC)
        before = self.tenures()
        if before and before.server == record.name:
            return
        closed = tuple(
            tenure if tenure.until else tenure.model_copy(update={"until": now})
            for tenure in (before.tenures if before else ())
        )
        opened = Tenure(server=record.name, since=now, run_id=run_id)
        write_record(
            self.layout.current, CurrentRecord(server=record.name, tenures=(*closed, opened))
        )

    def reinstall(self, name: str) -> str | None:
        """Undo `install` of server `name`; return the server that the path means again."""
        now = self.tenures()
        if now is None or now.server != name or len(now.tenures) < 2:  # noqa: PLR2004 - one before
            return None
        *kept, last, _ = now.tenures
        reopened = last.model_copy(update={"until": None})
        write_record(
            self.layout.current,
            CurrentRecord(server=reopened.server, tenures=(*kept, reopened)),
        )
        return reopened.server

    def adopt(self, resource: ProtectedResource, major: int) -> ServerRecord:
        """Return the record of the server that the catalog names, written on first sight."""
        if resource.server is None:
            return self.current()
        name = f"{resource.instance}-origin"
        known = self.record(name)
        if known is None:
            known = self.write(
                ServerRecord(
                    name=name,
                    instance=resource.instance,
                    host=resource.server.host,
                    port=resource.server.port,
                    managed=False,
                    major=major,
                    desired=Desired.RUNNING,
                    receiving=True,
                    made_at=datetime.now(UTC),
                )
            )
        if self.tenures() is None:
            self.install(known)
        return known

    def reserve(self, name: str, run_id: str, major: int, *, listen: str) -> ServerRecord:
        """Return the record of a run's new server, with a port of its own, made on first call.

        Raises:
            NotOursError: another run made a server of that name.
            PortTakenError: the whole port range is in use.
        """
        with locked(self.layout.config.root / "ports.lock"):
            known = self.record(name)
            if known is not None:
                if known.run_id != run_id:
                    raise NotOursError(
                        f"server {name} exists and belongs to run {known.run_id or 'of nobody'}, not "
                        f"to {run_id}; it is left alone"
                    )
                return known
            return self.write(
                ServerRecord(
                    name=name,
                    instance=self.layout.instance,
                    host=_reached_at(listen),
                    port=free_port(self.layout.config),
                    managed=True,
                    major=major,
                    run_id=run_id,
                    listen=listen,
                    made_at=datetime.now(UTC),
                )
            )


def _reached_at(listen: str) -> str:
    """Return the address of this machine at which a server that listens so is reached from here."""
    addresses = [one.strip() for one in listen.split(",")]
    loopback = {"127.0.0.1", "localhost", "*", "0.0.0.0"}  # noqa: S104 - compared, not bound
    return "127.0.0.1" if loopback & set(addresses) else addresses[0]


def _reserved(config: LocalConfig) -> Iterator[int]:
    for path in config.root.glob("databases/*/servers/[!.]*/server.json"):
        record = read_record(path, ServerRecord)
        if record is not None:
            yield record.port


def free_port(config: LocalConfig) -> int:
    """Return the first port of the provider's range that nobody has.

    Raises:
        PortTakenError: naming the range.
    """
    taken = set(_reserved(config))
    for port in range(config.first_port, config.last_port + 1):
        if port not in taken and not port_in_use(port):
            return port
    raise PortTakenError(
        f"every port from {config.first_port} to {config.last_port} is in use; end what listens "
        "there, or widen first_port and last_port of the provider in the catalog"
    )


def port_in_use(port: int) -> bool:
    """Return whether somebody listens on `port` of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def create_server(
    layout: Layout, binaries: Binaries, name: str, port: int, user: str, password: str
) -> ServerRecord:
    """Create a cluster with scram passwords for `user`, ready for archiving, and install it."""
    servers, account = Servers(layout), layout.config.account
    folder, data = layout.server(name), servers.data(name)
    folder.mkdir(parents=True, exist_ok=True)
    data.mkdir(mode=0o700, exist_ok=True)
    account.own(folder, data)
    secret = folder / f"init-{randomness.token_hex(4)}"
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as sink:
            sink.write(f"{password}\n")
        account.own(secret)
        made = subprocess.run(
            [
                binaries["initdb"],
                "-D",
                str(data),
                "-U",
                user,
                "-A",
                "scram-sha-256",
                "--pwfile",
                str(secret),
                "-E",
                "UTF8",
                "--locale=C",
                "-k",
                "--no-sync",
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
        )
    finally:
        secret.unlink()
    if made.returncode != 0:
        raise ServerFailedError(f"initdb: {made.stderr.strip().splitlines()[-1]}")
    with (data / "postgresql.conf").open("a", encoding="utf-8") as conf:
        conf.write(
            "\n# by Refloat, for continuous archiving and proof points\n"
            "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\n"
            "track_commit_timestamp = on\nmax_slot_wal_keep_size = 2GB\n"
            "wal_log_hints = on\nmax_wal_size = 2GB\n"
        )
    record = ServerRecord(
        name=name,
        instance=layout.instance,
        host="127.0.0.1",
        port=port,
        managed=True,
        major=binaries.major,
        desired=Desired.RUNNING,
        receiving=True,
        listen="127.0.0.1",
        made_at=datetime.now(UTC),
    )
    servers.write(record)
    servers.install(record)
    return record


def start_arguments(record: ServerRecord, folder: Path) -> list[str]:
    """Return the settings that a server is started with; they win over every file.

    While it recovers: never in the source's archive, to one exact point and no further. A
    promotion at a hole is impossible, because PostgreSQL stops when the log ends before a target.
    """
    own = {
        "port": str(record.port),
        "listen_addresses": record.listen,
        "unix_socket_directories": "",
        "archive_mode": "off",
        "archive_command": "",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "cluster_name": record.name,
        "logging_collector": "off",
        "log_destination": "stderr",
        "data_directory": str(folder / "data"),
        "external_pid_file": "",
        **record.settings,
    }
    if record.major >= 15:  # noqa: PLR2004 - the first major with archive modules
        own["archive_library"] = ""
    if record.aim is not None or record.kept:
        # a copy must not take from publishers, nor run jobs, that belong to the original
        own |= {"max_logical_replication_workers": "0", "cron.launch_active_jobs": "off"}
    if record.aim is not None:
        own |= {
            "hot_standby": "off",  # on, it would wait for capacity settings as high as the source's
            "synchronous_standby_names": "",
            "lc_messages": "C",
            "log_min_messages": "warning",
            "recovery_target": "",
            "recovery_target_name": "",
            "recovery_target_time": "",
            "recovery_target_xid": "",
            "recovery_target_lsn": record.aim.lsn,
            "recovery_target_inclusive": "on" if record.aim.inclusive else "off",
            "recovery_target_action": "promote",
            "recovery_target_timeline": "current",
            "recovery_init_sync_method": "syncfs" if Path("/proc").exists() else "fsync",
            "restore_command": _restore_command(folder / "wal"),
        }
    return [part for name, value in own.items() for part in ("-c", f"{name}={value}")]


def _restore_command(staged: Path) -> str:
    """Return a command that tells "not there" (1, the end of the log) from "broken" (over 125)."""
    quoted = str(staged).replace("%", "%%").replace("'", "'\\''")
    return (
        f"test -d '{quoted}' || exit 200; test -f '{quoted}/%f' || exit 1; "
        f"cp '{quoted}/%f' %p || exit 201"
    )


def log_of(folder: Path) -> Path:
    """Return the log file of the server in `folder`."""
    return folder / "server.log"


def recent_log(folder: Path, size: int = 65536) -> str:
    """Return the end of a server's log."""
    try:
        with log_of(folder).open("rb") as source:
            source.seek(max(0, os.fstat(source.fileno()).st_size - size))
            return source.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def failure_of(name: str, log: str) -> PermanentError:
    """Return the domain's error for a server that stopped, with its own words."""
    lines = [line for line in log.splitlines() if line.strip()]
    for pattern, error, sentence in _FAILURES:
        line = next((line for line in reversed(lines) if pattern.search(line)), None)
        if line:
            words = line.partition("] ")[2] or line
            return error(f"{name}: {sentence} (the server said: {words.strip()})")
    telling = [line for line in lines if re.search(r"FATAL|PANIC|ERROR|error:", line)] or lines
    words = telling[-1].strip() if telling else "nothing"
    return ServerFailedError(f"{name}: the new server stopped (it said: {words})")


def archive_of(layout: Layout, server: str) -> Archive:
    """Return the archive of one server."""
    return Archive(layout, server)
