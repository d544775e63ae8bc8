"""Parts that every text has: tables, findings, estimates."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from domain.checks import Finding, Verdict
from domain.clock import PhaseEstimate
from domain.values import show_span

MARKS = {
    Verdict.PASSED: "ok  ",
    Verdict.FAILED: "FAIL",
    Verdict.UNPROVEN: "????",
    Verdict.NOT_APPLICABLE: "n/a ",
}


def table(*columns: str) -> Table:
    """Return an empty table with plain rules."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield one line per finding, with advice where it is not good."""
    for finding in findings:
        advice = f"; {finding.advice}" if not finding.good and finding.advice else ""
        yield f"  {MARKS[finding.verdict]} {finding.name}: {finding.observed}{advice}"


def estimate_lines(estimates: Sequence[PhaseEstimate]) -> Iterator[str]:
    """Yield how long each phase should take, and from what that is known."""
    for one in estimates:
        yield f"    {one.phase.value:<16} {show_span(one.p50):>12}   (from {one.basis})"
