"""Makes the report of a run from what it gathered."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.checks import Finding
    from domain.clock import judge, rest_of
    from domain.recovery import (
        CutoverRecord,
        RestoredResource,
        RestoreHandle,
        RestoreRequest,
        SettingDifference,
        TargetKind,
    )
    from domain.report import ApprovalRecord, Creation, Outcome, RunReport, Scope, total_of
    from workflows.planning import Prepared, loss_of
    from workflows.run_clock import RunClock


@dataclass
class Results:
    """What a run found and made so far."""

    prepared: Prepared | None = None
    handle: RestoreHandle | None = None
    restored: RestoredResource | None = None
    findings: tuple[Finding, ...] = ()
    settings: tuple[SettingDifference, ...] = ()
    cutovers: list[CutoverRecord] = field(default_factory=list)
    created: list[Creation] = field(default_factory=list)
    superseded: str | None = None


def report_of(  # noqa: PLR0913, PLR0917 - the sources of one document
    request: RestoreRequest,
    results: Results,
    clock: RunClock,
    approval: ApprovalRecord | None,
    outcome: Outcome,
    failure: tuple[str, str],
    left: tuple[str, ...],
) -> RunReport:
    """Return the report; what was not measured is said to be unproven."""
    plan = results.prepared.plan if results.prepared else None
    point = plan.point if plan else None
    last = point.time if point and results.restored else None
    rto = clock.stopped_at - clock.started if clock.stopped_at else None
    rpo = (
        loss_of(request, point, last, results.prepared.recoverable_to)
        if point and results.prepared
        else None
    )
    limits = request.resource.objectives
    took = total_of(clock.phases)
    estimated = rest_of(plan.estimates, ()) if plan else None
    return RunReport(
        run_id=request.id,
        workflow_id=workflow.info().workflow_id,
        mode=request.mode,
        scope=Scope.SERVICE if request.cuts_over and results.superseded else Scope.RESTORE,
        resource=request.resource.path,
        kind=request.resource.kind.value,
        provider=request.resource.provider,
        provider_kind=request.resource.provider_kind,
        reason=request.reason,
        requested_by=request.requested_by,
        approval=approval,
        outcome=outcome,
        failure=failure[0],
        failure_type=failure[1],
        left_behind=left,
        requested_at=request.requested_at,
        incident_at=request.incident_at,
        ended_at=workflow.now(),
        requested_point=request.target,
        allowed_point=point,
        reached=results.restored,
        point_deviation=_deviation(request, last),
        phases=tuple(clock.phases),
        estimates=plan.estimates if plan else (),
        estimated=estimated,
        deviation=took - estimated if estimated is not None else None,
        objectives=(judge("rto", limits.rto, rto), judge("rpo", limits.rpo, rpo))
        if outcome is Outcome.DONE
        else (),
        measured_rto=rto,
        measured_rpo=rpo,
        findings=(*(plan.findings if plan else ()), *results.findings),
        settings=results.settings,
        cutovers=tuple(results.cutovers),
        created=tuple(results.created),
        superseded=results.superseded,
        events=tuple(clock.events),
        versions={"postgresql": results.restored.version} if results.restored else {},
    )


def _deviation(request: RestoreRequest, last: datetime | None) -> timedelta | None:
    if request.target.kind is TargetKind.TIME and request.target.time and last:
        return request.target.time - last
    return None
