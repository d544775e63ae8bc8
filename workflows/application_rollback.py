"""One application, back to the exact image that ran before: from pre-flight to healthy."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.rollback import OnApplication, RollbackActivities
    from domain.checks import Finding, Verdict
    from domain.clock import Phase
    from domain.plans import RollbackPlan, RollbackRecord, refusal_of
    from domain.report import RunReport, RunStatus
    from domain.rollback import Change, RollbackRequest, RollbackScope
    from workflows.calls import patient, perform, polling, sentence_of, short
    from workflows.requests import Stage
    from workflows.rollback_planning import change_of, prepare
    from workflows.rollback_reporting import rollback_report
    from workflows.story import Ending, Story

_PATIENCE = timedelta(hours=1)
_PULLING = timedelta(minutes=30)


@dataclass
class RolledBack(Ending):
    """What a rollback planned and did."""

    plan: RollbackPlan | None = None
    record: RollbackRecord | None = None
    findings: tuple[Finding, ...] = ()


@workflow.defn
class PlanRollbackWorkflow:
    """What a rollback would do; changes nothing."""

    @workflow.run
    async def run(self, request: RollbackRequest) -> RollbackPlan:
        """Return the plan, its failed preconditions included."""
        return await prepare(request)


@workflow.defn
class ApplicationRollbackWorkflow(Story):
    """One whole rollback of an application; what proves worse than before is taken back."""

    @workflow.init
    def __init__(self, request: RollbackRequest) -> None:
        """Prepare the state, so that queries and approvals are answered from the first moment."""
        self._request = request
        self._done = RolledBack()
        super().__init__(request, self._done)

    @workflow.run
    async def run(self, request: RollbackRequest) -> RunReport:
        """Roll back, and return the report; a failure carries it as its detail."""
        return await self._tell(self._roll_back(request))

    async def _roll_back(self, request: RollbackRequest) -> None:
        with self._clock.during(Phase.PREFLIGHT):
            plan = await prepare(request)
            self._done.plan, self._clock.estimates = plan, plan.estimates
            if refused := refusal_of(plan.findings):
                raise ApplicationError(refused, type="PreflightRefusedError", non_retryable=True)
        self._done.record = RollbackRecord(before=plan.before, image=plan.image, scope=plan.scope)
        for note in plan.notes:
            self._clock.note(note)
        self._clock.note(f"going back to {plan.image.told}")
        await self._wait_for_approval()
        await self._hold(Stage.PREPARED)
        change = change_of(request, plan.to, plan.image.digest, plan.version)
        with self._clock.during(Phase.APPLY):
            await self._apply(plan, change)
        with self._clock.during(Phase.ROLLOUT):
            seen = await perform(
                RollbackActivities.await_rollout,
                self._on(change),
                polling(request.resource, "Wait until everything runs the image", _PULLING),
            )
            self._found("runs the image by digest", plan.image.digest, seen)
        await self._hold(Stage.ACTED)
        if not self._is_part:
            with self._clock.during(Phase.HEALTH):
                said = await self._await_healthy()
                await perform(  # somebody may have deployed another image meanwhile
                    RollbackActivities.await_rollout,
                    self._on(change),
                    polling(request.resource, "See that it is still this image", _PULLING),
                )
                self._found("healthy", "an application that says it works", said)
        self._clock.stop()
        self._undo.forget()
        await self._protect(change)

    async def _apply(self, plan: RollbackPlan, change: Change) -> None:
        if plan.before is not None and plan.before.digest:
            self._undo.add(f"back to {plan.before.told}", self._return)
        else:
            self._clock.note(
                "nothing shows which image runs now, so nothing comes back by itself if this fails"
            )
        await perform(
            RollbackActivities.apply,
            self._on(change),
            patient(self._request.resource, "Tell the platform to run the image, by digest"),
        )
        assert self._done.record is not None
        self._done.record = self._done.record.model_copy(update={"applied": True})

    async def _await_healthy(self) -> str:
        application = self._request.resource
        within = application.health.within if application.health else timedelta(seconds=30)
        return await perform(
            RollbackActivities.await_healthy,
            application,
            # the step itself counts `within`, and only while somebody asks
            polling(application, f"Wait until {application.path} is healthy", within + _PATIENCE),
        )

    async def _return(self) -> None:
        """Go back to what ran when the run began, unless somebody else has changed it since."""
        plan, application = self._done.plan, self._request.resource
        assert plan is not None
        assert plan.before is not None
        back = Change(
            revision=plan.before.id,
            image=application.image,
            digest=plan.before.digest,
            scope=RollbackScope.TEMPLATE,
            undoes=self._request.id,
            cause=f"refloat rollback {self._request.id[:8]} is undone",
        )
        on = OnApplication(application=application, change=back, key=f"undo-{self._request.id}")
        applied = await workflow.execute_activity_method(
            RollbackActivities.apply,
            on,
            **patient(application, f"Go back to what ran before: {plan.before.told}"),
        )
        if applied.left_alone:
            self._clock.note(f"nothing taken back: {applied.left_alone}")
            return
        if self._done.record is not None:
            self._done.record = self._done.record.model_copy(update={"applied": False})
        within = application.health.within if application.health else timedelta(seconds=30)
        try:
            seen = await workflow.execute_activity_method(
                RollbackActivities.await_rollout,
                on,
                **polling(application, "Wait until it runs again", _PULLING),
            )
            self._clock.note(f"back on what ran before: {seen}")
            if plan.before.healthy is not False:
                await workflow.execute_activity_method(
                    RollbackActivities.await_healthy,
                    application,
                    **polling(application, "Wait until it is healthy again", within + _PATIENCE),
                )
                self._clock.note("healthy again")
        except FailureError as error:  # it ran so before: how well is no part of taking back
            self._clock.note(f"told to run what ran before, which says: {sentence_of(error)[0]}")

    async def _protect(self, change: Change) -> None:
        """Keep the image where the registry can; a failure of it spoils no rollback."""
        try:
            kept = await workflow.execute_activity_method(
                RollbackActivities.protect,
                self._on(change),
                **short(self._request.resource, "Keep the image from being deleted"),
            )
        except FailureError as error:
            self._clock.note(f"the image could not be protected: {sentence_of(error)[0]}")
            return
        if kept and self._done.record is not None:
            self._done.record = self._done.record.model_copy(update={"kept_by": kept})

    def _on(self, change: Change) -> OnApplication:
        return OnApplication(
            application=self._request.resource, change=change, key=self._request.id
        )

    def _found(self, name: str, expected: str, observed: str) -> None:
        self._done.findings += (
            Finding(
                name=name,
                kind="rollout",
                expected=expected,
                observed=observed,
                verdict=Verdict.PASSED,
            ),
        )

    def _made_report(self) -> RunReport:
        plan = self._done.plan
        return rollback_report(
            self._request,
            self._done,
            self._clock,
            plan,
            findings=self._done.findings,
            rollback=self._done.record,
        )

    def _standing(self) -> RunStatus:
        return super()._standing().model_copy(update={"rollback": self._done.plan})
