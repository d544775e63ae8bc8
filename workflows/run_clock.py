"""The clock of one run: phases, events, and the two timers beside the work."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.clock import Phase, PhaseEstimate, PhaseRecord, at_risk_at, rest_at
    from domain.report import Event
    from domain.requests import AnyRequest
    from domain.values import show_span, show_time
    from workflows.attributes import PHASE


class RunClock:
    """Counts from the impact, tells once when the objective is at risk and once when it is missed."""

    def __init__(self, request: AnyRequest) -> None:
        self._request = request
        self.rto = request.rto
        self.phases: list[PhaseRecord] = []
        self.events: list[Event] = []
        self.estimates: tuple[PhaseEstimate, ...] = ()
        self.stopped_at: datetime | None = None
        self._turn = 0

    @property
    def phase(self) -> Phase:
        """The phase the run is in, or was in last."""
        return self.phases[-1].phase if self.phases else Phase.PREFLIGHT

    @property
    def started(self) -> datetime:
        """Moment from which the objective counts."""
        return self._request.started_counting_at

    def note(self, what: str) -> None:
        """Keep an event for the report and show it."""
        self.events.append(Event(at=workflow.now(), what=what))
        self.show()

    @contextmanager
    def during(self, phase: Phase) -> Iterator[None]:
        """Time a phase; it is ended by name, and left open when it fails."""
        self.phases.append(PhaseRecord(phase=phase, started_at=workflow.now()))
        workflow.upsert_search_attributes([PHASE.value_set(phase.value)])
        self._turn += 1
        self.show()
        yield
        self.phases[-1] = self.phases[-1].model_copy(update={"ended_at": workflow.now()})
        self._turn += 1
        self.show()

    def close(self) -> None:
        """End the phase that a failure left open."""
        if self.phases and self.phases[-1].ended_at is None:
            self.phases[-1] = self.phases[-1].model_copy(update={"ended_at": workflow.now()})

    def stop(self) -> None:
        """Stop the clock: the service is healthy, or the copy is verified."""
        self.stopped_at = workflow.now()

    def _rest(self) -> timedelta:
        return rest_at(workflow.now(), self.estimates, self.phases)

    async def watch(self) -> None:
        """Wait beside the work for the objective to be at risk, then to be missed."""
        deadline = self.started + self.rto
        while True:
            turn = self._turn
            moment = at_risk_at(self.started, self.rto, workflow.now(), self.estimates, self.phases)
            if workflow.now() >= moment:
                break
            await self._until(moment, turn, "watch the objective")
        if self.stopped_at is None and workflow.now() < deadline:
            self.note(
                f"objective at risk: {show_span(workflow.now() - self.started)} of "
                f"{show_span(self.rto)} used, about {show_span(self._rest())} to go"
            )
            await self._until(deadline, None, "watch the objective, at risk")
        if self.stopped_at is None:
            self.note(f"objective missed: {show_span(self.rto)} passed at {show_time(deadline)}")

    async def _until(self, moment: datetime, turn: int | None, summary: str) -> None:
        seconds = (moment - workflow.now()).total_seconds()
        if seconds <= 0:
            return
        try:
            await workflow.wait_condition(
                lambda: turn is not None and self._turn != turn,
                timeout=seconds,
                timeout_summary=summary,
            )
        except TimeoutError:
            return

    def show(self, verdict: str = "") -> None:
        """Tell Temporal's page of the run where it stands, in the end its verdict."""
        request = self._request
        used = show_span(workflow.now() - self.started)
        lines = [
            f"## {request.resource.path}: {self.phase.value}",
            (
                f"Back to **{request.target}** ({request.mode.value}), asked for by "
                f"{request.requested_by}."
            ),
            verdict
            or f"Clock: {used} of {show_span(self.rto)} used, about {show_span(self._rest())} to go.",
            "",
            "| phase | took |",
            "|---|---|",
            *(
                f"| {record.phase.value} | "
                f"{show_span(record.took) if record.took is not None else '…'} |"
                for record in self.phases
            ),
            "",
            *(f"* {show_time(event.at)} {event.what}" for event in self.events),
        ]
        workflow.set_current_details("\n".join(lines))
