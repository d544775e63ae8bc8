"""An environment as it was at one time: its databases, images and configurations as one."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.checks import Finding
from domain.clock import PhaseEstimate
from domain.configuration import ConfigurationRequest
from domain.plans import ConfigurationPlan, RollbackPlan
from domain.recovery import RestoreRequest
from domain.report import RestorePlan
from domain.resources import Mode, Objectives, Protected, ResourceKind
from domain.rollback import RollbackRequest
from domain.values import UtcDatetime, Value, show_time


class ProtectedEnvironment(Protected):
    """Everything that is protected in `project/environment`, as one thing to bring back."""

    path: str
    kind: ResourceKind = ResourceKind.ENVIRONMENT


class RewindRequest(Value):
    """One return of an environment to a time, with the request of each of its parts."""

    id: str
    resource: ProtectedEnvironment
    to: UtcDatetime
    databases: tuple[RestoreRequest, ...] = ()
    configurations: tuple[ConfigurationRequest, ...] = ()
    applications: tuple[RollbackRequest, ...] = ()
    mode: Mode = Mode.INCIDENT
    requested_at: UtcDatetime
    requested_by: str
    incident_at: UtcDatetime | None = None
    reason: str = ""
    part_of: str = ""

    @property
    def target(self) -> str:
        """The target as people name it."""
        return f"everything at {show_time(self.to)}"

    @property
    def parts(self) -> Sequence[RestoreRequest | ConfigurationRequest | RollbackRequest]:
        """The parts in the order in which they take effect: data, configuration, images."""
        return (*self.databases, *self.configurations, *self.applications)

    @property
    def rto(self) -> timedelta:
        """The longest objective of its parts, for they go side by side."""
        return max((part.rto for part in self.parts), default=timedelta(hours=1))

    @property
    def started_counting_at(self) -> datetime:
        """Moment from which the recovery clock counts: the impact, else the request."""
        return self.incident_at or self.requested_at


class PartPlan(Value):
    """What would happen to one part; `problem` says why it cannot, `already` that it need not."""

    path: str
    kind: ResourceKind
    database: RestorePlan | None = None
    application: RollbackPlan | None = None
    configuration: ConfigurationPlan | None = None
    already: bool = False
    problem: str = ""

    @property
    def told(self) -> str:
        """What the part goes back to, in one line."""
        if self.database is not None:
            return self.database.point.told
        if self.application is not None:
            return self.application.image.told
        if self.configuration is not None:
            return self.configuration.point.target.told
        return self.problem

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The preconditions of the part."""
        plans = (self.database, self.application, self.configuration)
        return next((plan.findings for plan in plans if plan is not None), ())


class RewindPlan(Value):
    """An environment as it was at a time, and whether each part can be reached."""

    resource: str
    to: UtcDatetime
    parts: tuple[PartPlan, ...]
    estimates: tuple[PhaseEstimate, ...] = ()
    estimated: timedelta
    rto: timedelta

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The preconditions of all parts."""
        return tuple(
            finding.model_copy(update={"name": f"{part.path.rpartition('/')[2]}: {finding.name}"})
            for part in self.parts
            for finding in part.findings
        )


def problems(plan: RewindPlan) -> str:
    """Return why the whole cannot work, or nothing when it can."""
    told = [f"{part.path}: {part.problem}" for part in plan.parts if part.problem]
    if not told and all(part.already for part in plan.parts):
        return f"everything is as it was at {show_time(plan.to)} already"
    return "; ".join(told)


def environment_of(path: str, members: Sequence[Protected]) -> ProtectedEnvironment:
    """Return the environment of its members; its report is kept where the first one's is."""
    first = members[0]
    return ProtectedEnvironment(
        path=path,
        provider=first.provider,
        provider_kind=first.provider_kind,
        objectives=Objectives(),
    )
