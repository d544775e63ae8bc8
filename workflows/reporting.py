"""Makes the report of a run from what it gathered."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.checks import Finding, proven_commit_at
    from domain.clock import Objective, judge, rest_of
    from domain.recovery import (
        CutoverRecord,
        RestoredResource,
        RestoreHandle,
        RestoreRequest,
        SettingDifference,
        TargetKind,
    )
    from domain.report import (
        Outcome,
        RestorePlan,
        RunReport,
        Scope,
        total_of,
    )
    from workflows.planning import Prepared, loss_of
    from workflows.run_clock import RunClock
    from workflows.story import Ending


UNPROVEN = "VerificationFailedError"
"""Type of the failure by which a copy is given up: its data is not what it should be."""


@dataclass
class Results(Ending):
    """What a run found and made so far, and how it ended."""

    prepared: Prepared | None = None
    handle: RestoreHandle | None = None
    restored: RestoredResource | None = None
    findings: tuple[Finding, ...] = ()
    settings: tuple[SettingDifference, ...] = ()
    cutovers: list[CutoverRecord] = field(default_factory=list)
    superseded: str | None = None

    @property
    def has_good_copy(self) -> bool:
        """Whether a failed run made a copy that may still save the day: whole, and not given up."""
        failed = self.outcome is Outcome.FAILED and self.failure_type != UNPROVEN
        return failed and self.restored is not None

    @property
    def last_commit_at(self) -> datetime | None:
        """Commit time of the last commit in the restored data, UTC, or None without any."""
        point = self.prepared.plan.point if self.prepared and self.restored else None
        known = point.last_commit if point else None
        return known.at if known else proven_commit_at(self.findings)


def report_of(request: RestoreRequest, results: Results, clock: RunClock) -> RunReport:
    """Return the report; what was not measured is said to be unproven."""
    plan = results.prepared.plan if results.prepared else None
    objectives = _objectives(request, results, clock)
    rto, rpo = (objective.measured for objective in objectives)
    resource, info = request.resource, workflow.info()
    return RunReport(
        run_id=request.id,
        workflow_id=info.workflow_id,
        temporal_run_id=info.run_id,
        mode=request.mode,
        scope=Scope.SERVICE if request.cuts_over else Scope.RESTORE,
        resource=resource.path,
        kind=resource.kind.value,
        provider=resource.provider,
        provider_kind=resource.provider_kind,
        reason=request.reason,
        requested_by=request.requested_by,
        approval=results.approval,
        outcome=results.outcome,
        failure=results.failure,
        failure_type=results.failure_type,
        left_behind=results.left,
        requested_at=request.requested_at,
        incident_at=plan.incident_at if plan else request.incident_at,
        incident_basis=plan.incident_basis if plan else "",
        started_counting_at=clock.started,
        ended_at=workflow.now(),
        asked=str(request.target),
        requested_point=request.target,
        allowed_point=plan.point if plan else None,
        reached=results.restored,
        point_deviation=_point_deviation(request, results.last_commit_at),
        phases=tuple(clock.phases),
        estimates=plan.estimates if plan else (),
        **_estimated(plan, clock),
        objectives=() if results.outcome is Outcome.REFUSED else objectives,
        measured_rto=rto,
        measured_rpo=rpo,
        findings=(*(plan.findings if plan else ()), *results.findings),
        settings=results.settings,
        cutovers=tuple(results.cutovers),
        created=tuple(results.created),
        superseded=results.superseded,
        events=tuple(clock.events),
        versions=_versions(plan, results),
    )


def _objectives(
    request: RestoreRequest, results: Results, clock: RunClock
) -> tuple[Objective, Objective]:
    rto = clock.stopped_at - clock.started if clock.stopped_at else None
    last = results.last_commit_at
    rpo = loss_of(results.prepared.incident, last) if results.prepared else None
    return judge("rto", request.rto, rto), judge("rpo", request.resource.objectives.rpo, rpo)


def _estimated(plan: RestorePlan | None, clock: RunClock) -> dict[str, timedelta]:
    if plan is None:
        return {}
    estimated = rest_of(plan.estimates, ())
    return {"estimated": estimated, "deviation": total_of(clock.phases) - estimated}


def _versions(plan: RestorePlan | None, results: Results) -> dict[str, str]:
    made = results.restored
    restored = {made.handle.engine: made.version} if made else {}
    return {**(plan.versions if plan else {}), **restored}


def _point_deviation(request: RestoreRequest, last: datetime | None) -> timedelta | None:
    if request.target.kind is TargetKind.TIME and request.target.time and last:
        return request.target.time - last
    return None
