"""Plans and records of rollbacks: what would happen, and what did."""

from datetime import timedelta
from typing import Protocol

from domain.checks import Finding, Verdict
from domain.clock import PhaseEstimate
from domain.configuration import AppliedConfiguration, Commit, ConfigurationPoint, Difference
from domain.resources import Mode
from domain.rollback import Image, Revision, RollbackScope
from domain.values import UtcDatetime, Value


class AnyPlan(Protocol):
    """What every plan tells."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The preconditions."""
        ...

    @property
    def estimates(self) -> tuple[PhaseEstimate, ...]:
        """How long each phase should take."""
        ...

    @property
    def estimated(self) -> timedelta:
        """How long all of it should take."""
        ...


class _Planned(Value):
    """What the plans of rollbacks have in common."""

    resource: str
    mode: Mode
    asked: str
    findings: tuple[Finding, ...]
    steps: tuple[str, ...]
    estimates: tuple[PhaseEstimate, ...]
    estimated: timedelta
    rto: timedelta
    notes: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    incident_at: UtcDatetime | None = None


class RollbackPlan(_Planned):
    """What a rollback of an application would do; what it answers is what the run then does."""

    before: Revision | None
    to: Revision | None
    image: Image
    scope: RollbackScope
    version: str


class ConfigurationPlan(_Planned):
    """What a rollback of a configuration would do."""

    point: ConfigurationPoint
    difference: Difference


class RollbackRecord(Value):
    """What a run brought back, and what it replaced."""

    before: Revision | None
    image: Image
    scope: RollbackScope
    applied: bool = False
    kept_by: str = ""


class ConfigurationRecord(Value):
    """The commit that a run brought back, the one it made, and what that changed."""

    point: ConfigurationPoint
    commit: Commit | None = None
    branch: str = ""
    changed_files: tuple[str, ...] = ()
    applied: AppliedConfiguration | None = None
    marked: str = ""


class Candidates(Value):
    """What an application can go back to: what ran, and what the registry keeps."""

    ran: tuple[Revision, ...]
    images: tuple[Image, ...] = ()
    problem: str = ""


def refusal_of(findings: tuple[Finding, ...]) -> str:
    """Return why something cannot work, or nothing when it can."""
    failed = [finding for finding in findings if finding.verdict is Verdict.FAILED]
    return "; ".join(
        f"{one.name}: {one.observed}, wanted {one.expected}{f' ({one.advice})' if one.advice else ''}"
        for one in failed
    )
