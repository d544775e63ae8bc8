"""Creates clusters, and tells with which settings servers are started."""

import os
import secrets as randomness
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import ServerFailedError
from providers.local.binaries import Binaries
from providers.local.layout import Layout
from providers.local.records import Desired, ServerRecord
from providers.local.servers import Servers

_SOCKET_PATH_SIZE = 104  # of a socket's name in bytes, its end included; Linux has a few more


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


def socket_of(folder: Path, port: int) -> Path | None:
    """Return the path of a server's own socket, or None where the system cannot name it.

    Only the servers' account reaches it. A backup through it takes a tenth less than through TCP.
    """
    path = folder / f".s.PGSQL.{port}"
    plain = not set(str(folder)) & set("\"', ")
    return path if plain and len(os.fsencode(path)) < _SOCKET_PATH_SIZE else None


def _can_listen(folder: Path, port: int) -> bool:
    """Return whether a socket can be made in a folder; some shared file systems hold none."""
    path = socket_of(folder, port)
    if path is None:
        return False
    probe = path.with_name(f".s.{os.getpid()}")
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(probe))
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True


def start_arguments(record: ServerRecord, folder: Path) -> list[str]:
    """Return the settings that a server is started with; they win over every file.

    While it recovers: never in the source's archive, to one exact point and no further. A
    promotion at a hole is impossible, because PostgreSQL stops when the log ends before a target.
    """
    own = {
        "port": str(record.port),
        "listen_addresses": record.listen,
        "unix_socket_directories": str(folder) if _can_listen(folder, record.port) else "",
        "unix_socket_group": "",
        "unix_socket_permissions": "0700",
        "archive_mode": "off",
        "archive_command": "",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "cluster_name": record.name,
        "logging_collector": "off",
        "log_destination": "stderr",
        "data_directory": str(folder / "data"),
        "hba_file": str(folder / "data" / "pg_hba.conf"),
        "ident_file": str(folder / "data" / "pg_ident.conf"),
        "external_pid_file": str(folder / "external.pid"),  # empty, the server would complain
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
            "recovery_end_command": "",
            "archive_cleanup_command": "",
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
