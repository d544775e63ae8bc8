"""Keeps one server as its record says: started, restarted into a new generation, stopped, gone."""

import os
import re
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from domain.errors import RecoveryError
from providers.local.binaries import locate
from providers.local.layout import write_record
from providers.local.processes import Daemon, identity_of
from providers.local.records import Desired, ServerRecord, ServerStatus
from providers.local.server_log import log_of
from providers.local.servers import Servers
from providers.local.starting import start_arguments

_RESTART_PAUSE = 2.0
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where PostgreSQL makes it on Linux
_SHARED_NAME = re.compile(r" /dev/shm/(PostgreSQL\.\d+)$", re.MULTILINE)


def postmaster_of(data: Path) -> int | None:
    """Return the pid of the server that runs on a data directory, whoever started it."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        words = psutil.Process(pid).cmdline()
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return pid if str(data) in words and identity_of(pid) else None


def shared_memory_of(pid: int) -> tuple[str, ...]:
    """Return the names of the shared memory that a server made outside of its folder.

    A server removes it when it ends, and the next one on the same folder that of one that was
    killed; when the folder is gone as well, nobody would.
    """
    try:
        mapped = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(sorted(set(_SHARED_NAME.findall(mapped))))


class ServerKeeper:
    """Brings about what the record of one managed server asks for."""

    def __init__(self, servers: Servers, name: str) -> None:
        self.servers, self.name = servers, name
        self.folder = servers.layout.server(name)
        self.daemon = Daemon(self.folder / "postgres.pid", log_of(self.folder))
        self._told: ServerStatus | None = servers.status(name)
        self._not_before = 0.0
        self._noted: int | None = None

    def tick(self, record: ServerRecord) -> None:
        """Do the next thing, if there is one."""
        pid = self.daemon.pid or self._adopted()
        if record.desired in {Desired.STOPPED, Desired.ABSENT}:
            self._stop(record, pid)
        elif record.desired is Desired.RUNNING:
            self._run(record, pid)

    def _adopted(self) -> int | None:
        """Return the pid of a postmaster that an earlier supervisor started."""
        return postmaster_of(self.folder / "data")

    def _run(self, record: ServerRecord, pid: int | None) -> None:
        known = self._told
        if pid is not None:
            if known is None or known.generation == record.generation:
                self._tell("running", pid, record.generation)
                self._note_shared_memory(pid)
                return
            self._halt(signal.SIGINT)
            self._not_before = 0.0
        if not (self.folder / "data" / "PG_VERSION").exists():
            self._remove_shared_memory()
            self._tell("lost", None, record.generation, "its data directory is gone")
            return
        code = self.daemon.exit_code
        same = known is not None and known.generation == record.generation
        gave_up = same and (code or 0) > 0 and self.daemon.ended
        if record.aim is not None and (gave_up or (same and known and known.state == "failed")):
            self._tell("failed", None, record.generation, "it stopped while recovering", code)
            return  # by itself: killed, or gone with the machine, it is started again and goes on
        if time.monotonic() >= self._not_before:
            self._start(record)

    def _start(self, record: ServerRecord) -> None:
        self._not_before = time.monotonic() + _RESTART_PAUSE
        config = self.servers.layout.config
        try:
            binaries = locate(config, record.major)
        except RecoveryError as error:
            self._tell("failed", None, record.generation, str(error))
            return
        self._clear_locks()
        command = [
            binaries["postgres"],
            "-D",
            str(self.folder / "data"),
            *start_arguments(record, self.folder),
        ]
        pid = self.daemon.start(
            command,
            environment={"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TZ": "UTC"},
            account=config.account,
        )
        self._tell("running", pid, record.generation)

    def _clear_locks(self) -> None:
        """Remove the locks of a server that is gone: after a power cut their pids are others'."""
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        for path in self.folder.glob(".s.PGSQL.*"):
            path.unlink(missing_ok=True)

    def _halt(self, how: signal.Signals) -> None:
        pid = self._adopted()
        if self.daemon.pid is None and pid is not None:
            os.kill(pid, how)
            deadline = time.monotonic() + 20
            while identity_of(pid) is not None and time.monotonic() < deadline:
                time.sleep(0.02)
            return
        self.daemon.stop(how, within=20.0)

    def _stop(self, record: ServerRecord, pid: int | None) -> None:
        if pid is not None:
            gone = record.desired is Desired.ABSENT
            self._halt(signal.SIGQUIT if gone else signal.SIGINT)
        if record.desired is Desired.ABSENT:
            self._remove_shared_memory()
        self._tell("stopped", None, record.generation)

    def _note_shared_memory(self, pid: int) -> None:
        """Write its names down, beside those of a server before it that nobody has removed yet."""
        if self._told is None or self._told.pid != pid or self._noted == pid:
            return
        if found := shared_memory_of(pid):
            self._noted = pid
            earlier = [
                name for name in self._told.shared_memory if (_SHARED_MEMORY / name).exists()
            ]
            names = tuple(sorted({*earlier, *found}))
            self._write(self._told.model_copy(update={"shared_memory": names}))

    def _remove_shared_memory(self) -> None:
        """Remove the shared memory of a server that was killed and will not start again."""
        for name in self._told.shared_memory if self._told else ():
            (_SHARED_MEMORY / name).unlink(missing_ok=True)

    def _tell(
        self,
        state: str,
        pid: int | None,
        generation: int,
        problem: str = "",
        code: int | None = None,
    ) -> None:
        known = self._told
        same = known and (known.state, known.pid, known.generation, known.problem) == (
            state,
            pid,
            generation,
            problem,
        )
        if same or not Path(self.folder).exists():
            return
        self._write(
            ServerStatus(
                state=state,
                pid=pid,
                generation=generation,
                exit_code=code,
                since=datetime.now(UTC),
                problem=problem,
                shared_memory=known.shared_memory if known else (),
            )
        )

    def _write(self, status: ServerStatus) -> None:
        self._told = status
        write_record(self.folder / "status.json", status)
