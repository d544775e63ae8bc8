"""Plans, runs and reports as text for a tired operator."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from cli.lines import MARKS, estimate_lines, finding_lines, table
from cli.rollback_lines import configuration_plan_lines, record_lines, rollback_plan_lines
from client.runs import RunLine
from domain.recovery import RecoveryPointList, Snapshot, Suspect
from domain.report import (
    LastRun,
    Outcome,
    ProvenResource,
    ResourceDescription,
    RestorePlan,
    RunReport,
    RunStatus,
    Scope,
)
from domain.resources import Mode, Protected, ProtectedResource, ResourceKind
from domain.values import show_bytes, show_span, show_time


def resources_table(
    resources: Sequence[ProvenResource],
) -> Table:
    """Return what is protected, with its objectives and last proof."""
    made = table("resource", "kind", "provider", "RTO", "RPO", "retention", "last proof")
    for proven in resources:
        one = proven.resource
        made.add_row(
            one.path,
            one.engine.value if isinstance(one, ProtectedResource) else one.kind.value,
            f"{one.provider} ({one.provider_kind})",
            _rto(one),
            show_span(one.objectives.rpo) if isinstance(one, ProtectedResource) else "",
            show_span(one.backups.retention) if isinstance(one, ProtectedResource) else "",
            "unknown" if proven.last is None else _proof(proven.last),
        )
    return made


def _rto(resource: Protected) -> str:
    given = resource.objectives.rto
    usual = "60 min, snapshot 30 min" if isinstance(resource, ProtectedResource) else "5 min"
    return show_span(given) if given is not None else usual


def _proof(last: Sequence[LastRun]) -> str:
    told = [
        f"{one.mode.value} {one.verdict} {show_time(one.ended_at.replace(microsecond=0))}"
        for one in last
    ]
    return ", ".join(told) or "none"


def runs_table(runs: Sequence[RunLine]) -> Table:
    """Return runs, newest first."""
    made = table("run", "resource", "mode", "started", "phase", "verdict")
    for one in runs:
        made.add_row(
            one.run_id[:8],
            one.resource,
            one.mode,
            show_time(one.started_at.replace(microsecond=0)),
            one.phase,
            "running" if one.running else one.verdict,
        )
    return made


def suspects_table(suspects: Sequence[Suspect]) -> Table:
    """Return suspects with the LSN that `restore --before` takes."""
    made = table("before LSN", "committed", "transaction", "what")
    for one in suspects:
        made.add_row(one.before or one.lsn, show_time(one.at), str(one.xid), ", ".join(one.acts))
    return made


def points_tables(points: RecoveryPointList) -> Iterator[Table]:
    """Yield the windows and the snapshots."""
    windows = table("window opens", "closes", "server", "LSN", "note")
    for window in points.windows:
        windows.add_row(
            show_time(window.opens_at),
            show_time(window.closes_at),
            window.source,
            window.log,
            window.note,
        )
    yield windows
    snapshots = table("snapshot", "taken", "name", "LSN", "size", "proof")
    for one in points.snapshots:
        snapshots.add_row(
            one.id,
            show_time(one.taken_at),
            one.name,
            one.lsn,
            _size(one),
            "yes" if one.proven else "no",
        )
    yield snapshots


def _size(snapshot: Snapshot) -> str:
    if snapshot.size_bytes:
        return show_bytes(snapshot.size_bytes)
    return "in the log" if snapshot.lsn else "unknown"


def description_lines(found: ResourceDescription) -> Iterator[str]:
    """Yield what a path means now."""
    resource, server = found.resource, found.server
    yield f"{resource.path}: {server.name} at {server.host}:{server.port}, {server.state}"
    yield from (f"  {told}" for told in server.about)
    limits = resource.objectives
    yield f"  objectives: RTO {_rto(resource)}, RPO {show_span(limits.rpo)}"
    archive = server.archive
    if archive:
        lag = show_span(archive.lag) if archive.lag is not None else "unknown"
        newest = show_time(archive.newest_backup_at) if archive.newest_backup_at else "none"
        state = "healthy" if archive.healthy else "NOT HEALTHY"
        yield (
            f"  archive: {state}, lag {lag}, newest base backup {newest}, "
            f"{show_bytes(archive.stored_bytes)}"
        )
        yield from (f"    problem: {problem}" for problem in archive.problems)
    for name in server.superseded:
        yield f"  superseded or kept: {name} (`refloat release {resource.path}` deletes it)"


def last_lines(last: Sequence[LastRun], proof: str) -> Iterator[str]:
    """Yield how the last incident and the last drill went; `proof` is the command that proves it."""
    for one in last:
        measured = ", ".join(
            f"{name} {show_span(span)}"
            for name, span in (("RTO", one.measured_rto), ("RPO", one.measured_rpo))
            if span is not None
        )
        at = show_time(one.ended_at.replace(microsecond=0))
        yield f"  last {one.mode.value}: {one.verdict} {at}, {measured or 'nothing measured'}, run {one.run_id[:8]}"
    if not last:
        yield f"  last run: none; nothing proves yet that it can be brought back (`{proof}`)"


def plan_lines(plan: RestorePlan) -> Iterator[str]:
    """Yield a plan: the point, what will be made, how long, what stands against it."""
    point = plan.point
    yield f"plan: restore {plan.resource} to {plan.target} ({plan.mode.value})"
    yield f"  point     {point.told}"
    if point.last_commit:
        yield f"            last commit kept   {show_time(point.last_commit.at)} (transaction {point.last_commit.xid})"
    if point.first_after:
        yield f"            first commit lost  {show_time(point.first_after.at)} (transaction {point.first_after.xid})"
    if plan.expected_loss is not None:
        yield f"  loss      {show_span(plan.expected_loss)} of data, objective {show_span(plan.rpo)}"
        yield f"            counted from {plan.incident_basis}"
    else:
        yield "  loss      unknown: no commit between the base backup and the point is on record"
    if plan.mode is Mode.INCIDENT and plan.consumers:
        yield "  leaves    on the present server what it commits after the point, until it is released"
    yield from (f"  creates   {made}" for made in plan.creates)
    if plan.consumers:
        yield f"  cuts over {', '.join(plan.consumers)}; the present server stays until it is released"
    if plan.approvers:
        yield f"  approval  by one of {', '.join(plan.approvers)}"
    yield f"  estimate  {show_span(plan.estimated)}, objective {show_span(plan.rto)}"
    yield from estimate_lines(plan.estimates)
    yield from finding_lines(plan.findings)


def status_lines(status: RunStatus) -> Iterator[str]:
    """Yield where a run stands, with the plan that an approver says yes to."""
    reason = f": {status.reason}" if status.reason else ""
    yield f"{status.resource}: {status.phase.value}, run {status.run_id}"
    yield f"  asked for by {status.requested_by}{reason}"
    if status.plan:
        yield from (f"  {line}" for line in plan_lines(status.plan))
    if status.rollback:
        yield from (f"  {line}" for line in rollback_plan_lines(status.rollback))
    if status.configuration:
        yield from (f"  {line}" for line in configuration_plan_lines(status.configuration))
    if status.waiting_for:
        yield f"  waiting for {status.waiting_for}: `refloat run approve {status.run_id[:8]}`"
    for event in status.events:
        yield f"  {show_time(event.at)} {event.what}"


def _headline(report: RunReport) -> str:
    if report.outcome is not Outcome.DONE:
        return report.outcome.value.upper()
    words = {ResourceKind.DATABASE: "RESTORED", ResourceKind.ENVIRONMENT: "BROUGHT BACK"}
    word = words.get(ResourceKind(report.kind), "ROLLED BACK")
    done, proven = ("DRILL DONE", "DRILL PASSED") if report.mode is Mode.DRILL else (word, word)
    return proven if report.passed else f"{done}, BUT NOT EVERY VERDICT PASSED"


def report_lines(report: RunReport) -> Iterator[str]:
    """Yield a report: the verdict first, then what it rests on."""
    yield f"{_headline(report)}: {report.resource} ({report.mode.value})"
    if report.failure:
        yield f"  {report.failure}"
    for one in report.objectives:
        measured = show_span(one.measured) if one.measured is not None else "not measured"
        word = {"passed": "kept", "failed": "MISSED"}.get(one.verdict.value, "UNPROVEN")
        yield f"  {one.name.upper()}  {measured}, objective {show_span(one.limit)}: {word}"
    if report.scope is Scope.RESTORE and report.outcome is Outcome.DONE:
        yield "  the clock stopped at the verified copy: nothing was cut over"
    if report.incident_basis and any(one.name == "rpo" for one in report.objectives):
        yield f"       RPO counted from {report.incident_basis}"
    if report.reached and report.allowed_point:
        point = report.allowed_point
        yield f"  asked for {report.asked or report.requested_point}; {report.reached.ended}"
        if point.last_commit:
            yield f"  last commit recovered: {show_time(point.last_commit.at)}"
    yield "  phases: " + ", ".join(
        f"{record.phase.value} {show_span(record.took)}"
        for record in report.phases
        if record.took is not None
    )
    for finding in report.findings:
        yield f"  {MARKS[finding.verdict]} {finding.name}: {finding.observed}"
    for difference in report.settings:
        yield f"  setting {difference.told}"
    yield from _ending_lines(report)


def _ending_lines(report: RunReport) -> Iterator[str]:
    yield from record_lines(report)
    for event in report.events:
        yield f"  {show_time(event.at)} {event.what}"
    for cutover in report.cutovers:
        yield f"  {cutover.consumer}: {cutover.before} → {cutover.after}"
    for made in report.created:
        yield f"  {made.what} {made.name}: {'kept' if made.kept else 'removed'}"
    yield from (f"  LEFT BEHIND: {left}" for left in report.left_behind)
    if report.superseded:
        yield f"  {report.superseded} stays until `refloat release {report.resource}`"
    yield f"  report: refloat run report {report.run_id[:8]} --html report.html"
