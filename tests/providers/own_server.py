"""A PostgreSQL of one's own, made by hand as docs/own-server.md says, with a station around it."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
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
NAMES = {"config": "postgresql.conf", "hba": "pg_hba.conf", "ident": "pg_ident.conf"}


class Files(Enum):
    """Where the configuration files are."""

    INSIDE = "inside the data directory"
    MOVED = "outside, as on Debian"
    COPIED = "outside, and others that nobody reads inside"


def installations() -> list[Binaries]:
    """Return every installation of this machine once; a link to one is not another."""
    found = {Path(each["postgres"]).resolve(): each for each in reversed(installed())}
    return sorted(found.values(), key=lambda each: (each.major, each.version))


def complete(binaries: Binaries) -> bool:
    """Return whether the program that verifies backups runs; one wheel's does not."""
    told = subprocess.run(
        [binaries["pg_verifybackup"], "--version"], capture_output=True, check=False
    )
    return told.returncode == 0


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

    def create(self, options: Sequence[str] = (), *, layout: Files = Files.INSIDE) -> None:
        """Make the cluster."""
        for folder in (self.data, self.outside):
            folder.mkdir(mode=0o700)
        secret = self.home / "owner-password"
        secret.write_text(f"{self._owner_password}\n")
        self.account.own(self.home, self.data, self.outside, secret)
        accounts = ["-U", OWNER, "-A", "scram-sha-256", "--pwfile", str(secret)]
        form = ["-E", "UTF8", "--locale=C", "--no-sync", *options]
        self._run(self.programs["initdb"], "-D", str(self.data), *accounts, *form)
        secret.unlink()
        if layout is not Files.INSIDE:
            self.configuration = self.outside
        for name in NAMES.values() if layout is not Files.INSIDE else ():
            shutil.copy(self.data / name, self.outside / name)
            self.account.own(self.outside / name)
            if layout is Files.MOVED:
                (self.data / name).unlink()

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
        files = [
            f"{kind}_file={self.outside / name}"
            for kind, name in NAMES.items()
            if self.configuration == self.outside
        ]
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

    def move_access_rules(self) -> None:
        """Keep the rules in a file outside, named by a configuration file that stays inside."""
        (self.data / "pg_hba.conf").rename(self.outside / "pg_hba.conf")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write(f"hba_file = '{self.outside}/pg_hba.conf'\n")

    def folder_for(self, name: str) -> Path:
        """Return a new folder that the server may write to."""
        folder = self.home / name
        folder.mkdir(mode=0o700)
        self.account.own(folder)
        return folder

    def lose(self) -> None:
        """Kill it, and remove everything of it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None
        wait_for("its files to be gone", self._gone)

    def _gone(self) -> bool:
        for folder in (self.data, self.outside):
            shutil.rmtree(folder, ignore_errors=True)  # its last processes may still write
        return not self.data.exists() and not self.outside.exists()

    def configuration_bytes(self) -> dict[str, bytes]:
        """Return the files that a person wrote."""
        return {name: (self.configuration / name).read_bytes() for name in NAMES.values()}


def require_nothing_left(made: Station) -> None:
    """Wait until nothing is left but what is kept; a reader's copy lives for a moment."""
    wait_for("nothing to be left over", lambda: not made.leftovers(), within=15)


@contextmanager
def own_station(
    binaries: Binaries,
    options: Sequence[str] = (),
    settings: dict[str, str] | None = None,
    layout: Files = Files.INSIDE,
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
            own.create(options, layout=layout)
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
