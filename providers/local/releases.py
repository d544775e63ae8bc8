"""Applications of this machine in containers: what ran, going back to it, and why it does not come."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.checks import Finding, Verdict
from domain.errors import ConflictError, NotYetError, PreflightRefusedError, RolloutFailedError
from domain.platforms import ApplicationPlatform
from domain.resources import LocalPlatform
from domain.rollback import Applied, Change, ContainerImage, ProtectedApplication, Revision
from domain.values import show_time
from providers.health import require_healthy
from providers.local.applications import (
    ApplicationRecord,
    ApplicationStatus,
    application_record,
    changing,
)
from providers.local.containers import Podman, podman_missing
from providers.local.layout import read_record, write_record
from providers.local.processes import PidRecord, is_running
from providers.local.ran import Ran, RanBefore
from providers.local.running import containers_folder
from providers.masking import masked

Logins = Callable[[str], tuple[str, str]]
"""Gives user and password for a repository's registry, or two empty texts."""

_PACE = timedelta(milliseconds=100)
_TRIES = 3
_LINES = 10
_TAIL = 16384  # bytes


class LocalApplications(ApplicationPlatform):
    """Applications that the supervisor of this machine keeps in containers."""

    def __init__(self, root: Path, logins: Logins) -> None:
        self._root, self._logins = root, logins
        self._podman = Podman(containers_folder(root))

    def history(self, application: ProtectedApplication) -> Sequence[Revision]:
        """Return what ran, as the supervisor noted it."""
        self._require_container(application)
        record = self._record(application)
        kept = list(RanBefore(self._folder(application) / "ran.json").all())
        made = [self._revision(application, one, record) for one in reversed(kept)]
        if record.image and (not kept or kept[-1].image != record.image):
            number = kept[-1].number + 1 if kept else 1
            soon = Ran(
                number=number,
                image=record.image,
                written=record.written,
                started_at=record.changed_at or datetime.now(UTC),
            )
            made.insert(0, self._revision(application, soon, record))
        return made

    def examine(self, application: ProtectedApplication, change: Change) -> Sequence[Finding]:
        """Return whether Podman and the supervisor are there, and nobody else is rolling out."""
        missing, record = podman_missing(), self._record(application)
        status = self._status(application)
        moved = bool(change.expected) and change.expected != str(record.release)
        keeper = read_record(self._root / "supervisor.json", PidRecord)
        rolling = moved or status is None or status.image != record.image
        who = f" (by {record.changed_by})" if record.changed_by else ""
        return [
            _finding(
                "podman", "a program that runs images", missing or "there", good=not missing,
                advice=missing,
            ),
            _finding(
                "supervisor", "a process that keeps the application",
                "runs" if is_running(keeper) else "does not run", good=is_running(keeper),
                advice="start `refloat-supervisor` with the catalog (`refloat sandbox up`)",
            ),
            _finding(
                "nobody else is rolling out", "the application runs what it was told to",
                f"a change to {record.written or record.image}{who} is still being made"
                if rolling else "nothing is being changed",
                good=not rolling, advice="wait until it has ended, then ask again",
            ),
        ]  # fmt: skip

    def version(self, application: ProtectedApplication) -> str:
        """Return how many times the image was changed."""
        return str(self._record(application).release)

    def apply(self, application: ProtectedApplication, change: Change, *, key: str) -> Applied:
        """Pull the image, then tell the supervisor to run it."""
        image = f"{change.image}@{change.digest}"
        self._require_container(application)
        if self._record(application).run != key:
            self._podman.pull(image, *self._logins(change.image))
        with changing(self._root, application.name) as record:
            if record.run == key:
                return Applied(version=str(record.release))
            if change.undoes and record.run != change.undoes:
                who = record.changed_by or "somebody"
                told = f"it was changed to {record.written} by {who}, not by this run"
                return Applied(version=str(record.release), left_alone=told)
            if change.expected and change.expected != str(record.release):
                raise ConflictError(
                    f"{application.path} was changed to {record.written} by "
                    f"{record.changed_by or 'somebody'} at "
                    f"{show_time(record.changed_at) if record.changed_at else 'some time'}, after "
                    "this rollback was planned; look at it and ask again"
                )
            made = record.model_copy(
                update={
                    "generation": record.generation + 1,
                    "release": record.release + 1,
                    "image": image,
                    "written": self._written(application, image),
                    "cause": change.cause,
                    "run": key,
                    "changed_by": "refloat",
                    "changed_at": datetime.now(UTC),
                }
            )
            write_record(application_record(self._root, application.name), made)
        return Applied(version=str(made.release))

    def poll_rollout(self, application: ProtectedApplication, change: Change) -> str:
        """Return once the supervisor runs the image; a program that keeps ending is told."""
        record, status = self._record(application), self._status(application)
        if record.image.rpartition("@")[2] != change.digest:
            raise ConflictError(
                f"{application.path} was changed to {record.written} by "
                f"{record.changed_by or 'somebody'} meanwhile"
            )
        if status is None or status.generation != record.generation:
            raise NotYetError(f"the supervisor to start {change.digest[:19]}", _PACE)
        self._require_no_crash_loop(application, status)
        process = read_record(self._folder(application) / "application.pid", PidRecord)
        if not is_running(process):
            raise NotYetError(f"{application.name} to start again, it ended", _PACE)
        return f"{change.digest[:19]} runs, pid {process.pid if process else 0}"

    def require_healthy(self, application: ProtectedApplication) -> str:
        """Return what the health address answered; a program that keeps ending is told instead."""
        status = self._status(application)
        if status is not None:
            self._require_no_crash_loop(application, status)
        if application.health is None:
            return "no health address in the catalog: that it runs is all that is known"
        try:
            return require_healthy(application.name, application.health.url)
        except NotYetError as error:
            if status is None or status.starts == 1:
                raise
            said = str(error).removeprefix("not yet: ")
            raise NotYetError(f"{said}; {self._end(application, status)}", _PACE) from None

    def _require_no_crash_loop(
        self, application: ProtectedApplication, status: ApplicationStatus
    ) -> None:
        if status.starts >= _TRIES:
            raise RolloutFailedError(self._end(application, status))

    def _end(self, application: ProtectedApplication, status: ApplicationStatus) -> str:
        """Return how a program ended that was started again, with its last words."""
        code = f", last with exit code {status.exit_code}" if status.exit_code is not None else ""
        lines = self._last_lines(application, status)
        told = f"; its last words: {' | '.join(lines)}" if lines else "; it said nothing"
        return f"{application.name} keeps ending: started {status.starts} times{code}{told}"

    def _last_lines(
        self, application: ProtectedApplication, status: ApplicationStatus
    ) -> list[str]:
        """Return what the program said last when it ended last."""
        span = max(0, status.log_from - status.log_before)
        log = self._folder(application) / "application.log"
        try:
            with log.open("rb") as source:
                source.seek(max(status.log_before, status.log_from - _TAIL))
                text = source.read(min(span, _TAIL)).decode(errors="replace")
        except OSError:
            return []
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return [masked(line) for line in lines[-_LINES:]]

    def _revision(
        self, application: ProtectedApplication, ran: Ran, record: ApplicationRecord
    ) -> Revision:
        current = ran.ended_at is None and ran.image == record.image
        return Revision(
            id=ran.image.rpartition("@")[2],
            number=ran.number,
            images=(
                ContainerImage(
                    container=application.name,
                    written=ran.written or ran.image,
                    digest=ran.image.rpartition("@")[2],
                ),
            ),
            container=application.name,
            cause=ran.cause,
            started_at=ran.started_at,
            ended_at=ran.ended_at or (None if current else record.changed_at),
            healthy=None if application.health is None else ran.healthy_at is not None,
            healthy_for=None if application.health is None else ran.healthy_for,
            current=current,
        )

    def _written(self, application: ProtectedApplication, image: str) -> str:
        ran = RanBefore(self._folder(application) / "ran.json").all()
        return next((one.written for one in reversed(ran) if one.image == image), image)

    def _require_container(self, application: ProtectedApplication) -> None:
        if not isinstance(application.platform, LocalPlatform):
            raise PreflightRefusedError(f"{application.path} does not run on this machine")

    def _folder(self, application: ProtectedApplication) -> Path:
        return application_record(self._root, application.name).parent

    def _record(self, application: ProtectedApplication) -> ApplicationRecord:
        path = application_record(self._root, application.name)
        return read_record(path, ApplicationRecord) or ApplicationRecord()

    def _status(self, application: ProtectedApplication) -> ApplicationStatus | None:
        return read_record(self._folder(application) / "status.json", ApplicationStatus)


def _finding(name: str, expected: str, observed: str, *, good: bool, advice: str) -> Finding:
    return Finding(
        name=name,
        kind="pre-flight",
        expected=expected,
        observed=observed,
        verdict=Verdict.PASSED if good else Verdict.FAILED,
        advice="" if good else advice,
    )
