"""Records the histories that `test_replay.py` replays: `python -m tests.workflows.record`."""

import asyncio
import contextlib
import json
import re
import uuid
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from client.errors import RunEndedError
from client.questions import create_snapshot, release
from client.recoveries import await_report, handle_of, new_request, start_recovery
from client.runs import cancel
from domain.recovery import Target, TargetKind
from domain.resources import Mode, ProtectedResource
from tests.conftest import start_temporal
from tests.station import Station, station
from tests.workflows.running import working

HISTORIES = Path(__file__).parent / "histories"
_MACHINE = {"stackTrace", "identity"}
LATEST = Target(kind=TargetKind.LATEST)
APPROVAL = {"approvers": ["alice"], "within": "1s"}


def _keep(name: str, history: WorkflowHistory) -> None:
    """Write a history without what tells of the machine it was recorded on."""
    content = _stripped(json.loads(history.to_json()))
    text = re.sub(
        r"\d+@[\w.-]+?(?=[-\"])", "1@worker", json.dumps(content, indent=1)
    )  # sticky queues
    (HISTORIES / f"{name}.json").write_text(text + "\n")


def _stripped(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _stripped(v) for k, v in content.items() if k not in _MACHINE}
    return [_stripped(one) for one in content] if isinstance(content, list) else content


async def _run(
    client: Client, name: str, resource: ProtectedResource, mode: Mode, **how: bool
) -> None:
    cutover, stop = how.get("cutover", True), how.get("stop", False)
    request = new_request(resource, LATEST, mode=mode, cutover=cutover)
    handle = handle_of(client, await start_recovery(client, request))
    if stop:
        await asyncio.sleep(0.5)
        await cancel(handle)
    with contextlib.suppress(RunEndedError):
        await await_report(handle)
    _keep(name, await handle.fetch_history())


async def _short(client: Client) -> None:
    async for execution in client.list_workflows("WorkflowType != 'DatabaseRestoreWorkflow'"):
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        _keep(execution.workflow_type, await handle.fetch_history())


async def _record(made: Station, temporal: WorkflowEnvironment) -> None:
    client, resource = temporal.client, made.resource
    async with working(client, made):
        await create_snapshot(client, resource, key=uuid.uuid4().hex, name="first")
        await _run(client, "drill", resource, Mode.DRILL)
        await _run(client, "copy", resource, Mode.INCIDENT, cutover=False)
        await _run(client, "cancelled", resource, Mode.INCIDENT, stop=True)
        gated = ProtectedResource.model_validate(
            resource.model_dump(mode="json") | {"approval": APPROVAL}
        )
        await _run(client, "refused", gated, Mode.INCIDENT)
        await _run(client, "incident", resource, Mode.INCIDENT)
        await release(client, resource)
        await asyncio.sleep(1)  # until the last ones are listed
        await _short(client)


async def _main() -> None:
    HISTORIES.mkdir(exist_ok=True)
    with station() as made:
        async with await start_temporal() as temporal:
            await _record(made, temporal)


if __name__ == "__main__":
    asyncio.run(_main())
