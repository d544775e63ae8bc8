"""Pre-flight and plan: the same code for `--plan` and for the run itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.consumers import ConsumerActivities
    from activities.database import PointActivities
    from activities.evidence import EvidenceActivities
    from activities.steps import Estimate, Examination, Examine
    from domain.checks import Finding, Verdict
    from domain.clock import Phase, rest_of
    from domain.recovery import RecoveryPoint, RestoreRequest, TargetKind
    from domain.report import RestorePlan
    from domain.resources import Mode
    from domain.values import show_bytes
    from workflows.calls import perform, short
    from workflows.story import needs_approval

_COPY = (Phase.RESTORE, Phase.VERIFY)


@dataclass(frozen=True)
class Prepared:
    """A plan, and what the clock needs to judge the loss of data later."""

    plan: RestorePlan
    incident: "Incident"


@dataclass(frozen=True)
class Incident:
    """When data stopped being safe, and from what that is known."""

    at: datetime
    basis: str


def phases_of(request: RestoreRequest) -> tuple[Phase, ...]:
    """Return the phases that a run goes through, in order."""
    approval = (Phase.APPROVAL,) if needs_approval(request) else ()
    safety = (Phase.SAFETY,) if request.mode is Mode.INCIDENT else ()
    if request.cuts_over:
        after: tuple[Phase, ...] = (Phase.PROTECT, Phase.CUTOVER, Phase.HEALTH)
    else:
        after = (Phase.CLEAN_UP,) if request.mode is Mode.DRILL else ()
    return (Phase.PREFLIGHT, *approval, *safety, *_COPY, *after)


async def prepare(request: RestoreRequest) -> Prepared:
    """Choose the exact point, look at every precondition and estimate each phase."""
    resource = request.resource
    point = await perform(
        PointActivities.choose_recovery_point,
        request,
        short(resource, f"Find the exact point for {request.target}"),
    )
    examination = await perform(
        PointActivities.examine,
        Examine(resource=resource, point=point, mode=request.mode),
        short(resource, "Look at key, backup, log, room, port, programs"),
    )
    findings = [*examination.findings, *await _examine_people_and_consumers(request)]
    incident = incident_of(request, point, examination)
    estimates = await perform(
        EvidenceActivities.estimate_phases,
        Estimate(
            path=resource.path,
            phases=phases_of(request),
            restored_bytes=point.restored_bytes,
            log_bytes=point.log_bytes,
            typical=point.typical,
        ),
        short(resource, "Estimate each phase from earlier runs"),
    )
    plan = RestorePlan(
        resource=resource.path,
        mode=request.mode,
        target=request.target,
        point=point,
        findings=tuple(findings),
        steps=tuple(phase.value for phase in phases_of(request)),
        creates=_creates(request, point),
        estimates=estimates.phases,
        estimated=rest_of(estimates.phases, ()),
        rto=request.rto,
        rpo=resource.objectives.rpo,
        expected_loss=loss_of(incident, point.time),
        incident_at=incident.at,
        incident_basis=incident.basis,
        versions=examination.versions,
        approvers=resource.approval.approvers
        if resource.approval and needs_approval(request)
        else (),
        consumers=tuple(one.name for one in resource.consumers) if request.cuts_over else (),
    )
    return Prepared(plan=plan, incident=incident)


async def _examine_people_and_consumers(request: RestoreRequest) -> list[Finding]:
    """Return whether somebody can approve, and whether each consumer can be pointed elsewhere."""
    resource, findings = request.resource, []
    if needs_approval(request) and resource.approval is not None:
        others = [one for one in resource.approval.approvers if one != request.requested_by]
        findings.append(
            Finding(
                name="approver",
                kind="pre-flight",
                expected=f"somebody else than {request.requested_by}",
                observed=", ".join(others) or "nobody else is an approver",
                verdict=Verdict.PASSED if others else Verdict.FAILED,
                advice="name another approver in the catalog",
            )
        )
    for consumer in resource.consumers if request.cuts_over else ():
        found = await perform(
            ConsumerActivities.examine,
            consumer,
            short(resource, f"Look whether {consumer.name} can be pointed elsewhere"),
        )
        findings.append(found)
    return findings


def _creates(request: RestoreRequest, point: RecoveryPoint) -> tuple[str, ...]:
    server = f"a new server refloat-{request.id[:8]}-{request.resource.instance}"
    size = f", {show_bytes(point.restored_bytes)}" if point.restored_bytes else ""
    made = [f"{server}{size}, beside the present one"]
    if request.mode is Mode.INCIDENT:
        made.append("a mark of the present moment of what is left, if it still answers")
    if request.cuts_over:
        made.append("backups of the new server's own, before anything is pointed to it")
    if request.mode is Mode.DRILL:
        made.append("all of it is removed when the drill ends")
    return tuple(made)


def incident_of(
    request: RestoreRequest, point: RecoveryPoint, examination: Examination
) -> Incident:
    """Return when data stopped being safe.

    That is the moment given; else the commit or time that the point was chosen to precede; else
    the moment of the request. A drill asks what an incident at its own moment would have lost, so
    there it is the point's last commit, moved on by as much as the archive was behind.
    """
    target = request.target
    if request.incident_at is not None:
        return Incident(request.incident_at, "the moment given with --incident-at")
    recoverable_to = examination.recoverable_to
    if request.mode is Mode.DRILL and recoverable_to is not None and point.time is not None:
        behind = max(timedelta(), examination.examined_at - recoverable_to)
        return Incident(
            point.time + behind, "a drill: the point, and how far the archive was behind"
        )
    if target.kind is TargetKind.BEFORE_LSN and point.first_after is not None:
        return Incident(point.first_after.at, "the commit that is left out")
    if target.kind is TargetKind.TIME and target.time is not None:
        return Incident(target.time, "the time asked for; --incident-at names another")
    return Incident(request.requested_at, "the request; --incident-at names another")


def loss_of(incident: Incident, last_commit_at: datetime | None) -> timedelta | None:
    """Return the measured RPO: from the incident back to the last recovered commit."""
    if last_commit_at is None:
        return None
    return max(timedelta(), incident.at - last_commit_at)
