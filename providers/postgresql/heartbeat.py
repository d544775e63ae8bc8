"""A row a second in a PostgreSQL: the proof of how far a copy reaches."""

import psycopg

from domain.recovery import RestoreHandle
from domain.resources import Connection
from providers.postgresql.session import session
from providers.secrets.references import Secrets

_INSERT = b"insert into refloat.heartbeat (at) values (clock_timestamp()) on conflict do nothing"
_PRUNE = b"delete from refloat.heartbeat where at < clock_timestamp() - interval '15 minutes'"
_MAKE = (
    b"create schema if not exists refloat",
    b"create table if not exists refloat.heartbeat (at timestamptz primary key)",
)


def beat(server: RestoreHandle, connection: Connection, secrets: Secrets) -> None:
    """Commit a row with the server's own clock and remove those older than 15 minutes."""
    with session(server, connection, secrets, application="refloat-heartbeat") as held:
        try:
            held.execute(_INSERT)
        except psycopg.errors.UndefinedTable:
            for statement in (*_MAKE, _INSERT):
                held.execute(statement)
        held.execute(_PRUNE)
