"""One database, to an exact point, beside the original: from pre-flight to a healthy service."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.consumers import ConsumerActivities
    from activities.database import CutoverActivities, RestoreActivities
    from activities.steps import (
        OnRestored,
        OnServer,
        StartRestore,
        SwitchConsumer,
        TakeSnapshot,
        TransferRestore,
    )
    from activities.verification import VerificationActivities
    from domain.checks import Verdict
    from domain.clock import Phase, expected
    from domain.recovery import CutoverRecord, RestoredResource, RestoreHandle, RestoreRequest
    from domain.report import Creation, RunReport, RunStatus, refusal
    from domain.resources import Consumer, Mode
    from workflows.calls import (
        long,
        patient,
        perform,
        polling,
        sentence_of,
        short,
        uninterrupted,
    )
    from workflows.planning import Prepared, prepare
    from workflows.reporting import UNPROVEN, Results, report_of
    from workflows.requests import Stage
    from workflows.story import Story

_DECISIVE = {"point", "content", "integrity"}
_DAY = timedelta(hours=24)
_PATIENCE = timedelta(hours=1)


@workflow.defn
class DatabaseRestoreWorkflow(Story):
    """One whole recovery. The mode decides what follows the verification, and nothing else."""

    @workflow.init
    def __init__(self, request: RestoreRequest) -> None:
        """Prepare the state, so that queries and approvals are answered from the first moment."""
        self._request = request
        self._results = Results()
        self._keeps_copy = False
        super().__init__(request, self._results)

    @workflow.run
    async def run(self, request: RestoreRequest) -> RunReport:
        """Recover, and return the report; a failure carries it as its detail."""
        return await self._tell(self._recover(request))

    async def _recover(self, request: RestoreRequest) -> None:
        with self._clock.during(Phase.PREFLIGHT):
            prepared = await prepare(request)
            self._results.prepared = prepared
            self._clock.estimates = prepared.plan.estimates
            if refused := refusal(prepared.plan):
                raise ApplicationError(refused, type="PreflightRefusedError", non_retryable=True)
        self._clock.note(f"point chosen: {prepared.plan.point.told}")
        await self._wait_for_approval()
        if request.mode is Mode.INCIDENT:
            with self._clock.during(Phase.SAFETY):
                await self._mark_what_is_left()
        with self._clock.during(Phase.RESTORE):
            restored = await self._restore(prepared)
        with self._clock.during(Phase.VERIFY):
            sound = await self._verify(prepared, restored)
        handle = (self._results.restored or restored).handle
        if request.cuts_over and sound:
            await self._bring_into_service(handle)
        else:
            await self._conclude_copy(handle, sound=sound)

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
            self._made("safety snapshot", marked.snapshot.id)

    async def _restore(self, prepared: Prepared) -> RestoredResource:
        resource, point = self._request.resource, prepared.plan.point
        self._undo.add("remove the new server", self._discard, removes=True)
        handle = await perform(
            RestoreActivities.start_restore,
            StartRestore(
                resource=resource,
                point=point,
                run_id=self._request.id,
                mode=self._request.mode,
                requested_at=self._request.requested_at,
                expected=expected(prepared.plan.estimates, Phase.RESTORE),
            ),
            patient(resource, "Begin the new server, or find the one this run began"),
        )
        self._results.handle = handle
        self._made("server", handle.server)
        await perform(
            RestoreActivities.transfer,
            TransferRestore(resource=resource, point=point, handle=handle),
            long(resource, "Unpack and verify the base backup, stage the log"),
        )
        restored = await perform(
            RestoreActivities.await_restore,
            OnServer(resource=resource, handle=handle),
            polling(resource, "Wait until the new server is at the point and answers", _DAY),
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
                patient(resource, "Carry over the settings that a restore does not"),
            )
        )
        reached = await perform(  # settings may have moved its address
            RestoreActivities.await_restore,
            OnServer(resource=resource, handle=restored.handle),
            polling(resource, "Wait until the new server answers with its settings", _DAY),
        )
        restored = restored.model_copy(update={"handle": reached.handle})
        self._results.restored = restored
        findings = await perform(
            VerificationActivities.verify,
            on.model_copy(update={"restored": restored}),
            long(resource, "Prove the point reached, the content, the pages and the checks"),
        )
        self._results.findings = tuple(findings)
        failed = [finding for finding in findings if finding.verdict is Verdict.FAILED]
        decisive = [finding for finding in failed if finding.kind in _DECISIVE]
        if decisive:
            first = decisive[0]
            raise ApplicationError(
                f"the copy is not proven: {first.name!r} failed: expected {first.expected}, "
                f"observed {first.observed}",
                type=UNPROVEN,
                non_retryable=True,
            )
        for finding in failed:
            self._clock.note(f"check failed: {finding.name}: {finding.observed}")
        return not failed

    async def _conclude_copy(self, handle: RestoreHandle, *, sound: bool) -> None:
        """End a run without cutover: a drill's copy goes, any other stays until it is released."""
        if sound or not self._request.cuts_over:
            self._clock.stop()  # else the service is still down, and the objective unproven
        if self._request.mode is Mode.DRILL:
            with self._clock.during(Phase.CLEAN_UP):
                await self._undo.run()
            return
        resource = self._request.resource
        await perform(
            RestoreActivities.keep,
            OnServer(resource=resource, handle=handle),
            patient(resource, "Keep the copy until it is released"),
        )
        self._undo.forget()
        why = "" if sound else "not cut over, because a check failed: "
        self._clock.note(
            f"{why}the copy answers at {handle.address}; look at it, then "
            f"`refloat release {resource.path}` removes it"
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
            self._made("backups of", handle.server)
        await self._hold(Stage.PREPARED)
        with self._clock.during(Phase.CUTOVER):
            self._undo.add("make the old server what the path means", self._demote)
            superseded = await perform(
                CutoverActivities.promote,
                on,
                patient(resource, "Make the new server what the path means; fence the old one"),
            )
            self._results.superseded = superseded.server
            for note in superseded.told:
                self._clock.note(note)
            for consumer in resource.consumers:
                await self._switch(consumer, superseded.address or handle.address)
        await self._hold(Stage.ACTED)
        if not self._is_part:
            with self._clock.during(Phase.HEALTH):
                await self._await_consumers()
        self._clock.stop()
        self._undo.forget()

    async def _await_consumers(self) -> None:
        resource = self._request.resource
        for consumer in resource.consumers:
            within = consumer.health.within if consumer.health else timedelta(seconds=30)
            await perform(
                ConsumerActivities.await_healthy,
                consumer,
                # the step itself counts `within`, and only while somebody asks
                polling(resource, f"Wait until {consumer.name} is healthy", within + _PATIENCE),
            )

    async def _switch(self, consumer: Consumer, after: str) -> None:
        resource = self._request.resource
        found = await perform(
            ConsumerActivities.locate,
            consumer,
            patient(resource, f"Note where {consumer.name} points"),
        )
        record = CutoverRecord(consumer=consumer.name, before=found.address, after=after)
        self._undo.add(f"turn {consumer.name} back", lambda: self._turn_back(consumer, record))
        self._results.cutovers.append(record)
        await perform(
            ConsumerActivities.switch,
            SwitchConsumer(consumer=consumer, address=after, key=self._request.id),
            patient(resource, f"Point {consumer.name} to the new server"),
        )

    async def _turn_back(self, consumer: Consumer, record: CutoverRecord) -> None:
        await workflow.execute_activity_method(
            ConsumerActivities.switch,
            SwitchConsumer(
                consumer=consumer, address=record.before, key=f"undo {self._request.id}"
            ),
            **patient(self._request.resource, f"Turn {consumer.name} back to {record.before}"),
        )
        self._results.cutovers.remove(record)

    async def _demote(self) -> None:
        if self._results.handle is not None:
            await workflow.execute_activity_method(
                CutoverActivities.demote,
                OnServer(resource=self._request.resource, handle=self._results.handle),
                **patient(self._request.resource, "Make the old server what the path means again"),
            )
            self._results.superseded = None

    async def _discard(self) -> None:
        request = self._request
        handle = self._results.handle or RestoreHandle(
            server=f"refloat-{request.id[:8]}-{request.resource.instance}",
            host="",
            port=0,
            run_id=request.id,
            requested_at=request.requested_at,
        )
        await workflow.execute_activity_method(
            RestoreActivities.discard,
            OnServer(resource=request.resource, handle=handle),
            **patient(request.resource, "Remove the new server and nothing else"),
        )
        self._results.created = [
            made.model_copy(update={"kept": made.kept and made.name != handle.server})
            for made in self._results.created
        ]

    async def _take_back(self, why: str) -> None:
        good = self._request.mode is Mode.INCIDENT and self._results.has_good_copy
        self._keeps_copy = good and workflow.patched("keep-a-good-copy")
        if self._keeps_copy:
            self._undo.spare()
        await super()._take_back(why)
        await self._keep_what_is_good()

    async def _keep_what_is_good(self) -> None:
        """Leave the copy of a failed run to who must decide now; what may be in use gets no mark."""
        results, resource = self._results, self._request.resource
        if results.restored is None or not self._keeps_copy or self._undo.left:
            return
        handle = results.restored.handle
        try:
            await uninterrupted(
                workflow.execute_activity_method(
                    RestoreActivities.keep,
                    OnServer(resource=resource, handle=handle),
                    **patient(resource, "Keep the copy until it is released"),
                )
            )
        except FailureError as error:
            self._undo.left.append(f"mark {handle.server} for its release: {sentence_of(error)[0]}")
        results.failure += (
            f"; the copy is kept at {handle.address}: look at it, then `refloat release "
            f"{resource.path}` removes it"
        )

    def _made(self, what: str, name: str) -> None:
        self._results.created.append(Creation(what=what, name=name, kept=True))

    def _made_report(self) -> RunReport:
        return report_of(self._request, self._results, self._clock)

    def _standing(self) -> RunStatus:
        prepared = self._results.prepared
        return super()._standing().model_copy(update={"plan": prepared.plan if prepared else None})
