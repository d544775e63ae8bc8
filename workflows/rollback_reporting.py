"""Makes the report of a rollback from what it gathered."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.checks import Finding
    from domain.clock import judge
    from domain.plans import AnyPlan, ConfigurationRecord, RollbackRecord
    from domain.report import Outcome, RunReport, Scope, total_of
    from domain.requests import AnyRequest
    from workflows.run_clock import RunClock
    from workflows.story import Ending


def rollback_report(  # noqa: PLR0913 - everything that a report is made of
    request: AnyRequest,
    ending: Ending,
    clock: RunClock,
    plan: AnyPlan | None,
    *,
    findings: tuple[Finding, ...],
    rollback: RollbackRecord | None = None,
    configuration: ConfigurationRecord | None = None,
) -> RunReport:
    """Return the report; what was not measured is said to be unproven."""
    resource, info = request.resource, workflow.info()
    took = clock.stopped_at - clock.started if clock.stopped_at else None
    objectives = (judge("rto", request.rto, took),)
    estimated = plan.estimated if plan else None
    return RunReport(
        run_id=request.id,
        workflow_id=info.workflow_id,
        temporal_run_id=info.run_id,
        mode=request.mode,
        scope=Scope.SERVICE,
        resource=resource.path,
        kind=resource.kind.value,
        provider=resource.provider,
        provider_kind=resource.provider_kind,
        reason=request.reason,
        requested_by=request.requested_by,
        approval=ending.approval,
        outcome=ending.outcome,
        failure=ending.failure,
        failure_type=ending.failure_type,
        left_behind=ending.left,
        requested_at=request.requested_at,
        incident_at=request.incident_at or request.requested_at,
        incident_basis="the moment given with --incident-at"
        if request.incident_at
        else "the request; --incident-at names another",
        started_counting_at=clock.started,
        ended_at=workflow.now(),
        asked=str(request.target),
        phases=tuple(clock.phases),
        estimates=plan.estimates if plan else (),
        estimated=estimated,
        deviation=total_of(clock.phases) - estimated if estimated is not None else None,
        objectives=() if ending.outcome is Outcome.REFUSED else objectives,
        measured_rto=took,
        findings=(*(plan.findings if plan else ()), *findings),
        created=tuple(ending.created),
        rollback=rollback,
        configuration=configuration,
        events=tuple(clock.events),
    )
