"""Restores a hundred databases at once over four simulated clouds, through one worker.

    python -m bench.hundred --each 25

Each cloud is a process of its own with real servers; the worker is one, as an installation runs it.
Told are how the restores ended, the worker's memory, and the most calls that an account saw in ten
seconds against what its worker may make. Time is simulated, so the slower it goes (`--scale`), the
less a busy machine blurs these. The exit code is 3 when one did not end right.
"""

import argparse
import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from temporalio.client import Client

from bench.machine import BenchError
from bench.programs import wait_for
from client.catalog_file import load_catalog
from client.recoveries import await_report, handle_of, new_request, start_recovery
from domain.recovery import Target, TargetKind
from domain.report import RunReport
from domain.resources import Mode
from providers.local.processes import Daemon
from sandbox.cloud import ENTRIES
from sandbox.programs import answers
from simulators.reached import reached_at
from tests.conftest import start_temporal
from tests.station import free_ports

_PREFIXES = {"aws": "AWS_", "gcp": "CLOUDSDK_", "azure": "AZURE_", "scaleway": "SCW_"}
_ENDPOINTS = 120
_WINDOW = 10.0
_ON_THEIR_WAY = 16
"""Calls that the worker's threads may have sent before a window begins, and that come in within it."""
CALLS_PER_SECOND = 5.0


class Cloud:
    """One simulated cloud in a process of its own."""

    def __init__(self, kind: str, root: Path, scale: float) -> None:
        self.kind, self.port, self.scale = kind, free_ports(1), scale
        first = free_ports(_ENDPOINTS)
        self.ends = first, first + _ENDPOINTS - 1
        self.root = root / kind
        self.daemon = Daemon(root / f"{kind}.pid", root / f"{kind}.log")

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "simulators", self.kind, "--root", str(self.root)]
        command += ["--port", str(self.port), "--scale", str(self.scale)]
        command += ["--first-port", str(self.ends[0]), "--last-port", str(self.ends[1])]
        self.daemon.start(command, environment=dict(os.environ))
        wait_for(self.kind, lambda: answers(self.port) or None, 60)

    def ask(self, what: str, content: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Ask what is no part of any cloud."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/_simulator/{what}",
            data=json.dumps(content or {}).encode(),
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310 - our own loopback URL
            return json.load(answer)

    def environment(self) -> dict[str, str]:
        """Return what leads this cloud's SDK here."""
        found = reached_at(f"http://127.0.0.1:{self.port}")
        return {
            name: value for name, value in found.items() if name.startswith(_PREFIXES[self.kind])
        }

    def busiest(self) -> tuple[int, int]:
        """Return the most calls in ten simulated seconds, and how many were refused as too many."""
        calls, recent, most = self.ask("calls"), deque[float](), 0
        for call in calls:
            recent.append(call["at"])
            while call["at"] - recent[0] > _WINDOW / self.scale:
                recent.popleft()
            most = max(most, len(recent))
        return most, sum(call["status"] == 429 for call in calls)


class Memory(threading.Thread):
    """Samples the worker's memory."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process, self.most, self.stop = psutil.Process(pid), 0, threading.Event()

    def run(self) -> None:
        """Sample twice a second until told to stop."""
        while not self.stop.wait(0.5):
            self.most = max(self.most, self._process.memory_info().rss)


def _catalog(clouds: list[Cloud], each: int) -> dict[str, Any]:
    databases = {
        f"{cloud.kind}-{number}": {
            "provider": cloud.kind,
            "engine": "postgresql",
            "instance": f"orders-{number}",
            "heartbeat": False,
            "backups": {"retention": "7d"},
            "connection": {"database": "shop", "user": "refloat", "password": "file:password"},
        }
        for cloud in clouds
        for number in range(each)
    }
    providers = {
        cloud.kind: {
            **ENTRIES[cloud.kind],
            "reports": ".",
            "ca": str(cloud.root / "front" / "authority.pem"),
            "calls_per_second": CALLS_PER_SECOND,
        }
        for cloud in clouds
    }
    return {
        "organization": "bench",
        "providers": providers,
        "projects": {"bench": {"environments": {"production": {"databases": databases}}}},
    }


@contextmanager
def _stage(each: int, kinds: list[str], scale: float) -> Iterator[tuple[Path, list[Cloud]]]:
    """Hold the clouds, each with its databases."""
    root = Path(tempfile.mkdtemp(prefix="refloat-bench-", dir="/var/tmp"))
    root.chmod(0o755)
    password = secrets.token_urlsafe(12)
    (root / "password").write_text(password)
    clouds = [Cloud(kind, root, scale) for kind in kinds]
    with ExitStack() as held:
        held.callback(shutil.rmtree, root, ignore_errors=True)
        for cloud in clouds:
            held.callback(cloud.daemon.stop, within=120)
            cloud.start()
            cloud.ask("allow", {"instances": 2 * each})
        (root / "refloat.yaml").write_text(json.dumps(_catalog(clouds, each)))
        seeds = [(cloud, f"orders-{number}") for number in range(each) for cloud in clouds]
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(
                    lambda seed: seed[0].ask("seed", {"name": seed[1], "password": password}),
                    seeds,
                )
            )
        yield root, clouds


def _start_worker(root: Path, clouds: list[Cloud], address: str) -> Daemon:
    worker = Daemon(root / "worker.pid", root / "worker.log")
    environment = {**os.environ, "REFLOAT_TIME_SCALE": str(clouds[0].scale)}
    environment |= {"REFLOAT_TEMPORAL_ADDRESS": address}
    for cloud in clouds:
        environment |= cloud.environment()
    worker.start(
        [sys.executable, "-m", "worker", "--catalog", str(root / "refloat.yaml")],
        environment=environment,
    )
    wait_for("the worker", lambda: "polling" in worker.log.read_text() or None, 60)
    return worker


async def _restore_all(client: Client, root: Path) -> list[RunReport | BaseException]:
    target = Target(kind=TargetKind.LATEST)
    resources = list(load_catalog(root / "refloat.yaml").resources())
    requests = [new_request(one, target, mode=Mode.DRILL) for one in resources]
    started = await asyncio.gather(*(start_recovery(client, one) for one in requests))
    runs = [await_report(handle_of(client, one)) for one in started]
    return await asyncio.gather(*runs, return_exceptions=True)


async def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.hundred", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--each", type=int, default=25, help="databases at each cloud")
    parser.add_argument("--cloud", action="append", choices=tuple(_PREFIXES))
    parser.add_argument("--scale", type=float, default=60.0, help="simulated seconds in a second")
    asked = parser.parse_args()
    began = time.monotonic()
    async with await start_temporal() as temporal:
        with _stage(asked.each, asked.cloud or list(_PREFIXES), asked.scale) as (root, clouds):
            made = time.monotonic() - began
            address = temporal.client.service_client.config.target_host
            worker = _start_worker(root, clouds, address)
            if worker.pid is None:
                raise BenchError("the worker ended")
            memory = Memory(worker.pid)
            memory.start()
            began = time.monotonic()
            reports = await _restore_all(temporal.client, root)
            took = time.monotonic() - began
            memory.stop.set()
            worker.stop(within=60)
            return _tell(clouds, reports, (made, took), memory.most)


def _tell(
    clouds: list[Cloud],
    reports: list[RunReport | BaseException],
    took: tuple[float, float],
    memory: int,
) -> int:
    ends = Counter(
        f"{one.outcome.value} {one.failure}".strip()
        if isinstance(one, RunReport)
        else f"{type(one).__name__}: {one}"
        for one in reports
    )
    for end, count in ends.most_common(8):
        print(f"{count:4d} {end}"[:300])
    print(f"{len(reports)} databases made in {took[0]:.0f} s, restored in {took[1]:.0f} s")
    print(f"the worker's memory at most {memory / 2**20:.0f} MiB")
    within = True
    for cloud in clouds:
        most, refused = cloud.busiest()
        within = within and most <= CALLS_PER_SECOND * _WINDOW + _ON_THEIR_WAY and not refused
        print(
            f"{cloud.kind:<9} at most {most} calls in ten simulated seconds, "
            f"{CALLS_PER_SECOND * _WINDOW:g} due and {_ON_THEIR_WAY} on their way allowed, {refused} refused as too many"
        )
        log = cloud.daemon.log.read_text(errors="replace").splitlines()
        for line in [line for line in log if "failed" in line][-3:]:
            print(f"{cloud.kind:<9} {line}")
    return 0 if set(ends) == {"done"} and within else 3


if __name__ == "__main__":
    code = asyncio.run(_main())
    sys.stdout.flush()
    os._exit(code)  # the SDK's core may crash when the interpreter ends; the work is done by now
