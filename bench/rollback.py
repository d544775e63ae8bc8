"""Measures the time from a decision to a healthy service, split by phase, and Refloat's own share.

    python -m bench.rollback --rounds 10

Three rollbacks: an image on this machine by Podman, a configuration in a Git repository that it
serves, and an image in a simulated cluster. Each is done by Refloat, through Temporal and a worker,
and without it: the platform is told directly, and its health asked twenty times a second. The
difference is Refloat's own share. The exit code is 3 when it is two seconds or more.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from temporalio.client import Client

from client.recoveries import AnyRecovery, await_report, handle_of, start_recovery
from client.rollbacks import configuration_request, list_candidates, rollback_request
from domain.clock import Phase
from domain.configuration import ConfigurationTarget, PointKind
from domain.report import RunReport
from domain.rollback import RollbackKind, RollbackTarget
from tests.conftest import start_temporal
from tests.station import wait_for
from tests.workflows.configured import GOOD, Configured, configured
from tests.workflows.running import working
from tests.workflows.test_kubernetes import Cluster
from tests.yard import Yard, yard

_ALLOWED = 2.0
_PREVIOUS = RollbackTarget(kind=RollbackKind.PREVIOUS)


@dataclass
class Row:
    """One kind of rollback, in seconds."""

    name: str
    whole: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    phases: dict[Phase, list[float]] = field(default_factory=dict)

    def add(self, took: float, report: RunReport) -> None:
        """Take one rollback of Refloat's."""
        assert report.passed, report
        self.whole.append(took)
        for record in report.phases:
            if record.took is not None:
                self.phases.setdefault(record.phase, []).append(record.took.total_seconds())

    @property
    def share(self) -> float:
        """What Refloat adds, from median to median."""
        return statistics.median(self.whole) - statistics.median(self.bare)

    def tell(self) -> None:
        """Print the row."""
        parts = ", ".join(
            f"{phase.value} {statistics.median(took):.2f}" for phase, took in self.phases.items()
        )
        print(
            f"{self.name:<22} {statistics.median(self.whole):5.2f} s [{min(self.whole):.2f}.."
            f"{max(self.whole):.2f}]  without Refloat {statistics.median(self.bare):.2f} s  "
            f"own share {self.share:5.2f} s  {'PASS' if self.share < _ALLOWED else 'MISSED'}\n"
            f"{'':<22} {parts}"
        )


async def _timed(client: Client, request: AnyRecovery) -> tuple[float, RunReport]:
    began = time.monotonic()
    report = await await_report(handle_of(client, await start_recovery(client, request)))
    return time.monotonic() - began, report


async def _bare(act: Callable[[], object], healthy: Callable[[], object]) -> float:
    began = time.monotonic()
    await asyncio.to_thread(act)
    await asyncio.to_thread(wait_for, "it to be healthy", healthy)
    return time.monotonic() - began


def _answers(made: Yard, tag: str) -> bool:
    return made.release() == tag


async def _images(client: Client, rounds: int) -> Row:
    row = Row("image, Podman")
    with yard() as made:
        made.push("v1")
        made.push("v2", "ill")
        await asyncio.to_thread(made.serve, "v1")
        async with working(client, made):
            for _ in range(rounds):
                await _bare(lambda: made.deploy("v2"), lambda: _answers(made, "v2"))
                row.bare.append(
                    await _bare(lambda: made.deploy("v1"), lambda: _answers(made, "v1"))
                )
                await _bare(lambda: made.deploy("v2"), lambda: _answers(made, "v2"))
                row.add(*await _timed(client, rollback_request(made.application, _PREVIOUS)))
    return row


async def _configurations(client: Client, rounds: int) -> Row:
    row = Row("configuration, Git")
    with configured() as made:
        async with working(client, made.yard):
            for _ in range(rounds):
                await asyncio.to_thread(made.break_it)
                row.bare.append(await _bare(lambda: _put_back(made), made.healthy))
                await asyncio.to_thread(made.break_it)
                target = ConfigurationTarget(kind=PointKind.REFERENCE, reference="v1")
                request = configuration_request(made.yard.configuration, target)
                row.add(*await _timed(client, request))
                made.ground.ada.pull()
    return row


def _put_back(made: Configured) -> None:
    made.put_into_effect(made.ground.ada.commit(GOOD, "By hand"))


async def _cluster(client: Client, rounds: int) -> Row:
    row = Row("image, cluster")
    root = Path(tempfile.mkdtemp(prefix="refloat-bench-"))
    (root / "ground").mkdir()
    with ExitStack() as held:
        held.callback(shutil.rmtree, root)
        made = Cluster(root, held)
        made.deploy("v1")
        made.inside.wait_rolled_out()
        application = next(made.catalog.applications())
        async with working(client, made):
            for number in range(rounds):
                await list_candidates(client, application)
                old, new = ("v1", "v2") if number % 2 == 0 else ("v2", "v1")
                await _bare(partial(made.deploy, new), made.inside.wait_rolled_out)
                await list_candidates(client, application)
                row.bare.append(await _bare(partial(made.deploy, old), made.inside.wait_rolled_out))
                await _bare(partial(made.deploy, new), made.inside.wait_rolled_out)
                reference = RollbackTarget(kind=RollbackKind.REFERENCE, reference=made.digests[old])
                row.add(*await _timed(client, rollback_request(application, reference)))
                await _bare(partial(made.deploy, new), made.inside.wait_rolled_out)
    return row


async def _measure(rounds: int) -> Sequence[Row]:
    rows: list[Row] = []
    async with await start_temporal() as temporal:
        kinds: tuple[Callable[[Client, int], Awaitable[Row]], ...] = (
            _images,
            _configurations,
            _cluster,
        )
        for kind in kinds:
            rows.append(await kind(temporal.client, rounds))
            rows[-1].tell()
    return rows


def main() -> None:
    """Measure, and tell whether the share is small enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=10)
    rows = asyncio.run(_measure(parser.parse_args().rounds))
    sys.stdout.flush()
    os._exit(0 if all(row.share < _ALLOWED for row in rows) else 3)


if __name__ == "__main__":
    main()
