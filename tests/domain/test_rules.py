"""Pure rules: windows, verdicts, the clock, the drawing of the errors."""

from datetime import UTC, datetime, timedelta

import pytest

import domain.errors
from domain.checks import ProofPoint, SqlAnswer, TableContent, Verdict, compare_content, judge_sql
from domain.clock import (
    Phase,
    PhaseEstimate,
    PhaseRecord,
    at_risk_at,
    estimate,
    judge,
    rest_at,
)
from domain.errors import RecoveryPointUnreachableError, concrete_errors
from domain.reach import require_reachable
from domain.recovery import RecoveryWindow
from domain.resources import SqlCheck
from domain.values import parse_span, show_span

T = datetime(2026, 3, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOWS = [
    RecoveryWindow(opens_at=T, closes_at=T + HOUR, source="a"),
    RecoveryWindow(opens_at=T + 2 * HOUR, closes_at=T + 3 * HOUR, source="a"),
]


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (
            T - HOUR,
            "before the recovery window opens.*earliest possible time is 2026-03-01T09:00:00Z",
        ),
        (T + 4 * HOUR, "after the recovery window closes.*2026-03-01T12:00:00Z.*--latest"),
        (T + 1.5 * HOUR, "gap of the archive, from 2026-03-01T10:00:00Z to 2026-03-01T11:00:00Z"),
        (T + 99 * HOUR, "in the future"),
    ],
)
def test_an_unreachable_time_is_refused_with_offers(moment: datetime, told: str) -> None:
    with pytest.raises(RecoveryPointUnreachableError, match=told):
        require_reachable("p", WINDOWS, moment, T + 50 * HOUR)


def test_a_time_inside_a_window_is_reachable() -> None:
    assert require_reachable("p", WINDOWS, T + 2.5 * HOUR, T + 50 * HOUR) is WINDOWS[1]


def test_no_backup_at_all_is_told_so() -> None:
    with pytest.raises(RecoveryPointUnreachableError, match="no base backup"):
        require_reachable("p", [], T, T)


def test_nothing_measured_is_unproven_and_never_passed() -> None:
    assert judge("rto", HOUR, None).verdict is Verdict.UNPROVEN
    assert judge("rto", HOUR, HOUR).verdict is Verdict.PASSED
    assert judge("rto", HOUR, HOUR + HOUR).verdict is Verdict.FAILED


def _estimated(restore: int, verify: int) -> tuple[PhaseEstimate, ...]:
    return tuple(
        PhaseEstimate(phase=phase, p50=minutes, p90=minutes, basis="")
        for phase, minutes in (
            (Phase.RESTORE, timedelta(minutes=restore)),
            (Phase.VERIFY, timedelta(minutes=verify)),
        )
    )


def test_the_objective_is_at_risk_at_the_latest_at_80_percent() -> None:
    assert at_risk_at(T, HOUR, T, _estimated(1, 0), []) == T + 0.8 * HOUR
    assert at_risk_at(T, HOUR, T, _estimated(50, 11), []) == T


def test_a_phase_that_overruns_puts_the_objective_at_risk_when_the_rest_no_longer_fits() -> None:
    running = [PhaseRecord(phase=Phase.RESTORE, started_at=T)]

    assert at_risk_at(T, HOUR, T, _estimated(10, 30), running) == T + HOUR / 2
    assert rest_at(T + HOUR / 6, _estimated(20, 30), running) == timedelta(minutes=40)
    assert rest_at(T + HOUR, _estimated(20, 30), running) == timedelta(minutes=30)


def test_estimates_come_from_earlier_runs_where_there_are_any() -> None:
    spans = [timedelta(seconds=second) for second in range(1, 11)]

    [one] = estimate([Phase.RESTORE], {Phase.RESTORE: spans}, 0, 0)

    assert (one.p50.total_seconds(), one.p90.total_seconds()) == (6, 10)
    assert "10 earlier runs" in one.basis


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (SqlAnswer(text="5", number=5), Verdict.PASSED),
        (SqlAnswer(text="0", number=0), Verdict.FAILED),
        (SqlAnswer(text=None), Verdict.FAILED),
        (SqlAnswer(text=None, rows=0), Verdict.FAILED),
        (SqlAnswer(text=None, problem="refused"), Verdict.FAILED),
    ],
)
def test_a_check_that_had_nothing_to_look_at_fails(answer: SqlAnswer, verdict: Verdict) -> None:
    check = SqlCheck(name="orders", query="select 1", at_least=1)

    assert judge_sql(check, answer, T).verdict is verdict


def test_one_changed_table_makes_the_content_differ() -> None:
    def proof(digest: str) -> ProofPoint:
        table = TableContent(table="t", rows=1, digest=digest)
        return ProofPoint(lsn="0/1", taken_at=T, database="d", tables=(table,))

    assert compare_content(proof("1"), proof("1")).verdict is Verdict.PASSED
    assert compare_content(proof("1"), proof("2")).verdict is Verdict.FAILED


def test_spans_are_read_and_shown() -> None:
    assert parse_span("1h30m") == 1.5 * HOUR
    assert show_span(timedelta(milliseconds=850)) == "850 ms"
    assert show_span(timedelta(seconds=245)) == "4 min 05 s"
    with pytest.raises(ValueError, match="not a span"):
        parse_span("soon")


def test_every_error_is_in_the_drawing() -> None:
    drawing = domain.errors.__doc__ or ""

    missing = [
        error.__name__
        for error in concrete_errors()
        if error.__module__ == "domain.errors" and error.__name__ not in drawing
    ]

    assert missing == []
