"""Brings a sandbox up, tells about it, and takes it down."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from client.catalog_file import load_catalog
from client.connection import connect, temporal_errors
from client.errors import NobodyPollsError, TemporalUnreachableError
from client.questions import create_snapshot, list_recovery_points
from client.settings import load_settings
from domain.entries import LocalProviderEntry
from domain.errors import RefusedError, ServerFailedError
from domain.values import Value
from providers.local.archive import Archive
from providers.local.binaries import locate
from providers.local.config import LocalConfig
from providers.local.keeper import postmaster_of
from providers.local.layout import Layout, locked, remove_tree
from providers.local.servers import Servers, port_in_use
from providers.local.starting import create_server
from sandbox import settings
from sandbox.console import say
from sandbox.images import build, deploy, images_missing, running_release
from sandbox.layout import APPLICATION, LOCK, RESOURCE, Ports, SandboxLayout
from sandbox.programs import Programs, answers, wait_until
from sandbox.shop import ORDERS_SQL

_PATIENCE = 60.0


class SandboxStatus(Value):
    """What runs of a sandbox, and where."""

    root: str
    programs: dict[str, int | None]
    server: str
    address: str
    answers: bool
    shop: str
    healthy: bool
    web: str

    @property
    def whole(self) -> bool:
        """Whether all of it works."""
        return all(self.programs.values()) and self.answers and self.healthy


def local_servers(layout: SandboxLayout) -> Servers:
    """Return the servers of the sandbox's database."""
    catalog = load_catalog(layout.catalog)
    entry = catalog.providers["here"]
    assert isinstance(entry, LocalProviderEntry)
    config = LocalConfig.from_entry("here", entry, layout.root)
    return Servers(Layout(config, "orders"))


def up(layout: SandboxLayout) -> None:
    """Start everything that does not run; calling it twice changes nothing."""
    layout.require_ours()
    with locked(layout.root / LOCK):
        _up(layout)


def _up(layout: SandboxLayout) -> None:
    began = time.monotonic()
    missing = images_missing() if layout.ports is None else ""
    if missing:
        say(f"the shop runs as a process, without versions to roll back: {missing}")
    ports = layout.prepare(images=not missing)
    settings.make(layout)
    servers = local_servers(layout)
    programs = Programs(layout, ports)
    if programs.keeper.pid is None and programs.supervisor.pid is None:
        _require_free_ports(layout, ports, servers, programs)
    if servers.tenures() is None:
        say("creating a PostgreSQL server with continuous, encrypted archiving …")
        binaries = locate(servers.layout.config)
        create_server(
            servers.layout,
            binaries,
            "orders-1",
            ports.database,
            "refloat",
            layout.secret("refloat.password"),
        )
    if programs.keeper.pid is None:
        programs.keeper.start(
            [sys.executable, "-m", "sandbox", "keep", "--root", str(layout.root)],
            environment=plain_environment(),
            folder=layout.root,
        )
    logs = layout.root / "logs"
    if ports.registry:
        wait_until("the registry", lambda: answers(ports.registry), 30, logs / "registry.log")
        build(layout, ports)
        if not running_release(layout):
            deploy(layout, ports, "v1")
    wait_until("Temporal", lambda: answers(ports.temporal), 60, logs / "temporal.log")
    wait_until("PostgreSQL", lambda: _admin_answers(layout, servers), 60, logs / "supervisor.log")
    if _seed(layout, servers):
        wait_until("the shop", lambda: shop_is_healthy(ports), 60, logs / "supervisor.log")
    elif not _comes_back(ports):
        say("the shop is not healthy: its data may be damaged, see `recovery-point suspects` below")
    wait_until("the first base backup", lambda: _has_backup(servers), 120, logs / "supervisor.log")
    first_snapshot(layout)
    _tell(layout, time.monotonic() - began)


def plain_environment() -> dict[str, str]:
    """Return this process's environment without what would reach another Refloat."""
    return {name: value for name, value in os.environ.items() if not name.startswith("REFLOAT_")}


def _admin(
    layout: SandboxLayout, servers: Servers, database: str
) -> "psycopg.Connection[tuple[object, ...]]":
    server = servers.current()
    return psycopg.connect(
        host=server.host,
        port=server.port,
        dbname=database,
        user="refloat",
        password=layout.secret("refloat.password"),
        autocommit=True,
        connect_timeout=3,
        application_name="refloat-sandbox",
    )


def _admin_answers(layout: SandboxLayout, servers: Servers) -> bool:
    try:
        with _admin(layout, servers, "postgres") as session:
            session.execute("select 1")
    except psycopg.Error:
        return False
    return True


def _require_free_ports(
    layout: SandboxLayout, ports: Ports, servers: Servers, programs: Programs
) -> None:
    """Refuse to start while a stranger listens where we would; what still runs of ours is none.

    Raises:
        RefusedError: naming the port.
    """
    wanted = {"the shop": ports.shop}
    if programs.temporal.pid is None:
        wanted |= {"Temporal": ports.temporal, "Temporal's web page": ports.web}
    if servers.tenures() is None:
        wanted["PostgreSQL"] = ports.database
    elif postmaster_of(servers.data(servers.current().name)) is None:
        wanted["PostgreSQL"] = servers.current().port
    taken = [f"{port} ({what})" for what, port in wanted.items() if port_in_use(port)]
    ours = any(layout.root.glob("applications/*/application.pid")) and wanted["the shop"]
    taken = [told for told in taken if not (ours and told.startswith(str(ports.shop)))]
    if taken:
        raise RefusedError(
            f"another program listens on port {', '.join(taken)} of this machine; end it, or start "
            "a sandbox in another folder with --root"
        )


def _comes_back(ports: Ports) -> bool:
    """Return whether the shop becomes healthy within some seconds."""
    deadline = time.monotonic() + 15
    while not shop_is_healthy(ports):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _seed(layout: SandboxLayout, servers: Servers) -> bool:
    """Make role, database and tables of the shop, once; return whether this was the time."""
    with _admin(layout, servers, "postgres") as session:
        if session.execute("select 1 from pg_database where datname = 'shop'").fetchone():
            return False
        make_role(session, layout.secret("shop.password"))
        session.execute("create database shop")
    with _admin(layout, servers, "shop") as session:
        session.execute(ORDERS_SQL)
    return True


def make_role(session: "psycopg.Connection[tuple[object, ...]]", password: str) -> None:
    """Make the shop's login; its password goes over the wire as a verifier only."""
    verifier = session.pgconn.encrypt_password(
        password.encode(), b"shop", b"scram-sha-256"
    ).decode()
    session.execute(sql.SQL("create role shop login password {}").format(sql.Literal(verifier)))


def shop_is_healthy(ports: Ports) -> bool:
    """Return whether the shop says that its last order went through."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.shop}/healthz", timeout=2):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _has_backup(servers: Servers) -> bool:
    return bool(Archive(servers.layout, servers.current().name).backups.all())


def first_snapshot(layout: SandboxLayout) -> None:
    """Take the first proof point, so that there is something to hold a restore against."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return asyncio.run(_require_snapshot(layout))
        except (NobodyPollsError, TemporalUnreachableError):  # worker or server still start
            if time.monotonic() > deadline:
                raise


async def _require_snapshot(layout: SandboxLayout) -> None:
    settings = load_settings(layout.catalog)
    client = await connect(settings)
    resource = load_catalog(layout.catalog).resource(RESOURCE)
    with temporal_errors(settings.address):
        points = await list_recovery_points(client, resource)
        if all(one.automatic for one in points.snapshots):
            await create_snapshot(client, resource, key=uuid.uuid4().hex, name="first")


def _tell(layout: SandboxLayout, took: float) -> None:
    found, root = status_of(layout), layout.root
    usual = root == Path(".refloat").resolve()
    refloat = "refloat" if usual else f"refloat --catalog {layout.catalog}"
    where = "" if usual else f" --root {root}"
    say(
        f"""sandbox is up after {took:.1f} s, all of it under {root}

  database   postgresql://{found.address}/shop   ({found.server}; password in {root}/secrets)
  shop       {found.shop}   (takes 5 orders a second)
  Temporal   {found.web}   (its web page)

next:
  {refloat} resource show {RESOURCE}
  {refloat} recovery-point list {RESOURCE}
  refloat sandbox psql{where} -c 'drop table shop.orders'     (the disaster)
  {refloat} recovery-point suspects {RESOURCE} --since 10m
  {refloat} restore {RESOURCE} --before LSN
{_more(found, where, refloat)}  refloat sandbox down{where}"""
    )


def _more(found: SandboxStatus, where: str, refloat: str) -> str:
    """Return what else can be tried: a bad release where there are images, a bad configuration."""
    release = (
        f"  refloat sandbox deploy{where} v2     (a bad release)\n"
        f"  {refloat} rollback {APPLICATION} --previous\n"
    )
    configuration = (
        f"  refloat sandbox deploy{where} settings     (a bad configuration)\n"
        f"  {refloat} rollback {settings.SETTINGS} --previous\n"
    )
    return (release if "registry" in found.programs else "") + configuration


def status_of(layout: SandboxLayout) -> SandboxStatus:
    """Return what runs.

    Raises:
        RefusedError: there is no sandbox in the folder.
    """
    ports = layout.ports
    if ports is None:
        raise RefusedError(
            f"no sandbox under {layout.root}; start one with `refloat sandbox up`, or name its "
            "folder with --root"
        )
    programs = Programs(layout, ports)
    servers = local_servers(layout)
    tenures = servers.tenures()
    server = servers.record(tenures.server) if tenures else None
    return SandboxStatus(
        root=str(layout.root),
        programs={"keeper": programs.keeper.pid}
        | {name: daemon.pid for name, daemon in programs.all().items()},
        server=server.name if server else "",
        address=f"{server.host}:{server.port}" if server else "",
        answers=server is not None and _admin_answers(layout, servers),
        shop=f"http://127.0.0.1:{ports.shop}/",
        healthy=shop_is_healthy(ports),
        web=f"http://127.0.0.1:{ports.web}",
    )


def tell_status(found: SandboxStatus) -> int:
    """Print what runs; return 0 when all of it does."""
    for name, pid in found.programs.items():
        say(f"{name:<11} {'pid ' + str(pid) if pid else 'does not run'}")
    answers_ = "answers" if found.answers else "does not answer"
    say(f"database    {found.server or 'none yet'} at {found.address}, {answers_}")
    say(f"shop        {found.shop} {'healthy' if found.healthy else 'not healthy'}")
    say(f"Temporal    {found.web}")
    return 0 if found.whole else 1


def down(layout: SandboxLayout, *, purge: bool) -> None:
    """Stop everything; with `purge` remove the folder too."""
    ports = layout.ports
    if ports is None:
        raise RefusedError(f"no sandbox under {layout.root}; name its folder with --root")
    layout.require_ours()
    Programs(layout, ports).stop()
    say(f"sandbox under {layout.root} is stopped")
    if purge:
        remove_tree(layout.root)
        say(f"{layout.root} is removed")


@contextmanager
def _leaving_interrupts_to_psql(*, when: bool) -> Iterator[None]:
    """Let Ctrl-C end a query, and not us."""
    if not when:
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def psql(layout: SandboxLayout, arguments: list[str], *, capture: bool = False) -> str:
    """Run psql on the sandbox's current database as its administrator; return what it printed.

    Raises:
        ServerFailedError: psql failed and its output was captured.
    """
    servers = local_servers(layout)
    server = servers.current()
    where = {"PGHOST": server.host, "PGPORT": str(server.port)}
    program = locate(servers.layout.config, server.major)["psql"]
    return run_psql(layout, program, where, arguments, capture=capture)


def run_psql(
    layout: SandboxLayout,
    program: str,
    where: Mapping[str, str],
    arguments: list[str],
    *,
    capture: bool = False,
) -> str:
    """Run psql as the administrator of the shop's database, at the place that libpq's names tell.

    Raises:
        ServerFailedError: psql failed.
    """
    with _leaving_interrupts_to_psql(when=not capture), tempfile.TemporaryDirectory() as folder:
        passfile = Path(folder) / "pass"
        passfile.touch(mode=0o600)
        passfile.write_text(f"*:*:*:*:{layout.secret('refloat.password')}\n")
        login = {"PGPASSFILE": str(passfile), "PGUSER": "refloat", "PGDATABASE": "shop"}
        done = subprocess.run(
            [program, *arguments],
            check=False,
            env={**os.environ, **login, **where},
            capture_output=capture,
            text=True,
        )
    if done.returncode != 0:
        raise ServerFailedError(f"psql: {(done.stderr or 'failed').strip()}")
    return done.stdout or ""
