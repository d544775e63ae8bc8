"""Long-lived child processes that outlive whoever started them, and are found again by pid file."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from domain.values import Value
from providers.local.config import Account
from providers.local.layout import read_record, write_record


class PidRecord(Value):
    """A process by pid and start time, so that a reused pid is never mistaken for it."""

    pid: int
    created: float


def started_at(pid: int) -> float | None:
    """Return when process `pid` started, or None if it is gone or a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


_STARTED: list["subprocess.Popen[bytes]"] = []  # they outlive us on purpose: never collected


class Daemon:
    """One child process with its pid file and log."""

    def __init__(self, pidfile: Path, log: Path) -> None:
        self.pidfile, self.log = pidfile, log
        self._child: subprocess.Popen[bytes] | None = None
        self.exit_code: int | None = None

    @property
    def pid(self) -> int | None:
        """The pid of the running process, ours or an adopted one; None when it does not run."""
        if self._child is not None:
            self.exit_code = self._child.poll()
            if self.exit_code is None:
                return self._child.pid
            self._child = None
        known = read_record(self.pidfile, PidRecord)
        if known is None:
            return None
        created = started_at(known.pid)
        same = created is not None and abs(created - known.created) < 1.0
        return known.pid if same else None

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
                extra_groups=[] if account and account.uid is not None else None,
            )
        _STARTED.append(self._child)
        self.exit_code = None
        created = started_at(self._child.pid) or time.time()
        write_record(self.pidfile, PidRecord(pid=self._child.pid, created=created))
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
