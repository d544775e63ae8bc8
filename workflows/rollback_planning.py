"""Pre-flight and plan of a rollback: the same code for `--plan` and for the run itself."""

from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.evidence import EvidenceActivities
    from activities.rollback import Chosen, OnApplication, RollbackActivities
    from activities.steps import AskPresent, Estimate
    from activities.verification import VerificationActivities
    from domain.checks import Finding, Verdict
    from domain.clock import Phase, PhaseEstimate, rest_of
    from domain.plans import RollbackPlan
    from domain.requests import AnyRequest
    from domain.resources import SqlCheck
    from domain.rollback import (
        Change,
        ProtectedApplication,
        Revision,
        RollbackRequest,
        RollbackScope,
        works_with,
    )
    from workflows.calls import perform, sentence_of, short
    from workflows.story import needs_approval

_APPROVAL = "approver"


def phases_of(request: RollbackRequest) -> tuple[Phase, ...]:
    """Return the phases that a rollback goes through, in order."""
    approval = (Phase.APPROVAL,) if needs_approval(request) else ()
    return (Phase.PREFLIGHT, *approval, Phase.APPLY, Phase.ROLLOUT, Phase.HEALTH)


def change_of(
    request: RollbackRequest, revision: Revision | None, digest: str, version: str
) -> Change:
    """Return what the platform is told, to go to what was chosen."""
    scope = request.scope if revision is not None else RollbackScope.IMAGE
    reason = f": {request.reason}" if request.reason else ""
    return Change(
        revision=revision.id if revision else "",
        image=request.resource.image,
        digest=digest,
        scope=scope,
        expected=version,
        cause=f"refloat rollback {request.id[:8]} by {request.requested_by}{reason}",
    )


async def prepare(request: RollbackRequest) -> RollbackPlan:
    """Find what to go back to, look at every precondition and estimate each phase."""
    application = request.resource
    chosen = await perform(
        RollbackActivities.choose,
        request,
        short(application, f"Find what {request.target} means, by digest"),
    )
    change = change_of(request, chosen.choice.revision, chosen.choice.digest, chosen.version)
    on = OnApplication(application=application, change=change)
    findings = await perform(
        RollbackActivities.examine,
        on,
        short(application, "Look at image, blobs, rights, and who else is at it"),
    )
    schema = await _examine_schema(request, chosen, on)
    estimates = await estimate(request, phases_of(request))
    return RollbackPlan(
        resource=application.path,
        mode=request.mode,
        asked=str(request.target),
        findings=(*findings, *schema, *approver_findings(request)),
        steps=tuple(phase.value for phase in phases_of(request)),
        estimates=estimates,
        estimated=rest_of(estimates, ()),
        rto=request.rto,
        notes=chosen.choice.notes,
        approvers=approvers_of(request),
        incident_at=request.incident_at,
        before=chosen.current,
        to=chosen.choice.revision,
        image=chosen.image,
        scope=change.scope,
        version=chosen.version,
    )


async def estimate(request: AnyRequest, phases: tuple[Phase, ...]) -> tuple[PhaseEstimate, ...]:
    """Return how long each phase should take, from earlier runs where there are any."""
    found = await perform(
        EvidenceActivities.estimate_phases,
        Estimate(path=request.resource.path, phases=phases, restored_bytes=0, log_bytes=0),
        short(request.resource, "Estimate each phase from earlier runs"),
    )
    return found.phases


def approvers_of(request: AnyRequest) -> tuple[str, ...]:
    """Return who may approve, where the catalog asks for it."""
    approval = request.resource.approval
    return approval.approvers if approval and needs_approval(request) else ()


def approver_findings(request: AnyRequest) -> Sequence[Finding]:
    """Return whether somebody else than who asks can approve, where that is needed."""
    approvers = approvers_of(request)
    if not approvers:
        return ()
    others = [one for one in approvers if one != request.requested_by]
    return (
        Finding(
            name=_APPROVAL,
            kind="pre-flight",
            expected=f"somebody else than {request.requested_by}",
            observed=", ".join(others) or "nobody else is an approver",
            verdict=Verdict.PASSED if others else Verdict.FAILED,
            advice="" if others else "name another approver in the catalog",
        ),
    )


async def _examine_schema(
    request: RollbackRequest, chosen: Chosen, on: OnApplication
) -> Sequence[Finding]:
    """Return whether the image works with the data as they are now, where that is declared."""
    application = request.resource
    if request.data_goes_back:
        return ()
    declared = await perform(
        RollbackActivities.declared_schema,
        on,
        short(application, "Read which schema the image works with"),
    )
    present = await _present_schema(application, chosen, on)
    fits = works_with(declared, present)
    if fits is None and not declared and application.data_schema is None:
        return ()
    observed = (
        f"the image works with schema {declared or 'unknown'}, the data are at "
        f"{present or 'an unknown version'}"
    )
    overridden = fits is False and bool(request.despite_schema)
    if overridden:
        observed += f"; gone on despite it: {request.despite_schema}"
    unknown = Verdict.UNPROVEN if application.data_schema and declared else Verdict.NOT_APPLICABLE
    verdict = {True: Verdict.PASSED, None: unknown, False: Verdict.FAILED}[fits]
    return (
        Finding(
            name="data fit the image",
            kind="pre-flight",
            expected="no migration since that the image does not know",
            observed=observed,
            verdict=Verdict.UNPROVEN if overridden else verdict,
            advice=""
            if fits is not False
            else "restore the database to the same time too (`refloat rewind`), go to a version "
            "that works with it, or say why it works: --despite-schema REASON",
        ),
    )


async def _present_schema(
    application: ProtectedApplication, chosen: Chosen, on: OnApplication
) -> str:
    """Return the version the data are at: asked of the database, else what runs now declares."""
    schema = application.data_schema
    if schema is not None and schema.database is not None:
        check = SqlCheck(name="schema version", query=schema.query, timeout=timedelta(seconds=10))
        try:
            answer = await perform(
                VerificationActivities.ask,
                AskPresent(resource=schema.database, check=check),
                short(schema.database, "Ask the database for its schema version")
                | {"schedule_to_close_timeout": timedelta(seconds=20)},
            )
        except FailureError as error:
            workflow.logger.info("no schema version: %s", sentence_of(error)[0])
            return ""
        return answer.text or ""
    if chosen.current is None or not chosen.current.digest:
        return ""
    present = on.change.model_copy(update={"digest": chosen.current.digest})
    return await perform(
        RollbackActivities.declared_schema,
        on.model_copy(update={"change": present}),
        short(application, "Read which schema the present image works with"),
    )
