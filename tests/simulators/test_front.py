"""The endpoints of simulated instances: ports that stay, TLS that is checked, routes that move."""

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from domain.errors import PortTakenError
from simulators.backends import Master
from simulators.certificates import Certificates
from simulators.front import Front
from simulators.ground import make_estate
from simulators.postgresql import PostgresqlBackends
from tests.station import free_ports, wait_for

MASTER = Master(user="shopkeeper", password="told-to-nobody", database="shop")
NAME = "shop.example"
Session: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"
Enter: TypeAlias = Callable[..., Session]


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Return a folder that the servers' account can reach."""
    made = Path(tempfile.mkdtemp(prefix="refloat-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def backends(root: Path) -> Iterator[PostgresqlBackends]:
    """Return backends with the servers `shop` and `other`."""
    with closing(PostgresqlBackends(root / "postgresql")) as made:
        for server in ("shop", "other"):
            made.create(server, version="15", master=MASTER)
        yield made


@pytest.fixture(scope="module")
def front(root: Path) -> Iterator[Front]:
    """Return a front."""
    first = free_ports(10)
    with closing(Front(root / "front", first, first + 9)) as made:
        yield made


@pytest.fixture
def enter(front: Front, backends: PostgresqlBackends) -> Enter:
    """Return what logs in at the endpoint, which leads to `shop`."""
    port = front.open(NAME)
    front.route(NAME, backends.address("shop"))

    def entered(**changes: str) -> Session:
        chosen = {"sslmode": "verify-full", "sslrootcert": str(front.authority), **changes}
        return psycopg.connect(
            host="127.0.0.1",
            port=port,
            user=MASTER.user,
            password=MASTER.password,
            dbname=MASTER.database,
            autocommit=True,
            **chosen,  # type: ignore[arg-type]
        )

    return entered


def cluster_of(session: Session) -> Any:
    """Return which cluster a session is with."""
    row = session.execute("select system_identifier from pg_control_system()").fetchone()
    assert row is not None
    return row[0]


def test_a_client_that_checks_everything_gets_in(enter: Enter) -> None:
    with enter() as session:
        assert session.pgconn.ssl_in_use


def test_a_client_with_another_authority_turns_away(enter: Enter, root: Path) -> None:
    stranger = Certificates(root / "stranger").authority

    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        enter(sslrootcert=str(stranger))


def test_a_client_without_tls_is_told_so(enter: Enter) -> None:
    with pytest.raises(psycopg.OperationalError, match="FATAL:  TLS required"):
        enter(sslmode="disable")


def test_large_results_and_copies_pass_whole(enter: Enter) -> None:
    with enter() as session:
        rows = session.execute("select repeat('x', 1000) from generate_series(1, 50000)").fetchall()
        session.execute("create temp table heap (line text)")
        with session.cursor().copy("copy heap from stdin") as copy:
            for _ in range(500):
                copy.write(b"y" * 100_000 + b"\n")
        with session.cursor().copy("copy heap to stdout") as copy:
            size = sum(len(part) for part in copy)

        assert len(rows) == 50000
        assert size == 500 * 100_001


def test_a_statement_can_be_cancelled(enter: Enter) -> None:
    with enter() as session:
        for cancel in (session.cancel, session.cancel_safe):  # in plain, and over TLS
            threading.Timer(0.2, cancel).start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                session.execute("select pg_sleep(20)")


def test_a_hundred_connections_are_carried_at_once(enter: Enter) -> None:
    sessions = [enter() for _ in range(100)]

    told = [session.execute("select 1").fetchone() for session in sessions]

    assert told == [(1,)] * 100
    for session in sessions:
        session.close()


def test_a_route_that_moves_cuts_open_connections_and_leads_new_ones_elsewhere(
    enter: Enter, front: Front, backends: PostgresqlBackends
) -> None:
    before = enter()
    first = cluster_of(before)
    front.route(NAME, backends.address("shop"))
    assert cluster_of(before) == first  # it leads where it led: nothing moved

    front.route(NAME, backends.address("other"))

    with pytest.raises(psycopg.OperationalError):
        before.execute("select 1")
    with closing(enter()) as after:
        assert cluster_of(after) != first


def test_a_name_that_leads_nowhere_is_refused_at_once(enter: Enter, front: Front) -> None:
    with suppress(psycopg.OperationalError), enter() as session:
        front.route(NAME, None)
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")

    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        enter()
    assert time.monotonic() - began < 2


def test_a_server_that_does_not_run_is_refused(enter: Enter, front: Front) -> None:
    front.route(NAME, ("127.0.0.1", free_ports(1)))

    with pytest.raises(psycopg.OperationalError):
        enter()


def test_names_keep_their_ports_over_a_restart_and_give_them_up_when_forgotten(root: Path) -> None:
    first = free_ports(3)
    with closing(Front(root / "ports", first, first + 2)) as front:
        ports = {name: front.open(name) for name in ("a", "b", "c")}
        with pytest.raises(PortTakenError):
            front.open("d")
        front.forget("a")
        assert front.open("d") == ports["a"]
        authority = front.authority.read_text()

    with closing(Front(root / "ports", first, first + 2)) as front:
        assert [front.open(name) for name in ("d", "c", "b")] == [ports[n] for n in ("a", "c", "b")]
        assert front.authority.read_text() == authority
        with pytest.raises(KeyError):
            front.route("unknown", ("127.0.0.1", 1))
        front.route("unknown", None)
        front.forget("unknown")


def test_the_port_of_a_name_is_never_another_one(root: Path) -> None:
    first = free_ports(2)
    with closing(Front(root / "taken", first, first + 1)) as front:
        front.open("a")

    with (
        socket.create_server(("127.0.0.1", first)),
        closing(Front(root / "taken", first, first + 1)) as front,
    ):
        with pytest.raises(PortTakenError, match=str(first)):
            front.open("a")
        assert front.open("b") == first + 1


def test_bytes_of_mysql_pass_untouched(front: Front) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = front.open("mysql.example", "mysql")
        front.route("mysql.example", server.getsockname())
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            behind, _ = server.accept()
            with behind:
                behind.sendall(b"greeting")  # this protocol's server speaks first
                assert client.recv(8) == b"greeting"
                client.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
                assert behind.recv(8) == b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


def test_servers_that_end_tls_themselves_get_the_same_certificate(front: Front) -> None:
    certificate, key = front.certificate()

    assert b"BEGIN CERTIFICATE" in certificate.read_bytes()
    assert b"PRIVATE KEY" in key.read_bytes()
    assert key.stat().st_mode & 0o077 == 0


def test_an_estate_goes_on_where_it_ended(root: Path) -> None:
    first = free_ports(4)

    def made() -> Any:
        return make_estate(root / "estate", scale=60.0, first_port=first, last_port=first + 3)

    with closing(made()) as estate:
        assert list(estate.backends) == []
        assert "mysql" in estate.backends
        estate.backends["postgresql"].create("shop", version="15", master=MASTER)
        port = estate.front.open(NAME)

    with closing(made()) as estate:
        assert list(estate.backends) == ["postgresql"]
        address = wait_for("the server", lambda: estate.backends["postgresql"].address("shop"))
        assert estate.front.open(NAME) == port
        estate.front.route(NAME, address)
        with psycopg.connect(
            host="localhost",
            port=port,
            user=MASTER.user,
            password=MASTER.password,
            dbname=MASTER.database,
            sslmode="verify-full",
            sslrootcert=str(estate.front.authority),
        ) as session:
            assert session.execute("select 1").fetchone() == (1,)
