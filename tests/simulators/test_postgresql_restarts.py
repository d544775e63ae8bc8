"""What becomes of simulated PostgreSQL servers when they, or who keeps them, end at a bad moment."""

import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from domain.errors import NotYetError, RecoveryError
from simulators.backends import Master
from simulators.postgresql import PostgresqlBackends
from tests.simulators.postgresql_ground import (
    MASTER,
    backends,
    now,
    order,
    orders,
    root,
    running_in,
    server_of,
    sql,
)
from tests.station import wait_for

__all__ = ["backends", "root"]


def test_a_server_that_was_killed_comes_back_with_its_archive(
    backends: PostgresqlBackends,
) -> None:
    backends.restore("shop", "killed", None)
    psutil.Process(server_of(backends, "killed")).kill()

    def answers() -> bool:
        try:
            orders(backends, "killed")
        except (psycopg.OperationalError, AssertionError):
            return False
        return True

    wait_for("the server to come back", answers)
    newest = order(backends, "killed")
    backends.restore("killed", "healed", now())
    assert newest in orders(backends, "healed")


def test_servers_snapshots_and_archives_outlive_the_process(root: Path) -> None:
    folder = root / "restarted"
    with closing(PostgresqlBackends(folder)) as first:
        first.create("runs", version="15", master=MASTER)
        sql(first, "runs", "create table orders (number int)")
        for name in ("rests", "left"):
            first.restore("runs", name, None)
        kept = order(first, "runs")
        first.take("runs", "kept")
        order(first, "runs")
        left = order(first, "left")
        first.stop("rests")
        first.remove("left", retain=True)
        with pytest.raises(NotYetError):
            PostgresqlBackends(folder)

    with closing(PostgresqlBackends(folder)) as second:
        newest = order(second, "runs")
        assert second.address("rests") is None
        assert second.address("left") is None
        second.restore_snapshot("kept", "copy")
        assert orders(second, "copy") == {kept}
        second.restore("left", "back", None)
        assert orders(second, "back") == {left}
        second.restore("runs", "now", now())
        assert newest in orders(second, "now")


_KILLED = """
import sys, threading, time
from pathlib import Path
from simulators.backends import Master
from simulators.postgresql import PostgresqlBackends

root = Path(sys.argv[1])
backends = PostgresqlBackends(root)
backends.create("shop", version="15", master=Master({user!r}, {password!r}, {database!r}))
threading.Thread(target=backends.restore, args=("shop", "copy", None)).start()
while not list(root.glob("units/copy-*/**/PG_VERSION")):
    time.sleep(0.01)
print("restoring", flush=True)
time.sleep(60)
"""


def test_a_restore_that_was_killed_is_removed_and_its_source_goes_on(root: Path) -> None:
    folder, user = root / "cut", MASTER
    script = _KILLED.format(user=user.user, password=user.password, database=user.database)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "restoring\n"
        process.send_signal(signal.SIGKILL)

    with closing(PostgresqlBackends(folder)) as backends:
        assert [path.name[:4] for path in (folder / "units").iterdir()] == ["shop"]
        sql(backends, "shop", "create table orders (number int)")
        newest = order(backends)
        backends.restore("shop", "copy", None)
        assert orders(backends, "copy") == {newest}


def test_what_fails_to_be_made_leaves_nothing(backends: PostgresqlBackends, root: Path) -> None:
    nameless = Master(user="", password="irrelevant", database="shop")

    with pytest.raises(RecoveryError):
        backends.create("failing", version="15", master=nameless)

    assert backends.address("failing") is None
    assert not list(root.glob("shared/units/failing-*"))
    assert not [line for line in running_in(root) if "failing-" in " ".join(line)]


def test_a_server_that_is_removed_while_it_is_made_is_gone_in_the_end(
    backends: PostgresqlBackends, root: Path
) -> None:
    making = threading.Thread(target=backends.restore, args=("shop", "unwanted", None))
    making.start()
    wait_for("its folder", lambda: list(root.glob("shared/units/unwanted-*/unit.json")))
    assert backends.address("unwanted") is None
    assert backends.window("unwanted") is None

    backends.remove("unwanted", retain=False)

    making.join()
    assert backends.address("unwanted") is None
    assert not list(root.glob("shared/units/unwanted-*"))
