"""Rollbacks as text for a tired operator: plans, what there is to go back to, what was done."""

from collections.abc import Iterator

from rich.table import Table

from cli.lines import estimate_lines, finding_lines, table
from domain.configuration import CommitList, Difference
from domain.plans import (
    Candidates,
    ConfigurationPlan,
    ConfigurationRecord,
    RollbackPlan,
    RollbackRecord,
)
from domain.report import RunReport
from domain.rollback import RollbackScope
from domain.values import show_bytes, show_span, show_time


def rollback_plan_lines(plan: RollbackPlan) -> Iterator[str]:
    """Yield a plan: from what, to what, how long, what stands against it."""
    yield f"plan: roll {plan.resource} back to {plan.asked}"
    yield f"  now       {plan.before.told if plan.before else 'nothing runs'}"
    yield f"  then      {plan.image.told}"
    if plan.to:
        yield f"            {plan.to.told}"
    if plan.scope is RollbackScope.TEMPLATE:
        yield "  brings    every container with its environment and resources, as they were"
    else:
        yield "  brings    the image alone; everything around it stays as it is"
    yield from (f"  note      {note}" for note in plan.notes)
    yield from _common(plan)


def configuration_plan_lines(plan: ConfigurationPlan) -> Iterator[str]:
    """Yield a plan: which commit, what it changes, how long, what stands against it."""
    yield f"plan: roll {plan.resource} back to {plan.asked}"
    yield f"  now       {plan.point.head.told}"
    yield f"  then      {plan.point.target.told}, as a new commit"
    yield from (f"  takes back {commit.told}" for commit in plan.point.undone)
    yield from (f"  note      {note}" for note in plan.notes)
    yield from difference_lines(plan.difference)
    yield from _common(plan)


def difference_lines(difference: Difference) -> Iterator[str]:
    """Yield what going back changes; secret values are masked already."""
    for file in difference.files:
        yield f"  {file.change:<9} {file.path}"
        yield from (f"    {line}" for line in file.lines)
    if difference.left_out:
        yield f"  and {difference.left_out} more files"


def _common(plan: RollbackPlan | ConfigurationPlan) -> Iterator[str]:
    if plan.approvers:
        yield f"  approval  by one of {', '.join(plan.approvers)}"
    yield f"  estimate  {show_span(plan.estimated)}, objective {show_span(plan.rto)}"
    yield from estimate_lines(plan.estimates)
    yield from finding_lines(plan.findings)


def record_lines(report: RunReport) -> Iterator[str]:
    """Yield what a rollback brought back."""
    if report.rollback is not None:
        yield from _rollback_lines(report.rollback)
    if report.configuration is not None:
        yield from _configuration_lines(report.configuration)
    for part in report.parts:
        told = part.failure or ", ".join(part.shortfalls)
        why = f": {told}" if told else ""
        yield f"  {part.path}: {part.verdict}{why} (refloat run report {part.run_id[:8]})"


def _rollback_lines(record: RollbackRecord) -> Iterator[str]:
    before = record.before.told if record.before else "nothing"
    yield f"  before: {before}"
    word = "now" if record.applied else "not kept"
    yield f"  {word}: {record.image.reference} ({record.scope.value})"
    if record.kept_by:
        yield f"  kept from deletion: {record.kept_by}"


def _configuration_lines(record: ConfigurationRecord) -> Iterator[str]:
    yield f"  back to {record.point.target.told}"
    if record.commit is None:
        return
    yield f"  commit {record.commit.id} on {record.branch}"
    if record.changed_files:
        yield f"  files: {', '.join(record.changed_files)}"
    if record.applied is not None:
        changed = ", ".join(record.applied.changed) or "nothing"
        yield f"  applied: {changed} changed, {record.applied.unchanged} as they were"
        yield from (f"  pruned: {one}" for one in record.applied.pruned)
    if record.marked:
        yield f"  marked good: {record.marked}"


def candidates_tables(found: Candidates) -> Iterator[Table]:
    """Yield what ran, and what the registry keeps."""
    ran = table("ran", "image", "digest", "from", "until", "healthy for", "why")
    for one in found.ran:
        healthy = show_span(one.healthy_for) if one.healthy_for is not None else "unknown"
        ran.add_row(
            str(one.number),
            one.name,
            one.digest[:19] or "unknown",
            show_time(one.started_at.replace(microsecond=0)) if one.started_at else "unknown",
            "now"
            if one.current
            else show_time(one.ended_at.replace(microsecond=0))
            if one.ended_at
            else "unknown",
            healthy,
            one.cause,
        )
    yield ran
    kept = table("in the registry", "tags", "commit", "made", "size", "schema")
    for image in found.images:
        made = image.pushed_at or image.created_at
        kept.add_row(
            image.digest[:19],
            ", ".join(image.tags),
            image.commit[:12],
            show_time(made.replace(microsecond=0)) if made else "unknown",
            show_bytes(image.size_bytes),
            image.schema_version,
        )
    yield kept


def commits_table(found: CommitList) -> Table:
    """Return the commits of a configuration, newest first."""
    made = table("commit", "committed", "by", "subject", "good")
    for one in found.commits:
        made.add_row(
            one.id[:12],
            show_time(one.at),
            one.author,
            one.subject,
            "yes" if one.id in found.good else "",
        )
    return made
