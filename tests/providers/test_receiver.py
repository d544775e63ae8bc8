"""The receiver and its slot: killed, frozen, dropped and lost, without a hole that nobody names."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from domain.errors import (
    RecoveryPointUnreachableError,
)
from domain.resources import Mode
from providers.local.receiver import slot_of
from tests.providers import small_disk
from tests.providers.failing import (
    frozen,
    grow,
    receiver_of,
    require_a_new_window_after_the_gap,
    require_restorable,
)
from tests.providers.own_server import installations, own_station, require_nothing_left
from tests.station import Station, now, wait_for


def _told(made: Station, *words: str) -> Callable[[], list[str]]:
    """Return a question whether health tells all the words in one sentence."""
    return lambda: [one for one in small_disk.problems(made) if all(word in one for word in words)]


def test_an_archive_command_that_lies_adds_nothing_to_the_inventory() -> None:
    lying = {"archive_mode": "on", "archive_command": "/bin/true"}
    with own_station(installations()[-1], settings=lying) as (made, own):
        made.sql("create table grown (id int)")
        made.wait_archived()
        with frozen(receiver_of(made)):
            time.sleep(0.2)
            [before] = made.provider.points.windows(made.resource)
            for _ in range(3):
                own.sql("select pg_switch_wal()")
                own.sql("select pg_create_restore_point('noise')")
            wait_for(
                "the lie", lambda: own.sql("select archived_count from pg_stat_archiver")[0][0] >= 3
            )
            wait_for("the stalled archiver to be told", _told(made, "stalled archiver"), within=15)
            [after] = made.provider.points.windows(made.resource)
            with pytest.raises(RecoveryPointUnreachableError, match="after the recovery window"):
                made.at(now() - timedelta(seconds=2))
        assert (before.closes_lsn, before.closes_at) == (after.closes_lsn, after.closes_at)
        wait_for(
            "the archive to go on",
            lambda: small_disk.closes_after(made, now() - timedelta(seconds=3)),
        )


def test_a_killed_receiver_is_started_again_without_a_hole(fresh: Station) -> None:
    grow(fresh, 1)
    receiver = receiver_of(fresh)
    for _ in range(3):
        first = wait_for("a receiver", lambda: receiver.daemon.pid)
        os.kill(first, signal.SIGKILL)
        fresh.sql("select pg_switch_wal()")
        wait_for("another receiver", lambda: receiver.daemon.pid not in {first, None})  # noqa: B023 - used at once
        fresh.sql("insert into grown values (7)")

    fresh.wait_archived()
    wait_for("health", lambda: small_disk.problems(fresh) == [])
    restored = fresh.restore(fresh.latest(), Mode.DRILL)
    assert fresh.sql("select count(*) from grown where id = 7", restored.handle.server) == [(3,)]
    fresh.discard(restored.handle)
    require_nothing_left(fresh)


def _let_go(made: Station) -> str:
    """End the connection of the receiver that reads the slot; return the slot's name."""
    slot = slot_of(made.servers.current())
    reading = f"from pg_replication_slots where slot_name = '{slot}' and active"
    made.sql(f"select pg_terminate_backend(active_pid) {reading}")
    wait_for("the slot to be free", lambda: not made.sql(f"select 1 {reading}"))
    return slot


def test_a_dropped_slot_is_made_again_while_the_server_has_the_log(fresh: Station) -> None:
    grow(fresh, 1)
    with frozen(receiver_of(fresh)):
        fresh.sql(f"select pg_drop_replication_slot('{_let_go(fresh)}')")
        fresh.sql("insert into grown values (7)")
        wait_for("it to be told", _told(fresh, "no receiver is connected"), within=10)

    wait_for("the archive to go on", lambda: small_disk.problems(fresh) == [])
    fresh.wait_archived()
    assert len(fresh.provider.points.windows(fresh.resource)) == 1
    restored = fresh.restore(fresh.latest(), Mode.DRILL)
    assert fresh.sql("select id from grown where id = 7", restored.handle.server) == [(7,)]
    fresh.discard(restored.handle)
    require_nothing_left(fresh)


@contextmanager
def _nobody_receiving(made: Station) -> Iterator[None]:
    """End supervisor and receiver while the block runs; the server goes on."""
    pid = receiver_of(made).daemon.pid
    assert pid is not None
    made.stop(signal.SIGTERM)
    os.kill(pid, signal.SIGKILL)
    yield
    made.start()


def _lose_slot(made: Station) -> None:
    """Write more log than a slot that nobody reads may keep."""
    for setting in ("max_slot_wal_keep_size = '16MB'", "max_wal_size = '32MB'"):
        made.sql(f"alter system set {setting}")
    made.sql("select pg_reload_conf()")
    lost = "select 1 from pg_replication_slots where wal_status = 'lost'"

    def is_lost() -> bool:
        made.sql("insert into grown values (8)")
        made.sql("select pg_switch_wal()")
        made.sql("checkpoint")
        return bool(made.sql(lost))

    wait_for("the slot to be lost", is_lost)


def test_a_slot_that_lost_its_log_is_named_and_a_new_window_opens_after_the_gap(
    fresh: Station,
) -> None:
    grow(fresh, 1)
    early = fresh.latest()
    with _nobody_receiving(fresh):
        _lose_slot(fresh)

    wait_for("the gap to be told", _told(fresh, "gap: log segments"))
    require_a_new_window_after_the_gap(fresh)
    require_restorable(fresh, early)
    require_nothing_left(fresh)
