"""A report as text, as JSON and as a page."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cli.html import render
from cli.printing import last_lines, report_lines
from domain.checks import Finding, Verdict
from domain.clock import Phase, PhaseRecord, judge
from domain.recovery import Target, TargetKind
from domain.report import (
    Creation,
    Outcome,
    RunReport,
    Scope,
    exit_code,
    last_runs,
)
from domain.resources import Mode

BEGUN = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
FINDING = Finding(
    name="orders <are> there",
    kind="sql",
    expected="at least 1",
    observed="<script>alert(1)</script> & more",
    verdict=Verdict.PASSED,
)
REPORT = RunReport(
    run_id="0123456789abcdef",
    workflow_id="restore:shop/production/orders",
    mode=Mode.INCIDENT,
    scope=Scope.SERVICE,
    resource="shop/production/orders",
    kind="database",
    provider="here",
    provider_kind="local",
    reason='said "DROP" & <b>ran</b> it',
    requested_by="ops",
    outcome=Outcome.DONE,
    requested_at=BEGUN,
    ended_at=BEGUN + timedelta(minutes=2),
    requested_point=Target(kind=TargetKind.TIME, time=BEGUN),
    phases=(
        PhaseRecord(phase=Phase.RESTORE, started_at=BEGUN, ended_at=BEGUN + timedelta(seconds=90)),
        PhaseRecord(
            phase=Phase.VERIFY,
            started_at=BEGUN + timedelta(seconds=90),
            ended_at=BEGUN + timedelta(seconds=120),
        ),
    ),
    objectives=(
        judge("rto", timedelta(hours=1), timedelta(seconds=120)),
        judge("rpo", timedelta(minutes=5), timedelta(seconds=1)),
    ),
    measured_rto=timedelta(seconds=120),
    measured_rpo=timedelta(seconds=1),
    findings=(FINDING,),
    created=(Creation(what="server", name="refloat-01234567-orders", kept=True),),
    superseded="orders",
)


def _with(**changes: object) -> RunReport:
    return REPORT.model_copy(update=changes)


def test_the_text_says_verdict_objectives_what_is_kept_and_how_to_release() -> None:
    told = "\n".join(report_lines(REPORT))

    assert told.startswith("RESTORED: shop/production/orders (incident)")
    assert "RTO  2 min 00 s, objective 1 h 00 min: kept" in told
    assert "RPO  1.0 s, objective 5 min 00 s: kept" in told
    assert "server refloat-01234567-orders: kept" in told
    assert "orders stays until `refloat release shop/production/orders`" in told
    assert "refloat run report 01234567 --html report.html" in told


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({"mode": Mode.DRILL}, "DRILL PASSED: shop/production/orders (drill)"),
        (
            {"mode": Mode.DRILL, "left_behind": ("a server",)},
            "DRILL DONE, BUT NOT EVERY VERDICT PASSED: shop",
        ),
        ({"left_behind": ("a server",)}, "RESTORED, BUT NOT EVERY VERDICT PASSED: shop"),
        ({"mode": Mode.DRILL, "outcome": Outcome.FAILED}, "FAILED: shop"),
    ],
)
def test_the_headline_tells_a_drill_from_an_incident(
    changes: dict[str, object], headline: str
) -> None:
    assert next(iter(report_lines(_with(**changes)))).startswith(headline)


def test_the_document_carries_its_schema_and_reads_back_the_same() -> None:
    document = REPORT.model_dump_json(by_alias=True)

    assert json.loads(document)["schema"] == "refloat.report/v1"
    assert "report_schema" not in json.loads(document)
    assert RunReport.model_validate_json(document) == REPORT


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (REPORT, 0),
        (_with(outcome=Outcome.FAILED), 1),
        (_with(outcome=Outcome.CANCELLED), 1),
        (_with(outcome=Outcome.REFUSED), 2),
        (_with(objectives=(judge("rto", timedelta(1), timedelta(2)),)), 3),
        (_with(objectives=(judge("rpo", timedelta(1), None),)), 3),
        (_with(findings=(FINDING.model_copy(update={"verdict": Verdict.UNPROVEN}),)), 3),
    ],
)
def test_each_ending_has_its_exit_code(report: RunReport, code: int) -> None:
    assert exit_code(report) == code


def test_the_page_escapes_what_came_from_outside_and_needs_no_script() -> None:
    page = render(REPORT)

    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert "<b>ran</b>" not in page
    assert "http" not in page


def test_the_page_draws_each_phase_and_holds_what_an_auditor_looks_for() -> None:
    page = render(_with(left_behind=("remove the new server: no access",)))

    assert page.count("<rect ") == 2
    for word in ("restore", "verify", "at least 1", "passed", "refloat-01234567-orders"):
        assert word in page
    assert "remove the new server: no access" in page
    assert "2026-03-01T09:30:00Z" in page


def test_a_page_of_a_run_refused_before_any_phase_is_written() -> None:
    page = render(
        _with(outcome=Outcome.REFUSED, failure="no backup", phases=(), objectives=(), findings=())
    )

    assert "no backup" in page


def test_the_last_runs_are_told_or_that_there_is_none() -> None:
    drill = _with(mode=Mode.DRILL, ended_at=BEGUN)
    refused = _with(outcome=Outcome.REFUSED, ended_at=BEGUN + timedelta(days=1))

    assert list(last_lines(last_runs([REPORT, drill, refused]), "prove it")) == [
        "  last drill: passed 2026-03-01T09:30:00Z, RTO 2 min 00 s, RPO 1.0 s, run 01234567",
        "  last incident: passed 2026-03-01T09:32:00Z, RTO 2 min 00 s, RPO 1.0 s, run 01234567",
    ]
    failed = _with(mode=Mode.DRILL, outcome=Outcome.FAILED, ended_at=BEGUN + timedelta(days=2))
    assert [(one.mode, one.verdict) for one in last_runs([drill, failed])] == [
        (Mode.DRILL, "passed"),
        (Mode.DRILL, "failed"),
    ]
    assert [
        one.verdict
        for one in last_runs(
            [failed, _with(mode=Mode.DRILL, ended_at=failed.ended_at + timedelta(1))]
        )
    ] == ["passed"]
    [told] = last_lines((), "prove it")
    assert "nothing proves yet" in told
    assert "`prove it`" in told


def test_a_drill_that_left_something_behind_has_not_passed() -> None:
    assert exit_code(_with(left_behind=("remove the new server: no access",))) == 3
