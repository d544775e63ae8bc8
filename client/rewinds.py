"""Asks what an environment was at a time, and makes the request to bring it back as one."""

from collections.abc import Sequence
from datetime import datetime

from temporalio.client import Client

from client.questions import ask_for_plan
from client.recoveries import new_request, stamped
from client.rollbacks import configuration_request, rollback_request
from domain.configuration import ConfigurationTarget, PointKind, ProtectedConfiguration
from domain.recovery import Target, TargetKind
from domain.resources import Protected, ProtectedResource
from domain.rewind import RewindPlan, RewindRequest, environment_of
from domain.rollback import ProtectedApplication, RollbackKind, RollbackTarget
from workflows.rewind import PlanRewindWorkflow


def rewind_request(
    path: str,
    members: Sequence[Protected],
    to: datetime,
    *,
    incident_at: datetime | None = None,
    reason: str = "",
) -> RewindRequest:
    """Return a request with one for each member, all of the same moment and the same person."""
    databases = [one for one in members if isinstance(one, ProtectedResource)]
    paths = {one.path for one in databases}
    target = Target(kind=TargetKind.TIME, time=to)
    then = RollbackTarget(kind=RollbackKind.AT, time=to)
    state = ConfigurationTarget(kind=PointKind.TIME, time=to)
    return RewindRequest(
        **stamped(),
        resource=environment_of(path, members),
        to=to,
        databases=tuple(
            new_request(one, target, incident_at=incident_at, reason=reason) for one in databases
        ),
        configurations=tuple(
            configuration_request(one, state, incident_at=incident_at, reason=reason)
            for one in members
            if isinstance(one, ProtectedConfiguration)
        ),
        applications=tuple(
            rollback_request(one, then, incident_at=incident_at, reason=reason).model_copy(
                update={"data_goes_back": _data_of(one) in paths}
            )
            for one in members
            if isinstance(one, ProtectedApplication)
        ),
        incident_at=incident_at,
        reason=reason,
    )


def _data_of(application: ProtectedApplication) -> str:
    """Return the path of the database that an application's schema is of, or nothing."""
    schema = application.data_schema
    return schema.database.path if schema and schema.database else ""


async def plan_rewind(client: Client, request: RewindRequest) -> RewindPlan:
    """Return what an environment was at a time, and whether each part can be reached."""
    return await ask_for_plan(client, PlanRewindWorkflow.run, request, request.resource)
