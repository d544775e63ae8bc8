"""A PostgreSQL of one's own, made by hand as docs/own-server.md says, with a station around it."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from providers.local.binaries import Binaries, installed, locate
from providers.local.config import Account
from tests.station import Station, free_ports, station, wait_for

DOCUMENTED = {
    "wal_level": "logical",
    "track_commit_timestamp": "on",
    "max_wal_senders": "5",
    "max_replication_slots": "5",
    "max_slot_wal_keep_size": "2GB",
}
OWNER = "owner"


def installations() -> list[Binaries]:
    """Return every installation of this machine once; a link to one is not another."""
    found = {Path(each["postgres"]).resolve(): each for each in reversed(installed())}
    return sorted(found.values(), key=lambda each: (each.major, each.version))


def named(binaries: Binaries) -> str:
    """Return what tells one installation from another in a test's name."""
    return f"{binaries.version}-{binaries.folder.parent.parent.name}"


class OwnServer:
    """A server that a person set up: its own folder, its own configuration, nobody's child."""

    def __init__(self, home: Path, account: Account, programs: Binaries, port: int) -> None:
        self.home, self.account, self.programs, self.port = home, account, programs, port
        self.data, self.outside = home / "data", home / "etc"
        self.configuration = self.data
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_password = f"owner-{port}"

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._as_account())

    def _as_account(self) -> dict[str, Any]:
        return {
            "env": {"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            "user": self.account.uid,
            "group": self.account.gid,
            "extra_groups": [] if self.account.uid is not None else None,
        }

    def create(self, options: Sequence[str] = (), *, files_outside: bool = False) -> None:
        """Make the cluster; with `files_outside`, its configuration files are not in its data."""
        for folder in (self.data, self.outside):
            folder.mkdir(mode=0o700)
        secret = self.home / "owner-password"
        secret.write_text(f"{self._owner_password}\n")
        self.account.own(self.home, self.data, self.outside, secret)
        accounts = ["-U", OWNER, "-A", "scram-sha-256", "--pwfile", str(secret)]
        form = ["-E", "UTF8", "--locale=C", "--no-sync", *options]
        self._run(self.programs["initdb"], "-D", str(self.data), *accounts, *form)
        secret.unlink()
        if files_outside:
            self.configuration = self.outside
            for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
                (self.data / name).rename(self.outside / name)

    def configure(self, settings: dict[str, str]) -> None:
        """Write the settings and access rules of the documentation, and more settings."""
        own = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            **DOCUMENTED,
            **settings,
        }
        with (self.configuration / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in own.items())
        rules = (f"host all {OWNER}", "host all refloat", "host replication refloat")
        (self.configuration / "pg_hba.conf").write_text(
            "".join(f"{rule} 127.0.0.1/32 scram-sha-256\n" for rule in rules)
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        where = self.configuration
        files = [f"config_file={where}/postgresql.conf", f"hba_file={where}/pg_hba.conf"]
        files += [f"ident_file={where}/pg_ident.conf"]
        with (self.home / "own.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self.programs["postgres"],
                    "-D",
                    str(self.data),
                    *(part for one in files for part in ("-c", one)),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd="/",
                **self._as_account(),
            )
        wait_for("the own server", self.answers)

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    @property
    def runs(self) -> bool:
        """Whether the very process that was started still runs."""
        return self._process is not None and self._process.poll() is None

    def answers(self) -> bool:
        """Return whether it lets its owner in."""
        assert self.runs, (self.home / "own.log").read_text()
        try:
            self.sql("select 1")
        except psycopg.OperationalError:
            return False
        return True

    def sql(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as its owner."""
        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=database,
            user=OWNER,
            password=self._owner_password,
            autocommit=True,
            connect_timeout=5,
        ) as held:
            cursor = held.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def configuration_bytes(self) -> dict[str, bytes]:
        """Return the files that a person wrote."""
        names = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")
        return {name: (self.configuration / name).read_bytes() for name in names}


@contextmanager
def own_station(
    binaries: Binaries,
    options: Sequence[str] = (),
    settings: dict[str, str] | None = None,
    *,
    files_outside: bool = False,
) -> Iterator[tuple[Station, OwnServer]]:
    """Hold a protected server of one's own, and remove everything when the block ends."""
    home, port = Path(tempfile.mkdtemp(prefix="refloat-own-")), free_ports(1)
    home.chmod(0o755)
    own: OwnServer | None = None
    try:
        address = {"server": {"host": "127.0.0.1", "port": port}}
        with station(address, str(binaries.folder), start=False) as made:
            programs = locate(made.config, binaries.major)
            own = OwnServer(home, made.config.account, programs, port)
            own.create(options, files_outside=files_outside)
            own.configure(settings or {})
            own.start()
            own.sql(f"create role refloat superuser replication login password '{made.password}'")
            made.start()
            wait_for("the server to be known", made.servers.tenures)
            made.wait_protected()
            yield made, own
    finally:
        if own is not None:
            own.stop()
        shutil.rmtree(home)


def processes_of(own: OwnServer) -> int:
    """Return the pid in the lock file of the server's data directory."""
    return int((own.data / "postmaster.pid").read_text().split()[0])


def is_root() -> bool:
    """Return whether this process may start servers under another account."""
    return os.geteuid() == 0
