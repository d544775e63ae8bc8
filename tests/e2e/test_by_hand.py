"""A stranger's path: the README's five minutes, and what people and machines do besides."""

import json
import re
import shutil
import signal
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import os
import pytest

from tests.e2e.box import (
    ORDERS,
    Box,
    empty_box,
    fetch,
    kill_all,
    require_silence,
    running_box,
    told,
    type_at_terminal,
)
from tests.e2e.test_readme import README_COMMANDS
from tests.station import wait_for


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """Return a running sandbox whose tests leave the shop healthy."""
    with running_box() as made:
        yield made


def _lose_orders(box: Box) -> str:
    """Drop the shop's table; return the LSN that names the commit."""
    box.refloat("sandbox", "psql", "-c", "drop table shop.orders")
    wait_for("the shop to notice", lambda: not box.shop_is_healthy())
    suspects = box.document("recovery-point", "suspects", ORDERS, "--since", "10m")
    assert suspects[0]["acts"] == ["dropped shop.orders"]
    return str(suspects[0]["lsn"])


def _state(box: Box) -> dict[str, Any]:
    """Return all that a command which only looks must leave alone."""
    described = box.document("resource", "show", ORDERS)
    points = box.document("recovery-point", "list", ORDERS)
    servers = box.root / "databases" / "orders" / "servers"
    return {
        "server": (described["name"], described["port"], described["superseded"]),
        "folders": sorted(path.name for path in servers.iterdir()),
        "snapshots": [snapshot["id"] for snapshot in points["snapshots"]],
        "runs": [run["run_id"] for run in box.document("run", "list")],
        "settings": (box.root / "checkout.env").read_text(),
        "programs": box.programs(),
    }


@pytest.mark.slow
def test_the_readme_s_five_minutes_work_as_they_are_written() -> None:
    refloat = str(Path(sys.executable).with_name("refloat"))
    with empty_box() as box:
        lsn, screens = "", {}
        for words in README_COMMANDS:
            line = [refloat, *(lsn if word == "LSN" else word for word in words[1:])]
            code, screen = type_at_terminal(box, line)
            assert code == 0, f"{line}: exit {code}\n{screen}"
            screens[" ".join(words[1:3])] = screen
            if found := re.search(r"restore \S+ --before (\w+/\w+)", screen):
                lsn = found[1]
            if words[1] == "restore":
                assert box.shop_is_healthy()
        assert "REST" in (box.folder / "report.html").read_text().upper()
        require_silence(box.folder)
        assert not box.root.exists()

    assert "http://127.0.0.1:" in screens["sandbox up"]
    assert "Go on? [y/N]" in screens[f"restore {ORDERS}"]
    assert f"RESTORED: {ORDERS}" in screens[f"restore {ORDERS}"]
    assert "released: orders-1" in screens[f"release {ORDERS}"]


@pytest.mark.slow
def test_a_second_up_changes_nothing(box: Box) -> None:
    before = _state(box) | {"ports": box.ports}

    box.refloat("sandbox", "up")

    assert _state(box) | {"ports": box.ports} == before
    assert set(before["programs"]) == {"keeper", "temporal", "supervisor", "worker"}
    box.refloat("sandbox", "status")


@pytest.mark.slow
def test_what_is_protected_is_told_to_people_and_machines(box: Box) -> None:
    assert "valid" in box.refloat("catalog", "check")
    assert ORDERS in box.refloat("resource", "list")
    assert "archive: healthy" in box.refloat("resource", "show", ORDERS)
    assert "first" in box.refloat("recovery-point", "list", ORDERS)
    assert [one["path"] for one in box.document("resource", "list")] == [ORDERS]
    assert box.document("resource", "show", ORDERS)["archive"]["healthy"]
    assert box.document("recovery-point", "list", ORDERS)["windows"]
    named = box.run(
        box.python, "-m", "cli", "--catalog", str(box.root / "refloat.yaml"), "catalog", "check"
    )
    assert named.returncode == 0, told("catalog check", named)


@pytest.mark.slow
def test_a_lost_table_is_planned_refused_restored_reported_and_released(box: Box) -> None:
    lsn = _lose_orders(box)
    before = _state(box)
    plan = box.document("restore", ORDERS, "--before", lsn, "--plan")
    assert "estimate" in box.refloat("restore", ORDERS, "--before", lsn, "--plan")
    assert plan["point"]["lsn"] == lsn
    assert "--yes" in box.refloat("restore", ORDERS, "--before", lsn, code=2)
    assert _state(box) == before

    report = box.document("restore", ORDERS, "--before", lsn, "--yes")
    assert (report["schema"], report["outcome"]) == ("refloat.report/v1", "done")
    assert box.shop_is_healthy()
    assert int(box.sql("select count(*) from shop.orders")) > 0

    newest = box.document("run", "list")[0]
    assert (newest["run_id"], newest["verdict"]) == (report["run_id"], "passed")
    assert report["run_id"][:8] in box.refloat("run", "list")
    box.refloat("run", "report", report["run_id"][:8], "--html", "page.html")
    page = (box.folder / "page.html").read_text()
    assert lsn in page
    assert box.document("run", "report", ORDERS) == report
    _read_in_temporal(box, report)

    assert "--yes" in box.refloat("release", ORDERS, code=2)
    released = box.document("release", ORDERS, "--yes")
    assert released == [before["server"][0]]
    assert _state(box)["folders"] == [report["reached"]["handle"]["server"]]
    assert box.shop_is_healthy()


def _read_in_temporal(box: Box, report: dict[str, Any]) -> None:
    """Open the page that a report names, and what that page asks its server for."""
    screen = box.refloat("run", "report", ORDERS)
    page = re.search(r"in Temporal: (\S+)", screen)
    assert page, screen
    status, content = fetch(page[1])
    assert (status, b"<html" in content) == (200, True)
    name = urllib.parse.quote(report["workflow_id"], safe="")
    web = f"http://127.0.0.1:{box.ports['web']}/api/v1/namespaces/default/workflows/{name}"
    status, content = fetch(web)
    assert status == 200
    told = json.loads(content)["workflowExecutionInfo"]
    assert told["status"] == "WORKFLOW_EXECUTION_STATUS_COMPLETED"


@pytest.mark.slow
def test_a_snapshot_is_drilled_and_the_drill_leaves_nothing(box: Box) -> None:
    made = box.document("snapshot", "create", ORDERS, "--name", "before-the-drill")
    before = _state(box)

    report = box.document("restore", ORDERS, "--drill", "--yes")

    assert made["proven"]
    assert (report["mode"], report["scope"], report["outcome"]) == ("drill", "restore", "done")
    assert report["allowed_point"]["lsn"] == made["lsn"]
    after = _state(box)
    assert after.pop("runs") == [report["run_id"], *before.pop("runs")]
    assert after == before


@pytest.mark.slow
def test_a_killed_worker_comes_back_and_goes_on_with_the_run(box: Box) -> None:
    started = box.document("restore", ORDERS, "--drill", "--detach", "--yes")
    worker = box.programs()["worker"]
    os.kill(worker, signal.SIGKILL)

    report = box.document("run", "watch", started["run_id"][:8])

    assert (report["run_id"], report["outcome"]) == (started["run_id"], "done")
    assert box.programs()["worker"] != worker
    box.refloat("sandbox", "status")


@pytest.mark.slow
def test_a_machine_that_lost_its_power_goes_on_where_it_was(box: Box) -> None:
    drilled = box.document("restore", ORDERS, "--drill", "--yes")
    orders = int(box.sql("select count(*) from shop.orders"))
    cut = box.document("restore", ORDERS, "--latest", "--detach", "--yes")
    time.sleep(1)
    killed = kill_all(box.folder)
    assert killed > 5

    box.refloat("sandbox", "up")

    runs = {run["run_id"]: run for run in box.document("run", "list")}
    assert runs[drilled["run_id"]]["verdict"] == "passed"
    report = box.document("run", "watch", cut["run_id"])
    assert report["outcome"] == "done"
    assert int(box.sql("select count(*) from shop.orders")) >= orders
    wait_for("the shop", box.shop_is_healthy)
    box.refloat("release", ORDERS, "--yes")
    box.refloat("sandbox", "status")
