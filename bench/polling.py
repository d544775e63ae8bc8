"""Measures how soon the end of a restore is noticed at each simulated cloud, and for how many calls.

    python -m bench.polling --cloud aws --cloud gcp --minutes 5 --minutes 20 --minutes 60

A restore of so many simulated minutes runs as a drill through Temporal and one worker, with a real
server behind it. A second wire watches the copy meanwhile, fifty times a second, so that what is
measured is the provider's own word and not ours. The exit code is 3 when a target is missed.
"""

import argparse
import asyncio
import os
import sys
import threading
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.client import Client

from client.recoveries import await_report, handle_of, new_request, start_recovery
from domain.recovery import Target, TargetKind
from domain.report import RunReport
from domain.resources import Mode
from providers.heartbeats import hearts
from providers.managed.account import Account
from providers.managed.model import State
from providers.managed.names import name_of
from simulators.reached import reached_at
from simulators.wire import Wire
from tests.conftest import start_temporal
from tests.providers.clouds import CLOUD_TABLE, Stand, real_stand
from worker import build_workers

_SHARE, _SOON = 0.01, timedelta(seconds=10)
_MARKING = {"Patch", "UpdateInstance"}
"""The first act on a copy where a restore takes no tags."""


@dataclass(frozen=True)
class Noticed:
    """One restore: how long the provider took, when that was noticed, for how many calls."""

    cloud: str
    lasted: timedelta
    delay: timedelta
    allowed: timedelta
    calls: int

    @property
    def good(self) -> bool:
        """Whether the target was met."""
        return self.delay <= self.allowed


class Watch(threading.Thread):
    """Looks at one copy through a wire of its own until it is available."""

    def __init__(self, account: Account, name: str) -> None:
        super().__init__(daemon=True)
        self._account, self._name = account, name
        self.ready_at: datetime | None = None

    def run(self) -> None:
        """Look until the provider says that it is ready."""
        while self.ready_at is None:
            found = self._account.instances.find(self._name)
            if found is not None and found.state is State.READY:
                self.ready_at = datetime.now(UTC)
            time.sleep(0.02)


def _second(stand: Stand) -> tuple[Wire, Account]:
    """Return another wire to the same control plane, and an account that talks through it."""
    wire, before = Wire(stand.plane), dict(os.environ)
    os.environ.update(reached_at(wire.url))
    stand.connect()
    watching = stand.account
    watching.instances.all()  # the SDK's client is made now, with this address
    os.environ.update(before)
    stand.connect()
    stand.account.instances.all()
    return wire, watching


async def _measure(client: Client, stand: Stand, minutes: float) -> Noticed:
    stand.estate.durations.restore = timedelta(minutes=minutes)
    second, account = _second(stand)
    target = Target(kind=TargetKind.LATEST)
    request = new_request(stand.resource, target, mode=Mode.DRILL)
    watch = Watch(account, name_of(request.id, stand.resource.instance))
    watch.start()
    began = len(stand.wire.calls)
    handle = handle_of(client, await start_recovery(client, request))
    report: RunReport = await await_report(handle)
    second.close()
    if report.reached is None or watch.ready_at is None:
        sys.exit(f"{stand.cloud.kind}: {report.failure or 'the copy was never seen ready'}")
    noticed_at = _noticed(stand, report, watch.ready_at, began)
    started = report.reached.handle.began_at
    scale = stand.estate.clock.scale
    lasted = (watch.ready_at - (started or watch.ready_at)) * scale
    least = stand.account.pacing.least
    until = time.monotonic() - (datetime.now(UTC) - noticed_at).total_seconds()
    calls = [one for one in stand.wire.calls[began:] if one.at <= until]
    return Noticed(
        cloud=stand.cloud.kind,
        lasted=lasted,
        delay=max(timedelta(), noticed_at - watch.ready_at) * scale,
        allowed=max(_SOON, lasted * _SHARE, least),
        calls=len(calls),
    )


def _noticed(stand: Stand, report: RunReport, ready_at: datetime, began: int) -> datetime:
    """Return when the end was noticed: where tags come after a restore, that is when they are set."""
    assert report.reached is not None
    now, instant = datetime.now(UTC), time.monotonic()
    calls = [one for one in stand.wire.calls[began:] if one.operation in _MARKING]
    marks = [now - timedelta(seconds=instant - one.at) for one in calls]
    return min([report.reached.ready_at, *(one for one in marks if one >= ready_at)])


async def _at(kind: str, minutes: float, scale: float, client: Client) -> Noticed:
    with real_stand(kind, scale=scale) as stand:
        stop = threading.Event()
        beating = hearts(stand.catalog, stand.folder, stop)
        for heart in beating:
            heart.start()
        async with AsyncExitStack() as running:
            for worker in build_workers(client, stand.catalog, stand.folder):
                await running.enter_async_context(worker)
            await asyncio.sleep(3)  # some beats, and a point to go to
            found = await _measure(client, stand, minutes)
        stop.set()
        for heart in beating:
            await asyncio.to_thread(heart.join)
        return found


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.polling", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cloud", action="append", choices=tuple(CLOUD_TABLE))
    parser.add_argument("--minutes", action="append", type=float, help="default: 5, 20, 60")
    parser.add_argument("--scale", type=float, default=60.0, help="simulated seconds in a second")
    return parser.parse_args()


async def _main() -> int:
    asked = _parse()
    rows: list[Noticed] = []
    async with await start_temporal() as temporal:
        for kind in asked.cloud or CLOUD_TABLE:
            for minutes in asked.minutes or (5, 20, 60):
                rows.append(await _at(kind, minutes, asked.scale, temporal.client))
                print(_told(rows[-1]), flush=True)
    return 0 if all(row.good for row in rows) else 3


def _told(row: Noticed) -> str:
    verdict = "PASS" if row.good else "MISSED"
    return (
        f"{row.cloud:<9} lasted {row.lasted.total_seconds() / 60:5.1f} min  noticed after "
        f"{row.delay.total_seconds():5.1f} s, allowed {row.allowed.total_seconds():5.1f} s  "
        f"{row.calls:4d} calls  {verdict}"
    )


if __name__ == "__main__":
    code = asyncio.run(_main())
    sys.stdout.flush()
    os._exit(code)  # the SDK's core may crash when the interpreter ends; the work is done by now
