"""New PostgreSQL clusters, small enough for a hundred of them on one machine."""

import os
import secrets as randomness
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from domain.errors import ServerFailedError
from providers.local.binaries import Binaries
from providers.local.config import Account
from providers.local.sql import Session
from simulators.backends import Master

ADMIN = "simulator"
"""The login of the cloud itself, as each managed server has one; a superuser."""

_SEGMENT = 4  # MiB; a quarter of the usual, so that an idle server and its archive stay small
_GIVING = threading.Lock()
_GIVEN: set[int] = set()


@dataclass(frozen=True)
class Shape:
    """What every cluster is set to."""

    wal_level: str = "replica"
    track_commit_timestamp: bool = True

    def written(self) -> str:
        """Return the lines of the configuration file; a restored copy has them too."""
        stamped = "on" if self.track_commit_timestamp else "off"
        return (
            "\n# by the simulator\n"
            f"wal_level = {self.wal_level}\ntrack_commit_timestamp = {stamped}\n"
            "max_wal_senders = 10\nmax_replication_slots = 10\nmax_slot_wal_keep_size = 2GB\n"
            "max_wal_size = 1GB\nmax_connections = 200\nshared_buffers = 16MB\n"
            "max_parallel_workers = 2\nautovacuum_naptime = 5min\njit = off\n"
        )


def make_cluster(
    binaries: Binaries, account: Account, data: Path, password: str, shape: Shape
) -> None:
    """Create an empty cluster whose only login is `ADMIN`.

    Raises:
        ServerFailedError: with what `initdb` said last.
    """
    data.mkdir(mode=0o700, parents=True)
    secret = data.parent / f"init-{randomness.token_hex(4)}"
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as sink:
            sink.write(f"{password}\n")
        account.own(data.parent, data, secret)
        _run_initdb(binaries, account, data, secret)
    finally:
        secret.unlink()
    with (data / "postgresql.conf").open("a", encoding="utf-8") as conf:
        conf.write(shape.written())


def _run_initdb(binaries: Binaries, account: Account, data: Path, secret: Path) -> None:
    chosen = {
        "--pgdata": data,
        "--username": ADMIN,
        "--auth": "scram-sha-256",
        "--pwfile": secret,
        "--encoding": "UTF8",
        "--locale": "C",
        "--wal-segsize": _SEGMENT,
    }
    made = subprocess.run(
        [
            binaries["initdb"],
            *(f"{option}={value}" for option, value in chosen.items()),
            "--data-checksums",
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
    if made.returncode != 0:
        told = made.stderr.strip().splitlines() or ["no word"]
        raise ServerFailedError(f"initdb: {told[-1]}")


def admit(session: Session, master: Master) -> None:
    """Make the master user, a superuser here, and the first database that it owns."""
    user = sql.Identifier(master.user)
    session.execute(
        sql.SQL(
            "create role {} superuser login createdb createrole replication password {}"
        ).format(user, sql.Literal(master.password))
    )
    if master.database and master.database != "postgres":
        session.execute(
            sql.SQL("create database {} owner {}").format(sql.Identifier(master.database), user)
        )


def new_port() -> int:
    """Return a free port of the loopback address that this process never returned before."""
    with _GIVING:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in _GIVEN:
                _GIVEN.add(port)
                return port
