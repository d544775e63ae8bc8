"""Runs recorded earlier still replay: a worker of this version can go on with them."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from client.connection import DATA_CONVERTER
from worker import WORKFLOWS, runner

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def test_histories_are_recorded_of_every_ending() -> None:
    names = {path.stem for path in HISTORIES}

    assert {"incident", "drill", "copy", "cancelled", "refused"} <= names


@pytest.mark.parametrize(
    "history", [path.read_text() for path in HISTORIES], ids=[path.stem for path in HISTORIES]
)
async def test_a_recorded_history_replays(history: str) -> None:
    replayer = Replayer(
        workflows=WORKFLOWS, workflow_runner=runner(), data_converter=DATA_CONVERTER
    )

    await replayer.replay_workflow(WorkflowHistory.from_json("recorded", history))
