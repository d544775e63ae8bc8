"""Questions to a real MariaDB: what they answer, and what they refuse."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from domain.checks import SqlAnswer, Verdict
from domain.errors import AccessDeniedError, ProviderUnavailableError, ServerFailedError
from domain.recovery import RestoreHandle
from domain.resources import SqlCheck
from providers.mysql import session
from tests.providers.mysql_ground import LOGIN, MysqlGround, mysql_ground
from tests.station import no_progress


@pytest.fixture(scope="module")
def ground() -> Iterator[MysqlGround]:
    """Return one server, `one`, for tests that leave it as it was."""
    with mysql_ground() as made:
        made.create("one")
        yield made


def _ask(ground: MysqlGround, query: str, **check: Any) -> SqlAnswer:
    asked = SqlCheck(name="c", query=query, **check)
    return ground.questions.ask(ground.handle("one"), LOGIN, asked)


def test_answers_keep_their_number_or_moment(ground: MysqlGround) -> None:
    assert _ask(ground, "select 7").number == 7
    assert _ask(ground, "select 0.5;").number == 0.5
    assert _ask(ground, "values (3)").number == 3
    assert _ask(ground, "with a as (select 'ü' as x) select x from a").text == "ü"
    assert _ask(ground, "select cast('raw' as binary)").text == "raw"
    assert _ask(ground, "select null").text is None
    assert _ask(ground, "select @@session.time_zone").text == "+00:00"
    moment = _ask(ground, "select timestamp'2026-03-01 09:30:00.25'").moment
    assert moment is not None
    assert moment.isoformat() == "2026-03-01T09:30:00.250000+00:00"


def test_a_check_that_would_write_or_returns_no_single_value_is_told(ground: MysqlGround) -> None:
    ground.sql(
        "one",
        "create table bare (id int)",
        "create table plain (id int) engine=myisam",
        "create sequence ticket",
        "create function sneaky() returns int modifies sql data begin "
        "insert into bare values (1); return 1; end",
        "create function slyly() returns int modifies sql data begin "
        "insert into plain values (1); return 1; end",
    )
    for query, told in {
        "select id from nowhere": "'shop.nowhere' doesn't exist",
        "select sneaky()": "refused: it would modify data",
        "select slyly()": "refused: it would modify data",
        "select nextval(ticket)": "refused: it would modify data",
        "with a as (select 1) select sneaky() from a": "refused: it would modify data",
        "select 1; drop table bare": "error in your SQL syntax",
        "select 1, 2": "2 columns",
        "select 1 into outfile '/tmp/never'": "refused: it would write a file",
        "select 1 into/**/dumpfile '/tmp/never'": "refused: it would write a file",
        "insert into bare values (1)": "refused: a check begins with",
        "load data infile '/etc/passwd' into table bare": "refused: a check begins with",
        "": "refused: a check begins with",
    }.items():
        assert told in _ask(ground, query).problem, query
    assert _ask(ground, "select id from bare").rows == 0
    assert _ask(ground, "select seq from seq_1_to_1000000").rows == 2
    assert ground.sql("one", "select count(*) from bare") == ((0,),)
    assert ground.sql("one", "select count(*) from plain") == ((0,),)
    ground.sql(
        "one",
        "drop function sneaky",
        "drop function slyly",
        "drop sequence ticket",
        "drop table bare, plain",
    )


def test_a_check_ends_at_its_time_limit(ground: MysqlGround) -> None:
    began = time.monotonic()
    answer = _ask(ground, "select sleep(30)", timeout="300ms")

    assert answer.problem == "no answer within 0.3 s"
    assert time.monotonic() - began < 3


def test_whoever_cannot_prove_who_it_is_gets_nothing(
    ground: MysqlGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, good = SqlCheck(name="c", query="select 1"), ground.handle("one")
    text, resolve = ground.certificates.authority.read_text(), socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest: resolve("127.0.0.1", *rest))
    elsewhere = {"host": "orders.example"}
    for handle, told in (
        (ground.handle("one", verify="full"), "certificate verify failed"),
        (ground.handle("one", verify="ca"), "certificate verify failed"),
        (ground.handle("one", ca_file="/nowhere.pem"), "/nowhere.pem: No such file"),
        (good.model_copy(update=elsewhere), "certificate is not valid for 'orders.example'"),
        (good.model_copy(update={"tls": None}), "Access denied"),
    ):
        with pytest.raises(AccessDeniedError, match=told):
            ground.questions.ask(handle, LOGIN, check)
    by_signature = ground.handle("one", ca=text, verify="ca").model_copy(update=elsewhere)
    assert ground.questions.ask(by_signature, LOGIN, check).number == 1


@contextmanager
def _greeter(
    ground: MysqlGround, greeting: bytes | None
) -> Iterator[tuple[RestoreHandle, bytearray]]:
    """Hold a server that says one thing, or nothing at all, and keeps what it hears."""
    heard, over = bytearray(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            visit, _ = listening.accept()
            with visit:
                if greeting is None:
                    over.wait(5)
                    return
                visit.sendall(greeting)
                heard.extend(visit.recv(4096))

        answering = threading.Thread(target=greet)
        answering.start()
        port = listening.getsockname()[1]
        yield ground.handle("one").model_copy(update={"port": port}), heard
        over.set()
        answering.join()


def test_a_server_without_tls_is_never_asked_in_plain(ground: MysqlGround) -> None:
    body = b"\x0a8.0.36\0" + b"\1\0\0\0" + b"12345678\0" + b"\xff\xf7" + b"\x2d\2\0"
    body += b"\xff\xc1\x15" + b"\0" * 10 + b"123456789012\0mysql_native_password\0"
    greeting = len(body).to_bytes(3, "little") + b"\0" + body
    with (
        _greeter(ground, greeting) as (handle, heard),
        pytest.raises(AccessDeniedError, match="nothing is sent without it"),
    ):
        ground.questions.ask(handle, LOGIN, SqlCheck(name="c", query="select 1"))
    assert not heard


def test_what_is_no_mysql_or_says_nothing_is_named(
    ground: MysqlGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_GREETS_WITHIN", 0.2)
    check = SqlCheck(name="c", query="select 1")
    for greeting, error in {
        None: ProviderUnavailableError,
        b"SSH-2.0-OpenSSH\r\n": ProviderUnavailableError,
        b"\x05\0\0\0\x0a8.0\0": ServerFailedError,
        b"\0\0\0\0": ServerFailedError,
    }.items():
        with _greeter(ground, greeting) as (handle, _), pytest.raises(error, match="one: "):
            ground.questions.ask(handle, LOGIN, check)


def test_failures_have_the_names_of_the_domain(ground: MysqlGround) -> None:
    check, good = SqlCheck(name="c", query="select 1"), ground.handle("one")
    ground.sql("one", "create user locked@'%' identified by 'x' account lock")
    wrong = ground.root / "wrong"
    wrong.write_text("x")
    for login in (
        {"user": "nobody"},
        {"password": "file:wrong"},
        {"database": "nowhere"},
        {"user": "locked", "password": "file:wrong"},
    ):
        with pytest.raises(AccessDeniedError, match="one: "):
            ground.questions.ask(good, LOGIN.model_copy(update=login), check)
    with pytest.raises(ProviderUnavailableError, match="one: "):
        ground.questions.ask(good.model_copy(update={"port": 1}), LOGIN, check)
    ground.sql("one", "drop user locked")


def test_a_session_that_is_cut_is_unavailable_and_no_answer(ground: MysqlGround) -> None:
    def cut() -> None:
        found: tuple[tuple[Any, ...], ...] = ()
        while not found:
            found = ground.sql(
                "one", "select id from information_schema.processlist where info like '%sleep(9)'"
            )
        ground.sql("one", f"kill {found[0][0]}")

    cutting = threading.Thread(target=cut)
    cutting.start()
    with pytest.raises(ProviderUnavailableError):
        _ask(ground, "select sleep(9)")
    cutting.join()


def _verdicts(ground: MysqlGround, server: str) -> dict[str, tuple[Verdict, str]]:
    handle = ground.handle(server)
    found = ground.questions.integrity(handle, LOGIN, no_progress)
    return {finding.name: (finding.verdict, finding.observed) for finding in found}


def test_a_damaged_page_is_found_and_a_sound_database_is_not_blamed(ground: MysqlGround) -> None:
    ground.create("two")
    ground.sql(
        "two",
        "create table good (id int primary key) engine=aria",
        "create table bad (id int primary key, t varchar(200), key (t))",
        "insert into good values (1)",
        "insert into bad select seq, concat(seq, repeat('x', 150)) from seq_1_to_5000",
    )
    sound = _verdicts(ground, "two")
    assert {verdict for verdict, _ in sound.values()} == {Verdict.PASSED}, sound
    assert "2 tables of 1 databases sound" in sound["table and index structure"][1]

    ground.backends.stop("two")
    pages = ground.root / "mysql/servers/two/data/shop/bad.ibd"
    with pages.open("r+b") as held:
        held.seek(pages.read_bytes().index(b"2500xxx"))
        held.write(b"damage")
    ground.backends.start("two")
    broken = _verdicts(ground, "two")

    assert broken["table and index structure"][0] is Verdict.FAILED
    assert "shop.bad" in broken["table and index structure"][1]
    assert broken["page checksums"][0] is Verdict.FAILED
    ground.backends.remove("two", retain=False)


def test_a_server_error_that_nobody_expects_fails(ground: MysqlGround) -> None:
    handle: RestoreHandle = ground.handle("one")
    ground.sql("one", "create view broken as select 1 as a", "create table odd (a int)")
    table = ground.root / "mysql/servers/one/data/shop/odd.frm"
    ground.sql("one", "flush tables odd")
    table.write_bytes(b"no table")
    with pytest.raises(ServerFailedError, match="odd"):
        ground.questions.take_proof(handle, LOGIN, no_progress)
    table.unlink()
    ground.sql("one", "drop view broken")
