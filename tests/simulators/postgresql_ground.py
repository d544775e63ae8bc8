"""What the tests of simulated PostgreSQL servers share: a root folder, orders, a look at what runs."""

import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from simulators.backends import Master
from simulators.postgresql import PostgresqlBackends

MASTER = Master(user="shopkeeper", password="it's \\ a secret", database="shop")
_NUMBERS = itertools.count()


@contextmanager
def standing() -> Iterator[Path]:
    """Hold a folder that the servers' account can reach; nothing runs from it afterwards."""
    made = Path(tempfile.mkdtemp(prefix="refloat-test-"))
    made.chmod(0o755)
    yield made
    left = running_in(made)
    shutil.rmtree(made)
    assert not left


def running_in(folder: Path) -> list[list[str]]:
    """Return the command lines of what runs with something of a folder in its arguments."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(str(folder) in word for word in line)]


def session(backends: PostgresqlBackends, server: str) -> "psycopg.Connection[tuple[Any, ...]]":
    """Return a session of the master user."""
    address = backends.address(server)
    assert address is not None
    return psycopg.connect(
        host=address[0],
        port=address[1],
        user=MASTER.user,
        password=MASTER.password,
        dbname=MASTER.database,
        autocommit=True,
    )


def sql(backends: PostgresqlBackends, server: str, query: str) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows."""
    with session(backends, server) as held:
        cursor = held.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def new_number() -> int:
    """Return a number that no order has yet."""
    return next(_NUMBERS)


def order(backends: PostgresqlBackends, server: str = "shop") -> int:
    """Commit a new order and return its number."""
    number = new_number()
    sql(backends, server, f"insert into orders values ({number})")
    return number


def orders(backends: PostgresqlBackends, server: str) -> set[int]:
    """Return the numbers of a server's orders."""
    return {number for (number,) in sql(backends, server, "select number from orders")}


def now() -> datetime:
    """Return a moment that no commit shares."""
    time.sleep(0.01)
    moment = datetime.now(UTC)
    time.sleep(0.01)
    return moment


def server_of(backends: PostgresqlBackends, server: str) -> int:
    """Return the pid of a server's first process."""
    [(folder,)] = sql(backends, server, "show data_directory")
    return int((Path(folder) / "postmaster.pid").read_text().split()[0])


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Return a folder of which nothing runs afterwards."""
    with standing() as made:
        yield made


@pytest.fixture(scope="module")
def backends(root: Path) -> Iterator[PostgresqlBackends]:
    """Return backends with the server `shop` in them."""
    with closing(PostgresqlBackends(root / "shared")) as made:
        made.create("shop", version="15", master=MASTER)
        sql(made, "shop", "create table orders (number int, note text)")
        yield made
