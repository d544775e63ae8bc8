"""A sandbox at a simulated cloud: the same shop, on a managed database that is none."""

import json
import shutil
import sys
import time
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

import psycopg

from domain.entries import LocalProviderEntry
from domain.errors import RefusedError
from providers.local.applications import read_settings
from providers.local.binaries import locate
from providers.local.config import LocalConfig
from providers.local.layout import locked, write_text
from sandbox.console import say
from sandbox.environment import (
    SandboxStatus,
    first_snapshot,
    make_role,
    plain_environment,
    run_psql,
    shop_is_healthy,
)
from sandbox.layout import LOCK, RESOURCE, Ports, SandboxLayout
from sandbox.programs import SCALE, Programs, answers, wait_until
from sandbox.shop import ORDERS_SQL
from sandbox.tunnel import tunnel
from simulators.reached import PROJECT

NAMES = {
    "aws": "Amazon RDS",
    "gcp": "Google Cloud SQL",
    "azure": "Azure Database",
    "scaleway": "Scaleway Managed Database",
}
ENTRIES: Mapping[str, Mapping[str, str]] = {
    "aws": {"kind": "aws", "region": "eu-west-1", "account": "123456789012"},
    "gcp": {"kind": "gcp", "region": "europe-west9", "project": "sandbox"},
    "azure": {
        "kind": "azure",
        "region": "francecentral",
        "resource_group": "sandbox",
        "subscription": "00000000-0000-0000-0000-000000000001",
    },
    "scaleway": {"kind": "scaleway", "region": "fr-par", "project": PROJECT},
}
_CATALOG = """\
# Written by `refloat sandbox up --cloud {cloud}`. {name} is SIMULATED on this machine.
organization: sandbox
providers:
  cloud: {{{entry}, reports: ., ca: {authority}}}
projects:
  shop:
    environments:
      production:
        databases:
          orders:
            provider: cloud
            engine: postgresql
            instance: orders
            objectives: {{rto: 60m, rpo: 5m}}
            backups: {{retention: 7d, max_age: 26h}}
            checks:
              - {{name: orders are there, query: "select count(*) from shop.orders", at_least: 1}}
            connection: {{database: shop, user: refloat, password: "file:secrets/refloat.password"}}
            consumers: [checkout]
        applications:
          checkout:
            platform:
              kind: local
              settings: checkout.env
              restart: ["{python}", -m, sandbox, restart-shop, --root, "{root}"]
            health: {{url: "http://127.0.0.1:{shop}/healthz", within: 60s}}
"""


def up_cloud(layout: SandboxLayout, cloud: str) -> None:
    """Start everything that does not run; calling it twice changes nothing.

    Raises:
        RefusedError: the folder holds a sandbox of another kind.
    """
    layout.require_ours()
    known = layout.ports
    if known is not None and known.cloud != cloud:
        raise RefusedError(
            f"{layout.root} holds a sandbox of {known.cloud or 'this machine alone'}; name another "
            "folder with --root, or remove it with `refloat sandbox down --purge`"
        )
    with locked(layout.root / LOCK):
        _up(layout, layout.prepare(cloud))


def _up(layout: SandboxLayout, ports: Ports) -> None:
    began, programs, logs = time.monotonic(), Programs(layout, ports), layout.root / "logs"
    fresh = programs.keeper.pid is None
    if fresh:
        for name in ("cloud", "proofs"):  # a simulated account lives as long as its process
            shutil.rmtree(layout.root / name, ignore_errors=True)
        (layout.root / "checkout.env").unlink(missing_ok=True)
        _write_catalog(layout, ports)
        programs.keeper.start(
            [sys.executable, "-m", "sandbox", "keep", "--root", str(layout.root)],
            environment=plain_environment(),
            folder=layout.root,
        )
    wait_until("Temporal", lambda: answers(ports.temporal), 60, logs / "temporal.log")
    wait_until("the simulated cloud", lambda: answers(ports.simulator), 60, logs / "simulator.log")
    if fresh:
        say(f"making a database at the simulated {NAMES[ports.cloud]} …")
        server = _seed(layout, ports)
        _fill(layout, ports, server)
    wait_until("the shop", lambda: shop_is_healthy(ports), 60, logs / "shop.log")
    wait_until("a heartbeat", lambda: _beats(layout), 60, logs / "heartbeat.log")
    first_snapshot(layout)
    _tell(layout, ports, time.monotonic() - began)


def _write_catalog(layout: SandboxLayout, ports: Ports) -> None:
    write_text(
        layout.catalog,
        _CATALOG.format(
            cloud=ports.cloud,
            name=NAMES[ports.cloud],
            entry=", ".join(f'{key}: "{value}"' for key, value in ENTRIES[ports.cloud].items()),
            authority=_authority(layout),
            python=sys.executable,
            root=layout.root,
            shop=ports.shop,
        ),
    )


def _authority(layout: SandboxLayout) -> str:
    return str(layout.root / "cloud" / "front" / "authority.pem")


def _seed(layout: SandboxLayout, ports: Ports) -> tuple[str, int]:
    """Make the database at the simulated cloud; return where it answers."""
    told = _ask(
        ports,
        "seed",
        {
            "name": "orders",
            "user": "refloat",
            "password": layout.secret("refloat.password"),
            "database": "shop",
        },
    )
    return str(told["host"]), int(str(told["port"]))


def _ask(ports: Ports, what: str, content: Mapping[str, object]) -> Mapping[str, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{ports.simulator}/_simulator/{what}",
        data=json.dumps(content).encode(),
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=180) as answer:  # noqa: S310 - our own loopback URL
        return dict(json.load(answer))


def _admin(layout: SandboxLayout, host: str, port: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(
        host=host,
        port=port,
        dbname="shop",
        user="refloat",
        password=layout.secret("refloat.password"),
        sslmode="verify-full",
        sslrootcert=_authority(layout),
        autocommit=True,
    )


def _beats(layout: SandboxLayout) -> bool:
    """Return whether the database holds beats, which prove what a restore brings."""
    try:
        with _admin(layout, *_address(layout)) as session:
            row = session.execute("select count(*) > 1 from refloat.heartbeat").fetchone()
    except psycopg.Error:
        return False
    return bool(row and row[0])


def _fill(layout: SandboxLayout, ports: Ports, server: tuple[str, int]) -> None:
    """Write the shop's settings, and make its login and tables."""
    host, port = server
    tls = f"sslmode=verify-full&sslrootcert={_authority(layout)}"
    with _admin(layout, host, str(port)) as session:
        make_role(session, layout.secret("shop.password"))
        session.execute(ORDERS_SQL)
    layout.write_shop(ports, f"postgresql://shop@{host}:{port}/shop?{tls}")


def restart_shop(layout: SandboxLayout) -> None:
    """End the shop; its keeper starts it with the settings as they are now."""
    ports = layout.ports
    if ports is not None:
        Programs(layout, ports).shop.stop(within=10)


def _tell(layout: SandboxLayout, ports: Ports, took: float) -> None:
    root = layout.root
    usual = root.name == ".refloat"
    refloat = "refloat" if usual else f"refloat --catalog {layout.catalog}"
    where = "" if usual else f" --root {root}"
    say(
        f"""sandbox is up after {took:.1f} s, all of it under {root}

  {NAMES[ports.cloud]} is SIMULATED on this machine: its API is a stand-in that answers the real
  SDK, its databases are real servers. Operations take {SCALE:g} times less than at the real cloud.
  What the simulated account holds is gone when the sandbox goes down.

  shop       http://127.0.0.1:{ports.shop}/   (takes 5 orders a second)
  Temporal   http://127.0.0.1:{ports.web}   (its web page)

next:
  {refloat} resource show {RESOURCE}
  {refloat} recovery-point list {RESOURCE}
  refloat sandbox psql{where} -c 'drop table shop.orders'     (the disaster)
  {refloat} restore {RESOURCE} --to '10 seconds ago' --plan
  refloat sandbox down{where}"""
    )


def status_of_cloud(layout: SandboxLayout, ports: Ports) -> SandboxStatus:
    """Return what runs."""
    programs = Programs(layout, ports)
    host, port = _address(layout)
    return SandboxStatus(
        root=str(layout.root),
        programs={"keeper": programs.keeper.pid}
        | {name: daemon.pid for name, daemon in programs.all().items()},
        server=f"at the simulated {NAMES[ports.cloud]}",
        address=f"{host}:{port}",
        answers=bool(port) and answers(int(port)),
        shop=f"http://127.0.0.1:{ports.shop}/",
        healthy=shop_is_healthy(ports),
        web=f"http://127.0.0.1:{ports.web}",
    )


def _address(layout: SandboxLayout) -> tuple[str, str]:
    """Return where the shop's settings say that the database is, or nothing before it is made."""
    try:
        url = read_settings(layout.root / "checkout.env")["DATABASE_URL"]
    except (OSError, KeyError):
        return "", ""
    found = urlsplit(url)
    return found.hostname or "", str(found.port or "")


def psql_cloud(layout: SandboxLayout, arguments: list[str]) -> None:
    """Run psql on the shop's database at the simulated cloud, as its administrator."""
    host, port = _address(layout)
    config = LocalConfig.from_entry("psql", LocalProviderEntry(kind="local"), layout.root)
    with tunnel(host, int(port or 0), _authority(layout)) as near:
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(near)}
        run_psql(layout, locate(config)["psql"], where, arguments)
