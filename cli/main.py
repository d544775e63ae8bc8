"""The entry point: global options, the short commands, errors as sentences, exit codes."""

import asyncio
import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence

import click
from click.shell_completion import get_completion_class
from temporalio.client import Client

from cli.completion import protected_paths, resource_paths
from cli.context import Session, interactive, local_zone, now, pass_session
from cli.printing import (
    description_lines,
    last_lines,
    points_tables,
    resources_table,
    suspects_table,
)
from cli.restore import restore
from cli.rewind import rewind
from cli.rollback import rollback
from cli.runs import run
from cli.starting import DetachedError
from cli.times import parse_since, show_both
from cli.versions import show_resource, show_versions
from client.errors import ClientError, NobodyPollsError, TemporalUnreachableError
from client.questions import (
    copy_snapshot,
    create_snapshot,
    delete_snapshot,
    describe,
    find_suspects,
    last_runs,
    list_recovery_points,
    release,
)
from domain.errors import CatalogError, ConfirmationRequiredError, RecoveryError, RefusedError
from domain.report import ProvenResource
from domain.resources import Protected, ProtectedResource


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--catalog", metavar="FILE", help="default: REFLOAT_CATALOG, else ./refloat.yaml")
@click.option("--output", type=click.Choice(["text", "json"]), default="text")
@click.version_option(package_name="refloat", prog_name="refloat")
@click.pass_context
def refloat(context: click.Context, catalog: str | None, output: str) -> None:
    """Bring back what was lost, within its objective, and prove it."""
    context.obj = Session(explicit_catalog=catalog, json=output == "json")


@refloat.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "allow_interspersed_args": False,
    }
)
@click.argument("act", type=click.Choice(["up", "down", "status", "psql", "deploy", "demo"]))
@click.argument("rest", nargs=-1, type=click.UNPROCESSED)
@pass_session
def sandbox(session: Session, act: str, rest: Sequence[str]) -> int:
    """Start, stop or use a protected environment on this machine.

    up, down [--purge], status, psql, deploy v1|v2|crash|settings (a release, or bad settings).
    """
    told = ["--json"] if session.json and act in {"up", "down", "status"} else []
    process = subprocess.Popen([sys.executable, "-m", "sandbox", act, *told, *rest])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the sandbox's own program got it too, and ends by itself


@refloat.group()
def catalog() -> None:
    """Look at the catalog."""


@catalog.command()
@pass_session
def check(session: Session) -> int:
    """Validate the catalog, offline."""
    found = list(session.catalog.protected())
    if session.json:
        session.document({"catalog": str(session.path), "resources": [one.path for one in found]})
    else:
        session.say(f"{session.path}: valid, {len(found)} resource{'' if len(found) == 1 else 's'}")
    return 0


@refloat.group()
def resource() -> None:
    """Show what is protected."""


@resource.command("list")
@pass_session
def resource_list(session: Session) -> int:
    """List what is protected, with its objectives and last proof."""
    found = list(session.catalog.protected())

    async def proven(client: Client, one: Protected) -> ProvenResource:
        return ProvenResource(resource=one, last=tuple(await last_runs(client, one)))

    async def work(client: Client) -> list[ProvenResource]:
        return await asyncio.gather(*(proven(client, one) for one in found))

    code, shown = 0, [ProvenResource(resource=one) for one in found]
    try:
        shown = session.call(work)
    except (TemporalUnreachableError, NobodyPollsError) as error:
        code = error.exit_code
        click.echo(f"refloat: the last proofs are unknown: {error}", err=True)
    if session.json:
        session.document(shown)
    else:
        session.console.print(resources_table(shown))
    return code


@resource.command("show")
@click.argument("path", shell_complete=protected_paths)
@pass_session
def resource_show(session: Session, path: str) -> int:
    """Show what PATH means now, what it can go back to, and how its last runs went."""
    wanted = session.catalog.find(path)
    if not isinstance(wanted, ProtectedResource):
        return show_resource(session, wanted)
    found = session.call(lambda client: describe(client, wanted))
    if session.json:
        session.document(found)
    else:
        drill = f"refloat restore {path} --drill"
        for line in (*description_lines(found), *last_lines(found.last, drill)):
            session.say(line)
    return 0


@refloat.group("recovery-point")
def recovery_point() -> None:
    """Show what can be gone back to."""


@recovery_point.command("list")
@click.argument("path", shell_complete=protected_paths)
@pass_session
def points(session: Session, path: str) -> int:
    """List recovery windows and snapshots, versions, or commits of PATH, live."""
    protected = session.catalog.find(path)
    if not isinstance(protected, ProtectedResource):
        return show_versions(session, protected)
    wanted = protected
    found = session.call(lambda client: list_recovery_points(client, wanted))
    if session.json:
        session.document(found)
    else:
        for made in points_tables(found):
            session.console.print(made)
    return 0


@recovery_point.command()
@click.argument("path", shell_complete=resource_paths)
@click.option("--since", default="2h", help="a span as 2h, or a time")
@pass_session
def suspects(session: Session, path: str, since: str) -> int:
    """List commits that dropped, truncated or rewrote relations, newest first."""
    wanted, moment = session.resource(path), parse_since(since, now(), local_zone())
    found = session.call(lambda client: find_suspects(client, wanted, moment))
    if session.json:
        session.document(found)
    elif found:
        session.console.print(suspects_table(found))
        session.say(
            f"\nrestore to the moment just before one: refloat restore {path} --before {found[0].before}"
        )
    else:
        session.say(
            f"nothing dropped, truncated or rewrote a relation since {show_both(moment, local_zone())}; "
            "a DELETE or UPDATE is not seen this way: restore --to the time before it"
        )
    return 0


@refloat.group()
def snapshot() -> None:
    """Named points that are kept."""


@snapshot.command()
@click.argument("path", shell_complete=resource_paths)
@click.option("--name", default="", help="a name to restore it by")
@pass_session
def create(session: Session, path: str, name: str) -> int:
    """Take a snapshot with its proof: content hashes of every table at one instant."""
    wanted = session.resource(path)
    made = session.call(
        lambda client: create_snapshot(client, wanted, key=uuid.uuid4().hex, name=name)
    )
    if session.json:
        session.document(made)
    else:
        proof = "with its proof" if made.proven else f"WITHOUT proof: {made.unproven_because}"
        session.say(f"snapshot {made.id}{f' at {made.lsn}' if made.lsn else ''}, {proof}")
    return 0


@snapshot.command()
@click.argument("path", shell_complete=resource_paths)
@click.argument("snapshot_id", metavar="ID")
@click.option("--region", required=True, help="the provider's name of the other region")
@pass_session
def copy(session: Session, path: str, snapshot_id: str, region: str) -> int:
    """Copy a snapshot to another region, where the provider can; it goes on by itself."""
    wanted = session.resource(path)
    name = session.call(lambda client: copy_snapshot(client, wanted, snapshot_id, region))
    if session.json:
        session.document({"snapshot": snapshot_id, "region": region, "copy": name})
    else:
        session.say(f"{snapshot_id} is being copied to {region} as {name}; the provider goes on")
    return 0


@snapshot.command()
@click.argument("path", shell_complete=resource_paths)
@click.argument("snapshot_id", metavar="ID")
@click.option("--yes", is_flag=True, help="do not ask")
@pass_session
def delete(session: Session, path: str, snapshot_id: str, *, yes: bool) -> int:
    """Delete a snapshot that somebody took."""
    wanted = session.resource(path)
    if not yes:
        if not interactive():
            raise ConfirmationRequiredError("nobody at a terminal to confirm; add --yes to go on")
        if not click.confirm(f"Delete snapshot {snapshot_id} of {path}?", err=session.json):
            raise ConfirmationRequiredError("not confirmed; nothing was deleted")
    session.call(lambda client: delete_snapshot(client, wanted, snapshot_id))
    if session.json:
        session.document({"deleted": snapshot_id})
    else:
        session.say(f"deleted: {snapshot_id}")
    return 0


@refloat.command("release")
@click.argument("path", shell_complete=resource_paths)
@click.option("--yes", is_flag=True, help="do not ask")
@pass_session
def release_(session: Session, path: str, *, yes: bool) -> int:
    """Delete the superseded servers and kept copies of PATH; their archives stay for the retention."""
    wanted = session.resource(path)
    if not yes:
        if not interactive():
            raise ConfirmationRequiredError("nobody at a terminal to confirm; add --yes to go on")
        found = session.call(lambda client: describe(client, wanted))
        for line in description_lines(found):
            session.say(line)
        names = ", ".join(found.server.superseded)
        if names and not click.confirm(f"Delete {names}?", err=session.json):
            raise ConfirmationRequiredError("not confirmed; nothing was deleted")
    released = session.call(lambda client: release(client, wanted))
    if session.json:
        session.document(released)
    else:
        session.say(f"released: {', '.join(released)}")
    return 0


@refloat.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script: eval "$(refloat completion bash)"."""
    made = get_completion_class(shell)
    if made is not None:
        click.echo(made(refloat, {}, "refloat", "_REFLOAT_COMPLETE").source())
    return 0


refloat.add_command(restore)
refloat.add_command(rollback)
refloat.add_command(rewind)
refloat.add_command(run)


def call(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every error is one sentence on stderr."""
    try:
        code = refloat.main(
            args=list(arguments) if arguments is not None else None,
            prog_name="refloat",
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt, DetachedError):
        return 130
    except ClientError as error:
        click.echo(f"refloat: {error}", err=True)
        return error.exit_code
    except RecoveryError as error:
        click.echo(f"refloat: {error}", err=True)
        return 2 if isinstance(error, RefusedError | CatalogError) else 1
    except OSError as error:
        return _unwritten(error)
    return code if isinstance(code, int) else 0


def _unwritten(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):  # whoever read the output has left, as `head` does
        return 1
    where = f" {error.filename}" if error.filename else " the output"
    with contextlib.suppress(OSError):
        click.echo(f"refloat: cannot read or write{where}: {error.strerror}", err=True)
    return 1


def main() -> None:
    """Run the command that the shell gives."""
    code = call()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        code = code if isinstance(error, BrokenPipeError) else _unwritten(error)
    os._exit(code)  # the SDK's core may crash when the interpreter ends; the work is done by now
