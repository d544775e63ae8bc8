"""A real MariaDB with TLS, and what tests of the questions to it need."""

import os
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql

from domain.recovery import RestoreHandle, Tls
from domain.resources import Connection
from providers.local.layout import remove_tree
from providers.questions import EngineQuestions
from providers.secrets.references import Secrets
from simulators.backends import Master
from simulators.certificates import Certificates
from simulators.mysql import MysqlBackends
from simulators.mysql_programs import ADMIN

MASTER = Master("keeper", "pä'ss\\word", "shop")
LOGIN = Connection(database="shop", user="keeper", password="file:password")


class MysqlGround:
    """Servers under one folder, how they are reached, and who asks them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.certificates = Certificates(root / "front")
        self.backends = MysqlBackends(
            root / "mysql", (self.certificates.certificate, self.certificates.key)
        )
        (root / "password").write_text(f"{MASTER.password}\n")
        self.secrets = Secrets(root)
        self.questions = EngineQuestions(self.secrets)

    def create(self, server: str) -> RestoreHandle:
        """Make a server and return how it is asked."""
        self.backends.create(server, version="8.0", master=MASTER)
        return self.handle(server)

    def handle(self, server: str, **tls: Any) -> RestoreHandle:
        """Return how a server is asked."""
        host, port = self.backends.address(server) or ("127.0.0.1", 1)
        trusted = Tls(**(tls or {"ca_file": str(self.certificates.authority)}))
        return RestoreHandle(
            server=server, host=host, port=port, run_id="", engine="mysql", tls=trusted
        )

    def connect(self, server: str, **login: Any) -> "pymysql.connections.Connection[Any]":
        """Return a connection as the application would make it."""
        host, port = self.backends.address(server) or ("127.0.0.1", 1)
        trust = ssl.create_default_context(cafile=self.certificates.authority)
        found: dict[str, Any] = {
            "host": host,
            "port": port,
            "user": MASTER.user,
            "password": MASTER.password.encode(),
            "database": MASTER.database,
        }
        return pymysql.connect(ssl=trust, autocommit=True, **{**found, **login})

    def sql(self, server: str, *statements: str, **login: Any) -> tuple[tuple[Any, ...], ...]:
        """Run statements and return the rows of the last."""
        with self.connect(server, **login) as held, held.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            found: tuple[tuple[Any, ...], ...] = cursor.fetchall()
            return found

    def rows(self, server: str, table: str) -> list[tuple[Any, ...]]:
        """Return the rows of a table in the order of its first column."""
        return list(self.sql(server, f"select * from {table} order by 1"))

    def administer(self, server: str, *statements: str) -> None:
        """Run statements as nobody can who comes by the network."""
        folder = os.open(self.root / "mysql" / "servers" / server / "data", os.O_RDONLY)
        try:
            with pymysql.connect(
                unix_socket=f"/proc/self/fd/{folder}/socket",
                user=ADMIN,
                password=self.backends._programs.password,
                autocommit=True,
            ) as held:
                for statement in statements:
                    held.cursor().execute(statement)
        finally:
            os.close(folder)


def later() -> datetime:
    """Return a moment that no commit of before or after can be mistaken for."""
    time.sleep(0.05)
    found = datetime.now(UTC)
    time.sleep(0.05)
    return found


@contextmanager
def mysql_ground() -> Iterator[MysqlGround]:
    """Hold a folder for servers, and end and remove everything when the block ends."""
    root = Path(tempfile.mkdtemp(prefix="refloat-mysql-"))
    root.chmod(0o755)
    ground = MysqlGround(root)
    try:
        yield ground
    finally:
        ground.backends.close()
        remove_tree(root)
