"""`refloat restore`: plan, ask, start, follow, tell."""

from datetime import datetime

import click

from cli.completion import resource_paths
from cli.context import Session, local_zone, now, pass_session
from cli.printing import plan_lines
from cli.starting import confirm, require_somebody, run_to_end
from cli.times import parse_moment, show_both
from client.questions import plan_restore
from client.recoveries import new_request
from domain.recovery import Target, TargetKind
from domain.report import RestorePlan, refusal
from domain.resources import Mode


def _target(  # noqa: PLR0913 - one for each way to name a point
    session: Session,
    to: str | None,
    before: str | None,
    snapshot: str | None,
    restore_point: str | None,
    *,
    latest: bool,
    drill: bool,
) -> Target:
    given = [one for one in (to, before, snapshot, restore_point) if one] + (
        [True] if latest else []
    )
    if not given and drill:
        return Target(kind=TargetKind.LATEST_PROOF)
    if len(given) != 1:
        raise click.UsageError(
            "name exactly one point: --to TIME, --before LSN, --latest, --snapshot ID or "
            "--restore-point NAME"
        )
    if to:
        moment = parse_moment(to, now(), local_zone())
        session.say(f"point asked for: {show_both(moment, local_zone())}")
        return Target(kind=TargetKind.TIME, time=moment)
    if before:
        return Target(kind=TargetKind.BEFORE_LSN, lsn=before)
    if snapshot:
        return Target(kind=TargetKind.SNAPSHOT, name=snapshot)
    if restore_point:
        return Target(kind=TargetKind.RESTORE_POINT, name=restore_point)
    return Target(kind=TargetKind.LATEST)


@click.command()
@click.argument("path", shell_complete=resource_paths)
@click.option("--to", help="a time: RFC 3339, '10 minutes ago', 'today 10:41'")
@click.option("--before", metavar="LSN", help="the moment just before a commit, see `suspects`")
@click.option("--latest", is_flag=True, help="the latest possible moment")
@click.option("--snapshot", metavar="ID", help="a snapshot by id or name")
@click.option("--restore-point", metavar="NAME", help="a named restore point in the log")
@click.option("--plan", "plan_only", is_flag=True, help="show what would happen and change nothing")
@click.option("--drill", is_flag=True, help="rehearse: no cutover, everything removed afterwards")
@click.option("--no-cutover", is_flag=True, help="keep the copy beside the present server")
@click.option(
    "--incident-at", metavar="TIME", help="when the service was hit: the clock starts there"
)
@click.option("--reason", default="", help="why; kept in the report")
@click.option("--detach", is_flag=True, help="start and return at once")
@click.option("--yes", is_flag=True, help="do not ask")
@pass_session
def restore(  # noqa: PLR0913 - the options of the command
    session: Session,
    path: str,
    *,
    to: str | None,
    before: str | None,
    latest: bool,
    snapshot: str | None,
    restore_point: str | None,
    plan_only: bool,
    drill: bool,
    no_cutover: bool,
    incident_at: str | None,
    reason: str,
    detach: bool,
    yes: bool,
) -> int:
    """Restore the database at PATH beside the present one, prove it, and cut over."""
    resource = session.resource(path)
    target = _target(session, to, before, snapshot, restore_point, latest=latest, drill=drill)
    impact: datetime | None = None
    if incident_at:
        impact = parse_moment(incident_at, now(), local_zone())
        session.say(f"clock counts from: {show_both(impact, local_zone())}")
    request = new_request(
        resource,
        target,
        mode=Mode.DRILL if drill else Mode.INCIDENT,
        cutover=not no_cutover,
        incident_at=impact,
        reason=reason,
    )
    if plan_only:
        return _show_plan(session, session.call(lambda client: plan_restore(client, request)))
    if not yes:
        require_somebody()
        plan = session.call(lambda client: plan_restore(client, request))
        confirm(session, plan_lines(plan), refusal(plan))
    return run_to_end(session, request, detach=detach)


def _show_plan(session: Session, plan: RestorePlan) -> int:
    if session.json:
        session.document(plan)
    else:
        for line in plan_lines(plan):
            session.say(line)
    return 2 if refusal(plan) else 0
