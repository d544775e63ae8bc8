"""The run report: one document per run, the same for an incident and a drill."""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field, SerializeAsAny

from domain.checks import Finding, Verdict
from domain.clock import Objective, Phase, PhaseEstimate, PhaseRecord
from domain.plans import (
    ConfigurationPlan,
    ConfigurationRecord,
    RollbackPlan,
    RollbackRecord,
    refusal_of,
)
from domain.recovery import (
    CutoverRecord,
    RecoveryPoint,
    RestoredResource,
    ServerDescription,
    SettingDifference,
    Target,
)
from domain.resources import Mode, Protected, ProtectedResource
from domain.values import UtcDatetime, Value

SCHEMA: Literal["refloat.report/v1"] = "refloat.report/v1"


class Outcome(StrEnum):
    """How a run ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Scope(StrEnum):
    """Where the clock stopped: at a healthy service, or at a verified copy."""

    SERVICE = "service"
    RESTORE = "restore"


class Event(Value):
    """Something worth knowing that happened during a run."""

    at: UtcDatetime
    what: str


class ApprovalRecord(Value):
    """Who said yes, when, and why."""

    by: str
    at: UtcDatetime
    note: str = ""


class Creation(Value):
    """One thing a run made, and whether it is still there."""

    what: str
    name: str
    kept: bool


class PartRecord(Value):
    """How one part of a whole ended; its own report has the rest."""

    path: str
    run_id: str
    verdict: str
    failure: str = ""
    shortfalls: tuple[str, ...] = ()
    left_behind: tuple[str, ...] = ()
    measured_rpo: timedelta | None = None


class RunReport(Value):
    """What was asked, done, measured and proven in one run."""

    model_config = ConfigDict(populate_by_name=True)

    report_schema: Literal["refloat.report/v1"] = Field(default=SCHEMA, alias="schema")
    run_id: str
    workflow_id: str
    temporal_run_id: str = ""
    mode: Mode
    scope: Scope
    resource: str
    kind: str
    provider: str
    provider_kind: str
    reason: str
    requested_by: str
    approval: ApprovalRecord | None = None
    outcome: Outcome
    failure: str = ""
    failure_type: str = ""
    left_behind: tuple[str, ...] = ()
    requested_at: UtcDatetime
    incident_at: UtcDatetime | None = None
    incident_basis: str = ""
    started_counting_at: UtcDatetime | None = None
    ended_at: UtcDatetime
    asked: str = ""
    requested_point: Target | None = None
    allowed_point: RecoveryPoint | None = None
    reached: RestoredResource | None = None
    point_deviation: timedelta | None = None
    phases: tuple[PhaseRecord, ...] = ()
    estimates: tuple[PhaseEstimate, ...] = ()
    estimated: timedelta | None = None
    deviation: timedelta | None = None
    objectives: tuple[Objective, ...] = ()
    measured_rto: timedelta | None = None
    measured_rpo: timedelta | None = None
    findings: tuple[Finding, ...] = ()
    settings: tuple[SettingDifference, ...] = ()
    cutovers: tuple[CutoverRecord, ...] = ()
    created: tuple[Creation, ...] = ()
    superseded: str | None = None
    rollback: RollbackRecord | None = None
    configuration: ConfigurationRecord | None = None
    parts: tuple[PartRecord, ...] = ()
    events: tuple[Event, ...] = ()
    versions: dict[str, str] = {}

    @property
    def passed(self) -> bool:
        """Whether the run did what it should and every verdict passed."""
        return (
            self.outcome is Outcome.DONE
            and not self.left_behind
            and all(objective.verdict is Verdict.PASSED for objective in self.objectives)
            and all(finding.good for finding in self.findings)
            and all(part.verdict == "passed" for part in self.parts)
        )

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What keeps a run that ended from having passed, in a few words each."""
        missed = [
            f"{one.name.upper()} {one.verdict.value}"
            for one in self.objectives
            if one.verdict is not Verdict.PASSED
        ]
        weak = [f"{one.name}: {one.verdict.value}" for one in self.findings if not one.good]
        return (*missed, *weak, *(f"left behind: {left}" for left in self.left_behind))

    @property
    def verdict(self) -> str:
        """The whole run in one word or two, for search attributes and tables."""
        if self.outcome is not Outcome.DONE:
            return self.outcome.value
        return "passed" if self.passed else "missed"


class LastRun(Value):
    """What is told of a run when somebody asks whether a resource can be restored."""

    run_id: str
    mode: Mode
    verdict: str
    ended_at: UtcDatetime
    measured_rto: timedelta | None = None
    measured_rpo: timedelta | None = None


class FindReport(Value):
    """Look for a kept report by run id or the beginning of it, at the provider of a resource."""

    resource: SerializeAsAny[Protected]
    run_id: str


class FoundReport(Value):
    """A kept report, or None."""

    report: RunReport | None


class ProvenResource(Value):
    """A resource with its objectives and its last proofs; None where nobody could be asked."""

    resource: SerializeAsAny[Protected]
    last: tuple[LastRun, ...] | None = None


class ResourceDescription(Value):
    """A resource with its objectives, the server its path means, and its last proofs."""

    resource: ProtectedResource
    server: ServerDescription
    last: tuple[LastRun, ...] = ()


def last_runs(reports: Sequence[RunReport]) -> tuple[LastRun, ...]:
    """Return the newest incident and drill, and before one that did not pass the last that did.

    What was refused has tried nothing and proves nothing.
    """
    tried = [one for one in reports if one.outcome is not Outcome.REFUSED]
    newest: dict[tuple[Mode, bool], RunReport] = {}
    for report in sorted(tried, key=lambda report: report.ended_at):
        if report.passed:
            newest.pop((report.mode, False), None)
        newest[report.mode, report.passed] = report
    return tuple(
        LastRun(
            run_id=report.run_id,
            mode=report.mode,
            verdict=report.verdict,
            ended_at=report.ended_at,
            measured_rto=report.measured_rto,
            measured_rpo=report.measured_rpo,
        )
        for report in newest.values()
    )


def exit_code(report: RunReport) -> int:
    """Return the exit code a report stands for: 0, 1, 2 or 3 as documented."""
    if report.outcome is Outcome.REFUSED:
        return 2
    if report.outcome is not Outcome.DONE:
        return 1
    return 0 if report.passed else 3


class RestorePlan(Value):
    """What a restore would do; what it answers is what the run then does."""

    resource: str
    mode: Mode
    target: Target
    point: RecoveryPoint
    findings: tuple[Finding, ...]
    steps: tuple[str, ...]
    creates: tuple[str, ...]
    estimates: tuple[PhaseEstimate, ...]
    estimated: timedelta
    rto: timedelta
    rpo: timedelta
    expected_loss: timedelta | None
    incident_at: UtcDatetime | None = None
    incident_basis: str = ""
    versions: dict[str, str] = {}
    approvers: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()


def refusal(plan: RestorePlan) -> str:
    """Return why the plan cannot work, or nothing when it can."""
    return refusal_of(plan.findings)


class RunStatus(Value):
    """A run in progress, as it tells of itself when asked."""

    run_id: str
    resource: str
    mode: Mode
    phase: Phase
    phases: tuple[PhaseRecord, ...]
    estimates: tuple[PhaseEstimate, ...]
    started_counting_at: UtcDatetime
    rto: timedelta
    waiting_for: str = ""
    requested_by: str = ""
    reason: str = ""
    plan: RestorePlan | None = None
    rollback: RollbackPlan | None = None
    configuration: ConfigurationPlan | None = None
    events: tuple[Event, ...] = ()
    report: RunReport | None = None


def total_of(records: Sequence[PhaseRecord]) -> timedelta:
    """Return the summed duration of the phases that ended."""
    return sum((record.took for record in records if record.took is not None), start=timedelta())
