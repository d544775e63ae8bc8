"""Reports kept, and what earlier ones tell of the time each phase takes."""

from activities.errors import step
from activities.steps import Estimate, Estimates
from domain.clock import estimate
from domain.provider import Reports
from domain.report import RunReport


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
        history = self._reports.history(asked.path)
        return Estimates(
            phases=estimate(asked.phases, history, asked.restored_bytes, asked.log_bytes)
        )
