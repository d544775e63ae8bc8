"""One configuration, back to an earlier commit by a new one: from pre-flight to healthy."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.configuration import ConfigurationActivities, OnCommit, OnPoint
    from activities.consumers import ConsumerActivities
    from domain.checks import Finding, Verdict
    from domain.clock import Phase
    from domain.configuration import Commit, ConfigurationRequest, Delivery
    from domain.plans import ConfigurationPlan, ConfigurationRecord, refusal_of
    from domain.report import RunReport, RunStatus
    from workflows.calls import patient, perform, polling, sentence_of, short
    from workflows.configuration_planning import prepare
    from workflows.requests import Stage
    from workflows.rollback_reporting import rollback_report
    from workflows.story import Ending, Story

_PATIENCE = timedelta(hours=1)
_EFFECT = timedelta(minutes=30)


@dataclass
class Reconfigured(Ending):
    """What a rollback of a configuration planned and did."""

    plan: ConfigurationPlan | None = None
    record: ConfigurationRecord | None = None
    findings: tuple[Finding, ...] = ()


@workflow.defn
class PlanConfigurationWorkflow:
    """What a rollback of a configuration would do; changes nothing."""

    @workflow.run
    async def run(self, request: ConfigurationRequest) -> ConfigurationPlan:
        """Return the plan, its failed preconditions included."""
        return await prepare(request)


@workflow.defn
class ConfigurationRollbackWorkflow(Story):
    """One whole rollback of a configuration; history is never rewritten, not even to undo."""

    @workflow.init
    def __init__(self, request: ConfigurationRequest) -> None:
        """Prepare the state, so that queries and approvals are answered from the first moment."""
        self._request = request
        self._done = Reconfigured()
        super().__init__(request, self._done)

    @workflow.run
    async def run(self, request: ConfigurationRequest) -> RunReport:
        """Roll back, and return the report; a failure carries it as its detail."""
        return await self._tell(self._roll_back(request))

    async def _roll_back(self, request: ConfigurationRequest) -> None:
        with self._clock.during(Phase.PREFLIGHT):
            plan = await prepare(request)
            self._done.plan, self._clock.estimates = plan, plan.estimates
            if refused := refusal_of(plan.findings):
                raise ApplicationError(refused, type="PreflightRefusedError", non_retryable=True)
        self._done.record = ConfigurationRecord(
            point=plan.point, changed_files=tuple(one.path for one in plan.difference.files)
        )
        for note in plan.notes:
            self._clock.note(note)
        self._clock.note(f"going back to {plan.point.target.told}")
        await self._wait_for_approval()
        await self._hold(Stage.PREPARED)
        with self._clock.during(Phase.COMMIT):
            commit = await self._commit(plan)
        with self._clock.during(Phase.APPLY):
            await self._apply(plan, commit)
        with self._clock.during(Phase.ROLLOUT):
            seen = await perform(
                ConfigurationActivities.await_effect,
                self._on(commit.id),
                polling(request.resource, "Wait until it has taken effect", _EFFECT),
            )
            self._found("in effect", f"the configuration of {commit.id[:12]}", seen)
        await self._hold(Stage.ACTED)
        if not self._is_part:
            with self._clock.during(Phase.HEALTH):
                await self._await_healthy()
        self._clock.stop()
        self._undo.forget()
        await self._mark_good(commit)

    async def _commit(self, plan: ConfigurationPlan) -> Commit:
        request, target = self._request, plan.point.target
        self._undo.add("put the branch back by one more commit", self._return_commit)
        reason = f"\n\n{request.reason}" if request.reason else ""
        commit = await perform(
            ConfigurationActivities.restore,
            OnPoint(
                configuration=request.resource,
                point=plan.point,
                key=request.id,
                message=f"Roll back to {target.id[:12]}, asked for by {request.requested_by}{reason}",
            ),
            patient(request.resource, "Push one new commit that holds the earlier state"),
        )
        repository = request.resource.repository
        branch = repository.branch
        if repository.delivery is Delivery.PULL_REQUEST:
            branch = f"refloat/{request.id[:8]}"
            self._clock.note(
                f"branch {branch} waits to be merged into {repository.branch}; until then the "
                "repository says something else than what is in effect"
            )
        self._update(commit=commit, branch=branch)
        self._clock.note(f"committed {commit.id[:12]} on {branch}")
        return commit

    async def _apply(self, plan: ConfigurationPlan, commit: Commit) -> None:
        head = plan.point.head
        self._undo.add(f"apply {head.id[:12]} again", self._return_applied)
        applied = await perform(
            ConfigurationActivities.apply,
            self._on(commit.id),
            patient(self._request.resource, "Apply the configuration, prune what only we owned"),
        )
        self._update(applied=applied)

    async def _await_healthy(self) -> None:
        configuration = self._request.resource
        for application in configuration.applications:
            within = application.health.within if application.health else timedelta(seconds=30)
            await perform(
                ConsumerActivities.await_healthy,
                application,
                # the step itself counts `within`, and only while somebody asks
                polling(
                    configuration, f"Wait until {application.name} is healthy", within + _PATIENCE
                ),
            )
            self._found(f"{application.name} is healthy", "an application that works", "healthy")

    async def _return_commit(self) -> None:
        """Put the state before back on top, where our commit got so far and nobody went on."""
        plan, configuration = self._done.plan, self._request.resource
        assert plan is not None
        found = await workflow.execute_activity_method(
            ConfigurationActivities.made,
            OnPoint(configuration=configuration, point=plan.point, key=self._request.id),
            **patient(configuration, "Look whether the commit was made"),
        )
        if found.commit is None:
            return
        if configuration.repository.delivery is Delivery.PULL_REQUEST:
            self._clock.note(
                f"branch refloat/{self._request.id[:8]} stays; close it without merging"
            )
            return
        back = plan.point.model_copy(update={"target": plan.point.head, "head": found.commit})
        commit = await workflow.execute_activity_method(
            ConfigurationActivities.restore,
            OnPoint(
                configuration=configuration,
                point=back,
                key=f"undo-{self._request.id}",
                message=f"Take back {found.commit.id[:12]}: the rollback did not work",
            ),
            **patient(configuration, "Push one commit that holds the state before"),
        )
        self._clock.note(f"committed {commit.id[:12]}, which is as before the run")
        self._update(commit=None)

    async def _return_applied(self) -> None:
        plan, configuration = self._done.plan, self._request.resource
        assert plan is not None
        on = OnCommit(
            configuration=configuration,
            commit_id=plan.point.head.id,
            key=f"undo-{self._request.id}",
        )
        await workflow.execute_activity_method(
            ConfigurationActivities.apply,
            on,
            **patient(configuration, "Apply what was in effect before"),
        )
        self._update(applied=None)

    async def _mark_good(self, commit: Commit) -> None:
        """Leave a mark to come back to; a failure of it spoils no rollback."""
        try:
            tag = await workflow.execute_activity_method(
                ConfigurationActivities.mark_good,
                self._on(commit.id),
                **short(self._request.resource, "Mark the commit as one to come back to"),
            )
        except FailureError as error:
            self._clock.note(f"the commit could not be marked good: {sentence_of(error)[0]}")
            return
        self._update(marked=tag)

    def _on(self, commit_id: str) -> OnCommit:
        return OnCommit(
            configuration=self._request.resource, commit_id=commit_id, key=self._request.id
        )

    def _update(self, **what: object) -> None:
        if self._done.record is not None:
            self._done.record = self._done.record.model_copy(update=what)

    def _found(self, name: str, expected: str, observed: str) -> None:
        finding = Finding(
            name=name, kind="rollout", expected=expected, observed=observed, verdict=Verdict.PASSED
        )
        self._done.findings = (*self._done.findings, finding)

    def _made_report(self) -> RunReport:
        return rollback_report(
            self._request,
            self._done,
            self._clock,
            self._done.plan,
            findings=self._done.findings,
            configuration=self._done.record,
        )

    def _standing(self) -> RunStatus:
        return super()._standing().model_copy(update={"configuration": self._done.plan})
