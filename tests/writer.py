"""A writer with a record of its own outside of the database: the independent witness of restores."""

import itertools
import secrets as randomness
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from tests.station import Station

_FIRST = itertools.count(0, 1_000_000)
LINE = "id bigint primary key, at timestamptz not null default clock_timestamp()"


class Writer(threading.Thread):
    """Writes rows and keeps its own record of them outside the database: id and commit time, in order."""

    def __init__(
        self, station: Station, table: str, pauses: tuple[tuple[float, float], ...], payload: int
    ) -> None:
        super().__init__(daemon=True)
        self.station, self.table, self.pauses = station, table, pauses
        self.payload = payload
        self.record: list[tuple[int, datetime]] = []
        self.stop = threading.Event()

    def run(self) -> None:
        """Write until stopped or the server is gone."""
        began, number = time.monotonic(), next(_FIRST)
        insert = f"insert into {self.table} (id, note) values (%s, %s)".encode()
        try:
            with self.station.session() as held:
                while not self.stop.is_set():
                    passed = time.monotonic() - began
                    if any(start <= passed < end for start, end in self.pauses):
                        time.sleep(0.02)
                        continue
                    number += 1
                    with held.transaction():
                        note = randomness.token_hex(self.payload // 2)
                        held.execute(insert, [number, note])
                        row = held.execute(b"select pg_current_xact_id()::xid::text").fetchone()
                    assert row
                    stamped = held.execute(
                        b"select pg_xact_commit_timestamp(%s::xid)", [row[0]]
                    ).fetchone()
                    assert stamped
                    self.record.append((number, stamped[0]))
        except psycopg.Error:
            return


@contextmanager
def writing(
    station: Station, pauses: tuple[tuple[float, float], ...] = (), payload: int = 0
) -> Iterator[Writer]:
    """Hold a writer on a table of its own; no two writers use the same id."""
    table = f"w{uuid.uuid4().hex[:8]}"
    station.sql(f"create table {table} ({LINE}, note text)")
    writer = Writer(station, table, pauses, payload)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop.set()
        writer.join()
