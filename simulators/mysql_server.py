"""One real MariaDB server behind a simulated MySQL instance: its folder, its process, its copies."""

import shutil
import signal
import socket
import time
import zlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from domain.errors import ServerFailedError
from domain.values import UtcDatetime, Value
from providers.local.layout import read_record, remove_tree, write_record
from providers.local.processes import Daemon
from simulators.mysql_log import START, LogWatch, Position, log_file
from simulators.mysql_programs import Programs, program

_PATIENCE = 60.0
_TRIES = 5
_PROTOCOL = 10  # the first byte of a server's greeting, after the packet's header of four
_SOCKET = "socket"
_SMALL = (
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-temp-data-file-path=ibtmp1:1M:autoextend",
    "--innodb-autoextend-increment=1",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
    "--max-connections=100",
    "--performance-schema=OFF",
    "--innodb-use-native-aio=OFF",  # its rings are few on a machine with many servers
)
_LIKE_MANAGED = (
    "--default-time-zone=+00:00",
    "--character-set-server=utf8mb4",
    "--skip-name-resolve",
    "--log-bin-trust-function-creators=ON",
    "--max-allowed-packet=1G",
    "--log-warnings=1",
    "--innodb-flush-log-at-trx-commit=2",  # what a killed server committed is there; power cuts are not simulated
)
_WHILE_REPLAYING = ("--innodb-doublewrite=OFF", "--innodb-flush-log-at-trx-commit=0")


class MysqlRecord(Value):
    """What is kept of a server: whether it is whole, and what became of it."""

    id: str
    state: Literal["making", "whole", "retained"]
    running: bool = True
    port: int = 0
    opens_at: UtcDatetime | None = None
    until: UtcDatetime | None = None


class MysqlServer:
    """A server in a folder of its own; everything in it goes with the server."""

    def __init__(self, folder: Path, record: MysqlRecord, programs: Programs) -> None:
        self.folder, self.record, self.programs = folder, record, programs
        self.data, self.base, self.log = folder / "data", folder / "base", folder / "log"
        self.temporary = folder / "temporary"
        self.daemon = Daemon(folder / "server.pid", folder / "server.log")
        self.watch = LogWatch(self.log, folder / "growth")

    @classmethod
    def found(cls, folder: Path, programs: Programs) -> "MysqlServer | None":
        """Return the server of a folder, or None where its making had hardly begun."""
        record = read_record(folder / "server.json", MysqlRecord)
        return cls(folder, record, programs) if record else None

    def note(self, **changes: bool | int | str | datetime | None) -> None:
        """Write the record down with changes."""
        self.record = self.record.model_copy(update=changes)
        write_record(self.folder / "server.json", self.record)

    def start(self, certificate: tuple[Path, Path], *, logged: bool = True) -> None:
        """Start it and return when it answers; an adopted one that runs is only awaited.

        Raises:
            ServerFailedError: it stopped, or does not answer.
        """
        if self.daemon.pid is not None:
            self._await()
            return
        tls = self._carried(certificate)
        for made in (self.log, self.temporary):
            made.mkdir(exist_ok=True)
            self.programs.account.own(made)
        for attempt in range(1, _TRIES + 1):
            self.note(port=_free_port(self.record.port if attempt == 1 else 0))
            self.daemon.log.unlink(missing_ok=True)
            command = [program("mariadbd"), *self._arguments(tls, logged=logged)]
            self.daemon.start(command, environment={"LC_ALL": "C"}, account=self.programs.account)
            try:
                self._await()
            except ServerFailedError as error:
                # another process can take the port between the look and the server's own bind
                if "Bind on TCP/IP port" not in str(error) or attempt == _TRIES:
                    raise
            else:
                return

    def _arguments(self, tls: Sequence[str], *, logged: bool) -> list[str]:
        number = zlib.crc32(self.record.id.encode()) or 1  # tells apart whose transactions they are
        log = (
            f"--log-bin={self.log}/bin",
            f"--log-bin-index={self.log}/bin.index",
            f"--server-id={number}",
            "--binlog-format=ROW",
            "--sync-binlog=1",
            "--max-binlog-size=64M",
        )
        return [
            "--no-defaults",
            f"--datadir={self.data}",
            # in a shared one, a server that starts removes the temporary tables of all others
            f"--tmpdir={self.temporary}",
            f"--socket={_SOCKET}",  # relative to the data: a long path does not fit a socket's name
            f"--pid-file={self.folder.name}.pid",
            "--bind-address=127.0.0.1",
            f"--port={self.record.port}",
            "--require-secure-transport=ON",
            *tls,
            *_SMALL,
            *_LIKE_MANAGED,
            *(log if logged else _WHILE_REPLAYING),
        ]

    def _carried(self, certificate: tuple[Path, Path]) -> list[str]:
        """Return the TLS settings, with copies of the files that the server's account may read."""
        found = []
        for kind, source in zip(("cert", "key"), certificate, strict=True):
            target = self.folder / f"{kind}.pem"
            target.unlink(missing_ok=True)
            target.touch(0o600)
            target.write_bytes(source.read_bytes())
            self.programs.account.own(target)
            found.append(f"--ssl-{kind}={target}")
        return found

    def _await(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not _answers(self.record.port):
            if self.daemon.pid is None:
                raise ServerFailedError(f"{self.record.id}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise ServerFailedError(f"{self.record.id}: no answer within {_PATIENCE:.0f} s")
            time.sleep(0.02)

    def _last_words(self) -> str:
        lines = self.daemon.log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if "[ERROR]" in line and "Aborting" not in line]
        return next(iter(errors or lines[-1:]), "it stopped without a word")

    def stop(self) -> None:
        """Stop it and wait for its end; its log is whole then."""
        self.daemon.stop(signal.SIGTERM, within=_PATIENCE)

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens, or None when it does not run."""
        whole = self.record.state == "whole"
        return ("127.0.0.1", self.record.port) if whole and self.daemon.pid is not None else None

    def keep_base(self) -> None:
        """Copy the data while it does not run; its log begins after this."""
        self.programs.copy(self.data, self.base)

    def back_up(self, target: Path) -> Position:
        """Copy the data while it runs; return up to which place in the log it reaches."""
        target.mkdir()
        self.programs.account.own(target)
        here = f"--target-dir={target}"
        self.programs.run(
            [
                "mariabackup",
                f"--defaults-file={self.programs.login}",
                "--backup",
                here,
                "--log-copy-interval=10",  # commits wait for the last look at the engine's log
                f"--datadir={self.data}",
                f"--socket={_SOCKET}",
            ],
            self.data,
        )
        self.programs.run(["mariabackup", "--prepare", here], target)
        told = (target / "xtrabackup_binlog_info").read_text().split()
        for left in (*target.glob("xtrabackup_*"), target / "backup-my.cnf"):
            left.unlink()
        return Position(int(told[0].rpartition(".")[2]), int(told[1]))

    def log_between(self, begin: Position, end: Position, folder: Path) -> list[Path]:
        """Link the files of the log with what lies between two places into a folder."""
        folder.mkdir()
        linked = []
        for number in range(begin.number, end.number + 1):
            linked.append(log_file(folder, number))
            linked[-1].hardlink_to(log_file(self.log, number))
        return linked

    def replay(self, log: Sequence[Path], begin: Position, end: Position) -> None:
        """Apply what lies between two places of another server's log; runs without its own log."""
        reading = [
            "mariadb-binlog",
            "--no-defaults",
            f"--start-position={begin.offset}",
            f"--stop-position={end.offset}",
            *(str(path) for path in log),
        ]
        login = f"--defaults-file={self.programs.login}"
        client = ["mariadb", login, f"--socket={_SOCKET}", "--binary-mode"]
        self.programs.replay(reading, [*client, "--max-allowed-packet=1G"], self.data)

    def forget_data(self) -> None:
        """Remove the data; what it can be restored from stays."""
        remove_tree(self.data)

    def own_base(self) -> tuple[Path, Position]:
        """Return the copy from before the log began."""
        return self.base, START


def make_template(folder: Path, programs: Programs) -> Path:
    """Return the data of an empty server without any login, made on first use."""
    template = folder / "template"
    if template.exists():
        return template
    making = folder / "template.making"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    programs.account.own(making)
    programs.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={making}",
            f"--tmpdir={making}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *_SMALL,
        ],
        making,
    )
    return making.rename(template)


def run_before_start(data: Path, statements: Sequence[str], programs: Programs) -> None:
    """Carry out statements on data whose server does not run, one a line."""
    settings = [f"--datadir={data}", f"--tmpdir={data}", "--skip-name-resolve", *_SMALL]
    programs.run(
        ["mariadbd", "--no-defaults", "--bootstrap", *settings],
        data,
        said="".join(f"{one};\n" for one in statements),
    )


def _free_port(wanted: int) -> int:
    """Return the wanted port when nobody has it, else one that is free now."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerFailedError("no free port on 127.0.0.1")


def _answers(port: int) -> bool:
    """Return whether a MySQL server greets on a port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as probe:
            greeting = probe.recv(5)
    except OSError:
        return False
    return len(greeting) == 5 and greeting[4] == _PROTOCOL  # noqa: PLR2004 - header and first byte
