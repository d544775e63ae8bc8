"""Fences and heartbeats on real servers."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pymysql
import pytest

from domain.errors import ServerFailedError, UnsupportedResourceError
from domain.recovery import RestoreHandle
from domain.resources import Connection
from providers.mysql import fence as mysql_fence
from providers.mysql.session import Session
from providers.mysql.session import session as mysql_session
from providers.postgresql.fence import fence
from providers.postgresql.heartbeat import beat
from tests.providers.mysql_ground import LOGIN, MysqlGround, mysql_ground
from tests.station import Station, wait_for

SECOND = timedelta(seconds=1)


def _handle(made: Station) -> RestoreHandle:
    current = made.servers.current()
    return RestoreHandle(server=current.name, host=current.host, port=current.port, run_id="")


def _owner(made: Station) -> Connection:
    return made.resource.connection


def _connected(made: Station, **login: Any) -> "psycopg.Connection[Any]":
    current = made.servers.current()
    found = {"dbname": "postgres", "user": "refloat", "password": made.password, **login}
    return psycopg.connect(host=current.host, port=current.port, autocommit=True, **found)


def test_a_fenced_postgresql_takes_no_write_and_a_freed_one_does(shared: Station) -> None:
    shared.sql("create table written (n int)")
    with _connected(shared) as before:
        before.execute("insert into written values (1)")
        fence(_handle(shared), _owner(shared), shared.secrets, fenced=True)
        with pytest.raises(psycopg.OperationalError):
            before.execute("insert into written values (2)")
    fence(_handle(shared), _owner(shared), shared.secrets, fenced=True)
    with _connected(shared) as during:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            during.execute("insert into written values (3)")
        assert during.execute("select count(*) from written").fetchall() == [(1,)]
        with pytest.raises(ServerFailedError, match="read-only"):
            beat(_handle(shared), _owner(shared), shared.secrets)

        fence(_handle(shared), _owner(shared), shared.secrets, fenced=False)
        wait_for(
            "the reader to be ended, who would not write", lambda: during.closed or _ends(during)
        )
    shared.sql("insert into written values (4)")
    assert shared.sql("select setconfig from pg_db_role_setting") == []
    shared.sql("drop table written")


def _ends(held: "psycopg.Connection[Any]") -> bool:
    try:
        held.execute("select 1")
    except psycopg.OperationalError:
        return True
    return False


def test_who_does_not_own_a_postgresql_cannot_fence_it(shared: Station) -> None:
    shared.sql("create role guest login password 'guest'")
    (shared.root / "guest").write_text("guest")
    guest = _owner(shared).model_copy(update={"user": "guest", "password": "file:guest"})

    with pytest.raises(UnsupportedResourceError, match="cannot be made read-only"):
        fence(_handle(shared), guest, shared.secrets, fenced=True)

    shared.sql("drop role guest")


def test_an_owner_ends_its_own_sessions_and_spares_the_others(shared: Station) -> None:
    shared.sql("create role owning login password 'owning'")
    shared.sql("create database owned owner owning")
    (shared.root / "owning").write_text("owning")
    owner = Connection(database="owned", user="owning", password="file:owning")
    login = {"dbname": "owned", "user": "owning", "password": "owning"}
    with _connected(shared, **login) as own, _connected(shared, dbname="owned") as higher:
        fence(_handle(shared), owner, shared.secrets, fenced=True)
        assert _ends(own)
        assert not _ends(higher)
    shared.sql("drop database owned")
    shared.sql("drop role owning")


def test_beats_of_a_postgresql_are_made_and_pruned(shared: Station) -> None:
    shared.sql("create database beaten")
    there = _owner(shared).model_copy(update={"database": "beaten"})
    beat(_handle(shared), there, shared.secrets)
    with _connected(shared, dbname="beaten") as held:
        for age in (14, 16):
            held.execute(f"insert into refloat.heartbeat values (now() - interval '{age} minutes')")
        beat(_handle(shared), there, shared.secrets)
        found = held.execute("select now() - at from refloat.heartbeat order by at").fetchall()

    ages = [age for (age,) in found]
    assert len(ages) == 3
    assert ages[0] < timedelta(minutes=15)
    assert ages[-1] < 5 * SECOND
    shared.sql("drop database beaten")


@pytest.fixture(scope="module")
def ground() -> Iterator[MysqlGround]:
    """Return one server, `one`, of MariaDB."""
    with mysql_ground() as made:
        made.create("one")
        yield made


def test_a_server_that_knows_no_read_only_database_says_so(ground: MysqlGround) -> None:
    for fenced in (True, False):
        with pytest.raises(UnsupportedResourceError, match=r"one: .* takes MySQL 8\.0\.22"):
            mysql_fence.fence(ground.handle("one"), LOGIN, ground.secrets, fenced=fenced)
    ground.sql("one", "create table still (n int)")


def test_who_holds_a_mysql_up_is_ended_and_the_fence_is_tried_again(
    ground: MysqlGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No MySQL is at hand, so the one statement that MariaDB lacks is answered by a script."""
    run: Callable[..., Any] = Session.rows
    tried: list[str] = []

    def rows(held: Session, statement: str, *values: object) -> Any:
        if not statement.startswith("alter database"):
            return run(held, statement, *values)
        tried.append(statement)
        if len(tried) == 1:
            raise pymysql.err.OperationalError(1205, "Lock wait timeout exceeded")
        return ()

    monkeypatch.setattr(Session, "rows", rows)
    with ground.connect("one") as idle:
        idle.begin()
        mysql_fence.fence(ground.handle("one"), LOGIN, ground.secrets, fenced=True)
        with pytest.raises(pymysql.Error):
            idle.ping(reconnect=False)
    assert tried == ["alter database `shop` read only = 1"] * 2


def test_somebody_elses_session_that_may_not_be_ended_stays(ground: MysqlGround) -> None:
    ground.sql(
        "one", "create user small@'%' identified by 'small'", "grant select on shop.* to small@'%'"
    )
    (ground.root / "small").write_text("small")
    small = LOGIN.model_copy(update={"user": "small", "password": "file:small"})
    with (
        ground.connect("one") as other,
        ground.connect("one", user="small", password="small") as own,
    ):
        with mysql_session(ground.handle("one"), small, ground.secrets) as held:
            mysql_fence.end_others(held)
        other.ping(reconnect=False)
        with pytest.raises(pymysql.Error):
            own.ping(reconnect=False)
