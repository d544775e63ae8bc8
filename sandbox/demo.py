"""The demonstration: a shop loses its data and gets it back, by the commands a user would type."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import ServerFailedError
from domain.values import show_time
from providers.local.processes import identity_of
from sandbox.console import say
from sandbox.environment import down, local_servers, psql, shop_is_healthy, up
from sandbox.layout import RESOURCE, Ports, SandboxLayout
from sandbox.programs import wait_until

_ORDERS = 3000


def _refloat(
    layout: SandboxLayout, *arguments: str, quiet: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Run a refloat command as a user would, shown before it runs."""
    if not quiet:
        say(f"\n$ refloat {shlex.join(arguments)}")
    return subprocess.run(
        [sys.executable, "-m", "cli", "--catalog", str(layout.catalog), *arguments],
        check=False,
        text=True,
        stdout=subprocess.PIPE if quiet else None,
    )


def demo(layout: SandboxLayout, disaster: str) -> int:
    """Bring a sandbox up, break it, restore it, show the report, take it down."""
    began = time.monotonic()
    up(layout)
    ports = layout.prepare()
    try:
        code = _story(layout, ports, disaster)
    finally:
        say("")
        down(layout, purge=False)
    say(f"the whole demo took {time.monotonic() - began:.0f} s")
    return code


def _story(layout: SandboxLayout, ports: Ports, disaster: str) -> int:
    began = time.monotonic()
    urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{ports.shop}/?count={_ORDERS}", method="POST"),
        timeout=120,
    ).close()
    say(
        f"\nthe shop took {_ORDERS} orders in {time.monotonic() - began:.1f} s, archived while they came"
    )
    before = _orders(layout)
    time.sleep(1.2)
    impact, point = _break(layout, disaster)
    if disaster != "bad-update":
        wait_until(
            "the shop to notice", lambda: not shop_is_healthy(ports), 30, layout.root / "logs"
        )
        say("the shop answers: not healthy")
    arguments = [*point, "--incident-at", show_time(impact), "--reason", f"demo: {disaster}"]
    restored = _refloat(layout, "restore", RESOURCE, *arguments, "--yes")
    after = _orders(layout)
    say(
        f"\nwhole orders before the disaster: {before}, now: {after}; "
        f"shop healthy: {shop_is_healthy(ports)}"
    )
    page = layout.root / "report.html"
    reported = _refloat(layout, "run", "report", RESOURCE, "--html", str(page))
    if restored.returncode == 0 and after < before:
        raise ServerFailedError(f"{before - after} orders are missing or empty after the restore")
    return restored.returncode or reported.returncode


def _orders(layout: SandboxLayout) -> int:
    """Return how many orders are there with their amount."""
    told = psql(layout, ["-Atc", "select count(*) from shop.orders where amount > 0"], capture=True)
    return int(told.strip() or 0)


def _break(layout: SandboxLayout, disaster: str) -> tuple[datetime, list[str]]:
    """Cause the disaster; return its moment and how the point before it is named."""
    if disaster == "disk":
        return _lose_server(layout), ["--latest"]
    impact = datetime.now(UTC)
    if disaster == "bad-update":
        say("\n$ refloat sandbox psql -c 'update shop.orders set amount = 0'      (no where!)")
        psql(layout, ["-qc", "update shop.orders set amount = 0"], capture=True)
        time.sleep(1.5)
        return impact, ["--to", show_time(impact)]
    say("\n$ refloat sandbox psql -c 'drop table shop.orders'")
    psql(layout, ["-qc", "drop table shop.orders"], capture=True)
    time.sleep(0.5)
    _refloat(layout, "recovery-point", "suspects", RESOURCE, "--since", "10m")
    found = _refloat(
        layout,
        "--output",
        "json",
        "recovery-point",
        "suspects",
        RESOURCE,
        "--since",
        "10m",
        quiet=True,
    )
    newest = json.loads(found.stdout)[0]
    return datetime.fromisoformat(newest["at"]), ["--before", newest["before"]]


def _lose_server(layout: SandboxLayout) -> datetime:
    servers = local_servers(layout)
    record = servers.current()
    data: Path = servers.data(record.name)
    pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    say(f"\n$ kill -9 {pid}; rm -rf {data}")
    impact = datetime.now(UTC)
    os.kill(pid, signal.SIGKILL)
    shutil.rmtree(data, ignore_errors=True)
    wait_until("the server to die", lambda: identity_of(pid) is None, 20, layout.root / "logs")
    shutil.rmtree(data, ignore_errors=True)
    return impact
