"""The real commands against a real Temporal server and scripted recoveries."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from temporalio.testing import WorkflowEnvironment

from cli.main import call
from tests.client.scripted import CATALOG, KEPT_RUN

ORDERS = "shop/production/orders"


@pytest.fixture(autouse=True)
def _here(polled: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "refloat.yaml").write_text(yaml.safe_dump(CATALOG))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFLOAT_CATALOG", raising=False)
    monkeypatch.setenv("REFLOAT_TEMPORAL_ADDRESS", polled.client.service_client.config.target_host)


async def _call(*arguments: str) -> int:
    return await asyncio.to_thread(call, arguments)


async def test_json_is_one_document_with_its_schema_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = await _call("--output", "json", "restore", ORDERS, "--to", "10m ago", "--yes")

    told = capsys.readouterr()
    assert code == 0
    assert json.loads(told.out)["schema"] == "refloat.report/v1"
    assert "point asked for: " in told.err


@pytest.mark.parametrize(("reason", "code"), [("fine", 0), ("failed", 1), ("refused", 2)])
async def test_the_ending_of_a_run_is_the_commands_exit_code(
    reason: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await _call("restore", ORDERS, "--latest", "--yes", "--reason", reason) == code

    assert capsys.readouterr().out.startswith(
        {0: "RESTORED: ", 1: "FAILED: ", 2: "REFUSED: "}[code] + ORDERS
    )


async def test_each_restore_tells_of_itself_and_not_of_the_one_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number in range(4):
        reason = f"try {number}"
        await _call("--output", "json", "restore", ORDERS, "--latest", "--yes", "--reason", reason)
        assert json.loads(capsys.readouterr().out)["reason"] == reason


async def test_a_detached_run_is_named_found_approved_and_reported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("restore", ORDERS, "--latest", "--yes", "--detach", "--reason", "waits")
    assert await _call("--output", "json", *arguments) == 0
    started = json.loads(capsys.readouterr().out)
    run = started["run_id"][:8]
    assert started["workflow_id"] == f"restore:{ORDERS}"

    assert await _call("restore", ORDERS, "--latest", "--yes") == 2
    assert f"refloat run watch restore:{ORDERS}" in capsys.readouterr().err
    assert await _call("run", "show", run) == 0
    assert await _call("run", "report", run) == 1
    assert await _call("run", "approve", run) == 2
    assert "refloat: ask somebody else" in capsys.readouterr().err
    assert await _call("run", "approve", run, "--note", "seen") == 0
    assert await _call("run", "watch", run) == 0
    capsys.readouterr()
    assert await _call("run", "cancel", run) == 2
    assert "it has ended already" in capsys.readouterr().err
    assert await _call("run", "show", run) == 0
    page = tmp_path / "report.html"
    assert await _call("run", "report", run, "--html", str(page)) == 0
    assert run in page.read_text()
    capsys.readouterr()
    assert await _call("run", "report", run, "--html", str(tmp_path / "no" / "page.html")) == 1
    assert "No such file or directory" in capsys.readouterr().err


async def test_runs_are_listed_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    await _call("restore", ORDERS, "--latest", "--yes")
    capsys.readouterr()

    assert await _call("run", "list") == 0
    assert ORDERS in capsys.readouterr().out
    assert await _call("--output", "json", "run", "list") == 0
    assert {"run_id", "resource", "verdict"} <= set(json.loads(capsys.readouterr().out)[0])


async def test_a_plan_that_cannot_work_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert await _call("restore", ORDERS, "--latest", "--plan") == 2

    assert capsys.readouterr().err == f"refloat: {ORDERS}: no backup\n"


@pytest.mark.parametrize(
    "arguments", [("copy", "--region", "elsewhere"), ("delete", "--yes")], ids=["copy", "delete"]
)
async def test_a_snapshot_that_there_is_not_is_exit_code_2_with_those_that_there_are(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    act, *options = arguments
    assert await _call("snapshot", act, ORDERS, "snap-1", *options) == 0
    capsys.readouterr()

    assert await _call("snapshot", act, ORDERS, "nothing", *options) == 2

    told = capsys.readouterr()
    assert told.err == f"refloat: {ORDERS}: there is no snapshot 'nothing'. Instead: snap-1.\n"
    assert told.out == ""


async def test_resources_are_listed_and_shown_with_their_last_proof(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await _call("resource", "show", ORDERS) == 0
    assert "last drill: passed" in capsys.readouterr().out

    assert await _call("resource", "list") == 0
    assert "drill passed 2026-03-01" in capsys.readouterr().out
    assert await _call("--output", "json", "resource", "list") == 0
    assert json.loads(capsys.readouterr().out)[0]["last"][0]["verdict"] == "passed"


async def test_a_report_that_temporal_has_forgotten_is_still_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await _call("run", "report", KEPT_RUN) == 0
    assert await _call("run", "report", "abcdef") == 2

    assert capsys.readouterr().out.startswith(f"RESTORED: {ORDERS[:16]}")


async def test_an_unknown_run_or_namespace_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await _call("run", "show", "no/such/path") == 2
    monkeypatch.setenv("REFLOAT_TEMPORAL_NAMESPACE", "nowhere")
    assert await _call("run", "list") == 1

    told = capsys.readouterr().err.splitlines()
    assert [line.startswith("refloat: ") for line in told] == [True, True]
