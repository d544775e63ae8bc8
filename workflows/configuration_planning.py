"""Pre-flight and plan of a configuration's rollback: the same code for `--plan` and the run."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.configuration import ConfigurationActivities, OnPoint
    from domain.clock import Phase, rest_of
    from domain.configuration import ConfigurationRequest
    from domain.plans import ConfigurationPlan
    from workflows.calls import perform, short
    from workflows.rollback_planning import approver_findings, approvers_of, estimate
    from workflows.story import needs_approval


def phases_of(request: ConfigurationRequest) -> tuple[Phase, ...]:
    """Return the phases that a rollback of a configuration goes through, in order."""
    approval = (Phase.APPROVAL,) if needs_approval(request) else ()
    after = (Phase.COMMIT, Phase.APPLY, Phase.ROLLOUT, Phase.HEALTH)
    return (Phase.PREFLIGHT, *approval, *after)


async def prepare(request: ConfigurationRequest) -> ConfigurationPlan:
    """Find the commit to go back to, what that changes, and every precondition."""
    configuration = request.resource
    point = await perform(
        ConfigurationActivities.resolve,
        request,
        short(configuration, f"Find the commit of {request.target}"),
    )
    on = OnPoint(configuration=configuration, point=point)
    difference = await perform(
        ConfigurationActivities.difference,
        on,
        short(configuration, "Compare it with what the branch holds now, secrets masked"),
    )
    findings = await perform(
        ConfigurationActivities.examine,
        on,
        short(configuration, "Look at the branch, the platform, rights and owners of fields"),
    )
    phases = phases_of(request)
    estimates = await estimate(request, phases)
    return ConfigurationPlan(
        resource=configuration.path,
        mode=request.mode,
        asked=str(request.target),
        findings=(*findings, *approver_findings(request)),
        steps=tuple(phase.value for phase in phases),
        estimates=estimates,
        estimated=rest_of(estimates, ()),
        rto=request.rto,
        notes=point.notes,
        approvers=approvers_of(request),
        incident_at=request.incident_at,
        point=point,
        difference=difference,
    )
