"""The contenders of a round: each runs once on the same data, and tells how many seconds it took."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.engine import Engine, backup_mode, cloned, copied, restored
from bench.machine import BenchError, can_clone, scratch, size_of, sync
from bench.stage import HISTORY, Stage
from client.connection import connect
from client.questions import describe, release
from client.recoveries import (
    await_report,
    handle_of,
    new_request,
    start_recovery,
)
from domain.checks import Verdict
from domain.clock import Phase
from domain.recovery import Progress
from domain.report import Outcome, RunReport
from providers.local.backup import BackupTaker
from providers.local.records import ServerRecord


class Measure(StrEnum):
    """What is measured, in seconds."""

    PLAIN = "plain copy"
    BACKUP = "backup"
    ENGINE = "engine by hand"
    ENGINE_WRITES = "engine by hand until writes"
    REFLOAT_WRITES = "refloat until writes"
    REFLOAT = "refloat verified"
    PREFLIGHT = "refloat pre-flight"
    SAFETY = "refloat safety snapshot"
    RESTORE = "refloat restore"
    VERIFY = "refloat verify"
    CLONE = "clone"
    CLONE_WRITES = "clone until writes"
    PLAIN_THERE = "plain copy beside the clone"


Round = Mapping[Measure, float]
Contender = Callable[[], Round]

_PHASES = {
    Phase.PREFLIGHT: Measure.PREFLIGHT,
    Phase.SAFETY: Measure.SAFETY,
    Phase.RESTORE: Measure.RESTORE,
    Phase.VERIFY: Measure.VERIFY,
}


def _copy_and_sync(stage: Stage, record: ServerRecord, data: Path, folder: Path) -> float:
    """Return the seconds of `cp -a` and `sync`, blocks shared nowhere; backup mode is not counted."""
    how = ("--reflink=never",) if can_clone(folder) else ()
    with (
        scratch(folder, "plain-copy", stage.config.account) as target,
        backup_mode(stage.engine, record),
    ):
        began = time.perf_counter()
        copied(data, target, *how)
        sync(target)
        return time.perf_counter() - began


def plain_copy(stage: Stage) -> Round:
    """Copy the files of the data directory: as fast as this disk can."""
    return {Measure.PLAIN: _copy_and_sync(stage, stage.server, stage.data, stage.root)}


def copied_bytes(stage: Stage) -> int:
    """Return how many bytes the plain copy writes."""
    with scratch(stage.root, "sized", stage.config.account) as target:
        copied(stage.data, target)
        return size_of(target)


def backup(stage: Stage) -> Round:
    """Take a base backup as the supervisor does, and forget it."""
    archive = stage.archive
    taker = BackupTaker(
        server=stage.server,
        archive=archive,
        connection=stage.resource.connection,
        secrets=stage.secrets,
        master=stage.master,
    )
    began = time.perf_counter()
    taken = taker.take("timed", _tell_nobody)
    sync(archive.folder)
    took = time.perf_counter() - began
    (archive.folder / "backups" / f"{taken.id}.json").unlink()
    archive.backups.file(taken.id).unlink()
    return {Measure.BACKUP: took}


def _tell_nobody(_progress: Progress) -> None:
    return


def by_hand(stage: Stage) -> Round:
    """Restore to the point by the engine's own steps, without supervisor and Temporal."""
    with scratch(stage.root, "by-hand", stage.config.account) as folder:
        began = time.perf_counter()
        with restored(stage.engine, stage.source, folder, stage.ports.by_hand) as record:
            writes = time.perf_counter() - began
            sync(folder)
            whole = time.perf_counter() - began
            _require_history(stage.engine, record)
    return {Measure.ENGINE_WRITES: writes, Measure.ENGINE: whole}


def _require_history(engine: Engine, record: ServerRecord) -> None:
    found = engine.answer(record, "select count(*) from pgbench_history")
    if found != str(HISTORY):
        raise BenchError(f"{record.name}: holds {found} transactions, not {HISTORY}")


def refloat(stage: Stage) -> Round:
    """Restore to the point as `refloat restore --before LSN --no-cutover --yes` does."""
    return asyncio.run(_refloat(stage))


async def _refloat(stage: Stage) -> Round:
    client = await connect(stage.temporal)
    request = new_request(stage.resource, stage.point.target, cutover=False, reason="bench")
    began = datetime.now(UTC)
    report = await await_report(handle_of(client, await start_recovery(client, request)))
    ended = datetime.now(UTC)
    _require_proven(report)
    await release(client, stage.resource)
    ends = {record.phase: record.ended_at for record in report.phases}
    took = {_PHASES[one.phase]: one.took for one in report.phases if one.phase in _PHASES}
    return {
        Measure.REFLOAT_WRITES: ((ends[Phase.RESTORE] or ended) - began).total_seconds(),
        Measure.REFLOAT: (ended - began).total_seconds(),
        **{measure: span.total_seconds() for measure, span in took.items() if span is not None},
    }


def _require_proven(report: RunReport) -> None:
    if report.outcome is not Outcome.DONE:
        raise BenchError(f"the run ended as {report.outcome.value}: {report.failure}")
    failed = [one for one in report.findings if one.verdict is Verdict.FAILED and one.kind == "sql"]
    for finding in failed:
        raise BenchError(
            f"{finding.name}: expected {finding.expected}, observed {finding.observed}"
        )


def warm_up(stage: Stage) -> None:
    """Let worker and client import what they need, as in an installation that has run for a while."""

    async def ask() -> None:
        await describe(await connect(stage.temporal), stage.resource)

    asyncio.run(ask())


@dataclass(frozen=True)
class CloneTier:
    """A running server on a file system that can share blocks, and the folder for its clones."""

    stage: Stage
    record: ServerRecord
    data: Path
    folder: Path

    def clone(self) -> Round:
        """Clone the server in backup mode and start the clone read-write."""
        stage, engine = self.stage, self.stage.engine
        record = engine.record("clone", stage.ports.clone)
        with scratch(self.folder, "clone", stage.config.account) as folder:
            data = folder / "data"
            data.mkdir(mode=0o700)
            engine.account.own(data)
            began = time.perf_counter()
            cloned(engine, self.record, self.data, data)
            copied_after = time.perf_counter() - began
            with engine.serving(record, folder, "recovery_init_sync_method=syncfs"):
                writes = time.perf_counter() - began
                _require_history(engine, record)
        return {Measure.CLONE: copied_after, Measure.CLONE_WRITES: writes}

    def plain(self) -> Round:
        """Copy the same server there without sharing blocks."""
        took = _copy_and_sync(self.stage, self.record, self.data, self.folder)
        return {Measure.PLAIN_THERE: took}

    @property
    def contenders(self) -> dict[str, Contender]:
        """The contenders of this tier; beside the bench's own data the plain copy is run already."""
        own = {"clone": self.clone}
        return own if self.folder == self.stage.root else own | {"plain copy there": self.plain}


@contextmanager
def clone_tier(stage: Stage, elsewhere: Path | None) -> Iterator[CloneTier | None]:
    """Hold the clone tier of the bench's folder or of a folder elsewhere, or None where there is none."""
    if elsewhere is None:
        here = CloneTier(stage, stage.server, stage.data, stage.root)
        yield here if can_clone(stage.root) else None
        return
    with TemporaryDirectory(prefix="refloat-bench-", dir=elsewhere) as made:
        root = Path(made)
        root.chmod(0o755)
        with (
            scratch(root, "source", stage.config.account) as folder,
            restored(stage.engine, stage.source, folder, stage.ports.elsewhere) as record,
        ):
            yield CloneTier(stage, record, folder / "data", root)


def contenders(stage: Stage, tier: CloneTier | None) -> dict[str, Contender]:
    """Return what runs in each round, by name."""
    always: dict[str, Contender] = {
        "plain copy": lambda: plain_copy(stage),
        "backup": lambda: backup(stage),
        "engine by hand": lambda: by_hand(stage),
        "Refloat": lambda: refloat(stage),
    }
    return always | (tier.contenders if tier else {})
