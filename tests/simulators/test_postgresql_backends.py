"""Real PostgreSQL servers behind simulated instances: made, restored exactly, kept, removed."""

import itertools
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from domain.errors import NotYetError, RecoveryError
from simulators.backends import Master
from simulators.postgresql import PostgresqlBackends
from tests.station import wait_for

MASTER = Master(user="shopkeeper", password="it's \\ a secret", database="shop")
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Return a folder that the servers' account can reach; nothing runs from it afterwards."""
    made = Path(tempfile.mkdtemp(prefix="refloat-test-"))
    made.chmod(0o755)
    yield made
    left = running_in(made)
    shutil.rmtree(made)
    assert not left


@pytest.fixture(scope="module")
def backends(root: Path) -> Iterator[PostgresqlBackends]:
    """Return backends with the server `shop` in them."""
    with closing(PostgresqlBackends(root / "shared")) as made:
        made.create("shop", version="15", master=MASTER)
        sql(made, "shop", "create table orders (number int, note text)")
        yield made


def running_in(folder: Path) -> list[list[str]]:
    """Return the command lines of what runs with something of a folder in its arguments."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(str(folder) in word for word in line)]


def session(backends: PostgresqlBackends, server: str) -> "psycopg.Connection[tuple[Any, ...]]":
    """Return a session of the master user."""
    address = backends.address(server)
    assert address is not None
    return psycopg.connect(
        host=address[0],
        port=address[1],
        user=MASTER.user,
        password=MASTER.password,
        dbname=MASTER.database,
        autocommit=True,
    )


def sql(backends: PostgresqlBackends, server: str, query: str) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows."""
    with session(backends, server) as held:
        cursor = held.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def order(backends: PostgresqlBackends, server: str = "shop") -> int:
    """Commit a new order and return its number."""
    number = next(_NUMBERS)
    sql(backends, server, f"insert into orders values ({number})")
    return number


def orders(backends: PostgresqlBackends, server: str) -> set[int]:
    """Return the numbers of a server's orders."""
    return {number for (number,) in sql(backends, server, "select number from orders")}


def now() -> datetime:
    """Return a moment that no commit shares."""
    time.sleep(0.01)
    moment = datetime.now(UTC)
    time.sleep(0.01)
    return moment


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
                held.execute("insert into orders values (%s)", [next(_NUMBERS)])

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


def test_a_server_that_was_killed_comes_back_with_its_archive(
    backends: PostgresqlBackends,
) -> None:
    backends.restore("shop", "killed", None)
    psutil.Process(server_of(backends, "killed")).kill()

    def answers() -> bool:
        try:
            return bool(orders(backends, "killed"))
        except (psycopg.OperationalError, AssertionError):
            return False

    wait_for("the server to come back", answers)
    newest = order(backends, "killed")
    backends.restore("killed", "healed", now())
    assert newest in orders(backends, "healed")


def server_of(backends: PostgresqlBackends, server: str) -> int:
    """Return the pid of a server's first process."""
    [(folder,)] = sql(backends, server, "show data_directory")
    return int((Path(folder) / "postmaster.pid").read_text().split()[0])


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


def test_what_fails_to_be_made_leaves_nothing(backends: PostgresqlBackends, root: Path) -> None:
    nameless = Master(user="", password="irrelevant", database="shop")

    with pytest.raises(RecoveryError):
        backends.create("failing", version="15", master=nameless)

    assert backends.address("failing") is None
    assert not list(root.glob("shared/units/failing-*"))
    assert not [line for line in running_in(root) if "failing-" in " ".join(line)]


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


def test_servers_can_be_without_commit_stamps_and_with_logical_log(root: Path) -> None:
    with closing(
        PostgresqlBackends(root / "other", wal_level="logical", track_commit_timestamp=False)
    ) as backends:
        backends.create("shop", version="no such version", master=MASTER)

        assert sql(backends, "shop", "show wal_level") == [("logical",)]
        assert sql(backends, "shop", "show track_commit_timestamp") == [("off",)]
