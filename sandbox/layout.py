"""Where a sandbox lives, its ports, its secrets and its catalog."""

import base64
import hashlib
import secrets
import socket
import sys
import zlib
from pathlib import Path

from domain.errors import RefusedError
from domain.values import Value
from providers.local.binaries import reachable
from providers.local.config import Account
from providers.local.layout import read_record, write_record, write_text

RESOURCE = "shop/production/orders"
APPLICATION = "shop/production/checkout"
LOCK = "up.lock"
_SHARED = Path("/var/lib/refloat")
_CATALOG = """\
# Written by `refloat sandbox up`. A catalog of your own lives in your Git repository.
organization: sandbox
providers:
  here: {{kind: local, root: ., first_port: {first}, last_port: {last}}}
projects:
  shop:
    environments:
      production:
        databases:
          orders:
            provider: here
            engine: postgresql
            instance: orders
            objectives: {{rto: 2m, rpo: 5s}}
            backups: {{retention: 14d, max_age: 26h, key: "file:secrets/backup.key"}}
            checks:
              - {{name: orders are there, query: "select count(*) from shop.orders", at_least: 1}}
              - {{name: every order has an amount, query: "select count(*) from shop.orders where amount is null or amount <= 0", equals: "0"}}
            connection: {{database: shop, user: refloat, password: "file:secrets/refloat.password"}}
            consumers: [checkout]
        applications:
          checkout:
            platform:
              kind: local
              settings: checkout.env
{runs}            health: {{url: "http://127.0.0.1:{shop}/healthz", within: 15s}}
{settings}"""
_PROCESS = """\
              command: ["{python}", -m, sandbox.shop]
"""
_CONTAINER = """\
              container: true
              mounts: [secrets/shop.pass, config]
            image: "127.0.0.1:{registry}/shop/checkout"
            schema: {{database: orders, query: "select max(version) from shop.migrations"}}
"""
_SETTINGS = """\
        configurations:
          settings:
            repository: {url: settings.git, path: shop}
            platform: {kind: local, folder: config}
            applications: [checkout]
"""


class Ports(Value):
    """The ports of a sandbox, chosen once."""

    database: int
    temporal: int
    web: int
    shop: int
    first: int
    last: int
    cloud: str = ""
    simulator: int = 0
    registry: int = 0


def _free(preferred: int, taken: set[int]) -> int:
    port = preferred
    while True:
        if port not in taken:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    pass
                else:
                    taken.add(port)
                    return port
        port += 1


def _offset(root: Path) -> int:
    """Return how far from the usual ports a sandbox in an unusual place looks for its own."""
    if root.name == ".refloat" or root.parent == _SHARED:
        return 0
    return 100 * (1 + zlib.crc32(str(root).encode()) % 140)


def _catalog(ports: Ports) -> str:
    runs = (
        _CONTAINER.format(registry=ports.registry)
        if ports.registry
        else _PROCESS.format(python=sys.executable)
    )
    return _CATALOG.format(
        runs=runs, shop=ports.shop, first=ports.first, last=ports.last, settings=_SETTINGS
    )


class SandboxLayout:
    """The one folder of a sandbox."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def catalog(self) -> Path:
        """The sandbox's catalog file."""
        return self.root / "refloat.yaml"

    @property
    def ports(self) -> Ports | None:
        """The chosen ports, or None before the first start."""
        return read_record(self.root / "ports.json", Ports)

    def secret(self, name: str) -> str:
        """Return the secret called `name`, made on first use, readable by this account only."""
        path = self.root / "secrets" / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = (
                base64.b64encode(secrets.token_bytes(32)).decode()
                if name.endswith(".key")
                else secrets.token_urlsafe(24)
            )
            write_text(path, f"{made}\n", 0o600)
        return path.read_text(encoding="utf-8").strip()

    def require_ours(self) -> None:
        """Refuse a folder that holds something else.

        Raises:
            RefusedError: naming the folder.
        """
        if not self.root.exists() or self.ports is not None:
            databases = self.root / "databases"
            others = {path.name for path in databases.glob("*")} - {"orders"}
            if not others:
                return
        elif {path.name for path in self.root.iterdir()} <= {LOCK}:
            return
        raise RefusedError(
            f"{self.root} holds something else than a sandbox; name another folder with --root"
        )

    def prepare(self, cloud: str = "", *, images: bool = False) -> Ports:
        """Make folder, secrets, ports and catalog where they are missing; return the ports.

        With `images` a new sandbox runs its shop in a container. With a cloud, whoever brings it up writes catalog and settings: they name its endpoints.

        Raises:
            RefusedError: the folder holds something else.
        """
        self.require_ours()
        self.root.mkdir(parents=True, exist_ok=True)
        for name in ("refloat.password", "shop.password", "backup.key"):
            self.secret(name)
        ports = self.ports
        if ports is None:
            taken: set[int] = set()
            away = _offset(self.root)
            ports = Ports(
                database=_free(15432 + away, taken),
                temporal=_free(17233 + away, taken),
                web=_free(18233 + away, taken),
                shop=_free(18080 + away, taken),
                first=15440 + away,
                last=15499 + away,
                cloud=cloud,
                simulator=_free(19080 + away, taken) if cloud else 0,
                registry=_free(15000 + away, taken) if images and not cloud else 0,
            )
            write_record(self.root / "ports.json", ports)
        if not ports.cloud and not self.catalog.exists():
            write_text(self.catalog, _catalog(ports))
        self._write_settings(ports)
        return ports

    def write_shop(self, ports: Ports, url: str) -> None:
        """Write the shop's settings, which a cutover rewrites."""
        password = self.root / "secrets" / "shop.pass"
        write_text(password, f"*:*:*:shop:{self.secret('shop.password')}\n", 0o600)
        write_text(
            self.root / "checkout.env",
            f"DATABASE_URL={url}\nPGPASSFILE={password}\nSHOP_PORT={ports.shop}\n"
            f"SHOP_SETTINGS={self.root / 'config' / 'shop.json'}\n",
            0o600,
        )

    def _write_settings(self, ports: Ports) -> None:
        if not ports.cloud and not (self.root / "checkout.env").exists():
            self.write_shop(ports, f"postgresql://shop@127.0.0.1:{ports.database}/shop")
        address = f"127.0.0.1:{ports.temporal}"
        write_text(
            self.root / "temporal.json",
            f'{{"address": "{address}", "namespace": "default", "web": "http://127.0.0.1:{ports.web}"}}\n',
        )


def choose_root(wanted: Path) -> tuple[Path, str]:
    """Return the folder to use, and a sentence when it is not the one asked for.

    Servers of root run under an unprivileged account, which cannot pass through a home of mode
    0700. Nobody's home is opened for it: the state goes to /var/lib and a link leads there.
    """
    wanted = wanted.absolute()
    account = Account.choose(None)
    if account.uid is None or wanted.is_symlink() or reachable(wanted, account.uid):
        return wanted.resolve(), ""
    name = hashlib.sha256(str(wanted).encode()).hexdigest()[:12]
    real = _SHARED / name
    real.mkdir(parents=True, exist_ok=True)
    if not wanted.exists():
        wanted.symlink_to(real)
    return real, f"{wanted} is a link to {real}, because account {account.name} cannot reach it"
