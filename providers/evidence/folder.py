"""Run reports in a folder, one JSON file a run."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError

from domain.clock import Phase
from domain.provider import Reports
from domain.report import Outcome, RunReport

_REMEMBERED = 20


class FolderReports(Reports):
    """Keeps reports below one folder and reads the durations of earlier runs from them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, report: RunReport) -> str:
        """Write the report; a second call for the same run replaces it by the same."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{report.run_id}.json"
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.write_text(report.model_dump_json(by_alias=True, indent=1), encoding="utf-8")
        unfinished.replace(path)
        return str(path)

    def history(self, path: str) -> Mapping[Phase, Sequence[timedelta]]:
        """Return the durations of the phases of the newest runs that were done."""
        files = sorted(self._folder.glob("[!.]*.json"), key=lambda file: file.stat().st_mtime)
        durations: dict[Phase, list[timedelta]] = defaultdict(list)
        for file in files[-200:]:
            try:
                report = RunReport.model_validate_json(file.read_bytes())
            except (ValidationError, OSError):
                continue  # somebody else's file, or a later version's: no history to learn from
            if report.resource == path and report.outcome is Outcome.DONE:
                for record in report.phases:
                    if record.took is not None:
                        durations[record.phase].append(record.took)
        return {phase: spans[-_REMEMBERED:] for phase, spans in durations.items()}
