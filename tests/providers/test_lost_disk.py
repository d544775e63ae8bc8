"""A server killed together with its disk, again and again: what is lost is measured, and little."""

import os
import random
import shutil
import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from activities.steps import Examination
from client.recoveries import new_request
from domain.recovery import Target, TargetKind
from providers.local.receiver import slot_of
from tests.station import Notes, Station, no_progress, now, rounds, station, wait_for
from tests.writer import writing
from workflows.planning import incident_of, loss_of

LATEST = Target(kind=TargetKind.LATEST)


def _lose(made: Station) -> datetime:
    """Kill the whole server and delete its disk; return when."""
    data = made.servers.data(made.servers.current().name)
    pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    at = now()
    os.kill(pid, signal.SIGKILL)
    wait_for("the disk to be gone", lambda: _gone(data))
    return at


def _gone(data: Path) -> bool:
    shutil.rmtree(data, ignore_errors=True)  # its last processes may still write
    return not data.exists()


def _bring_back(made: Station, at: datetime) -> timedelta:
    """Put the latest point into service; return the RPO that a run of this incident reports."""
    point = made.latest()
    restored = made.restore(point)
    made.provider.cutover.protect(made.resource, restored.handle, no_progress)
    made.provider.cutover.promote(made.resource, restored.handle)
    made.provider.cutover.release(made.resource, Notes())
    request = new_request(made.resource, LATEST, incident_at=at)
    examined = Examination(findings=(), recoverable_to=None, examined_at=now())
    loss = loss_of(incident_of(request, point, examined), point.time)
    assert loss is not None
    return loss


@pytest.mark.slow
@pytest.mark.parametrize(
    ("durability", "times"), [("bounded-loss", rounds(8, 20)), ("zero-loss", rounds(3, 8))]
)
def test_a_lost_disk_costs_less_than_two_seconds_and_nothing_with_zero_loss(
    durability: str, times: int
) -> None:
    with station({"durability": durability}) as made:
        for number in range(times):
            if durability == "zero-loss":
                wait_for("commits to wait for the archive", lambda: _synchronous(made))
            with writing(made) as writer:
                enough = random.randrange(30, 200)
                wait_for("some commits", lambda: len(writer.record) > enough)  # noqa: B023 - used at once
                at = _lose(made)

            measured = _bring_back(made, at)

            found = {row[0] for row in made.sql(f"select id from {writer.table}")}
            lost = [identity for identity, _ in writer.record if identity not in found]
            kept = [stamped for identity, stamped in writer.record if identity in found]
            told = f"round {number}: measured {measured}, lost {len(lost)} acknowledged commits"
            assert measured < timedelta(seconds=2), told
            assert abs((at - kept[-1]) - measured) < timedelta(milliseconds=100), told
            if durability == "zero-loss":
                assert lost == [], told
        wait_for("nothing to be left over", lambda: not made.leftovers(), within=15)


def _synchronous(made: Station) -> bool:
    """Return whether a commit on the current server waits for its own receiver."""
    wanted = slot_of(made.servers.current())
    return made.sql(
        "select application_name, current_setting('synchronous_standby_names') "
        "from pg_stat_replication where sync_state = 'sync'"
    ) == [(wanted, f'"{wanted}"')]


def test_a_frozen_receiver_blocks_commits_rather_than_losing_them() -> None:
    with station({"durability": "zero-loss"}) as made:
        wait_for("commits to wait for the archive", lambda: _synchronous(made))
        assert made.supervisor is not None
        receiver = made.supervisor.instances[0].followers["orders-1"].receiver
        with writing(made) as writer:
            wait_for("some commits", lambda: len(writer.record) > 20)
            receiver.daemon.tell(signal.SIGSTOP)
            frozen = now()
            wait_for("the freeze to be noticed", lambda: now() - frozen > timedelta(seconds=1.5))
            at = _lose(made)
        receiver.daemon.tell(signal.SIGCONT)

        _bring_back(made, at)

        found = {row[0] for row in made.sql(f"select id from {writer.table}")}
        assert [identity for identity, _ in writer.record if identity not in found] == []
        late = [
            stamped for _, stamped in writer.record if stamped > frozen + timedelta(seconds=0.5)
        ]
        assert late == []
