"""What every recovery has in common: the clock, the approval, the undo, the report in the end."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.evidence import EvidenceActivities
    from domain.clock import Phase
    from domain.report import ApprovalRecord, Creation, Outcome, RunReport, RunStatus
    from domain.requests import AnyRequest
    from domain.resources import Mode
    from workflows.approval import ApprovalGate
    from workflows.attributes import VERDICT
    from workflows.calls import Undo, is_permanent, sentence_of, short, uninterrupted
    from workflows.requests import ApprovalGiven, Reached, Stage
    from workflows.run_clock import RunClock

_WHY = 120
_BEFORE_CREATION = {Phase.PREFLIGHT, Phase.APPROVAL}


@dataclass
class Ending:
    """How a run ended, and what it made."""

    approval: ApprovalRecord | None = None
    created: list[Creation] = field(default_factory=list)
    outcome: Outcome = Outcome.DONE
    failure: str = ""
    failure_type: str = ""
    left: tuple[str, ...] = ()


def needs_approval(request: AnyRequest) -> bool:
    """Return whether the catalog asks for another person's yes; a drill touches nothing."""
    return request.resource.approval is not None and request.mode is Mode.INCIDENT


def require_going_on() -> None:
    """Hear a cancel that came while a signal was sent: the SDK lets the signal through instead.

    Raises:
        asyncio.CancelledError: the run was cancelled.
    """
    if workflow.cancellation_reason() is not None:
        raise asyncio.CancelledError


class Story:
    """One recovery; what it does is told by the workflow that inherits this."""

    def __init__(self, request: AnyRequest, ending: Ending) -> None:
        self._asked = request
        self._clock = RunClock(request)
        self._gate = ApprovalGate(request, self._clock)
        self._undo = Undo()
        self._ending = ending
        self._report: RunReport | None = None
        self._allowed = Stage.PREPARED

    async def _hold(self, stage: Stage) -> None:
        """As a part of a whole, tell how far this one is, and wait until the whole goes on."""
        if not self._asked.part_of:
            return
        whole = workflow.get_external_workflow_handle(self._asked.part_of)
        await whole.signal("reached", Reached(path=self._asked.resource.path, stage=stage))
        require_going_on()
        self._gate.waiting_for = f"the other parts of {self._asked.part_of}"
        await workflow.wait_condition(lambda: self._allowed > stage)
        self._gate.waiting_for = ""

    @property
    def _is_part(self) -> bool:
        """Whether a whole asks for health once, for all of its parts; nothing is undone after that."""
        return bool(self._asked.part_of)

    async def _tell(self, story: Coroutine[Any, Any, None]) -> RunReport:
        """Go through the story and return the report; a failure carries it as its detail."""
        watch = asyncio.create_task(self._clock.watch())
        try:
            await story
        except (asyncio.CancelledError, FailureError) as error:
            self._gate.close()
            self._clock.close()
            self._judge(error)
            await self._take_back(self._ending.failure)
        watch.cancel()
        report = await self._conclude()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if report.outcome is Outcome.DONE:
            return report
        raise ApplicationError(
            report.failure,
            report,
            type=f"Run{report.outcome.value.capitalize()}",
            non_retryable=True,
        )

    async def _wait_for_approval(self) -> None:
        if needs_approval(self._asked):
            with self._clock.during(Phase.APPROVAL):
                self._ending.approval = await self._gate.wait()

    async def _take_back(self, why: str) -> None:
        short_of = why if len(why) <= _WHY else f"{why[:_WHY]}…"
        for what in self._undo.planned:
            self._clock.note(f"undo, because {short_of}: {what}")
        await self._undo.run()

    def _judge(self, error: BaseException) -> None:
        """Note how the run ended: cancelled, refused before anything was made, or failed."""
        ending = self._ending
        ending.failure, ending.failure_type = sentence_of(error)
        if workflow.cancellation_reason() is not None:
            who = workflow.cancellation_reason()
            ending.failure = f"cancelled by {who}" if who else "cancelled"
            ending.outcome, ending.failure_type = Outcome.CANCELLED, "CancelledError"
        elif self._clock.phase in _BEFORE_CREATION and is_permanent(error):
            ending.outcome = Outcome.REFUSED
        else:
            ending.outcome = Outcome.FAILED

    def _made_report(self) -> RunReport:
        """Return the report of the run as it ended."""
        raise NotImplementedError

    async def _conclude(self) -> RunReport:
        self._ending.left = tuple(self._undo.left)
        self._report = report = self._made_report()
        workflow.upsert_search_attributes([VERDICT.value_set(report.verdict)])
        self._clock.show(f"Verdict: **{report.verdict}**. {report.failure}")
        try:
            await uninterrupted(
                workflow.execute_activity_method(
                    EvidenceActivities.store_report,
                    report,
                    **short(self._asked.resource, "Keep the report"),
                )
            )
        except FailureError as error:
            self._clock.note(f"the report could not be stored: {sentence_of(error)[0]}")
        return report

    def _standing(self) -> RunStatus:
        """Return where the run stands, without its plan."""
        return RunStatus(
            run_id=self._asked.id,
            resource=self._asked.resource.path,
            mode=self._asked.mode,
            phase=self._clock.phase,
            phases=tuple(self._clock.phases),
            estimates=self._clock.estimates,
            started_counting_at=self._clock.started,
            rto=self._asked.rto,
            waiting_for=self._gate.waiting_for,
            requested_by=self._asked.requested_by,
            reason=self._asked.reason,
            events=tuple(self._clock.events),
            report=self._report,
        )

    @workflow.signal
    def go_on(self, stage: Stage) -> None:
        """Hear from the whole that this part may go on from a stage."""
        self._allowed = max(self._allowed, Stage(stage + 1))

    @workflow.query
    def status(self) -> RunStatus:
        """Tell where the run stands."""
        return self._standing()

    @workflow.update
    def approve(self, given: ApprovalGiven) -> None:
        """Say yes to the plan."""
        self._gate.open(given)

    @approve.validator
    def _may_approve(self, given: ApprovalGiven) -> None:
        self._gate.require_allowed(given)
