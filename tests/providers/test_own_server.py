"""A PostgreSQL of one's own, of every version found here: restored, cut over, released, untouched."""

import os
from datetime import datetime
from typing import Any

import psycopg
import pytest

from domain.checks import Finding, Verdict
from domain.errors import UnsupportedResourceError
from domain.recovery import RestoredResource, TargetKind
from domain.resources import Mode
from providers.local.binaries import Binaries
from tests.providers.own_server import (
    Files,
    OwnServer,
    complete,
    installations,
    named,
    own_station,
    require_nothing_left,
)
from tests.station import Notes, Station, no_progress, now, wait_for
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


def _noted(made: Station, table: str) -> bool:
    return f"public.{table}" in made.archive.names().by_oid.values()


def _moment_before_the_loss(made: Station, table: str) -> str:
    """Return the LSN of the commit that dropped a table, as the suspects tell it."""

    def found() -> str:
        suspects = made.provider.points.suspects(
            made.resource, datetime.min.replace(tzinfo=now().tzinfo)
        )
        return next((one.lsn for one in suspects if one.acts == (f"dropped public.{table}",)), "")

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


@pytest.mark.parametrize("binaries", [one for one in installations() if complete(one)], ids=named)
def test_a_server_of_ones_own_is_restored_cut_over_and_released(binaries: Binaries) -> None:
    with own_station(binaries) as (made, own):
        as_written = own.configuration_bytes()
        _fill(own)
        with writing(made) as writer:
            wait_for("some commits", lambda: len(writer.record) > 60)
        middle = writer.record[30][1]
        _wait_reachable(made, middle)
        wait_for("its name to be noted", lambda: _noted(made, writer.table))
        own.sql(f"drop table {writer.table}")
        all_ids = [number for number, _ in writer.record]

        to_time = made.restore(made.at(middle), Mode.DRILL)

        assert _ids(made, writer.table, to_time.handle.server) == all_ids[:31]
        assert _stock(made, to_time.handle.server) == STOCK
        made.discard(to_time.handle)

        lsn = _moment_before_the_loss(made, writer.table)
        point = made.resolve(kind=TargetKind.BEFORE_LSN, lsn=lsn)
        restored = made.restore(point)

        assert restored.version.split()[0] == binaries.version
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
        made.sql(f"insert into {writer.table} values (-1)")
        second = _restore_after(made, now())
        assert _ids(made, writer.table, second.handle.server) == sorted([*all_ids, -1])
        assert _stock(made, second.handle.server) == STOCK
        made.discard(second.handle)

        assert made.provider.cutover.release(made.resource, Notes()) == ["orders-origin"]

        assert own.runs
        assert own.configuration_bytes() == as_written
        wait_for(
            "its slot to be dropped",
            lambda: not own.sql("select slot_name from pg_replication_slots"),
            within=15,
        )
        assert own.sql("select count(*) from stock", "warehouse") == [(2,)]
        require_nothing_left(made)


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
        for one in made.questions.integrity(restored.handle, made.resource.connection, no_progress)
    }
    structure = findings["heap and B-tree structure"]
    if own.sql("select 1 from pg_available_extensions where name = 'amcheck'"):
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


CHOSEN = {
    "shared_buffers": "24MB",
    "work_mem": "5MB",
    "log_line_prefix": "%m it''s [%p] ",
    "max_connections": "37",
    "statement_timeout": "42s",
}


RULES = "select type, database, user_name, address, auth_method from pg_hba_file_rules"


@pytest.mark.parametrize("layout", [Files.MOVED, Files.COPIED])
def test_configuration_files_outside_of_the_data_directory_come_back(layout: Files) -> None:
    with own_station(OLDEST, settings=CHOSEN, layout=layout) as (made, own):
        made.sql("create table kept (id int); insert into kept values (1)")

        restored = _restore_after(made, now())

        assert _ids(made, "kept", restored.handle.server) == [1]
        for name in CHOSEN:
            assert made.sql(f"show {name}", restored.handle.server) == own.sql(f"show {name}")
        assert made.sql(RULES, restored.handle.server) == own.sql(RULES)
        assert (
            made.provider.settings.carry_over(made.resource, restored, Mode.INCIDENT, Notes()) == []
        )


def test_a_lost_server_comes_back_without_the_files_that_its_configuration_names() -> None:
    with own_station(OLDEST) as (made, own):
        own.stop()
        own.move_access_rules()
        own.start()
        made.provider.snapshots.create(made.resource, key="k" * 16, name="", progress=no_progress)
        made.sql("create table kept (id int); insert into kept values (1)")
        _wait_reachable(made, now())
        own.lose()

        restored = made.restore(made.latest())

        assert _ids(made, "kept", restored.handle.server) == [1]
        rules = made.sql(RULES, restored.handle.server)
        assert ("host", ["replication"], ["refloat"], "127.0.0.1", "scram-sha-256") in rules


def test_a_source_that_logs_only_panics_is_restored_like_any_other() -> None:
    with own_station(OLDEST, settings={"log_min_messages": "panic"}) as (made, _):
        restored = _restore_after(made, now())

        assert "recovery stopping" in restored.stopped_because


def test_no_command_of_the_source_runs_when_a_copy_ends_its_recovery() -> None:
    commands = ("recovery_end_command", "archive_cleanup_command")
    told = dict.fromkeys(commands, "touch ran-on-the-copy")
    with own_station(OLDEST, settings=told) as (made, _):
        restored = _restore_after(made, now())

        assert not list(made.root.rglob("ran-on-the-copy"))
        assert [made.sql(f"show {name}", restored.handle.server) for name in commands] == [
            [("",)]
        ] * 2


def test_segments_of_four_megabytes_are_archived_and_replayed() -> None:
    with own_station(NEWEST, options=["--wal-segsize=4"]) as (made, own):
        made.sql("create table kept (id int, filler text)")
        for number in range(1, 5):
            made.sql(
                f"insert into kept select {number}, repeat(md5(g::text), 40) from generate_series(1, 1500) g"
            )
        middle = now()
        made.sql("insert into kept values (5)")
        _wait_reachable(made, middle)
        wait_for("sealed segments", lambda: len(made.archive.log.sealed_numbers()) > 2)

        restored = made.restore(made.at(middle), Mode.DRILL)

        assert own.sql("show wal_segment_size") == [("4MB",)]
        assert made.sql(
            "select id, count(*) from kept group by 1 order by 1", restored.handle.server
        ) == [(number, 1500) for number in range(1, 5)]


def test_tablespaces_are_refused_before_a_backup_begins() -> None:
    with own_station(NEWEST) as (made, own):
        own.sql(f"create tablespace elsewhere location '{own.folder_for('elsewhere')}'")
        before = own.sql("select pg_walfile_name(pg_current_wal_lsn())")

        with pytest.raises(UnsupportedResourceError, match="move their tables to pg_default"):
            made.provider.snapshots.create(
                made.resource, key="k" * 16, name="", progress=no_progress
            )

        assert own.sql("select pg_walfile_name(pg_current_wal_lsn())") == before
        require_nothing_left(made)


def test_a_server_whose_own_archiver_fails_is_backed_up_without_waiting_for_it() -> None:
    failing = {"archive_mode": "on", "archive_command": "/bin/false"}
    with own_station(OLDEST, settings=failing) as (made, own):
        assert own.sql("select failed_count > 0 from pg_stat_archiver") == [(True,)]
        assert made.archive.backups.all()


def test_a_copy_starts_though_the_group_of_its_socket_and_a_file_s_name_are_strange() -> None:
    strange = os.fsdecode(b"na\xefve")
    with own_station(OLDEST, settings={"unix_socket_group": "nosuchgroup"}) as (made, own):
        (own.data / strange).write_text("a note")
        own.account.own(own.data / strange)
        made.provider.snapshots.create(made.resource, key="k" * 16, name="", progress=no_progress)

        restored = _restore_after(made, now())

        assert (made.servers.data(restored.handle.server) / strange).read_text() == "a note"
