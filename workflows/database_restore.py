"""One database, to an exact point, beside the original: from pre-flight to a healthy service."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.consumers import ConsumerActivities
    from activities.database import CutoverActivities, RestoreActivities
    from activities.evidence import EvidenceActivities
    from activities.steps import (
        OnRestored,
        OnServer,
        StartRestore,
        SwitchConsumer,
        TakeSnapshot,
        TransferRestore,
    )
    from activities.verification import VerificationActivities
    from domain.clock import Phase
    from domain.recovery import CutoverRecord, RestoredResource, RestoreHandle, RestoreRequest
    from domain.report import (
        ApprovalRecord,
        Creation,
        Outcome,
        RunReport,
        RunStatus,
        refusal,
    )
    from domain.resources import Consumer, Mode
    from workflows.attributes import VERDICT
    from workflows.calls import Undo, long, perform, polling, sentence_of, short
    from workflows.planning import Prepared, needs_approval, prepare, told
    from workflows.reporting import Results, report_of
    from workflows.requests import ApprovalGiven
    from workflows.run_clock import RunClock

_DECISIVE = {"point", "content", "integrity"}
_DAY = timedelta(hours=24)


@workflow.defn
class DatabaseRestoreWorkflow:
    """One whole recovery. The mode decides what follows the verification, and nothing else."""

    @workflow.init
    def __init__(self, request: RestoreRequest) -> None:
        """Prepare the state, so that queries and approvals are answered from the first moment."""
        self._request = request
        self._clock = RunClock(request)
        self._undo = Undo()
        self._results = Results()
        self._approval: ApprovalRecord | None = None
        self._waiting_for = ""
        self._report: RunReport | None = None

    @workflow.run
    async def run(self, request: RestoreRequest) -> RunReport:
        """Recover, and return the report; a failure carries it as its detail."""
        watch = asyncio.create_task(self._clock.watch())
        outcome, failure = Outcome.DONE, ("", "")
        try:
            await self._recover(request)
        except (asyncio.CancelledError, FailureError) as error:
            failure = sentence_of(error)
            outcome = self._outcome_of(error, failure[1])
            self._clock.close()
            await self._take_back(failure[0])
        watch.cancel()
        await self._conclude(outcome, failure)
        await workflow.wait_condition(workflow.all_handlers_finished)
        assert self._report is not None
        if outcome is Outcome.DONE:
            return self._report
        raise ApplicationError(
            failure[0], self._report, type=f"Run{outcome.value.capitalize()}", non_retryable=True
        )

    async def _recover(self, request: RestoreRequest) -> None:
        with self._clock.during(Phase.PREFLIGHT):
            prepared = await prepare(request)
            self._results.prepared = prepared
            self._clock.estimates = prepared.plan.estimates
            if refused := refusal(prepared.plan):
                raise ApplicationError(refused, type="PreflightRefusedError", non_retryable=True)
        self._clock.note(f"point chosen: {told(prepared.plan.point)}")
        if needs_approval(request):
            with self._clock.during(Phase.APPROVAL):
                await self._await_approval()
        if request.mode is Mode.INCIDENT:
            with self._clock.during(Phase.SAFETY):
                await self._mark_what_is_left()
        with self._clock.during(Phase.RESTORE):
            restored = await self._restore(prepared)
        with self._clock.during(Phase.VERIFY):
            sound = await self._verify(prepared, restored)
        if request.cuts_over and sound:
            await self._bring_into_service(restored.handle)
        else:
            await self._conclude_copy(restored.handle, sound=sound)

    async def _await_approval(self) -> None:
        approval = self._request.resource.approval
        assert approval is not None
        self._waiting_for = f"approval by one of {', '.join(approval.approvers)}"
        self._clock.note(f"waiting for {self._waiting_for}")
        try:
            await workflow.wait_condition(
                lambda: self._approval is not None,
                timeout=approval.within.total_seconds(),
                timeout_summary="approval",
            )
        except TimeoutError:
            raise ApplicationError(
                f"nobody approved within {approval.within}",
                type="ApprovalDeniedError",
                non_retryable=True,
            ) from None
        self._waiting_for = ""

    async def _mark_what_is_left(self) -> None:
        resource = self._request.resource
        marked = await perform(
            VerificationActivities.mark,
            TakeSnapshot(
                resource=resource, key=self._request.id, name=f"before {self._request.id[:8]}"
            ),
            short(resource, "Mark the present state, if the server still answers"),
        )
        if marked.snapshot is None:
            self._clock.note("no safety snapshot: the present server does not answer")
        else:
            self._results.created.append(
                Creation(what="safety snapshot", name=marked.snapshot.id, kept=True)
            )

    async def _restore(self, prepared: Prepared) -> RestoredResource:
        resource, point = self._request.resource, prepared.plan.point
        self._undo.add("remove the new server", self._discard)
        handle = await perform(
            RestoreActivities.start_restore,
            StartRestore(
                resource=resource, point=point, run_id=self._request.id, mode=self._request.mode
            ),
            short(resource, "Reserve name, folder and port of the new server"),
        )
        self._results.handle = handle
        self._results.created.append(Creation(what="server", name=handle.server, kept=True))
        await perform(
            RestoreActivities.transfer,
            TransferRestore(resource=resource, point=point, handle=handle),
            long(resource, "Unpack and verify the base backup, stage the log"),
        )
        restored = await perform(
            RestoreActivities.await_restore,
            OnServer(resource=resource, handle=handle),
            polling(resource, "Wait until the log is replayed to the point", _DAY),
        )
        self._results.restored = restored
        return restored

    async def _verify(self, prepared: Prepared, restored: RestoredResource) -> bool:
        """Return whether every check passed; raise when the data itself is not what it should be."""
        resource = self._request.resource
        on = OnRestored(
            resource=resource, point=prepared.plan.point, restored=restored, mode=self._request.mode
        )
        self._results.settings = tuple(
            await perform(
                RestoreActivities.carry_over_settings,
                on,
                short(resource, "Carry over the settings that a restore does not"),
            )
        )
        findings = await perform(
            VerificationActivities.verify,
            on,
            long(resource, "Prove the point reached, the content, the pages and the checks"),
        )
        self._results.findings = tuple(findings)
        failed = [finding for finding in findings if finding.verdict.value == "failed"]
        decisive = [finding for finding in failed if finding.kind in _DECISIVE]
        if decisive:
            first = decisive[0]
            raise ApplicationError(
                f"not cut over, because {first.name!r} failed: expected {first.expected}, "
                f"observed {first.observed}",
                type="VerificationFailedError",
                non_retryable=True,
            )
        for finding in failed:
            self._clock.note(f"check failed: {finding.name}: {finding.observed}")
        return not failed

    async def _conclude_copy(self, handle: RestoreHandle, *, sound: bool) -> None:
        """End a run without cutover: a drill's copy goes, any other stays until it is released."""
        self._clock.stop()
        if self._request.mode is Mode.DRILL:
            with self._clock.during(Phase.CLEAN_UP):
                await self._undo.run()
            self._note_removed(not self._undo.left)
            return
        resource = self._request.resource
        await perform(
            RestoreActivities.keep,
            OnServer(resource=resource, handle=handle),
            short(resource, "Keep the copy until it is released"),
        )
        self._undo.forget()
        if not sound:
            self._clock.note(
                f"not cut over, because a check failed: look at the copy at "
                f"{handle.host}:{handle.port}, then `refloat release {resource.path}`"
            )

    async def _bring_into_service(self, handle: RestoreHandle) -> None:
        resource = self._request.resource
        on = OnServer(resource=resource, handle=handle)
        with self._clock.during(Phase.PROTECT):
            await perform(
                CutoverActivities.protect,
                on,
                long(resource, "Give the new server its own archive and base backup"),
            )
        with self._clock.during(Phase.CUTOVER):
            self._undo.add("make the old server what the path means", self._demote)
            superseded = await perform(
                CutoverActivities.promote,
                on,
                short(resource, "Make the new server what the path means; fence the old one"),
            )
            self._results.superseded = superseded.server
            if not superseded.fenced:
                self._clock.note(
                    f"{superseded.server} does not answer, so it is not fenced: if it comes back "
                    "it is set to read only"
                )
            for consumer in resource.consumers:
                await self._switch(consumer, handle)
        with self._clock.during(Phase.HEALTH):
            for consumer in resource.consumers:
                within = consumer.health.within if consumer.health else timedelta(seconds=30)
                await perform(
                    ConsumerActivities.await_healthy,
                    consumer,
                    polling(resource, f"Wait until {consumer.name} is healthy", within),
                )
        self._clock.stop()
        self._undo.forget()

    async def _switch(self, consumer: Consumer, handle: RestoreHandle) -> None:
        resource, after = self._request.resource, f"{handle.host}:{handle.port}"
        found = await perform(
            ConsumerActivities.locate,
            consumer,
            short(resource, f"Note where {consumer.name} points"),
        )
        before = found.address
        self._undo.add(f"turn {consumer.name} back", lambda: self._turn_back(consumer, before))
        await perform(
            ConsumerActivities.switch,
            SwitchConsumer(consumer=consumer, address=after),
            short(resource, f"Point {consumer.name} to the new server"),
        )
        record = CutoverRecord(consumer=consumer.name, before=before, after=after)
        self._results.cutovers.append(record)

    async def _turn_back(self, consumer: Consumer, before: str) -> None:
        await workflow.execute_activity_method(
            ConsumerActivities.switch,
            SwitchConsumer(consumer=consumer, address=before),
            **short(self._request.resource, f"Turn {consumer.name} back to {before}"),
        )

    async def _demote(self) -> None:
        if self._results.handle is not None:
            await workflow.execute_activity_method(
                CutoverActivities.demote,
                OnServer(resource=self._request.resource, handle=self._results.handle),
                **short(self._request.resource, "Make the old server what the path means again"),
            )

    async def _discard(self) -> None:
        request = self._request
        handle = self._results.handle or RestoreHandle(
            server=f"refloat-{request.id[:8]}-{request.resource.instance}",
            host="",
            port=0,
            run_id=request.id,
        )
        await workflow.execute_activity_method(
            RestoreActivities.discard,
            OnServer(resource=request.resource, handle=handle),
            **short(request.resource, "Remove the new server and nothing else"),
        )

    async def _take_back(self, why: str) -> None:
        for what in self._undo.planned:
            self._clock.note(f"undo, because {why}: {what}")
        await self._undo.run()
        self._results.superseded = None
        self._results.cutovers.clear()
        self._note_removed(not self._undo.left)

    def _note_removed(self, removed: bool) -> None:  # noqa: FBT001 - the only argument
        self._results.created = [
            made.model_copy(update={"kept": not removed}) if made.what == "server" else made
            for made in self._results.created
        ]

    @staticmethod
    def _outcome_of(error: BaseException, kind: str) -> Outcome:
        if isinstance(error, asyncio.CancelledError) or kind in {"CancelledError", "StoppedError"}:
            return Outcome.CANCELLED
        refused = {
            "RefusedError",
            "RecoveryPointUnreachableError",
            "PreflightRefusedError",
            "ApprovalDeniedError",
            "UnsupportedResourceError",
            "CatalogError",
        }
        return Outcome.REFUSED if kind in refused else Outcome.FAILED

    async def _conclude(self, outcome: Outcome, failure: tuple[str, str]) -> None:
        self._report = report_of(
            self._request,
            self._results,
            self._clock,
            self._approval,
            outcome,
            failure,
            tuple(self._undo.left),
        )
        workflow.upsert_search_attributes([VERDICT.value_set(self._report.verdict)])
        try:
            await workflow.execute_activity_method(
                EvidenceActivities.store_report,
                self._report,
                **short(self._request.resource, "Keep the report"),
            )
        except ActivityError as error:
            self._clock.note(f"the report could not be stored: {sentence_of(error)[0]}")

    @workflow.query
    def status(self) -> RunStatus:
        """Tell where the run stands."""
        return RunStatus(
            run_id=self._request.id,
            resource=self._request.resource.path,
            mode=self._request.mode,
            phase=self._clock.phase,
            phases=tuple(self._clock.phases),
            estimates=self._clock.estimates,
            started_counting_at=self._clock.started,
            rto=self._clock.rto,
            waiting_for=self._waiting_for,
            events=tuple(self._clock.events),
            report=self._report,
        )

    @workflow.update
    def approve(self, given: ApprovalGiven) -> None:
        """Say yes to the plan."""
        self._approval = ApprovalRecord(by=given.by, at=workflow.now(), note=given.note)
        self._clock.note(f"approved by {given.by}")

    @approve.validator
    def _may_approve(self, given: ApprovalGiven) -> None:
        approval = self._request.resource.approval
        if approval is None or not self._waiting_for:
            reason = "this run waits for no approval"
        elif given.by == self._request.requested_by:
            reason = f"{given.by} asked for this restore; another person has to approve it"
        elif given.by not in approval.approvers:
            reason = f"{given.by} is not an approver; ask {', '.join(approval.approvers)}"
        else:
            return
        raise ApplicationError(reason, type="ApprovalDeniedError", non_retryable=True)
