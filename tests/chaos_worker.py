"""A worker that dies by SIGKILL at one activity: before, during or after it, or once it is reported."""

import asyncio
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

STEP, POINT = os.environ.get("KILL_STEP", ""), os.environ.get("KILL_POINT", "")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Deadly(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the base class's name
        hit = activity.info().activity_type == STEP
        if hit and POINT == "before":
            _die()
        if hit and POINT == "during":
            threading.Timer(0.12, _die).start()
        answer = await super().execute_activity(input)
        if hit and POINT == "after":
            _die()
        if hit and POINT == "reported":
            asyncio.get_running_loop().call_later(0.03, _die)
        return answer


class Chaos(Interceptor):
    """Puts the deadly interceptor around every activity."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - as above
        """Return the chain with ours in front."""
        return _Deadly(next)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), [Chaos()] if STEP else []))
    os._exit(0)
