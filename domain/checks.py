"""What proves a restore good. No evidence is no pass."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from domain.resources import SqlCheck
from domain.values import UtcDatetime, Value, show_span, show_time


class Verdict(StrEnum):
    """The outcome of one check or objective."""

    PASSED = "passed"
    FAILED = "failed"
    UNPROVEN = "unproven"
    NOT_APPLICABLE = "not applicable"


class Finding(Value):
    """One check: what was expected, what was seen, and the verdict.

    `moment` is the commit that a finding about the point reached saw last in the data.
    """

    name: str
    kind: str
    expected: str
    observed: str
    verdict: Verdict
    advice: str = ""
    moment: UtcDatetime | None = None

    @property
    def good(self) -> bool:
        """Whether nothing stands against going on; unproven is not good."""
        return self.verdict in {Verdict.PASSED, Verdict.NOT_APPLICABLE}


class TableContent(Value):
    """The rows of one table under one snapshot: how many, and a hash that ignores their order."""

    table: str
    rows: int
    digest: str


class ProofPoint(Value):
    """Content of every table at one LSN, taken without blocking writers."""

    lsn: str
    taken_at: UtcDatetime
    database: str
    tables: tuple[TableContent, ...]


class SqlAnswer(Value):
    """What one SQL check returned: one value as text, its number or its moment when it is one."""

    text: str | None
    number: float | None = None
    moment: UtcDatetime | None = None
    rows: int = 1
    problem: str = ""


def _expectation(check: SqlCheck) -> str:
    parts = [
        f"at least {check.at_least:g}" if check.at_least is not None else "",
        f"at most {check.at_most:g}" if check.at_most is not None else "",
        f"equal to {check.equals}" if check.equals is not None else "",
        f"no older than {show_span(check.max_age)} at the point"
        if check.max_age is not None
        else "",
    ]
    return " and ".join(part for part in parts if part) or "a value"


def judge_sql(check: SqlCheck, answer: SqlAnswer, point_at: datetime | None) -> Finding:
    """Return the verdict on one SQL check; ages count from the recovery point, not from now."""
    expected = _expectation(check)
    if answer.problem:
        observed, good = answer.problem, False
    elif answer.rows != 1:
        observed, good = f"{answer.rows} rows; a check returns exactly one", False
    elif answer.text is None:
        observed, good = "no value (NULL): there was nothing to look at", False
    else:
        observed, good = answer.text, _holds(check, answer, point_at)
    return Finding(
        name=check.name,
        kind="sql",
        expected=expected,
        observed=observed,
        verdict=Verdict.PASSED if good else Verdict.FAILED,
    )


def _holds(check: SqlCheck, answer: SqlAnswer, point_at: datetime | None) -> bool:
    if check.at_least is not None and (answer.number is None or answer.number < check.at_least):
        return False
    if check.at_most is not None and (answer.number is None or answer.number > check.at_most):
        return False
    if check.equals is not None and answer.text != check.equals:
        return False
    if check.max_age is not None:
        if answer.moment is None or point_at is None:
            return False
        return point_at - answer.moment <= check.max_age
    return True


def compare_content(expected: ProofPoint, observed: ProofPoint) -> Finding:
    """Return whether every table holds exactly the rows of the proof point."""
    found = {content.table: content for content in observed.tables}
    wrong = [
        content.table
        for content in expected.tables
        if found.get(content.table) is None or found[content.table].digest != content.digest
    ]
    extra = sorted(set(found) - {content.table for content in expected.tables})
    if not expected.tables:
        seen, verdict = (
            "the proof point holds no table: there was nothing to look at",
            Verdict.FAILED,
        )
    elif wrong or extra:
        differing = ", ".join([*wrong, *(f"{table} (unexpected)" for table in extra)])
        seen, verdict = f"different: {differing}", Verdict.FAILED
    else:
        rows = sum(content.rows for content in observed.tables)
        seen, verdict = f"equal: {len(expected.tables)} tables, {rows} rows", Verdict.PASSED
    return Finding(
        name="content equals the proof point",
        kind="content",
        expected=f"the content hashed at {expected.lsn}",
        observed=seen,
        verdict=verdict,
    )


def compare_counts(reference: ProofPoint | None, observed: ProofPoint) -> Finding:
    """Return whether every table that had rows at the last snapshot still has some."""
    if reference is None:
        return Finding(
            name="row counts against the last snapshot",
            kind="counts",
            expected="rows wherever an earlier snapshot had some",
            observed=f"no snapshot with counts before the point; {len(observed.tables)} tables now",
            verdict=Verdict.UNPROVEN,
            advice="take proof points regularly: `refloat snapshot create`",
        )
    found = {content.table: content.rows for content in observed.tables}
    had_rows = [content for content in reference.tables if content.rows]
    gone = [
        f"{content.table}: {content.rows} rows then, "
        f"{found.get(content.table, 'no such table')} now"
        for content in had_rows
        if not found.get(content.table)
    ]
    shown = ", ".join(f"{table} {rows}" for table, rows in sorted(found.items()))
    if not had_rows:
        observed_text, verdict = (
            "the last snapshot held no rows: nothing to compare",
            Verdict.FAILED,
        )
    elif gone:
        observed_text, verdict = "; ".join(gone), Verdict.FAILED
    else:
        observed_text, verdict = shown, Verdict.PASSED
    return Finding(
        name="row counts against the last snapshot",
        kind="counts",
        expected=f"rows in each of the {len(had_rows)} tables that had some at {reference.lsn}",
        observed=observed_text,
        verdict=verdict,
    )


def judge_heartbeat(
    point_at: datetime | None, newest: datetime | None, tolerance: timedelta = timedelta(seconds=2)
) -> Finding:
    """Return whether the newest heartbeat in the data is as young as the point demands."""
    if newest is None or point_at is None:
        observed, verdict = "no heartbeat row in the restored data", Verdict.FAILED
    else:
        distance = point_at - newest
        observed = f"newest heartbeat {show_span(abs(distance))} {'before' if distance >= timedelta() else 'AFTER'} the last commit"
        good = timedelta(milliseconds=-50) <= distance <= tolerance
        verdict = Verdict.PASSED if good else Verdict.FAILED
    return Finding(
        name="heartbeat",
        kind="heartbeat",
        expected=f"a row committed at most {show_span(tolerance)} before the last commit, none after",
        observed=observed,
        verdict=verdict,
    )


_CLOCKS = timedelta(milliseconds=50)
_BETWEEN_COMMITS = timedelta(seconds=2)


def judge_reached(
    target_at: datetime, granularity: timedelta, newest: datetime | None, what: str
) -> Finding:
    """Return whether the newest commit in the data proves that the point was reached, not passed.

    For services whose log cannot be read. `granularity` is how far before `target_at` the provider
    may stop, and `what` names the evidence, a heartbeat or the last transaction. A database that
    commits every second proves it; one that was idle leaves it unproven.
    """
    earliest = target_at - granularity - _BETWEEN_COMMITS
    if newest is None:
        observed, verdict = f"no {what} in the restored data", Verdict.UNPROVEN
    elif newest > target_at + _CLOCKS:
        observed, verdict = f"{what} {show_time(newest)}: the point was passed", Verdict.FAILED
    elif newest < earliest:
        apart = show_span(target_at - newest)
        observed = f"{what} {show_time(newest)}, {apart} before: nothing shows what came between"
        verdict = Verdict.UNPROVEN
    else:
        observed, verdict = f"{what} {show_time(newest)}", Verdict.PASSED
    return Finding(
        name="the point was reached and not passed",
        kind="point",
        expected=f"a commit between {show_time(earliest)} and {show_time(target_at)}, none later",
        observed=observed,
        verdict=verdict,
        advice="" if verdict is Verdict.PASSED else "see docs/catalog.md, `heartbeat`",
        moment=newest,
    )


def proven_commit_at(findings: Sequence[Finding]) -> datetime | None:
    """Return the last commit that was seen in the restored data, UTC, or None without any."""
    seen = [
        finding.moment
        for finding in findings
        if finding.kind == "point" and finding.moment and finding.verdict is not Verdict.FAILED
    ]
    return max(seen, default=None)
