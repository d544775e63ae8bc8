"""An environment back to one time, as one run with a child for each part: all of it, or nothing."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.workflow import ChildWorkflowHandle, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.consumers import ConsumerActivities
    from activities.rollback import RollbackActivities
    from domain.clock import Phase
    from domain.configuration import ConfigurationRequest
    from domain.recovery import RestoreRequest
    from domain.report import PartRecord, RunReport, RunStatus
    from domain.resources import Consumer, Protected, ResourceKind
    from domain.rewind import RewindPlan, RewindRequest, problems
    from domain.rollback import RollbackRequest
    from workflows.application_rollback import ApplicationRollbackWorkflow
    from workflows.attributes import KIND, MODE, RESOURCE, RUN
    from workflows.calls import perform, polling, uninterrupted
    from workflows.configuration_rollback import ConfigurationRollbackWorkflow
    from workflows.database_restore import DatabaseRestoreWorkflow
    from workflows.requests import Reached, Stage
    from workflows.rewind_planning import prepare
    from workflows.rewind_reporting import part_of_error, part_of_report, rewind_report
    from workflows.story import Ending, Story, require_going_on

Part = RestoreRequest | ConfigurationRequest | RollbackRequest
_PATIENCE = timedelta(hours=1)
_HEALTHY = timedelta(seconds=30)


@dataclass
class Rewound(Ending):
    """What the return of an environment planned, and how each part ended."""

    plan: RewindPlan | None = None
    parts: list[PartRecord] = field(default_factory=list)


@workflow.defn
class PlanRewindWorkflow:
    """What an environment was at a time; changes nothing."""

    @workflow.run
    async def run(self, request: RewindRequest) -> RewindPlan:
        """Return the plan, the problems of its parts included."""
        return await prepare(request)


@workflow.defn
class RewindWorkflow(Story):
    """One clock over all parts; none takes effect before each is ready."""

    @workflow.init
    def __init__(self, request: RewindRequest) -> None:
        """Prepare the state, so that queries and signals are answered from the first moment."""
        self._request = request
        self._done = Rewound()
        self._reached: dict[str, Stage] = {}
        self._children: dict[str, ChildWorkflowHandle[Any, RunReport]] = {}
        super().__init__(request, self._done)

    @workflow.run
    async def run(self, request: RewindRequest) -> RunReport:
        """Bring everything back, and return the report; a failure carries it as its detail."""
        return await self._tell(self._rewind(request))

    @workflow.signal
    def reached(self, told: Reached) -> None:
        """Hear from a part how far it is."""
        self._reached[told.path] = told.stage

    async def _rewind(self, request: RewindRequest) -> None:
        with self._clock.during(Phase.PREFLIGHT):
            plan = await prepare(request)
            self._done.plan, self._clock.estimates = plan, plan.estimates
            if refused := problems(plan):
                raise ApplicationError(refused, type="PreflightRefusedError", non_retryable=True)
        for planned in plan.parts:
            told = "is so already" if planned.already else f"goes back to {planned.told}"
            self._clock.note(f"{planned.path} {told}")
        moving = {planned.path for planned in plan.parts if not planned.already}
        parts = [part for part in request.parts if part.resource.path in moving]
        with self._clock.during(Phase.RESTORE):
            self._undo.add("stop every part, which takes back what it did", self._stop)
            for part in parts:
                self._children[part.resource.path] = await self._start(part)
            await self._until([part.resource for part in parts], Stage.PREPARED)
        with self._clock.during(Phase.CUTOVER):
            for part in parts:  # data first: images and settings find them when they start
                await self._go_on(part.resource, Stage.PREPARED)
                require_going_on()
                await self._until([part.resource], Stage.ACTED)
        with self._clock.during(Phase.HEALTH):
            await self._await_healthy(parts)
            await self._require_none_ended()
        self._clock.stop()
        self._undo.forget()
        for part in parts:
            await self._go_on(part.resource, Stage.ACTED)
        await self._gather()

    async def _start(self, part: Part) -> ChildWorkflowHandle[Any, RunReport]:
        resource = part.resource
        act = "restore" if resource.kind is ResourceKind.DATABASE else "rollback"
        request = part.model_copy(update={"part_of": workflow.info().workflow_id})
        return await workflow.start_child_workflow(
            _story(part),
            request,
            id=f"{act}:{resource.path}",
            parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
            search_attributes=_attributes(part),
            static_summary=f"part of {self._request.resource.path}: {resource.path}",
        )

    async def _until(self, resources: Sequence[Protected], stage: Stage) -> None:
        """Wait until all of them are so far.

        Raises:
            ApplicationError: one of the parts has ended before.
        """

        def far(resource: Protected) -> bool:
            return self._reached.get(resource.path, -1) >= stage

        def ended() -> list[str]:
            return [path for path, child in self._children.items() if child.done()]

        await workflow.wait_condition(lambda: bool(ended()) or all(map(far, resources)))
        await self._require_none_ended()

    async def _require_none_ended(self) -> None:
        """Go on only while every part is still there to be taken back.

        Raises:
            ApplicationError: one of the parts has ended.
        """
        ended = [path for path, child in self._children.items() if child.done()]
        if ended:
            path = ended[0]
            record = await self._record_of(path)
            why = record.failure or "its checks did not pass, so it was not cut over"
            raise ApplicationError(f"{path}: {why}", type="PartFailed", non_retryable=True)

    async def _go_on(self, resource: Protected, stage: Stage) -> None:
        await self._children[resource.path].signal("go_on", stage)

    async def _await_healthy(self, parts: Sequence[Part]) -> None:
        """Ask every application that is touched, once."""
        asked: set[str] = set()
        for part in parts:
            if isinstance(part, RollbackRequest) and part.resource.name not in asked:
                asked.add(part.resource.name)
                within = part.resource.health.within if part.resource.health else _HEALTHY
                await perform(
                    RollbackActivities.await_healthy,
                    part.resource,
                    polling(
                        part.resource,
                        f"Wait until {part.resource.path} is healthy",
                        within + _PATIENCE,
                    ),
                )
        for part in parts:
            for consumer in _readers(part):
                if consumer.name not in asked:
                    asked.add(consumer.name)
                    within = consumer.health.within if consumer.health else _HEALTHY
                    await perform(
                        ConsumerActivities.await_healthy,
                        consumer,
                        polling(
                            part.resource,
                            f"Wait until {consumer.name} is healthy",
                            within + _PATIENCE,
                        ),
                    )

    async def _stop(self) -> None:
        """Cancel the parts, last in effect first, each once the one before has taken back."""
        for path, child in reversed(self._children.items()):
            if not child.done():
                child.cancel("the whole that it is part of")
            record = await self._record_of(path)
            self._undo.left += [f"{path}: {left}" for left in record.left_behind]

    async def _gather(self) -> None:
        for path in self._children:
            await uninterrupted(self._record_of(path))

    async def _record_of(self, path: str) -> PartRecord:
        """Return how a part ended; waits for it."""
        known = [one for one in self._done.parts if one.path == path]
        if known:
            return known[0]
        try:
            record = part_of_report(await asyncio.shield(self._children[path]))
        except FailureError as error:
            record = part_of_error(path, error)
        self._done.parts.append(record)
        return record

    def _made_report(self) -> RunReport:
        return rewind_report(
            self._request, self._done, self._clock, self._done.plan, tuple(self._done.parts)
        )

    def _standing(self) -> RunStatus:
        waiting = [path for path in self._children if path not in self._reached]
        standing = super()._standing()
        return standing.model_copy(
            update={"waiting_for": f"{', '.join(waiting)}: `refloat run list`" if waiting else ""}
        )


def _story(part: Part) -> Callable[..., Coroutine[Any, Any, RunReport]]:
    if isinstance(part, RestoreRequest):
        return DatabaseRestoreWorkflow.run
    if isinstance(part, RollbackRequest):
        return ApplicationRollbackWorkflow.run
    return ConfigurationRollbackWorkflow.run


def _readers(part: Part) -> Sequence[Consumer]:
    if isinstance(part, RestoreRequest):
        return part.resource.consumers
    return part.resource.applications if isinstance(part, ConfigurationRequest) else ()


def _attributes(part: Part) -> TypedSearchAttributes:
    values = {
        RESOURCE: part.resource.path,
        KIND: part.resource.kind.value,
        MODE: part.mode.value,
        RUN: part.id,
    }
    return TypedSearchAttributes([SearchAttributePair(key, one) for key, one in values.items()])
