"""Brings a sandbox up, tells about it, and takes it down."""

import asyncio
import shutil
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import psycopg

from client.catalog_file import load_catalog
from client.connection import connect
from client.questions import create_snapshot, list_recovery_points
from client.settings import load_settings
from domain.errors import RecoveryError, ServerFailedError
from providers.local.binaries import locate
from providers.local.config import LocalConfig
from providers.local.layout import Layout
from providers.local.servers import Servers, create_server
from sandbox.layout import RESOURCE, Ports, SandboxLayout
from sandbox.programs import Programs, answers, wait_until
from sandbox.shop import ORDERS_SQL


def _say(what: str) -> None:
    print(what, flush=True)  # noqa: T201 - the command's output


def local_servers(layout: SandboxLayout) -> Servers:
    """Return the servers of the sandbox's database."""
    catalog = load_catalog(layout.catalog)
    config = LocalConfig.from_entry("here", catalog.providers["here"], layout.root)
    return Servers(Layout(config, "orders"))


def up(layout: SandboxLayout) -> None:
    """Start everything that does not run; calling it twice changes nothing."""
    began = time.monotonic()
    ports = layout.prepare()
    servers = local_servers(layout)
    if servers.tenures() is None:
        _say("creating a PostgreSQL server with continuous, encrypted archiving …")
        binaries = locate(servers.layout.config)
        create_server(
            servers.layout,
            binaries,
            "orders-1",
            ports.database,
            "refloat",
            layout.secret("refloat.password"),
        )
    programs = Programs(layout, ports)
    if programs.keeper.pid is None:
        programs.keeper.start(
            [sys.executable, "-m", "sandbox", "keep", "--root", str(layout.root)],
            environment=_plain_environment(),
            folder=layout.root,
        )
    logs = layout.root / "logs"
    wait_until("Temporal", lambda: answers(ports.temporal), 60, logs / "temporal.log")
    wait_until("PostgreSQL", lambda: _admin_answers(layout, servers), 60, logs / "supervisor.log")
    _seed(layout, servers)
    wait_until("the shop", lambda: shop_is_healthy(ports), 60, logs / "supervisor.log")
    wait_until("the worker", lambda: programs.worker.pid is not None, 60, logs / "worker.log")
    wait_until("the first base backup", lambda: _has_backup(servers), 120, logs / "supervisor.log")
    asyncio.run(_first_snapshot(layout))
    _tell(layout, ports, servers, time.monotonic() - began)


def _plain_environment() -> dict[str, str]:
    import os  # noqa: PLC0415

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


def _seed(layout: SandboxLayout, servers: Servers) -> None:
    """Make role, database and tables of the shop, once."""
    from psycopg import sql  # noqa: PLC0415

    with _admin(layout, servers, "postgres") as session:
        known = session.execute("select 1 from pg_database where datname = 'shop'").fetchone()
        if known:
            return
        verifier = session.pgconn.encrypt_password(
            layout.secret("shop.password").encode(), b"shop", b"scram-sha-256"
        ).decode()
        session.execute(sql.SQL("create role shop login password {}").format(sql.Literal(verifier)))
        session.execute("create database shop")
    with _admin(layout, servers, "shop") as session:
        session.execute(ORDERS_SQL)


def shop_is_healthy(ports: Ports) -> bool:
    """Return whether the shop says that its last order went through."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.shop}/healthz", timeout=2):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _has_backup(servers: Servers) -> bool:
    from providers.local.archive import Archive  # noqa: PLC0415

    return bool(Archive(servers.layout, servers.current().name).backups())


async def _first_snapshot(layout: SandboxLayout) -> None:
    """Take the first proof point, so that there is something to hold a restore against."""
    client = await connect(load_settings(layout.catalog))
    resource = load_catalog(layout.catalog).resource(RESOURCE)
    points = await list_recovery_points(client, resource)
    if not points.snapshots:
        await create_snapshot(client, resource, key=uuid.uuid4().hex, name="first")


def _tell(layout: SandboxLayout, ports: Ports, servers: Servers, took: float) -> None:
    server, root = servers.current(), layout.root
    _say(
        f"""sandbox is up after {took:.1f} s, all of it under {root}

  database   postgresql://127.0.0.1:{server.port}/shop   ({server.name}; password in {root}/secrets)
  shop       http://127.0.0.1:{ports.shop}/              (takes {5} orders a second)
  Temporal   http://127.0.0.1:{ports.web}/              (its web page)

next:
  refloat resource show {RESOURCE}
  refloat recovery-point list {RESOURCE}
  refloat sandbox psql -c 'drop table shop.orders'     (the disaster)
  refloat recovery-point suspects {RESOURCE} --since 10m
  refloat restore {RESOURCE} --before LSN
  refloat sandbox down"""
    )


def status(layout: SandboxLayout) -> int:
    """Tell what runs; return 0 when all of it does."""
    ports = layout.ports
    if ports is None:
        _say(f"no sandbox under {layout.root}; start one with `refloat sandbox up`")
        return 1
    programs = Programs(layout, ports)
    running = {"keeper": programs.keeper.pid}
    running |= {name: daemon.pid for name, daemon in programs.all().items()}
    for name, pid in running.items():
        _say(f"{name:<11} {'pid ' + str(pid) if pid else 'does not run'}")
    try:
        server = local_servers(layout).current()
        alive = _admin_answers(layout, local_servers(layout))
        _say(
            f"database    {server.name} at {server.host}:{server.port}, {'answers' if alive else 'does not answer'}"
        )
    except RecoveryError as error:
        _say(f"database    {error}")
        alive = False
    healthy = shop_is_healthy(ports)
    _say(f"shop        {'healthy' if healthy else 'not healthy'}")
    return 0 if all(running.values()) and alive and healthy else 1


def down(layout: SandboxLayout, *, purge: bool) -> None:
    """Stop everything; with `purge` remove the folder too."""
    ports = layout.ports
    if ports is not None:
        Programs(layout, ports).stop()
        _say(f"sandbox under {layout.root} is stopped")
    else:
        _say(f"no sandbox under {layout.root}")
    if purge and layout.root.exists():
        shutil.rmtree(layout.root)
        _say(f"{layout.root} is removed")


def psql(layout: SandboxLayout, arguments: list[str], *, capture: bool = False) -> str:
    """Run psql on the sandbox's current database as its administrator; return what it printed.

    Raises:
        ServerFailedError: psql failed and its output was captured.
    """
    import os  # noqa: PLC0415
    import subprocess  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    servers = local_servers(layout)
    server = servers.current()
    program = locate(servers.layout.config, server.major)["psql"]
    with tempfile.TemporaryDirectory() as folder:
        passfile = Path(folder) / "pass"
        passfile.touch(mode=0o600)
        passfile.write_text(f"*:*:*:*:{layout.secret('refloat.password')}\n")
        done = subprocess.run(
            [
                program,
                "-h",
                server.host,
                "-p",
                str(server.port),
                "-U",
                "refloat",
                "-d",
                "shop",
                *arguments,
            ],
            check=False,
            env={**os.environ, "PGPASSFILE": str(passfile)},
            capture_output=capture,
            text=True,
        )
    if done.returncode != 0:
        raise ServerFailedError(f"psql: {(done.stderr or 'failed').strip()}")
    return done.stdout or ""
