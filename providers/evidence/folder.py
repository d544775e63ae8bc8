"""Run reports in a folder, one JSON file a run."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from domain.provider import Reports
from domain.report import RunReport

_REMEMBERED = 20
_LOOKED_AT = 500


class FolderReports(Reports):
    """Keeps reports below one folder and reads them again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, report: RunReport) -> str:
        """Write the report; a second call for the same run replaces it by the same."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{report.run_id}.json"
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        with unfinished.open("w", encoding="utf-8") as sink:
            sink.write(report.model_dump_json(by_alias=True, indent=1))
            sink.flush()
            os.fsync(sink.fileno())
        unfinished.replace(path)
        return str(path)

    def of_resource(self, path: str) -> Sequence[RunReport]:
        """Return the newest reports of a resource, oldest first."""
        found = (report for report in self._newest_first() if report.resource == path)
        newest = [report for report, _ in zip(found, range(_REMEMBERED), strict=False)]
        return newest[::-1]

    def find(self, run_id: str) -> RunReport | None:
        """Return the report of a run by its id or its beginning, or a resource's newest by path."""
        if "/" in run_id:
            return next(iter(self.of_resource(run_id)[::-1]), None)
        if not run_id.isalnum():
            return None
        files = sorted(self._folder.glob(f"{run_id}*.json"))
        return _read(files[0]) if len(files) == 1 else None

    def _newest_first(self) -> Iterator[RunReport]:
        files = sorted(self._folder.glob("[!.]*.json"), key=lambda file: file.stat().st_mtime)
        for file in reversed(files[-_LOOKED_AT:]):
            report = _read(file)
            if report is not None:
                yield report


def _read(file: Path) -> RunReport | None:
    try:
        return RunReport.model_validate_json(file.read_bytes())
    except (ValidationError, OSError):
        return None  # somebody else's file, or a later version's: nothing to learn from
