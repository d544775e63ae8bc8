"""From a request to its report: show the plan and ask, start, follow, tell."""

import asyncio
from collections.abc import Iterable
from urllib.parse import quote

import click
from temporalio.client import Client

from cli.context import Session, interactive
from cli.printing import report_lines
from cli.watch import follow
from client.errors import NobodyPollsError, TemporalUnreachableError
from client.recoveries import AnyRecovery, StartedRun, handle_of, start_recovery, workflow_id
from domain.errors import ConfirmationRequiredError, RefusedError
from domain.report import RunReport, exit_code


class DetachedError(Exception):
    """The person left with Ctrl-C; the run goes on."""


def require_somebody() -> None:
    """Refuse to ask where nobody can answer.

    Raises:
        ConfirmationRequiredError: with the options that need no answer.
    """
    if not interactive():
        raise ConfirmationRequiredError(
            "nobody at a terminal to confirm the plan; add --yes to go on, or --plan to only see it"
        )


def confirm(session: Session, lines: Iterable[str], refused: str) -> None:
    """Show a plan and ask for a yes.

    Raises:
        RefusedError: the plan cannot work.
        ConfirmationRequiredError: the answer was not yes.
    """
    for line in lines:
        session.say(line)
    if refused:
        raise RefusedError(f"this cannot work now: {refused}")
    try:
        confirmed = click.confirm("Go on?", err=session.json)
    except click.Abort:
        confirmed = False
    if not confirmed:
        raise ConfirmationRequiredError("not confirmed; nothing was started")


def run_to_end(session: Session, request: AnyRecovery, *, detach: bool) -> int:
    """Start a recovery, follow it unless told to leave, and return the exit code of its report."""
    started: list[StartedRun] = []

    async def work(client: Client) -> RunReport | None:
        run = await start_recovery(client, request)
        started.append(run)
        if detach:
            return None
        return await follow(client, handle_of(client, run), session.console, session.say)

    name = workflow_id(request.mode, request.resource.path, request.resource.kind)
    try:
        report = session.call(work, shows_itself=True)
    except (KeyboardInterrupt, asyncio.CancelledError):
        goes = "goes on" if started else "may have been started"
        session.say(f"\ndetached: {name} {goes}; `refloat run watch {name}` follows it")
        raise DetachedError from None
    except (TemporalUnreachableError, NobodyPollsError):
        if started:
            click.echo(
                f"refloat: {name} was started, run {started[0].run_id}, and goes on as soon as it "
                f"can; `refloat run watch {name}` follows it",
                err=True,
            )
        raise
    if report is None:
        return _tell_started(session, started[0])
    return tell(session, report)


def _tell_started(session: Session, run: StartedRun) -> int:
    if session.json:
        session.document(run)
    session.say(
        f"started {run.workflow_id}, run {run.run_id}; "
        f"`refloat run watch {run.run_id[:8]}` follows it"
    )
    return 0


def tell(session: Session, report: RunReport) -> int:
    """Print a report and return its exit code."""
    if session.json:
        session.document(report)
    else:
        for line in report_lines(report):
            session.say(line)
        settings = session.settings
        if settings.web:
            name = quote(report.workflow_id, safe="")
            where = f"{settings.web}/namespaces/{settings.namespace}/workflows/{name}"
            session.say(f"  in Temporal: {where}/{report.temporal_run_id}".rstrip("/"))
    return exit_code(report)
