"""A worker that dies by SIGKILL at one activity: before, during or after it, or once it is reported.

Started without arguments it forks such workers, one for each line of JSON that it reads: what they
import is read once.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from worker import serve


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Deadly(ActivityInboundInterceptor):
    def __init__(self, next_: ActivityInboundInterceptor, step: str, point: str) -> None:
        super().__init__(next_)
        self._step, self._point = step, point

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the base class's name
        point = self._point if activity.info().activity_type == self._step else ""
        if point == "before":
            _die()
        if point == "during":
            threading.Timer(0.12, _die).start()
        answer = await super().execute_activity(input)
        if point == "after":
            _die()
        if point == "reported":
            asyncio.get_running_loop().call_later(0.03, _die)
        return answer


class Chaos(Interceptor):
    """Puts the deadly interceptor around every activity."""

    def __init__(self, step: str, point: str) -> None:
        self._step, self._point = step, point

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - as above
        """Return the chain with ours in front."""
        return _Deadly(next, self._step, self._point)


def _work(catalog: str, step: str, point: str, log: str) -> None:
    """Be a worker until a signal comes."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(sink, stream)
    asyncio.run(serve(Path(catalog), [Chaos(step, point)] if step else []))
    sys.stdout.flush()
    os._exit(0)


def _tell_the_dead(*_: object) -> None:
    """Say which of our workers ended, and how."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        os.write(1, f"ended {pid} {os.waitstatus_to_exitcode(status)}\n".encode())


def main() -> None:
    """Fork a worker for each line."""
    signal.signal(signal.SIGCHLD, _tell_the_dead)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.close(0)
            _work(**asked)
        os.write(1, f"began {pid}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    main()
