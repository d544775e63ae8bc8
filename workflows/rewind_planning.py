"""What each part of an environment was at a time, and whether it can be reached."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from domain.clock import Phase, PhaseEstimate, rest_of
    from domain.configuration import ConfigurationRequest
    from domain.plans import refusal_of
    from domain.recovery import RestoreRequest
    from domain.rewind import PartPlan, RewindPlan, RewindRequest
    from domain.rollback import RollbackRequest
    from workflows import configuration_planning, planning, rollback_planning
    from workflows.calls import is_permanent, sentence_of

_ALREADY = "AlreadyThereError"
_MAKING_READY = {Phase.PREFLIGHT, Phase.SAFETY, Phase.RESTORE, Phase.VERIFY, Phase.PROTECT}


async def prepare(request: RewindRequest) -> RewindPlan:
    """Plan every part side by side."""
    parts = await asyncio.gather(*(_plan_part(part) for part in request.parts))
    estimates = _estimates(parts)
    return RewindPlan(
        resource=request.resource.path,
        to=request.to,
        parts=tuple(parts),
        estimates=estimates,
        estimated=rest_of(estimates, ()),
        rto=request.rto,
    )


async def _plan_part(request: RestoreRequest | ConfigurationRequest | RollbackRequest) -> PartPlan:
    resource = request.resource
    part = PartPlan(path=resource.path, kind=resource.kind)
    try:
        if isinstance(request, RestoreRequest):
            made = (await planning.prepare(request)).plan
            part = part.model_copy(update={"database": made})
        elif isinstance(request, RollbackRequest):
            part = part.model_copy(update={"application": await rollback_planning.prepare(request)})
        else:
            part = part.model_copy(
                update={"configuration": await configuration_planning.prepare(request)}
            )
    except FailureError as error:
        if not is_permanent(error):
            raise
        sentence, kind = sentence_of(error)
        told = {"already": True} if kind == _ALREADY else {"problem": sentence}
        return part.model_copy(update=told)
    return part.model_copy(update={"problem": refusal_of(part.findings)})


def _estimates(parts: list[PartPlan]) -> tuple[PhaseEstimate, ...]:
    """Return the estimates of the whole: the longest part, for they go side by side."""
    ready, acting, healthy = timedelta(), timedelta(), timedelta()
    for part in parts:
        plans = (part.database, part.application, part.configuration)
        for plan in (one for one in plans if one is not None):
            spans = {one.phase: one.p50 for one in plan.estimates}
            ready = max(ready, _sum(spans, _MAKING_READY))
            acting += _sum(spans, set(spans) - _MAKING_READY - {Phase.HEALTH, Phase.APPROVAL})
            healthy = max(healthy, spans.get(Phase.HEALTH, timedelta()))
    return (
        _estimate(Phase.RESTORE, ready),
        _estimate(Phase.CUTOVER, acting),
        _estimate(Phase.HEALTH, healthy),
    )


def _sum(spans: dict[Phase, timedelta], phases: set[Phase]) -> timedelta:
    return sum((span for phase, span in spans.items() if phase in phases), start=timedelta())


def _estimate(phase: Phase, span: timedelta) -> PhaseEstimate:
    return PhaseEstimate(phase=phase, p50=span, p90=span * 2, basis="the parts")
