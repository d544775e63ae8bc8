"""Long-lived child processes that outlive whoever started them, and are found again by pid file."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from domain.values import Value
from providers.local.config import Account
from providers.local.layout import read_record, write_record

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_START_TICKS = 19  # field 22 of proc(5) stat; the first two end at the last parenthesis


class PidRecord(Value):
    """A process by pid and identity, so that a reused pid is never mistaken for it."""

    pid: int
    identity: str


def identity_of(pid: int) -> str | None:
    """Return what tells process `pid` from every other one, or None if it is gone or a zombie.

    On Linux that is the boot and the clock ticks since: a start time in seconds moves when the
    machine's clock is set.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if not _BOOT.exists():
            return f"{process.create_time():.2f}"
        told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        ticks = told.rpartition(")")[2].split()[_START_TICKS]
    except (psutil.Error, OSError):
        return None
    return f"{_BOOT.read_text(encoding='ascii')[:8]}.{ticks}"


def is_running(record: PidRecord | None) -> bool:
    """Return whether the process of a record still runs."""
    return record is not None and identity_of(record.pid) == record.identity


def own_mark() -> str:
    """Return a part of a file name that tells that this process made the file."""
    return f"{os.getpid()}.{identity_of(os.getpid())}"


def is_abandoned(mark: str) -> bool:
    """Return whether the process that made a file with this mark is gone."""
    pid, _, identity = mark.partition(".")
    return not pid.isdigit() or identity_of(int(pid)) != identity


def sweep(folder: Path, beginning: str) -> None:
    """Remove files and folders that a process which was killed could not remove itself.

    Their names are `beginning`, then the mark of their maker, then anything after a dash.
    """
    for path in folder.glob(f"{beginning}*"):
        mark = path.name.removeprefix(beginning).partition("-")[0]
        try:
            ours = path.stat().st_uid == os.geteuid()
        except FileNotFoundError:
            continue  # another sweeper was quicker
        if ours and is_abandoned(mark):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(True)


_STARTED: list["subprocess.Popen[bytes]"] = []  # they outlive us on purpose: never collected


class Daemon:
    """One child process with its pid file and log."""

    def __init__(self, pidfile: Path, log: Path) -> None:
        self.pidfile, self.log = pidfile, log
        self._child: subprocess.Popen[bytes] | None = None
        self.exit_code: int | None = None
        self.ended = False

    @property
    def pid(self) -> int | None:
        """The pid of the running process, ours or an adopted one; None when it does not run."""
        if self._child is not None:
            self.exit_code = self._child.poll()
            if self.exit_code is None:
                return self._child.pid
            self._child, self.ended = None, True
        known = read_record(self.pidfile, PidRecord)
        return known.pid if known is not None and is_running(known) else None

    def is_running(self) -> bool:
        """Return whether the noted process runs; for other threads than the one that starts it."""
        return is_running(read_record(self.pidfile, PidRecord))

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        account: Account | None = None,
        folder: Path = Path("/"),
    ) -> int:
        """Start the process in a session of its own, and note its pid."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=account.groups if account else None,
            )
        _STARTED.append(self._child)
        self.exit_code, self.ended = None, False
        identity = identity_of(self._child.pid) or "ended"
        write_record(self.pidfile, PidRecord(pid=self._child.pid, identity=identity))
        return self._child.pid

    def tell(self, what: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        pid = self.pid
        if pid is not None:
            try:
                os.kill(pid, what)
            except ProcessLookupError:
                return

    def stop(self, what: signal.Signals = signal.SIGTERM, within: float = 15.0) -> bool:
        """Send `what` and wait; then kill. Return whether it ended by itself."""
        self.tell(what)
        deadline = time.monotonic() + within
        while self._runs() and time.monotonic() < deadline:
            time.sleep(0.02)
        obeyed = not self._runs()
        if not obeyed:
            self.tell(signal.SIGKILL)
            while self._runs():
                time.sleep(0.02)
        self.pidfile.unlink(missing_ok=True)
        return obeyed

    def _runs(self) -> bool:
        return self.pid is not None
