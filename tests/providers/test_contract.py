"""The contract with real data: each provider, each engine, restored to exactly the point asked for."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, cast

import psycopg
import pymysql
import pytest

from domain.checks import Finding, Verdict
from domain.errors import RecoveryPointUnreachableError
from domain.provider import DatabaseProvider, Questions
from domain.recovery import RecoveryPoint, RestoredResource, RestoreHandle, Target, TargetKind
from domain.resources import Mode, ProtectedResource
from providers import registry
from providers.heartbeats import Heart
from providers.secrets.references import Secrets
from tests.providers.clouds import PASSWORD, Stand, real_stand
from tests.station import Station, no_progress, station, wait_for

KINDS = ("local", "aws", "gcp", "azure", "scaleway")
HELD = [("local", "postgresql")] + [
    (kind, engine) for kind in KINDS[1:] for engine in ("postgresql", "mysql")
]


class Account(Protocol):
    """What the contract needs of a place that holds one database."""

    provider: DatabaseProvider
    resource: ProtectedResource

    def restore(self, point: RecoveryPoint, run_id: str) -> RestoredResource:
        """Restore by the protocol's steps, with patience."""
        ...

    def settle(self, act: Callable[[], Any]) -> Any:
        """Do what says "not yet" again until it is done."""
        ...


class _OnThisMachine:
    """A station, with the words of the contract."""

    def __init__(self, made: Station) -> None:
        self.made, self.provider, self.resource = made, made.provider, made.resource

    def restore(self, point: RecoveryPoint, run_id: str) -> RestoredResource:
        handle = self.made.begin(point, run_id=run_id)
        self.made.transfer(point, handle)
        return self.made.poll(handle)

    def settle(self, act: Callable[[], Any]) -> Any:
        return act()


@dataclass
class Held:
    """One database somewhere, with orders that came in while it was watched."""

    account: Account
    engine: str
    questions: Questions
    point_in_time: bool
    login: dict[str, Any]

    @contextmanager
    def session(self, server: RestoreHandle) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
        """Hold a way to run statements as the application would."""
        connect = _postgresql if self.engine == "postgresql" else _mysql
        with closing(connect(server, self.login)) as held:

            def run(statement: str) -> list[tuple[Any, ...]]:
                with held.cursor() as cursor:
                    cursor.execute(statement)
                    return list(cursor.fetchall()) if cursor.description else []

            yield run

    def source(self) -> RestoreHandle:
        return self.account.provider.points.describe(self.account.resource).handle

    def verified(self, restored: RestoredResource, point: RecoveryPoint) -> list[Finding]:
        resource = self.account.resource
        return list(
            self.questions.point_reached(
                restored, point, resource.connection, resource.heartbeat_table
            )
        )


def _postgresql(server: RestoreHandle, login: dict[str, Any]) -> Any:
    tls = {"sslmode": "verify-full", "sslrootcert": login["ca"]} if login["ca"] else {}
    return psycopg.connect(
        host=server.host,
        port=server.port,
        user="refloat",
        password=login["password"],
        dbname=login["database"],
        autocommit=True,
        **tls,
    )


def _mysql(server: RestoreHandle, login: dict[str, Any]) -> Any:
    return pymysql.connect(
        host=server.host,
        port=server.port,
        user="refloat",
        password=login["password"],
        database=login["database"],
        autocommit=True,
        ssl=ssl.create_default_context(cafile=login["ca"]),
        init_command="set time_zone = '+00:00'",
    )


@pytest.fixture(scope="module", params=HELD, ids="-".join)
def held(request: pytest.FixtureRequest) -> Iterator[Held]:
    """Hold one provider with one database that takes orders and beats."""
    kind, engine = request.param
    with _local() if kind == "local" else _cloud(kind, engine) as made:
        with made.session(made.source()) as run:
            run(_TABLES[engine])
        yield made


@contextmanager
def _local() -> Iterator[Held]:
    with station() as made:
        login = {"password": made.password, "database": "postgres", "ca": None}
        yield Held(_OnThisMachine(made), "postgresql", made.questions, True, login)


@contextmanager
def _cloud(kind: str, engine: str) -> Iterator[Held]:
    with real_stand(kind, engine) as stand:
        secrets, stop = Secrets(stand.folder), threading.Event()
        heart = Heart(stand.resource, stand.provider, secrets, stop)
        heart.start()
        try:
            wait_for("two heartbeats", lambda: heart.beats > 1)
            yield Held(
                cast("Account", stand),
                engine,
                registry.questions(secrets),
                stand.cloud.point_in_time,
                {
                    "password": PASSWORD,
                    "database": "shop",
                    "ca": str(stand.estate.front.authority),
                },
            )
        finally:
            stop.set()
            heart.join()


_TABLES = {
    "postgresql": "create table public.orders (id bigint generated always as identity primary key, "
    "at timestamptz not null default clock_timestamp())",
    "mysql": "create table orders (id bigint auto_increment primary key, "
    "at datetime(6) not null default (utc_timestamp(6)))",
}
_ORDERS = {"postgresql": "public.orders", "mysql": "orders"}


def _sell(held: Held, seconds: float) -> None:
    with held.session(held.source()) as run:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            run(_INSERT[held.engine])
            time.sleep(0.02)


_INSERT = {
    "postgresql": "insert into public.orders default values",
    "mysql": "insert into orders () values ()",
}


def _orders(held: Held, server: RestoreHandle) -> list[datetime]:
    with held.session(server) as run:
        found = run(f"select at from {_ORDERS[held.engine]} order by id")
    return [one[0] if one[0].tzinfo else one[0].replace(tzinfo=UTC) for one in found]


def _reachable(held: Held, target: Target) -> RecoveryPoint | None:
    try:
        return held.account.provider.points.resolve(held.account.resource, target)
    except RecoveryPointUnreachableError:
        return None


def test_a_restore_to_a_time_brings_every_order_until_then_and_none_after(held: Held) -> None:
    if not held.point_in_time:
        pytest.skip("this provider keeps snapshots only")
    _sell(held, 1.2)
    moment = datetime.now(UTC).replace(microsecond=0)
    time.sleep(0.1)
    _sell(held, 1.2)
    target = Target(kind=TargetKind.TIME, time=moment)
    point = wait_for("the window", lambda: _reachable(held, target))

    restored = held.account.restore(point, "a1" * 16)

    brought = _orders(held, restored.handle)
    assert brought == [at for at in _orders(held, held.source()) if at <= moment]
    assert brought
    proofs = held.verified(restored, point)
    assert {one.verdict for one in proofs} <= {Verdict.PASSED, Verdict.NOT_APPLICABLE}, proofs
    held.account.settle(
        lambda: held.account.provider.recovery.discard(held.account.resource, restored.handle)
    )


def test_a_wrong_password_is_told_before_a_drill_makes_anything(held: Held) -> None:
    account = held.account
    if not isinstance(account, Stand):
        pytest.skip("this provider asks by its own server")
    (account.folder / "wrong").write_text("wrong")
    connection = account.resource.connection.model_copy(update={"password": "file:wrong"})
    mistaken = account.resource.model_copy(update={"connection": connection})
    target = Target(kind=TargetKind.LATEST)
    point = wait_for("a point", lambda: _reachable(held, target))

    asked = [
        one
        for resource in (account.resource, mistaken)
        for one in account.provider.preflight.examine(resource, point, Mode.DRILL)
        if one.name == "login of the checks"
    ]

    assert [one.verdict for one in asked] == [Verdict.PASSED, Verdict.FAILED]
    assert "wrong" not in asked[1].observed


def test_a_restore_from_a_snapshot_brings_what_was_committed_before_it(held: Held) -> None:
    _sell(held, 1.2)
    before = _orders(held, held.source())
    snapshots = held.account.provider.snapshots
    taken = held.account.settle(
        lambda: snapshots.create(
            held.account.resource, key="b2" * 16, name="mine", progress=no_progress
        )
    )
    _sell(held, 0.5)
    point = held.account.provider.points.resolve(
        held.account.resource, Target(kind=TargetKind.SNAPSHOT, name=taken.id)
    )

    restored = held.account.restore(point, "c3" * 16)

    brought = _orders(held, restored.handle)
    assert brought[: len(before)] == before
    assert len(brought) < len(_orders(held, held.source()))
    proofs = held.verified(restored, point)
    assert Verdict.FAILED not in {one.verdict for one in proofs}, proofs
    held.account.settle(
        lambda: held.account.provider.recovery.discard(held.account.resource, restored.handle)
    )
