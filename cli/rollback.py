"""`refloat rollback`: an application to the image that ran before, a configuration to its commit."""

import re
from dataclasses import dataclass
from datetime import datetime

import click

from cli.completion import rollback_paths
from cli.context import Session, local_zone, now, pass_session
from cli.rollback_lines import configuration_plan_lines, rollback_plan_lines
from cli.starting import confirm, require_somebody, run_to_end
from cli.times import parse_moment, show_both
from client.rollbacks import (
    configuration_request,
    plan_configuration,
    plan_rollback,
    rollback_request,
)
from domain.configuration import (
    ConfigurationRequest,
    ConfigurationTarget,
    PointKind,
    ProtectedConfiguration,
)
from domain.errors import CatalogError
from domain.plans import ConfigurationPlan, RollbackPlan, refusal_of
from domain.rollback import (
    ProtectedApplication,
    RollbackKind,
    RollbackRequest,
    RollbackScope,
    RollbackTarget,
)

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]|\d{1,2}:\d\d|.*\bago$|today|yesterday", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """How the target was named on the command line."""

    previous: bool
    to: str | None
    at: str | None

    def require_one(self) -> None:
        """Refuse none, or several.

        Raises:
            UsageError: with the ways there are.
        """
        if sum([self.previous, self.to is not None, self.at is not None]) != 1:
            raise click.UsageError(
                "name exactly one target: --previous, --to DIGEST|TAG|COMMIT (of a configuration: "
                "COMMIT|TAG|TIME) or --at TIME"
            )

    def moment(self, session: Session) -> datetime | None:
        """Return the time of `--at`, said once more as it was understood."""
        if self.at is None:
            return None
        found = parse_moment(self.at, now(), local_zone())
        session.say(f"time asked for: {show_both(found, local_zone())}")
        return found


@click.command()
@click.argument("path", shell_complete=rollback_paths)
@click.option("--previous", is_flag=True, help="the last one that was healthy, or marked good")
@click.option("--to", metavar="TARGET", help="a digest, tag or commit; a configuration's time too")
@click.option("--at", metavar="TIME", help="what ran, or was configured, at that time")
@click.option(
    "--image-only", is_flag=True, help="bring the image back and leave everything around it"
)
@click.option("--plan", "plan_only", is_flag=True, help="show what would happen and change nothing")
@click.option(
    "--incident-at", metavar="TIME", help="when the service was hit: the clock starts there"
)
@click.option("--reason", default="", help="why; kept in the report and in the commit")
@click.option(
    "--despite-schema",
    metavar="REASON",
    default="",
    help="go on although the data have been migrated since; the reason is kept",
)
@click.option("--detach", is_flag=True, help="start and return at once")
@click.option("--yes", is_flag=True, help="do not ask")
@pass_session
def rollback(  # noqa: PLR0913 - the options of the command
    session: Session,
    path: str,
    *,
    previous: bool,
    to: str | None,
    at: str | None,
    image_only: bool,
    plan_only: bool,
    incident_at: str | None,
    reason: str,
    despite_schema: str,
    detach: bool,
    yes: bool,
) -> int:
    """Bring the application or configuration at PATH back to exactly what there was before."""
    named = Named(previous=previous, to=to, at=at)
    named.require_one()
    resource = session.catalog.find(path)
    impact = None
    if incident_at:
        impact = parse_moment(incident_at, now(), local_zone())
        session.say(f"clock counts from: {show_both(impact, local_zone())}")
    request: RollbackRequest | ConfigurationRequest
    if isinstance(resource, ProtectedApplication):
        request = rollback_request(
            resource,
            _version(session, named),
            scope=RollbackScope.IMAGE if image_only else RollbackScope.TEMPLATE,
            incident_at=impact,
            reason=reason,
            despite_schema=despite_schema,
        )
    elif isinstance(resource, ProtectedConfiguration):
        if image_only or despite_schema:
            raise click.UsageError("--image-only and --despite-schema are for applications")
        request = configuration_request(
            resource, _commit(session, named), incident_at=impact, reason=reason
        )
    else:
        raise CatalogError(f"{path} is a database; `refloat restore {path}` brings it back")
    if plan_only:
        return _show(session, request)
    if not yes:
        require_somebody()
        plan = _plan(session, request)
        confirm(session, _lines(plan), refusal_of(plan.findings))
        request = _pinned(request, plan)
    return run_to_end(session, request, detach=detach)


def _version(session: Session, named: Named) -> RollbackTarget:
    if named.previous:
        return RollbackTarget(kind=RollbackKind.PREVIOUS)
    if named.to:
        return RollbackTarget(kind=RollbackKind.REFERENCE, reference=named.to)
    return RollbackTarget(kind=RollbackKind.AT, time=named.moment(session))


def _commit(session: Session, named: Named) -> ConfigurationTarget:
    if named.previous:
        return ConfigurationTarget(kind=PointKind.PREVIOUS)
    moment = named.moment(session)
    if moment is None and named.to:
        moment = _as_moment(named.to)
        if moment is None:
            return ConfigurationTarget(kind=PointKind.REFERENCE, reference=named.to)
        session.say(f"time asked for: {show_both(moment, local_zone())}")
    return ConfigurationTarget(kind=PointKind.TIME, time=moment)


def _as_moment(text: str) -> datetime | None:
    """Return the time that a target names, or None where it names a commit or a tag."""
    return parse_moment(text, now(), local_zone()) if _TIME.match(text) else None


def _plan(
    session: Session, request: RollbackRequest | ConfigurationRequest
) -> RollbackPlan | ConfigurationPlan:
    if isinstance(request, RollbackRequest):
        return session.call(lambda client: plan_rollback(client, request))
    return session.call(lambda client: plan_configuration(client, request))


def _pinned(
    request: RollbackRequest | ConfigurationRequest, plan: RollbackPlan | ConfigurationPlan
) -> RollbackRequest | ConfigurationRequest:
    """Return the request for exactly what was confirmed, whatever "previous" means by then."""
    if isinstance(request, RollbackRequest) and isinstance(plan, RollbackPlan):
        exact = RollbackTarget(kind=RollbackKind.REFERENCE, reference=plan.image.digest)
        return request.model_copy(update={"target": exact})
    if isinstance(request, ConfigurationRequest) and isinstance(plan, ConfigurationPlan):
        commit = ConfigurationTarget(kind=PointKind.REFERENCE, reference=plan.point.target.id)
        return request.model_copy(update={"target": commit})
    return request


def _lines(plan: RollbackPlan | ConfigurationPlan) -> list[str]:
    if isinstance(plan, RollbackPlan):
        return list(rollback_plan_lines(plan))
    return list(configuration_plan_lines(plan))


def _show(session: Session, request: RollbackRequest | ConfigurationRequest) -> int:
    plan = _plan(session, request)
    if session.json:
        session.document(plan)
    else:
        for line in _lines(plan):
            session.say(line)
    return 2 if refusal_of(plan.findings) else 0
