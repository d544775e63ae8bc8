"""Operation resources: begun by other calls, one at a time for each instance, asked for here."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from simulators.gcp import filters, refusals, stamps
from simulators.gcp.account import Account, Key
from simulators.gcp.calls import Call
from simulators.gcp.records import Backup, Instance, Job
from simulators.gcp.spelling import Json


def _nothing() -> None:
    """Leave everything as it is."""


@dataclass
class Plan:
    """What an operation does, and what it leaves behind."""

    kind: str
    lasts: timedelta
    work: Callable[[], None] | None = None
    """Real work in the background; it may not touch the account."""
    finish: Callable[[], None] = _nothing
    fail: Callable[[], None] = _nothing
    planned_error: tuple[str, str] | None = None
    backup: Backup | None = None
    also_holds: list[Instance] = field(default_factory=list)


def begin(account: Account, target: Instance | Backup, plan: Plan) -> Json:
    """Begin an operation and return it, or refuse because another one holds an instance."""
    name = target.instance if isinstance(target, Backup) else target.name
    also = ((each.project, each.name) for each in plan.also_holds)
    holds = frozenset({(target.project, name), *also})
    require_idle(account, *holds)
    error = plan.planned_error or account.switches.failures.pop(plan.kind, None)
    job = Job(
        name=str(uuid.uuid4()),
        kind=plan.kind,
        project=target.project,
        target=name,
        holds=holds,
        work=account.estate.operations.begin(plan.kind, plan.lasts, None if error else plan.work),
        inserted_at=account.estate.clock.now(),
        finish=plan.finish,
        fail=plan.fail,
        planned_error=error,
        backup=plan.backup,
    )
    account.jobs.append(job)
    return view(job)


def require_idle(account: Account, *keys: Key) -> None:
    """Refuse when an operation that is not over holds one of these instances."""
    for job in account.jobs:
        if job.ended_at is None and not job.holds.isdisjoint(keys):
            raise refusals.in_progress()


def settle(account: Account) -> None:
    """Bring every operation to where it is by now."""
    now = account.estate.clock.now()
    for job in account.jobs:
        if job.started_at is None and (job.work.percent >= 1 or job.work.over):
            job.started_at = now
            if job.backup is not None:
                job.backup.state = "RUNNING"
        if job.ended_at is None and job.work.over:
            job.ended_at, job.error = now, job.planned_error or _failure(job.work.failed)
            (job.fail if job.error else job.finish)()


def _failure(error: BaseException | None) -> tuple[str, str] | None:
    if error is None:
        return None
    code = "ERROR_BACKUP_NOT_FOUND" if isinstance(error, LookupError) else "INTERNAL_ERROR"
    return code, f"{type(error).__name__}: {error}"


def get(account: Account, call: Call) -> Json:
    """Answer Operations.Get."""
    for job in account.jobs:
        if (job.project, job.name) == (call.project, call.at["operation"]):
            return view(job)
    raise account.missing("operationDoesNotExist", "instance operation")


def list_(account: Account, call: Call) -> Json:
    """Answer Operations.List: newest first, and only those filed under the instance."""
    wanted = call.query.get("instance")
    jobs = [
        view(job)
        for job in reversed(account.jobs)
        if job.project == call.project and wanted in {None, job.target}
    ]
    items, following = filters.page(jobs, call.size(100), call.query.get("pageToken", ""))
    return {"kind": "sql#operationsList", "items": items, **following}


def view(job: Job) -> Json:
    """Return an operation as its resource."""
    home = f"https://sqladmin.googleapis.com/v1/projects/{job.project}"
    moments = {"startTime": job.started_at, "endTime": job.ended_at}
    return {
        "kind": "sql#operation",
        "name": job.name,
        "operationType": job.kind,
        "status": job.status,
        "targetId": job.target,
        "targetProject": job.project,
        "targetLink": f"{home}/instances/{job.target}",
        "selfLink": f"{home}/operations/{job.name}",
        "user": "refloat@example.com",
        "insertTime": stamps.written(job.inserted_at),
        **{name: stamps.written(moment) for name, moment in moments.items() if moment},
        **_outcome(job),
    }


def _outcome(job: Job) -> Json:
    told: Json = {}
    if job.error is not None:
        code, message = job.error
        error = {"kind": "sql#operationError", "code": code, "message": message}
        told["error"] = {"kind": "sql#operationErrors", "errors": [error]}
    if job.backup is not None:
        told["backupContext"] = {
            "kind": "sql#backupContext",
            "backupId": str(job.backup.run),
            "name": job.backup.name,
        }
    return told
