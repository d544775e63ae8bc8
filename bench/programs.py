"""Temporal, supervisor and worker, as an installation runs them."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.machine import BenchError
from providers.local.processes import Daemon
from sandbox.programs import FAST, answers, temporal_program
from workflows.attributes import ALL

_REPOSITORY = Path(__file__).resolve().parent.parent

Answer = TypeVar("Answer")


def wait_for(what: str, found: Callable[[], Answer | None], within: float) -> Answer:
    """Return what `found` returns once it is something.

    Raises:
        BenchError: it was nothing for `within` seconds.
    """
    deadline = time.monotonic() + within
    while not (answer := found()):
        if time.monotonic() > deadline:
            raise BenchError(f"waited {within:.0f} s for {what}")
        time.sleep(0.1)
    return answer


class Programs:
    """Temporal, supervisor and worker of one stage, each in a session of its own."""

    def __init__(self, root: Path, catalog: Path, port: int) -> None:
        self.root, self.catalog, self.port = root, catalog, port
        self.temporal, self.supervisor, self.worker = (
            Daemon(root / "run" / f"{name}.pid", root / "logs" / f"{name}.log")
            for name in ("temporal", "supervisor", "worker")
        )

    def start(self) -> None:
        """Start all three; the worker once Temporal answers."""
        self._start(self.temporal, _temporal_command(self.root, self.port))
        wait_for("Temporal", lambda: answers(self.port), 60)
        for daemon, module in (
            (self.supervisor, "providers.local.supervisor"),
            (self.worker, "worker"),
        ):
            self._start(daemon, [sys.executable, "-m", module, "--catalog", str(self.catalog)])

    @staticmethod
    def _start(daemon: Daemon, command: list[str]) -> None:
        daemon.start(
            command, environment={**os.environ, "PYTHONUNBUFFERED": "1"}, folder=_REPOSITORY
        )

    def stop(self) -> None:
        """Stop all three; the supervisor stops the servers it keeps."""
        self.worker.stop(within=20)
        self.supervisor.stop(signal.SIGINT, within=120)
        self.temporal.stop(within=10)

    def last_words(self) -> str:
        """Return the ends of the logs, for the day something went wrong."""
        logs = [*sorted((self.root / "logs").glob("*.log")), *self.root.rglob("server.log")]
        return "\n".join(
            f"{log.relative_to(self.root)}: {line}"
            for log in logs
            for line in log.read_text(errors="replace").splitlines()[-5:]
        )


def _temporal_command(root: Path, port: int) -> list[str]:
    values = [part for value in FAST for part in ("--dynamic-config-value", value)]
    names = [part for key in ALL for part in ("--search-attribute", f"{key.name}=Keyword")]
    pragmas = ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"]
    return [
        temporal_program(),
        *("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)),
        *("--db-filename", str(root / "temporal.db"), "--log-level", "error"),
        *pragmas,
        *names,
        *values,
    ]
