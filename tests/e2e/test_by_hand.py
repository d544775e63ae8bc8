"""A stranger's path: the README's five minutes, and what people and machines do besides."""

import json
import os
import re
import signal
import socket
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.box import (
    ORDERS,
    SETTINGS,
    Box,
    empty_box,
    fetch,
    kill_all,
    living,
    require_silence,
    running_box,
    told,
    type_at_terminal,
)
from tests.e2e.test_readme import FIVE_MINUTES
from tests.station import wait_for


@pytest.fixture(scope="module")
def healthy() -> Iterator[Callable[[], Box]]:
    """Return what gives a running sandbox: the one before, unless a failed test left it broken."""
    with ExitStack() as held:
        made: list[Box] = []

        def give() -> Box:
            if not made or not made[-1].shop_is_healthy():
                made.append(held.enter_context(running_box()))
            return made[-1]

        yield give


@pytest.fixture
def box(healthy: Callable[[], Box]) -> Box:
    """Return a running sandbox, to be left with a healthy shop."""
    return healthy()


def _lose_orders(box: Box) -> tuple[str, str]:
    """Drop the shop's table; return the commit's LSN, and what `restore --before` takes for it."""
    box.refloat("sandbox", "psql", "-c", "drop table shop.orders")
    wait_for("the shop to notice", lambda: not box.shop_is_healthy())
    suspects = box.document("recovery-point", "suspects", ORDERS, "--since", "10m")
    assert suspects[0]["acts"] == ["dropped shop.orders"]
    return suspects[0]["lsn"], suspects[0]["before"]


@pytest.mark.slow
def test_the_readme_s_five_minutes_work_as_they_are_written() -> None:
    refloat = str(Path(sys.executable).with_name("refloat"))
    with empty_box() as box:
        lsn, screens = "", {}
        for words in FIVE_MINUTES:
            line = [refloat, *(lsn if word == "LSN" else word for word in words[1:])]
            code, screen = type_at_terminal(box, *line)
            assert code == 0, f"{line}: exit {code}\n{screen}"
            screens[" ".join(words[1:3])] = screen
            if found := re.search(r"restore \S+ --before (\S+)", screen):
                lsn = found[1]
            if words[1] == "restore":
                assert box.shop_is_healthy()
        page = (box.folder / "report.html").read_text()
        assert lsn in page
        assert "<svg" in page
        require_silence(box.folder)
        assert not box.root.exists()

    assert "http://127.0.0.1:" in screens["sandbox up"]
    assert "Go on? [y/N]" in screens[f"restore {ORDERS}"]
    assert f"RESTORED: {ORDERS}" in screens[f"restore {ORDERS}"]
    assert "released: orders-1" in screens[f"release {ORDERS}"]


@pytest.mark.slow
def test_a_second_up_changes_nothing(box: Box) -> None:
    before = (box.files(), box.programs())

    box.refloat("sandbox", "up")

    assert (box.files(), box.programs()) == before
    assert set(before[1]) == {"keeper", "temporal", "supervisor", "worker"}


@pytest.mark.slow
def test_what_is_protected_is_told_to_people_and_machines(box: Box) -> None:
    catalog = str(box.root / "refloat.yaml")

    assert "valid" in box.refloat("--catalog", catalog, "catalog", "check")
    assert ORDERS in box.refloat("resource", "list")
    assert "archive: healthy" in box.refloat("resource", "show", ORDERS)
    assert "first" in box.refloat("recovery-point", "list", ORDERS)
    assert [one["resource"]["path"] for one in box.document("resource", "list")] == [
        ORDERS,
        SETTINGS,
    ]
    assert box.document("resource", "show", ORDERS)["server"]["archive"]["healthy"]
    assert box.document("recovery-point", "list", ORDERS)["windows"]


@pytest.mark.slow
def test_a_lost_table_is_planned_refused_restored_reported_and_released(box: Box) -> None:
    lsn, before_it = _lose_orders(box)
    before, server = box.files(), box.document("resource", "show", ORDERS)["server"]
    plan = box.document("restore", ORDERS, "--before", before_it, "--plan")
    assert "estimate" in box.refloat("restore", ORDERS, "--before", before_it, "--plan")
    assert plan["point"]["lsn"] == lsn
    assert "--yes" in box.refloat("restore", ORDERS, "--before", before_it, code=2)
    assert box.files() == before
    assert box.document("resource", "show", ORDERS)["server"]["name"] == server["name"]

    report = box.document("restore", ORDERS, "--before", before_it, "--yes")
    assert (report["schema"], report["outcome"]) == ("refloat.report/v1", "done")
    assert box.shop_is_healthy()
    assert int(box.sql("select count(*) from shop.orders")) > 0

    newest = box.document("run", "list")[0]
    assert (newest["run_id"], newest["verdict"]) == (report["run_id"], "passed")
    assert report["run_id"][:8] in box.refloat("run", "list")
    box.refloat("run", "report", report["run_id"][:8], "--html", "page.html")
    assert lsn in (box.folder / "page.html").read_text()
    assert box.document("run", "report", ORDERS) == report
    _read_in_temporal(box, report)

    assert "--yes" in box.refloat("release", ORDERS, code=2)
    assert box.document("release", ORDERS, "--yes") == [server["name"]]
    assert box.files()["servers"] == [report["reached"]["handle"]["server"]]
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
    info = json.loads(content)["workflowExecutionInfo"]
    assert info["status"] == "WORKFLOW_EXECUTION_STATUS_COMPLETED"


@pytest.mark.slow
def test_a_snapshot_is_drilled_and_the_drill_leaves_only_its_report(box: Box) -> None:
    made = box.document("snapshot", "create", ORDERS, "--name", "before-the-drill")
    before = box.files()

    report = box.document("restore", ORDERS, "--drill", "--yes")

    assert made["proven"]
    assert (report["mode"], report["scope"], report["outcome"]) == ("drill", "restore", "done")
    assert report["allowed_point"]["lsn"] == made["lsn"]
    after = box.files()
    assert after.pop("reports") == sorted([*before.pop("reports"), f"{report['run_id']}.json"])
    assert after == before


@pytest.mark.slow
def test_a_killed_worker_comes_back_and_goes_on_with_the_run(box: Box) -> None:
    worker = box.programs()["worker"]
    started = box.document("restore", ORDERS, "--drill", "--detach", "--yes")
    os.kill(worker, signal.SIGKILL)

    report = box.document("run", "watch", started["run_id"][:8])

    assert (report["run_id"], report["outcome"]) == (started["run_id"], "done")
    assert box.programs()["worker"] != worker


def _replays(box: Box, server: str) -> bool:
    """Return whether a new server replays the log, or has just done so."""
    lines = living(box.folder).values()
    return any(f"{server}/data" in line and "recovery_target_lsn" in line for line in lines)


def _is_promoted(box: Box, server: str) -> bool:
    """Return whether a new server has ended its recovery; the worker hears of it a moment later."""
    log = box.root / "databases" / "orders" / "servers" / server / "server.log"
    return log.exists() and "ready to accept connections" in log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("moment", [_replays, _is_promoted])
def test_a_machine_that_lost_its_power_goes_on_where_it_was(
    box: Box, moment: Callable[[Box, str], bool]
) -> None:
    servers = box.files()["servers"]
    orders = int(box.sql("select count(*) from shop.orders"))
    cut = box.document("restore", ORDERS, "--drill", "--latest", "--detach", "--yes")
    server = f"refloat-{cut['run_id'][:8]}-orders"
    wait_for("the moment of the power cut", lambda: moment(box, server))
    assert kill_all(box.folder) > 5

    box.refloat("sandbox", "up")

    report = box.document("run", "watch", cut["run_id"])
    assert (report["run_id"], report["outcome"]) == (cut["run_id"], "done")
    assert [(one["name"], one["kept"]) for one in report["created"]] == [(server, False)]
    assert cut["run_id"] in [run["run_id"] for run in box.document("run", "list")]
    assert int(box.sql("select count(*) from shop.orders")) >= orders
    assert box.files()["servers"] == servers
    box.programs()


@pytest.mark.slow
def test_a_broken_shop_does_not_keep_the_sandbox_from_coming_up(box: Box) -> None:
    _, before_it = _lose_orders(box)
    box.refloat("sandbox", "down")

    box.refloat("sandbox", "up")

    assert not box.shop_is_healthy()
    box.refloat("restore", ORDERS, "--before", before_it, "--yes")
    assert box.shop_is_healthy()
    box.refloat("release", ORDERS, "--yes")


def test_a_sandbox_whose_port_a_stranger_has_says_so_and_starts_nothing() -> None:
    with empty_box() as box, socket.socket() as stranger:
        port = box.ports["temporal"]
        stranger.bind(("127.0.0.1", port))
        stranger.listen()

        done = box.run(box.python, "-m", "cli", "sandbox", "up")

        assert done.returncode in {1, 2}, told("up", done)
        assert str(port) in done.stderr
        assert living(box.folder) == {}
