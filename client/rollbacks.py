"""Asks what applications and configurations can go back to, and makes the requests to do it."""

from datetime import datetime

from temporalio.client import Client

from client.questions import ask, ask_for_plan
from client.recoveries import stamped
from domain.configuration import (
    CommitList,
    ConfigurationRequest,
    ConfigurationTarget,
    ProtectedConfiguration,
)
from domain.plans import Candidates, ConfigurationPlan, RollbackPlan
from domain.rollback import (
    ProtectedApplication,
    RollbackRequest,
    RollbackScope,
    RollbackTarget,
)
from workflows.application_rollback import PlanRollbackWorkflow
from workflows.configuration_rollback import PlanConfigurationWorkflow
from workflows.history import ListCandidatesWorkflow, ListCommitsWorkflow


def rollback_request(
    resource: ProtectedApplication,
    target: RollbackTarget,
    *,
    scope: RollbackScope = RollbackScope.TEMPLATE,
    incident_at: datetime | None = None,
    reason: str = "",
    despite_schema: str = "",
) -> RollbackRequest:
    """Return a request stamped with an id of its own, the time and who asks."""
    return RollbackRequest(
        **stamped(),
        resource=resource,
        target=target,
        scope=scope,
        incident_at=incident_at,
        reason=reason,
        despite_schema=despite_schema,
    )


def configuration_request(
    resource: ProtectedConfiguration,
    target: ConfigurationTarget,
    *,
    incident_at: datetime | None = None,
    reason: str = "",
) -> ConfigurationRequest:
    """Return a request stamped with an id of its own, the time and who asks."""
    return ConfigurationRequest(
        **stamped(), resource=resource, target=target, incident_at=incident_at, reason=reason
    )


async def plan_rollback(client: Client, request: RollbackRequest) -> RollbackPlan:
    """Return what a rollback of an application would do."""
    return await ask_for_plan(client, PlanRollbackWorkflow.run, request, request.resource)


async def plan_configuration(client: Client, request: ConfigurationRequest) -> ConfigurationPlan:
    """Return what a rollback of a configuration would do."""
    return await ask_for_plan(client, PlanConfigurationWorkflow.run, request, request.resource)


async def list_candidates(client: Client, resource: ProtectedApplication) -> Candidates:
    """Return what an application can go back to, live."""
    return await ask(client, ListCandidatesWorkflow.run, resource, resource, act="versions of")


async def list_commits(client: Client, resource: ProtectedConfiguration) -> CommitList:
    """Return what a configuration can go back to, live."""
    return await ask(client, ListCommitsWorkflow.run, resource, resource, act="commits of")
