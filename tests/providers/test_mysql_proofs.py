"""Proofs of a real MariaDB: content in one snapshot, and the point that a copy reached."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from domain.checks import ProofPoint, Verdict, compare_content, compare_counts
from domain.recovery import RecoveryPoint, RestoredResource, RestoreHandle, Target, TargetKind
from providers.mysql.heartbeat import beat
from tests.providers.mysql_ground import LOGIN, MysqlGround, mysql_ground
from tests.station import no_progress

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def ground() -> Iterator[MysqlGround]:
    """Return one server, `one`, whose tables the tests change."""
    with mysql_ground() as made:
        made.create("one")
        yield made


def _hash(ground: MysqlGround, server: str = "one") -> ProofPoint:
    return ground.questions.content(ground.handle(server), LOGIN, "", no_progress, hashed=True)


def test_every_kind_of_value_changes_the_hash_and_order_does_not(ground: MysqlGround) -> None:
    kinds = {
        "bigint unsigned": ("18446744073709551615", "18446744073709551614"),
        "decimal(30, 10)": ("1.0000000001", "1.0000000002"),
        "float": ("1.00000001e10", "1.0000001e10"),
        "double": ("0.1", "0.10000000000000001e-1"),
        "bit(20)": ("b'1'", "b'10'"),
        "varchar(20)": ("''", "null"),
        "varchar(21)": ("'N'", "null"),
        "char(5) character set latin1": ("'ä'", "'ö'"),
        "varbinary(9)": ("x'00ff'", "x'00fe'"),
        "longtext": ("repeat('a', 70000)", "repeat('a', 70001)"),
        "longblob": ("x'80'", "x'81'"),
        "enum('a', 'b')": ("'a'", "'b'"),
        "set('a', 'b')": ("'a,b'", "'b'"),
        "json": ("""'{"a": 1}'""", """'{"a": 2}'"""),
        "geometry": ("point(1, 2)", "point(1, 3)"),
        "uuid": ("'6ccd780c-baba-1026-9564-5b8c656024db'", "null"),
        "inet6": ("'::1'", "'::2'"),
        "date": ("'2026-01-01'", "'2026-01-02'"),
        "time(6)": ("'-10:00:00.000001'", "'10:00:00.000001'"),
        "datetime(6)": ("'2026-01-01 00:00:00.000001'", "'2026-01-01'"),
        "timestamp(3)": ("'2026-01-01 00:00:00.001'", "'2026-01-01'"),
        "year": ("2026", "2027"),
    }
    ground.sql("one", *(f"create table k{n} (x {kind})" for n, kind in enumerate(kinds)))
    for first, second in ((0, 1), (1, 0)):
        statements = []
        for number, values in enumerate(kinds.values()):
            rows = f"({values[first]}), ({values[second]}), ({values[first]})"
            statements += [f"truncate k{number}", f"insert into k{number} values {rows}"]
        ground.sql("one", *statements)
        proof = _hash(ground)
        if first == 0:
            before = {content.table: content.digest for content in proof.tables}
    after = {content.table: content.digest for content in proof.tables}
    assert [table for table in before if before[table] == after[table]] == []
    assert {content.rows for content in proof.tables} == {3}

    ground.sql("one", "create table o (a int, b text)", "insert into o values (1, 'x'), (2, 'y')")
    forward = _hash(ground)
    ground.sql("one", "delete from o", "insert into o values (2, 'y'), (1, 'x')")
    assert compare_content(forward, _hash(ground)).verdict is Verdict.PASSED
    ground.sql("one", "update o set a = 3 - a")
    assert compare_content(forward, _hash(ground)).verdict is Verdict.FAILED
    ground.sql("one", "drop table o", *(f"drop table k{n}" for n in range(len(kinds))))


def test_columns_do_not_run_into_each_other(ground: MysqlGround) -> None:
    ground.sql("one", "create table p (a varchar(9), b varchar(9))")
    digests = set()
    pairs = ("('1:a', '')", "('', '1:a')", "('1', ':a')", "(null, '')", "('', null)", "('N', 'N')")
    for pair in pairs:
        ground.sql("one", "truncate p", f"insert into p values {pair}")
        digests.add(_hash(ground).tables[0].digest)
    assert len(digests) == len(pairs)
    ground.sql("one", "drop table p")


def test_a_proof_sees_one_instant_while_writers_go_on(ground: MysqlGround) -> None:
    ground.sql(
        "one",
        "create table debit (n int)",
        "create table credit (n int)",
        "create table `we`ird``` (n int)".replace("`we`ird```", "`we``ird`"),
        "create view seen as select * from debit",
        "create table passing (n int) engine=memory",
    )
    stop = threading.Event()

    def move() -> None:
        with ground.connect("one") as held, held.cursor() as cursor:
            while not stop.is_set():
                held.begin()
                cursor.execute("insert into debit values (1)")
                cursor.execute("insert into credit values (1)")
                held.commit()

    moving = threading.Thread(target=move)
    moving.start()
    try:
        proofs = [
            ground.questions.take_proof(ground.handle("one"), LOGIN, no_progress) for _ in range(5)
        ]
    finally:
        stop.set()
        moving.join()
    for proof in proofs:
        rows = {content.table: content.rows for content in proof.tables}
        assert rows["shop.debit"] == rows["shop.credit"]
        assert set(rows) == {"shop.debit", "shop.credit", "shop.we`ird"}
        assert proof.lsn.startswith("bin.000001:")
    assert len({proof.lsn for proof in proofs}) > 1
    counts = ground.questions.content(ground.handle("one"), LOGIN, "", no_progress, hashed=False)
    assert compare_counts(proofs[-1], counts).verdict is Verdict.PASSED


def _reached(ground: MysqlGround, handle: RestoreHandle, at: datetime) -> tuple[Verdict, str]:
    restored = RestoredResource(
        handle=handle, ready_at=datetime.now(UTC), stopped_because="", version="10.11"
    )
    point = RecoveryPoint(
        target=Target(kind=TargetKind.TIME, time=at),
        source="",
        backup_id="",
        at=at,
        granularity=SECOND,
    )
    (found,) = ground.questions.point_reached(restored, point, LOGIN, "refloat.heartbeat")
    assert found.kind == "point"
    return found.verdict, found.observed


def test_the_newest_beat_proves_the_point_and_without_one_it_is_unproven(
    ground: MysqlGround,
) -> None:
    handle, now = ground.handle("one"), datetime.now(UTC)
    assert _reached(ground, handle, now) == (
        Verdict.UNPROVEN,
        "no heartbeat in the restored data",
    )
    beat(handle, LOGIN, ground.secrets)
    now = datetime.now(UTC)

    assert _reached(ground, handle, now)[0] is Verdict.PASSED
    assert _reached(ground, handle, now - 2 * SECOND)[0] is Verdict.FAILED
    assert _reached(ground, handle, now + 60 * SECOND)[0] is Verdict.UNPROVEN


def test_beats_are_in_utc_and_old_ones_go(ground: MysqlGround) -> None:
    handle = ground.handle("one")
    beat(handle, LOGIN, ground.secrets)
    ground.sql(
        "one",
        "insert into refloat.heartbeat values (utc_timestamp(6) - interval 16 minute)",
        "insert into refloat.heartbeat values (utc_timestamp(6) - interval 14 minute)",
    )
    beat(handle, LOGIN, ground.secrets)

    rows = [at for (at,) in ground.sql("one", "select at from refloat.heartbeat order by at")]
    ages = [datetime.now(UTC) - at.replace(tzinfo=UTC) for at in rows]
    assert timedelta(minutes=14) < ages[0] < timedelta(minutes=15)
    assert ages[-1] < 5 * SECOND
    assert len(rows) >= 3


def test_who_may_not_read_the_heartbeat_leaves_the_point_unproven(ground: MysqlGround) -> None:
    beat(ground.handle("one"), LOGIN, ground.secrets)
    (ground.root / "reader").write_text("reader")
    ground.sql(
        "one",
        "create user reader@'%' identified by 'reader'",
        "grant select on shop.* to reader@'%'",
    )
    reader = LOGIN.model_copy(update={"user": "reader", "password": "file:reader"})
    restored = RestoredResource(
        handle=ground.handle("one"), ready_at=datetime.now(UTC), stopped_because="", version=""
    )
    point = RecoveryPoint(
        target=Target(kind=TargetKind.LATEST), source="", backup_id="", at=datetime.now(UTC)
    )
    (found,) = ground.questions.point_reached(restored, point, reader, "refloat.heartbeat")
    assert found.verdict is Verdict.UNPROVEN
    (found,) = ground.questions.point_reached(restored, point, LOGIN, None)
    assert found.verdict is Verdict.UNPROVEN
