"""Reports kept, and what earlier ones tell: of the time a phase takes, of the last proof."""

from activities.errors import step
from activities.steps import Estimate, Estimates
from domain.clock import durations, estimate
from domain.provider import Reports
from domain.report import FindReport, FoundReport, LastRun, Outcome, RunReport, last_runs
from domain.resources import Protected


class EvidenceActivities:
    """Writes reports and learns from them."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    @step("evidence.store")
    def store_report(self, report: RunReport) -> str:
        """Keep a report and return where it is."""
        return self._reports.store(report)

    @step("evidence.estimate")
    def estimate_phases(self, asked: Estimate) -> Estimates:
        """Return how long each phase should take."""
        done = [one for one in self._reports.of_resource(asked.path) if one.outcome is Outcome.DONE]
        history = durations([report.phases for report in done])
        return Estimates(
            phases=estimate(
                asked.phases, history, asked.restored_bytes, asked.log_bytes, asked.typical
            )
        )

    @step("evidence.last")
    def last_runs(self, resource: Protected) -> list[LastRun]:
        """Return the last incident and the last drill that restored the resource."""
        return list(last_runs(self._reports.of_resource(resource.path)))

    @step("evidence.find")
    def find_report(self, asked: FindReport) -> FoundReport:
        """Return a report that is kept, also when Temporal has forgotten the run."""
        return FoundReport(report=self._reports.find(asked.run_id))
