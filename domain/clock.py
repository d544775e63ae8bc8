"""The recovery clock: phases, estimates, objectives and their verdicts."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from domain.checks import Verdict
from domain.values import UtcDatetime, Value

AT_RISK_SHARE = 0.8
_COPY_BYTES_PER_SECOND = 300e6
_REPLAY_BYTES_PER_SECOND = 180e6
_FROM_SIZES = "sizes"


class Phase(StrEnum):
    """The parts of a recovery, in order."""

    PREFLIGHT = "pre-flight"
    APPROVAL = "approval"
    SAFETY = "safety snapshot"
    COMMIT = "commit"
    APPLY = "apply"
    ROLLOUT = "rollout"
    RESTORE = "restore"
    VERIFY = "verify"
    PROTECT = "protect"
    CUTOVER = "cutover"
    HEALTH = "health"
    CLEAN_UP = "clean up"


class PhaseRecord(Value):
    """One phase as it went."""

    phase: Phase
    started_at: UtcDatetime
    ended_at: UtcDatetime | None = None

    @property
    def took(self) -> timedelta | None:
        """How long it lasted, or None while it runs."""
        return None if self.ended_at is None else self.ended_at - self.started_at


class PhaseEstimate(Value):
    """How long a phase should take: from earlier runs of the resource, else from its sizes."""

    phase: Phase
    p50: timedelta
    p90: timedelta
    basis: str


class Objective(Value):
    """One objective with what was measured against it."""

    name: str
    limit: timedelta
    measured: timedelta | None
    verdict: Verdict


def judge(name: str, limit: timedelta, measured: timedelta | None) -> Objective:
    """Return the verdict on one objective; nothing measured is unproven, never passed."""
    if measured is None:
        verdict = Verdict.UNPROVEN
    else:
        verdict = Verdict.PASSED if measured <= limit else Verdict.FAILED
    return Objective(name=name, limit=limit, measured=measured, verdict=verdict)


def at_risk_at(
    started: datetime,
    rto: timedelta,
    now: datetime,
    estimates: Sequence[PhaseEstimate],
    records: Sequence[PhaseRecord],
) -> datetime:
    """Return when the objective counts as at risk, seen from `now`.

    That is when now + estimated rest passes the objective, at the latest at 80 % of it. While the
    running phase keeps to its estimate that sum stands still; once it is over, the sum grows, and
    passes the objective when only the later phases' estimates are left of it.
    """
    deadline = started + rto
    if now + rest_at(now, estimates, records) > deadline:
        return now
    later = rest_of(estimates, [record.phase for record in records])
    return min(started + rto * AT_RISK_SHARE, deadline - later)


def rest_of(estimates: Sequence[PhaseEstimate], begun: Sequence[Phase]) -> timedelta:
    """Return the sum of the medians of the phases that have not begun."""
    return sum(
        (estimate.p50 for estimate in estimates if estimate.phase not in begun), start=timedelta()
    )


def rest_at(
    now: datetime, estimates: Sequence[PhaseEstimate], records: Sequence[PhaseRecord]
) -> timedelta:
    """Return what is left of the running phase's estimate, and all of the later ones."""
    rest = rest_of(estimates, [record.phase for record in records])
    running = [record for record in records if record.ended_at is None]
    for estimate in estimates:
        for record in running:
            if record.phase is estimate.phase:
                rest += max(timedelta(), estimate.p50 - (now - record.started_at))
    return rest


def expected(estimates: Sequence[PhaseEstimate], phase: Phase) -> timedelta | None:
    """Return how long a phase should take, where more than sizes tells."""
    known = [one.p50 for one in estimates if one.phase is phase and one.basis != _FROM_SIZES]
    return known[0] if known else None


def durations(runs: Sequence[Sequence[PhaseRecord]]) -> Mapping[Phase, Sequence[timedelta]]:
    """Return how long each phase took in the runs."""
    found: dict[Phase, list[timedelta]] = {}
    for records in runs:
        for record in records:
            if record.took is not None:
                found.setdefault(record.phase, []).append(record.took)
    return found


def _quantile(sorted_values: Sequence[timedelta], share: float) -> timedelta:
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def estimate(
    phases: Sequence[Phase],
    history: Mapping[Phase, Sequence[timedelta]],
    restored_bytes: int,
    log_bytes: int,
    typical: timedelta | None = None,
) -> tuple[PhaseEstimate, ...]:
    """Return an estimate per phase, from earlier runs where there are any, else from sizes.

    The model is bytes / 300 MB/s + log / 180 MB/s + half a second, the slow end of what was
    measured on two cores; `typical` is a provider's own time for a restore that it does itself.
    """
    made = [_estimate_one(phase, history, restored_bytes, log_bytes) for phase in phases]
    return tuple(
        PhaseEstimate(phase=one.phase, p50=typical, p90=typical * 2, basis="the provider's usual")
        if typical is not None and one.phase is Phase.RESTORE and one.basis == _FROM_SIZES
        else one
        for one in made
    )


def _estimate_one(
    phase: Phase,
    history: Mapping[Phase, Sequence[timedelta]],
    restored_bytes: int,
    log_bytes: int,
) -> PhaseEstimate:
    past = sorted(history.get(phase, ()))
    if past:
        runs = f"{len(past)} earlier run{'s' if len(past) > 1 else ''}"
        return PhaseEstimate(
            phase=phase, p50=_quantile(past, 0.5), p90=_quantile(past, 0.9), basis=runs
        )
    copy = restored_bytes / _COPY_BYTES_PER_SECOND
    seconds = {
        Phase.PREFLIGHT: 0.5,
        Phase.APPROVAL: 0.0,
        Phase.SAFETY: 0.3,
        Phase.COMMIT: 1.0,
        Phase.APPLY: 1.0,
        Phase.ROLLOUT: 10.0,
        Phase.RESTORE: copy + log_bytes / _REPLAY_BYTES_PER_SECOND + 1.0,
        Phase.VERIFY: copy + 0.5,
        Phase.PROTECT: copy + 1.5,
        Phase.CUTOVER: 0.5,
        Phase.HEALTH: 1.0,
        Phase.CLEAN_UP: 0.5,
    }[phase]
    likely = timedelta(seconds=seconds)
    return PhaseEstimate(phase=phase, p50=likely, p90=likely * 2, basis=_FROM_SIZES)
