"""`refloat run …`: what runs and ran."""

from pathlib import Path

import click
from temporalio.client import Client

from cli.context import Session, pass_session
from cli.html import render
from cli.printing import runs_table, status_lines
from cli.starting import DetachedError, tell
from cli.watch import follow
from client.errors import ClientError, UnknownRunError
from client.questions import find_report
from client.runs import approve, cancel, find_run, has_ended, list_runs, report_of, status_of
from domain.report import RunReport, RunStatus


@click.group()
def run() -> None:
    """List, follow, approve and cancel runs, and read their reports."""


@run.command("list")
@pass_session
def list_(session: Session) -> int:
    """Show the newest runs first."""
    runs = session.call(list_runs)
    if session.json:
        session.document(runs)
    else:
        session.console.print(runs_table(runs))
    return 0


async def _report(session: Session, client: Client, wanted: str) -> RunReport:
    """Return a report from Temporal, or the kept one when Temporal has forgotten the run."""
    try:
        return await report_of(await find_run(client, wanted))
    except UnknownRunError:
        kept = await find_report(client, list(session.catalog.protected()), wanted)
        if kept is None:
            raise
        return kept


async def _status(client: Client, wanted: str) -> RunStatus | RunReport:
    handle = await find_run(client, wanted)
    if await has_ended(handle):
        return await report_of(handle)
    found = await status_of(handle)
    if found is None:
        raise ClientError(f"{handle.id}: no worker answers for it; start `refloat-worker`")
    return found


@run.command()
@click.argument("id_", metavar="ID")
@pass_session
def show(session: Session, id_: str) -> int:
    """Show where a run stands, or its report once it has ended."""
    status = session.call(lambda client: _status(client, id_))
    if isinstance(status, RunReport):
        return tell(session, status)
    if status.report is not None:
        return tell(session, status.report)
    if session.json:
        session.document(status)
        return 0
    for line in status_lines(status):
        session.say(line)
    return 0


@run.command()
@click.argument("id_", metavar="ID")
@pass_session
def watch(session: Session, id_: str) -> int:
    """Follow a run until it ends."""

    async def work(client: Client) -> RunReport:
        handle = await find_run(client, id_)
        return await follow(client, handle, session.console, session.say)

    try:
        return tell(session, session.call(work, shows_itself=True))
    except KeyboardInterrupt:
        session.say(f"\ndetached: {id_} goes on; `refloat run watch {id_}` follows it")
        raise DetachedError from None


@run.command("approve")
@click.argument("id_", metavar="ID")
@click.option("--note", default="", help="kept in the report")
@pass_session
def approve_(session: Session, id_: str, note: str) -> int:
    """Approve a run's plan, as the account that types this."""

    async def work(client: Client) -> None:
        await approve(client, await find_run(client, id_), note)

    session.call(work)
    if session.json:
        session.document({"run": id_, "approved": True})
    session.say("approved")
    return 0


@run.command("cancel")
@click.argument("id_", metavar="ID")
@pass_session
def cancel_(session: Session, id_: str) -> int:
    """Stop a run; before cutover what it made is removed, after it the consumers are turned back."""

    async def work(client: Client) -> None:
        await cancel(await find_run(client, id_))

    session.call(work)
    if session.json:
        session.document({"run": id_, "asked_to_stop": True})
    session.say(f"asked {id_} to stop; `refloat run watch {id_}` shows it taking back what it made")
    return 0


@run.command()
@click.argument("id_", metavar="ID")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="write a page there")
@pass_session
def report(session: Session, id_: str, html: Path | None) -> int:
    """Show the report of a run that has ended."""
    found = session.call(lambda client: _report(session, client, id_))
    if html is None:
        return tell(session, found)
    try:
        html.write_text(render(found), encoding="utf-8")
    except OSError as error:
        raise ClientError(f"{html}: {error.strerror}; name another file") from None
    if session.json:
        session.document(found)
    session.say(f"written to {html}")
    return 0
