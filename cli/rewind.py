"""`refloat rewind`: a whole environment as it was at one time."""

from collections.abc import Iterator

import click

from cli.completion import environment_paths
from cli.context import Session, local_zone, now, pass_session
from cli.lines import estimate_lines, finding_lines
from cli.starting import confirm, require_somebody, run_to_end
from cli.times import parse_moment, show_both
from client.rewinds import plan_rewind, rewind_request
from domain.errors import CatalogError
from domain.rewind import RewindPlan, problems
from domain.values import show_span, show_time


@click.command()
@click.argument("environment", shell_complete=environment_paths)
@click.option("--to", required=True, help="a time: RFC 3339, '10 minutes ago', 'today 10:41'")
@click.option("--plan", "plan_only", is_flag=True, help="show what there was and change nothing")
@click.option(
    "--incident-at", metavar="TIME", help="when the service was hit: the clock starts there"
)
@click.option("--reason", default="", help="why; kept in the reports")
@click.option("--detach", is_flag=True, help="start and return at once")
@click.option("--yes", is_flag=True, help="do not ask")
@pass_session
def rewind(  # noqa: PLR0913 - the options of the command
    session: Session,
    environment: str,
    *,
    to: str,
    plan_only: bool,
    incident_at: str | None,
    reason: str,
    detach: bool,
    yes: bool,
) -> int:
    """Bring databases, images and configurations of ENVIRONMENT back to one time, all or nothing."""
    members = session.catalog.environment(environment)
    if not members:
        raise CatalogError(f"{environment}: nothing is protected there")
    moment = parse_moment(to, now(), local_zone())
    session.say(f"time asked for: {show_both(moment, local_zone())}")
    impact = parse_moment(incident_at, now(), local_zone()) if incident_at else None
    request = rewind_request(environment, members, moment, incident_at=impact, reason=reason)
    if plan_only:
        plan = session.call(lambda client: plan_rewind(client, request))
        if session.json:
            session.document(plan)
        else:
            for line in rewind_plan_lines(plan):
                session.say(line)
        return 2 if problems(plan) else 0
    if not yes:
        require_somebody()
        plan = session.call(lambda client: plan_rewind(client, request))
        confirm(session, rewind_plan_lines(plan), problems(plan))
    return run_to_end(session, request, detach=detach)


def rewind_plan_lines(plan: RewindPlan) -> Iterator[str]:
    """Yield what each part was at the time, and whether it can be reached."""
    yield f"plan: {plan.resource} as it was at {show_time(plan.to)}"
    for part in plan.parts:
        state = "CANNOT" if part.problem else "already" if part.already else "goes back"
        yield f"  {state:<9} {part.path} ({part.kind.value}): {part.told or 'is so now'}"
        yield from (f"  {line}" for line in finding_lines(part.findings))
    yield "  order     data, then configuration, then images; nothing takes effect before all are ready"
    yield f"  estimate  {show_span(plan.estimated)}, objective {show_span(plan.rto)}"
    yield from estimate_lines(plan.estimates)
