"""Makes the report of the return of an environment from those of its parts."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.report import Outcome, PartRecord, RunReport
    from domain.rewind import RewindPlan, RewindRequest
    from workflows.calls import sentence_of
    from workflows.rollback_reporting import rollback_report
    from workflows.run_clock import RunClock
    from workflows.story import Ending


def part_of_report(report: RunReport) -> PartRecord:
    """Return what the whole keeps of a part's report."""
    return PartRecord(
        path=report.resource,
        run_id=report.run_id,
        verdict=report.verdict,
        failure=report.failure,
        shortfalls=report.shortfalls,
        left_behind=report.left_behind,
        measured_rpo=report.measured_rpo,
    )


def part_of_error(path: str, error: BaseException) -> PartRecord:
    """Return what the whole keeps of a part that failed; its report is the failure's detail."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ApplicationError) and found.details:
            return part_of_report(RunReport.model_validate(found.details[0]))
        found = found.__cause__
    return PartRecord(
        path=path, run_id="", verdict=Outcome.FAILED.value, failure=sentence_of(error)[0]
    )


def rewind_report(
    request: RewindRequest,
    ending: Ending,
    clock: RunClock,
    plan: RewindPlan | None,
    parts: tuple[PartRecord, ...],
) -> RunReport:
    """Return the report of the whole; each part has one of its own."""
    report = rollback_report(request, ending, clock, plan, findings=())
    lost = [part.measured_rpo for part in parts if part.measured_rpo is not None]
    return report.model_copy(update={"parts": parts, "measured_rpo": max(lost, default=None)})
