"""`refloat run …`: what runs and ran."""

from pathlib import Path

import click
from temporalio.client import Client

from cli.context import Session, pass_session
from cli.html import render
from cli.printing import runs_table
from cli.restore import DetachedError, tell
from cli.watch import follow
from client.errors import ClientError
from client.runs import approve, cancel, find_run, has_ended, list_runs, report_of, status_of
from domain.report import RunReport, RunStatus
from domain.values import show_time


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
    session.say(f"{status.resource}: {status.phase.value}, run {status.run_id}")
    if status.waiting_for:
        session.say(
            f"  waiting for {status.waiting_for}: `refloat run approve {status.run_id[:8]}`"
        )
    for event in status.events:
        session.say(f"  {show_time(event.at)} {event.what}")
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
        return tell(session, session.call(work))
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

    async def work(client: Client) -> RunReport:
        return await report_of(await find_run(client, id_))

    found = session.call(work)
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
