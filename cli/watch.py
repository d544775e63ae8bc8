"""Follows a run: live at a terminal, plain lines in a pipe."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from temporalio.client import Client, WorkflowHandle

from cli.lines import table
from client.pollers import require_pollers
from client.recoveries import await_report, queue_of
from client.runs import progress_of, status_of
from domain.clock import rest_at
from domain.report import RunReport, RunStatus
from domain.values import show_span, show_time

_SILENCE = timedelta(seconds=10)
_UNANSWERED = timedelta(seconds=3)


def _view(status: RunStatus, progress: str) -> Group:
    now = datetime.now(UTC)
    done = {record.phase: record for record in status.phases}
    phases = table("phase", "took", "estimate")
    for one in status.estimates:
        record = done.get(one.phase)
        took = (
            ""
            if record is None
            else show_span(record.took if record.took is not None else now - record.started_at)
        )
        style = "dim" if record is None else "green" if record.ended_at else "bold"
        phases.add_row(one.phase.value, took, show_span(one.p50), style=style)
    used = now - status.started_counting_at
    rest = rest_at(now, status.estimates, status.phases)
    state = "MISSED" if used > status.rto else "at risk" if used + rest > status.rto else "on track"
    clock = Text(
        f"{status.resource}: {show_span(used)} of {show_span(status.rto)} used, "
        f"about {show_span(rest)} to go: {state}",
        style="bold red" if state != "on track" else "bold",
    )
    notes = [Text(f"{show_time(event.at)} {event.what}") for event in status.events[-4:]]
    waiting = (
        [Text(f"waiting for {status.waiting_for}", style="yellow")] if status.waiting_for else []
    )
    return Group(clock, phases, *notes, *waiting, Text(progress, style="dim"))


def _standing(status: RunStatus, progress: str) -> str:
    """Return one line for a pipe that heard nothing for a while."""
    used = datetime.now(UTC) - status.started_counting_at
    doing = status.waiting_for or progress or status.phase.value
    return f"{doing}; {show_span(used)} of {show_span(status.rto)} used"


async def follow(
    client: Client,
    handle: WorkflowHandle[Any, RunReport],
    console: Console,
    say: Callable[[str], None],
) -> RunReport:
    """Show a run until it ends and return its report.

    Raises:
        NobodyPollsError: no worker is left that could go on with it.
    """
    ending = asyncio.ensure_future(await_report(handle))
    try:
        if console.is_terminal:
            with Live(console=console, refresh_per_second=8, transient=True) as live:
                while not ending.done():
                    status = await _status(client, handle, ending)
                    if status and status.estimates:
                        live.update(_view(status, await progress_of(client, handle)))
                    elif status is None and not ending.done():
                        live.update(Text("waits for a worker to take the run up"))
                    await asyncio.wait([ending], timeout=0.25)
        else:
            await _plain(client, handle, ending, say)
        return await ending
    finally:
        ending.cancel()
        await asyncio.wait([ending])
        if not ending.cancelled():
            ending.exception()  # taken note of: whoever waited has been told


async def _status(
    client: Client,
    handle: WorkflowHandle[Any, RunReport],
    ending: "asyncio.Future[RunReport]",
) -> RunStatus | None:
    status = await status_of(handle)
    if status is None and not ending.done():
        await require_pollers(client, queue_of(handle.id))
    return status


async def _plain(
    client: Client,
    handle: WorkflowHandle[Any, RunReport],
    ending: "asyncio.Future[RunReport]",
    say: Callable[[str], None],
) -> None:
    told: set[tuple[datetime, str]] = set()
    spoken = datetime.now(UTC)
    while not ending.done():
        status = await _status(client, handle, ending)
        lines = (
            []
            if status is None
            else [
                *((record.started_at, record.phase.value) for record in status.phases),
                *((event.at, event.what) for event in status.events),
            ]
        )
        for at, line in sorted(lines):
            if (at, line) not in told:
                told.add((at, line))
                spoken = datetime.now(UTC)
                say(f"{show_time(at)} {line}")
        if status and datetime.now(UTC) - spoken > _SILENCE:
            spoken = datetime.now(UTC)
            say(f"{show_time(spoken)} {_standing(status, await progress_of(client, handle))}")
        elif status is None and not ending.done() and datetime.now(UTC) - spoken > _UNANSWERED:
            spoken = datetime.now(UTC)
            say(f"{show_time(spoken)} waits for a worker to take the run up")
        await asyncio.wait([ending], timeout=0.4)
