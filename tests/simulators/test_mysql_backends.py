"""Real MariaDB servers behind simulated instances: restored to the second, adopted, never left over."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pymysql
import pytest

from domain.errors import ServerFailedError
from simulators import mysql_programs
from simulators.mysql_log import LogWatch, Position, transactions
from tests.providers.mysql_ground import MASTER, MysqlGround, later, mysql_ground

SECOND = timedelta(seconds=1)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ground() -> Iterator[MysqlGround]:
    """Return a folder for servers; each test makes its own."""
    with mysql_ground() as made:
        yield made


class Writer:
    """Commits a row at a time as fast as it can, and keeps when each was asked for and known."""

    def __init__(self, ground: MysqlGround, server: str) -> None:
        ground.sql(server, "create table written (n int primary key)")
        self.commits: list[tuple[int, float, float]] = []
        self._ground, self._server, self._over = ground, server, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self._ground.connect(self._server) as held, held.cursor() as cursor:
            while not self._over.is_set():
                number, asked = len(self.commits), time.time()
                cursor.execute("insert into written values (%s)", (number,))
                self.commits.append((number, asked, time.time()))
                time.sleep(0.002)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def wrong(self, found: set[int], moment: datetime) -> list[tuple[int, float, float]]:
        """Return the commits that are missing or too many in a copy as of a moment."""
        at = moment.timestamp()
        missing = [one for one in self.commits if one[2] <= at and one[0] not in found]
        extra = [one for one in self.commits if one[1] > at and one[0] in found]
        return missing + extra


def _numbers(ground: MysqlGround, server: str) -> set[int]:
    return {number for (number,) in ground.sql(server, "select n from written")}


def test_a_restore_to_a_second_holds_every_commit_before_it_and_none_after(
    ground: MysqlGround,
) -> None:
    ground.create("exact")
    with Writer(ground, "exact") as writer:
        began = datetime.now(UTC).replace(microsecond=0)
        time.sleep(1.2)
        ground.backends.take("exact", "middle")
        time.sleep(1.2)
    for number in (1, 2):
        moment = began + number * SECOND
        ground.backends.restore("exact", f"copy-{number}", moment)
        found = _numbers(ground, f"copy-{number}")
        assert writer.wrong(found, moment) == []
        assert 0 < len(found) < len(writer.commits)
        ground.backends.remove(f"copy-{number}", retain=False)
    ground.backends.restore("exact", "copy-all", None)
    assert len(_numbers(ground, "copy-all")) == len(writer.commits)
    ground.backends.remove("copy-all", retain=False)
    ground.backends.remove("exact", retain=False)


def test_everything_that_is_in_the_log_comes_back(ground: MysqlGround) -> None:
    ground.create("all")
    ground.sql(
        "all",
        "create table a (n int primary key, t longtext) engine=innodb",
        "create table b (n int) engine=myisam",
        "insert into a values (1, repeat('ü', 300000))",
        "insert into b values (1)",
        "flush binary logs",
        "create user late@'%' identified by 'late'",
        "grant select on shop.* to late@'%'",
        "create procedure add_one() insert into b values (2)",
        "call add_one()",
        "alter table a add column more json",
        "update a set more = '{}'",
    )
    before = later()
    with ground.connect("all") as held, held.cursor() as cursor:
        held.begin()
        cursor.execute("insert into a (n) values (2)")
        cursor.execute("insert into b values (3)")
        middle = later()  # the engine without transactions keeps its row at once
        held.commit()
        held.begin()
        cursor.execute("delete from a")
        held.rollback()
    cleared = later()
    ground.sql("all", "set timestamp = 1000000000", "truncate a", "drop user late")

    for server, moment in {"all-1": before, "all-2": middle, "all-3": cleared}.items():
        ground.backends.restore("all", server, moment)
    assert ground.sql("all-1", "select n, char_length(t), more from a") == ((1, 300000, "{}"),)
    assert ground.rows("all-1", "b") == [(1,), (2,)]
    assert [row[0] for row in ground.rows("all-2", "a")] == [1]
    assert ground.rows("all-2", "b") == [(1,), (2,), (3,)]
    assert [row[0] for row in ground.rows("all-3", "a")] == [1, 2]
    login = {"user": "late", "password": "late"}
    assert ground.sql("all-3", "select count(*) from a", **login) == ((2,),)
    for server in ("all", "all-1", "all-2", "all-3"):
        ground.backends.remove(server, retain=False)


def test_a_copy_is_restorable_itself_and_a_removed_source_only_where_kept(
    ground: MysqlGround,
) -> None:
    backends = ground.backends
    ground.create("first")
    ground.sql("first", "create table t (n int)", "insert into t values (1)")
    kept = later()
    ground.sql("first", "insert into t values (2)")
    backends.remove("first", retain=True)
    assert backends.address("first") is None
    opens, closes = backends.window("first") or (kept, kept)
    assert opens < kept < closes

    backends.restore("first", "second", kept)
    ground.sql("second", "insert into t values (3)")
    backends.restore("second", "third", later())
    assert ground.rows("third", "t") == [(1,), (3,)]
    backends.restore("first", "fourth", closes)
    assert ground.rows("fourth", "t") == [(1,), (2,)]
    for server in ("first", "second", "third", "fourth"):
        backends.remove(server, retain=False)
        backends.remove(server, retain=False)
        assert backends.window(server) is None
        with pytest.raises(LookupError):
            backends.restore(server, "fifth", None)


def test_a_moment_out_of_reach_makes_nothing(ground: MysqlGround) -> None:
    backends = ground.backends
    ground.create("short")
    opens, closes = backends.window("short") or (datetime.now(UTC), datetime.now(UTC))
    for moment in (opens - SECOND, closes + 60 * SECOND):
        with pytest.raises(LookupError, match=r"short: .* is not in"):
            backends.restore("short", "never", moment)
    assert backends.address("never") is None
    backends.stop("short")
    with pytest.raises(LookupError):
        backends.restore("short", "never", datetime.now(UTC) + SECOND)
    backends.restore("short", "never", (backends.window("short") or (opens, opens))[1])
    for server in ("short", "never"):
        backends.remove(server, retain=False)


def test_a_snapshot_outlives_its_source(ground: MysqlGround) -> None:
    backends = ground.backends
    ground.create("photographed")
    with Writer(ground, "photographed") as writer:
        time.sleep(0.3)
        taken_at = backends.take("photographed", "photo")
        time.sleep(0.3)
    backends.stop("photographed")
    backends.take("photographed", "asleep")
    backends.remove("photographed", retain=False)

    backends.restore_snapshot("photo", "from-photo")
    found = _numbers(ground, "from-photo")
    assert found == set(range(len(found)))
    last, after = writer.commits[len(found) - 1], writer.commits[len(found)]
    assert last[1] <= taken_at.timestamp() <= after[2]
    backends.restore_snapshot("asleep", "from-sleep")
    assert len(_numbers(ground, "from-sleep")) == len(writer.commits)
    for snapshot in ("photo", "asleep"):
        backends.forget(snapshot)
        backends.forget(snapshot)
        with pytest.raises(LookupError):
            backends.restore_snapshot(snapshot, "from-nothing")
    for server in ("from-photo", "from-sleep"):
        backends.remove(server, retain=False)


def test_a_stopped_server_keeps_its_data_and_its_log_goes_on(ground: MysqlGround) -> None:
    backends = ground.backends
    ground.create("sleeper")
    ground.sql("sleeper", "create table t (n int)", "insert into t values (1)")
    backends.stop("sleeper")
    assert backends.address("sleeper") is None
    backends.start("sleeper")
    ground.sql("sleeper", "insert into t values (2)")
    between = later()
    ground.sql("sleeper", "insert into t values (3)")
    backends.restore("sleeper", "copy", between)
    assert ground.rows("copy", "t") == [(1,), (2,)]
    for server in ("sleeper", "copy"):
        backends.remove(server, retain=False)


def test_the_network_gets_nothing_without_tls_and_no_administrator(ground: MysqlGround) -> None:
    ground.create("guarded")
    host, port = ground.backends.address("guarded") or ("", 0)
    for login in (
        {"user": MASTER.user, "password": MASTER.password.encode(), "ssl_disabled": True},
        {"user": mysql_programs.ADMIN, "password": ground.backends._programs.password},
        {"user": "root", "password": ""},
        {"user": "", "password": ""},
    ):
        with pytest.raises(pymysql.OperationalError):
            pymysql.connect(host=host, port=port, **login)
    with pytest.raises(pymysql.OperationalError):
        ground.sql("guarded", "set global read_only = 1")
    ground.administer("guarded", "set global slow_query_log = 0")
    ground.backends.remove("guarded", retain=False)


def test_commits_that_nobody_watched_are_placed_by_their_own_second(ground: MysqlGround) -> None:
    ground.create("unwatched")
    server = ground.backends._servers["unwatched"]
    ground.backends._watcher.leave("unwatched")
    ground.sql("unwatched", "create table t (n int)")
    moments = []
    for number in range(2):
        ground.sql("unwatched", f"insert into t values ({number})")
        time.sleep(1)
        moments.append(datetime.now(UTC).replace(microsecond=0))
    server.watch = LogWatch(server.log, server.folder / "growth")
    ground.backends._watcher.follow("unwatched", server.watch)
    for number, moment in enumerate(moments):
        ground.backends.restore("unwatched", f"seen-{number}", moment)
        assert ground.rows(f"seen-{number}", "t") == [(n,) for n in range(number + 1)]
        ground.backends.remove(f"seen-{number}", retain=False)
    ground.backends.remove("unwatched", retain=False)


def test_a_transaction_that_is_half_written_is_none_yet(
    tmp_path: Path, ground: MysqlGround
) -> None:
    ground.create("half")
    ground.sql(
        "half", "create table t (n int)", "insert into t values (1)", "insert into t values (2)"
    )
    log = ground.root / "mysql/servers/half/log/bin.000001"
    whole = log.read_bytes()
    ends = [one.end.offset for one in transactions(log.parent, 1)]
    assert len(ends) == 3
    assert ends[-1] == len(whole)
    for size in (ends[1], ends[1] + 10, ends[2] - 1):
        (tmp_path / "bin.000001").write_bytes(whole[:size])
        assert [one.end for one in transactions(tmp_path, 1)][-1] == Position(1, ends[1])
    ground.backends.remove("half", retain=False)


def test_a_failed_restore_leaves_nothing(
    ground: MysqlGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.create("source")
    ground.sql("source", "create table t (n int)")
    monkeypatch.setattr(mysql_programs, "_PATH", str(ground.root))
    with pytest.raises(ServerFailedError, match="mariadb-server and mariadb-backup"):
        ground.backends.create("new", version="8.0", master=MASTER)
    with pytest.raises(ServerFailedError, match="mariadb-server and mariadb-backup"):
        ground.backends.restore("source", "new", None)
    with pytest.raises(ServerFailedError, match="mariadb-server and mariadb-backup"):
        ground.backends.take("source", "photo")
    monkeypatch.undo()
    assert ground.backends.address("new") is None
    assert not list((ground.root / "mysql").glob("*/new"))
    assert not list((ground.root / "mysql").glob("*/photo"))
    ground.backends.restore("source", "new", None)
    with pytest.raises(ServerFailedError, match="exists already"):
        ground.backends.restore("source", "new", None)
    for server in ("source", "new"):
        ground.backends.remove(server, retain=False)
