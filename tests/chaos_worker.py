"""A worker that dies by SIGKILL at one activity: before it, or after its effect and before its report."""

import asyncio
import os
import signal
import sys
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


class _Deadly(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the base class's name
        info = activity.info()
        hit = info.activity_type == STEP and info.attempt == 1
        if hit and POINT == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await super().execute_activity(input)
        if hit and POINT == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


class Chaos(Interceptor):
    """Puts the deadly interceptor around every activity."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - as above
        """Return the chain with ours in front."""
        return _Deadly(next)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), [Chaos()] if STEP else []))
    os._exit(0)
