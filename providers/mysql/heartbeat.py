"""A row a second in a MySQL or MariaDB: the proof of how far a copy reaches."""

import pymysql

from domain.recovery import RestoreHandle
from domain.resources import Connection
from providers.mysql.session import code_of, session
from providers.secrets.references import Secrets

_INSERT = "insert into refloat.heartbeat (`at`) values (utc_timestamp(6)) on duplicate key update `at` = `at`"
_PRUNE = "delete from refloat.heartbeat where `at` < utc_timestamp(6) - interval 15 minute"
_MAKE = (
    "create database if not exists refloat",
    "create table if not exists refloat.heartbeat (`at` datetime(6) not null primary key)",
)
_MISSING = {1049, 1146}


def beat(server: RestoreHandle, connection: Connection, secrets: Secrets) -> None:
    """Commit a row with the server's own clock, in UTC, and remove those older than 15 minutes."""
    with session(server, connection, secrets, application="refloat-heartbeat") as held:
        try:
            held.rows(_INSERT)
        except pymysql.Error as error:
            if code_of(error) not in _MISSING:
                raise
            for statement in (*_MAKE, _INSERT):
                held.rows(statement)
        held.rows(_PRUNE)
