"""A check that had nothing to look at, or would write, proves nothing and says so."""

from typing import Any

from domain.checks import ProofPoint, Verdict, compare_content, judge_sql
from domain.recovery import RestoreHandle
from domain.resources import SqlCheck
from tests.station import Station, now


def _answer(made: Station, query: str, **expected: Any) -> tuple[Verdict, str]:
    """Return the verdict on one check, and what it observed."""
    current = made.servers.current()
    handle = RestoreHandle(server=current.name, host=current.host, port=current.port, run_id="")
    check = SqlCheck(name="c", query=query, **expected)
    answer = made.questions.ask(handle, made.resource.connection, check)
    finding = judge_sql(check, answer, now())
    return finding.verdict, finding.observed


def test_a_check_that_had_nothing_to_look_at_or_would_write_fails(shared: Station) -> None:
    shared.sql("create table if not exists bare (id int, at timestamptz)")
    shared.sql("create sequence if not exists ticket")
    shared.sql(
        "create or replace function sneaky() returns int language sql volatile as "
        "'insert into bare values (1) returning id'"
    )
    for query, told in {
        "select max(at) from bare": "there was nothing to look at",
        "select id from bare": "0 rows; a check returns exactly one",
        "select generate_series(1, 3)": "a check returns exactly one",
        "select count(*) from nowhere": 'relation "nowhere" does not exist',
        "select nextval('ticket')": "refused: it would modify data",
        "select sneaky()": "refused: it would modify data",
        "select set_config('transaction_read_only', 'off', true), sneaky()": "read-write mode",
        "select id from bare for update": "refused: it would modify data",
        "create table more (id int)": "refused: a check begins with",
        "copy bare to program 'true'": "refused: a check begins with",
        "": "refused: a check begins with",
    }.items():
        verdict, observed = _answer(shared, query)
        assert verdict is Verdict.FAILED, query
        assert told in observed, (query, observed)
    assert _answer(shared, "select count(*) from bare", at_least=1) == (Verdict.FAILED, "0")
    assert shared.sql("select count(*) from bare") == [(0,)]
    shared.sql("drop function sneaky; drop table bare; drop sequence ticket")


def test_a_proof_without_tables_proves_nothing() -> None:
    empty = ProofPoint(lsn="0/1", taken_at=now(), database="postgres", tables=())

    assert compare_content(empty, empty).verdict is Verdict.FAILED
