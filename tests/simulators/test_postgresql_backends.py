"""Real PostgreSQL servers behind simulated instances: made, restored exactly, kept, removed."""

import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from simulators.postgresql import PostgresqlBackends
from tests.simulators.postgresql_ground import (
    MASTER,
    backends,
    new_number,
    now,
    order,
    orders,
    root,
    session,
    sql,
)
from tests.station import wait_for

__all__ = ["backends", "root"]


def test_a_new_server_runs_with_its_master_user_and_can_be_restored(
    backends: PostgresqlBackends,
) -> None:
    window = backends.window("shop")

    assert window is not None
    assert window[0] <= window[1] <= datetime.now(UTC)
    assert sql(backends, "shop", "show wal_level") == [("replica",)]
    assert sql(backends, "shop", "show track_commit_timestamp") == [("on",)]
    assert sql(backends, "shop", "select current_user, usesuper from pg_user where usename = user")
    assert sql(backends, "shop", "show server_version_num")[0][0].startswith("15")


def test_a_restore_holds_what_was_committed_before_its_moment_and_nothing_after(
    backends: PostgresqlBackends,
) -> None:
    before = order(backends)
    moment = now()
    after = order(backends)

    backends.restore("shop", "between", moment)

    assert before in orders(backends, "between")
    assert after not in orders(backends, "between")
    assert after in orders(backends, "shop")
    assert order(backends, "between") in orders(backends, "between")


def test_a_restore_among_commits_of_many_sessions_is_exact_to_the_commit(
    backends: PostgresqlBackends,
) -> None:
    stop = threading.Event()

    def write() -> None:
        with session(backends, "shop") as held:
            while not stop.is_set():
                held.execute("insert into orders values (%s)", [new_number()])

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    time.sleep(0.3)
    moment = datetime.now(UTC)
    time.sleep(0.3)
    stop.set()
    for writer in writers:
        writer.join()

    backends.restore("shop", "exact", moment)

    until = f"where pg_xact_commit_timestamp(xmin) <= '{moment.isoformat()}'"
    stamped = sql(backends, "shop", f"select number from orders {until}")
    assert orders(backends, "exact") == {number for (number,) in stamped}
    assert len(stamped) < len(orders(backends, "shop"))


def test_a_moment_in_an_idle_stretch_up_to_now_is_waited_for(backends: PostgresqlBackends) -> None:
    newest = order(backends)
    moment = now()

    backends.restore("shop", "idle", moment)

    assert newest in orders(backends, "idle")
    window = backends.window("shop")
    assert window is not None
    assert window[1] >= moment


def test_a_restore_without_a_moment_has_everything(backends: PostgresqlBackends) -> None:
    newest = order(backends)

    backends.restore("shop", "latest", None)

    assert newest in orders(backends, "latest")


def test_moments_outside_of_the_window_are_refused(backends: PostgresqlBackends) -> None:
    window = backends.window("shop")
    assert window is not None

    for moment in (window[0] - timedelta(seconds=1), now() + timedelta(minutes=1)):
        with pytest.raises(LookupError):
            backends.restore("shop", "nowhere", moment)
    with pytest.raises(LookupError):
        backends.restore("unknown", "nowhere", window[0])

    assert backends.address("nowhere") is None
    assert backends.window("nowhere") is None


def test_a_name_is_given_once(backends: PostgresqlBackends) -> None:
    with pytest.raises(FileExistsError):
        backends.create("shop", version="15", master=MASTER)

    assert backends.address("shop") is not None


def test_a_restored_server_can_be_restored_from(backends: PostgresqlBackends) -> None:
    backends.restore("shop", "child", None)
    before = order(backends, "child")
    moment = now()
    after = order(backends, "child")

    backends.restore("child", "grandchild", moment)

    assert before in orders(backends, "grandchild")
    assert after not in orders(backends, "grandchild")
    assert before not in orders(backends, "shop")


def test_a_snapshot_holds_the_state_of_its_moment(backends: PostgresqlBackends) -> None:
    before = order(backends)
    taken_at = backends.take("shop", "rds:shop/2026-03-01")
    after = order(backends)

    backends.restore_snapshot("rds:shop/2026-03-01", "from-snapshot")

    assert before in orders(backends, "from-snapshot")
    assert after not in orders(backends, "from-snapshot")
    assert taken_at <= datetime.now(UTC)
    assert backends.take("shop", "rds:shop/2026-03-01") == taken_at
    backends.forget("rds:shop/2026-03-01")
    backends.forget("rds:shop/2026-03-01")
    with pytest.raises(LookupError):
        backends.restore_snapshot("rds:shop/2026-03-01", "from-nothing")


def test_a_removed_server_that_is_retained_can_be_restored_from(
    backends: PostgresqlBackends,
) -> None:
    backends.restore("shop", "leaving", None)
    newest = order(backends, "leaving")
    moment = now()
    backends.remove("leaving", retain=True)

    window = backends.window("leaving")
    backends.restore("leaving", "revived", moment)

    assert newest in orders(backends, "revived")
    assert backends.address("leaving") is None
    assert window is not None
    assert window[1] >= moment
    backends.remove("leaving", retain=False)
    assert backends.window("leaving") is None
    with pytest.raises(LookupError):
        backends.restore("leaving", "too-late", moment)


def test_a_snapshot_outlives_its_source_and_takes_the_last_of_it_along(
    backends: PostgresqlBackends, root: Path
) -> None:
    backends.restore("shop", "parent", None)
    kept = order(backends, "parent")
    backends.take("parent", "final")
    backends.remove("parent", retain=False)
    backends.remove("parent", retain=False)

    backends.restore_snapshot("final", "heir")

    assert kept in orders(backends, "heir")
    assert backends.window("parent") is None
    assert list(root.glob("shared/units/parent-*"))
    backends.forget("final")
    assert not list(root.glob("shared/units/parent-*"))


def test_a_stopped_server_stays_stopped_and_can_be_restored_from(
    backends: PostgresqlBackends,
) -> None:
    backends.restore("shop", "sleeper", None)
    newest = order(backends, "sleeper")
    moment = now()
    backends.stop("sleeper")
    time.sleep(1.5)  # longer than the servers are left alone

    assert backends.address("sleeper") is None
    backends.restore("sleeper", "dream", moment)
    assert newest in orders(backends, "dream")
    backends.take("sleeper", "asleep")
    assert backends.address("sleeper") is None
    asleep = backends.window("sleeper")
    backends.start("sleeper")
    assert newest in orders(backends, "sleeper")
    assert order(backends, "sleeper") in orders(backends, "sleeper")
    backends.stop("sleeper")
    again = backends.window("sleeper")
    assert asleep is not None
    assert again is not None
    assert moment < asleep[1] < again[1]


def test_a_long_log_gets_another_base_backup_and_old_moments_stay(
    backends: PostgresqlBackends, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulators.safekeeping._LITTLE", 1 << 20)
    backends.restore("shop", "busy", None)
    first = order(backends, "busy")
    early = now()
    for _ in range(4):
        fill = "select generate_series(1, 100000), repeat('x', 100)"
        sql(backends, "busy", f"insert into orders {fill}")
        sql(backends, "busy", "delete from orders where note is not null")
    stored = "shared/units/busy-*/databases/db/archive/*/backups/base-*.json"
    wait_for("another base backup", lambda: len(list(root.glob(stored))) > 1)
    last = order(backends, "busy")

    backends.restore("busy", "busy-then", early)
    backends.restore("busy", "busy-now", None)

    assert first in orders(backends, "busy-then")
    assert last not in orders(backends, "busy-then")
    assert last in orders(backends, "busy-now")


def test_servers_can_be_without_commit_stamps_and_with_logical_log(root: Path) -> None:
    with closing(
        PostgresqlBackends(root / "other", wal_level="logical", track_commit_timestamp=False)
    ) as backends:
        backends.create("shop", version="no such version", master=MASTER)

        assert sql(backends, "shop", "show wal_level") == [("logical",)]
        assert sql(backends, "shop", "show track_commit_timestamp") == [("off",)]
