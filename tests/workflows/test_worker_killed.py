"""A worker killed at any step: the run ends as if nothing had happened, with exactly one new server."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from client.recoveries import await_report, new_request, start_restore
from client.runs import find_run
from domain.recovery import Target, TargetKind
from domain.report import Outcome
from tests.station import Station, station

STEPS = (
    "points.choose",
    "preflight.examine",
    "evidence.estimate",
    "snapshot.mark",
    "restore.start",
    "restore.transfer",
    "restore.settings",
    "verify.restored",
    "cutover.protect",
    "cutover.promote",
    "evidence.store",
)
WORKER = Path(__file__).parent.parent / "chaos_worker.py"


@pytest.fixture(scope="module")
def ruined() -> Iterator[Station]:
    """Return one database that is restored again and again."""
    with station() as made:
        yield made


def _worker(
    made: Station, client: Client, step: str = "", point: str = ""
) -> "subprocess.Popen[bytes]":
    catalog = made.root / "refloat.yaml"
    catalog.write_text(json.dumps(made.content))
    address = client.service_client.config.target_host
    (made.root / "temporal.json").write_text(json.dumps({"address": address}))
    with (made.root / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(WORKER), str(catalog)],
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "KILL_STEP": step,
                "KILL_POINT": point,
                "PYTHONPATH": str(WORKER.parent.parent),
            },
        )


@pytest.mark.parametrize("step", STEPS)
async def test_the_run_ends_as_if_nothing_had_happened(
    temporal: WorkflowEnvironment, ruined: Station, step: str
) -> None:
    client, before = temporal.client, {record.name for record in ruined.servers.all()}
    deadly = await asyncio.to_thread(_worker, ruined, client, step, "after")
    request = new_request(ruined.resource, Target(kind=TargetKind.LATEST))
    started = await start_restore(client, request)
    handle = await find_run(client, started.workflow_id)

    died = await asyncio.wait_for(asyncio.to_thread(deadly.wait), 60)
    second = await asyncio.to_thread(_worker, ruined, client)
    try:
        report = await asyncio.wait_for(await_report(handle), 120)
    finally:
        second.terminate()
        await asyncio.to_thread(second.wait)

    after = {record.name for record in ruined.servers.all()}
    assert died == -9
    assert (report.outcome, report.failure) == (Outcome.DONE, "")
    assert after - before == {f"refloat-{request.id[:8]}-orders"}
    assert ruined.servers.current().name in after - before
    assert ruined.answers()
