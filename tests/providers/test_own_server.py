"""A PostgreSQL of one's own, of every version found here: restored, cut over, released, untouched."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
import pytest

from domain.checks import Finding, Verdict
from domain.recovery import RestoredResource, TargetKind
from domain.resources import Mode
from providers.local.binaries import Binaries
from tests.providers.own_server import OwnServer, installations, named, own_station
from tests.station import Station, no_progress, now, wait_for
from tests.writer import writing

OLDEST, NEWEST = installations()[0], installations()[-1]


def _ids(made: Station, table: str, server: str | None = None) -> list[int]:
    return [row[0] for row in made.sql(f"select id from {table} order by id", server)]


def _wait_reachable(made: Station, moment: datetime) -> None:
    def reachable() -> bool:
        return any(
            window.closes_at > moment for window in made.provider.points.windows(made.resource)
        )

    wait_for("the moment to be in the window", reachable)


def _moment_before_the_loss(made: Station, table: str) -> str:
    """Return the LSN of the commit that dropped a table, as the suspects tell it."""

    def found() -> str:
        suspects = made.provider.points.suspects(made.resource, datetime.min.replace(tzinfo=now().tzinfo))
        return next(
            (one.lsn for one in suspects if one.acts == (f"dropped public.{table}",)), ""
        )

    return str(wait_for("the suspect", found))


def _stock(made: Station, server: str | None = None) -> list[tuple[Any, ...]]:
    """Return the rows of the database beside the one that the catalog connects to."""
    record = made.servers.record(server) if server else made.servers.current()
    assert record is not None
    with psycopg.connect(
        host=record.host,
        port=record.port,
        dbname="warehouse",
        user="refloat",
        password=made.password,
    ) as held:
        return held.execute(b"select item, count from stock order by item").fetchall()


STOCK = [("bolt", 7), ("nut", 11)]


def _fill(own: OwnServer) -> None:
    own.sql("create database warehouse")
    own.sql("create table stock (item text primary key, count int)", "warehouse")
    own.sql("insert into stock values ('nut', 11), ('bolt', 7)", "warehouse")


@pytest.mark.parametrize("binaries", installations(), ids=named)
def test_a_server_of_ones_own_is_restored_cut_over_and_released(binaries: Binaries) -> None:
    with own_station(binaries) as (made, own):
        as_written = own.configuration_bytes()
        _fill(own)
        with writing(made) as writer:
            wait_for("some commits", lambda: len(writer.record) > 60)
        middle = writer.record[30][1]
        _wait_reachable(made, middle)
        own.sql(f"drop table {writer.table}")
        all_ids = [number for number, _ in writer.record]

        to_time = made.restore(made.at(middle), Mode.DRILL)

        assert _ids(made, writer.table, to_time.handle.server) == all_ids[:31]
        assert _stock(made, to_time.handle.server) == STOCK
        made.discard(to_time.handle)

        lsn = _moment_before_the_loss(made, writer.table)
        point = made.resolve(kind=TargetKind.BEFORE_LSN, lsn=lsn)
        restored = made.restore(point)

        assert restored.version == binaries.version
        assert _ids(made, writer.table, restored.handle.server) == all_ids
        reached = made.questions.point_reached(
            restored, point, made.resource.connection, "refloat.heartbeat"
        )
        assert [one.verdict for one in reached] == [Verdict.PASSED] * 3, reached
        _require_honest_integrity(made, own, restored)
        assert own.runs
        with pytest.raises(psycopg.errors.UndefinedTable):
            own.sql(f"select * from {writer.table}")

        made.provider.cutover.protect(made.resource, restored.handle, no_progress)
        superseded = made.provider.cutover.promote(made.resource, restored.handle)

        assert (superseded.server, superseded.fenced) == ("orders-origin", True)
        made.sql(f"insert into {writer.table} values (1000)")
        second = _restore_after(made, now())
        assert _ids(made, writer.table, second.handle.server) == [*all_ids, 1000]
        assert _stock(made, second.handle.server) == STOCK
        made.discard(second.handle)

        assert made.provider.cutover.release(made.resource) == ["orders-origin"]

        assert own.runs
        assert own.configuration_bytes() == as_written
        wait_for(
            "its slot to be dropped",
            lambda: not own.sql("select slot_name from pg_replication_slots"),
            within=15,
        )
        assert own.sql("select count(*) from stock", "warehouse") == [(2,)]
        assert made.leftovers() == []


def _restore_after(made: Station, moment: datetime) -> RestoredResource:
    """Restore the present server to a moment that has just passed."""
    _wait_reachable(made, moment)
    point = made.at(moment)
    assert point.source == made.servers.current().name
    return made.restore(point, Mode.DRILL)


def _require_honest_integrity(made: Station, own: OwnServer, restored: RestoredResource) -> None:
    """Hold what the integrity check says against what this installation can check at all."""
    findings = {
        one.name: one
        for one in made.questions.integrity(
            restored.handle, made.resource.connection, no_progress
        )
    }
    structure = findings["heap and B-tree structure"]
    if own.sql("select from pg_available_extensions where name = 'amcheck'"):
        assert structure.verdict is Verdict.PASSED, structure
        summed = own.sql("show data_checksums") == [("on",)]
        _require_pages(findings["page checksums"], summed=summed)
    else:
        assert not structure.good
        assert "amcheck cannot be used" in structure.observed
        assert structure.advice == "install the amcheck extension"


def _require_pages(pages: Finding, *, summed: bool) -> None:
    if summed:
        assert pages.verdict is Verdict.PASSED, pages
    else:
        assert pages.verdict is Verdict.NOT_APPLICABLE
        assert "made without page checksums" in pages.observed
        assert "pg_checksums --enable" in pages.advice
