"""Servers outlive a killed simulator, are adopted by the next, and are never left over."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from domain.errors import AccessDeniedError, ServerFailedError
from providers.local.layout import read_record
from simulators.mysql import MysqlBackends
from simulators.mysql_server import MysqlRecord
from tests.providers.mysql_ground import MASTER, MysqlGround, mysql_ground
from tests.station import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ground() -> Iterator[MysqlGround]:
    """Return a folder for servers; each test makes its own."""
    with mysql_ground() as made:
        yield made


_ABANDON = """
import codecs, os, sys
from pathlib import Path
from providers.local.layout import read_record
from simulators.mysql import MysqlBackends
from simulators.mysql_server import MysqlRecord
from tests.providers.mysql_ground import MASTER
root, front = Path(sys.argv[1]), Path(sys.argv[2])
if len(sys.argv) > 4:
    codecs.lookup("ascii"), codecs.lookup("idna")  # found late, out of reach for others
    os.setgroups([]), os.setgid(int(sys.argv[4])), os.setuid(int(sys.argv[4]))
backends = MysqlBackends(root, (front / "server.pem", front / "server.key"))
backends.create(sys.argv[3], version="8.0", master=MASTER)
print("ready", flush=True)
sys.stdin.read()
backends.close()
"""


@contextmanager
def _other(root: Path, front: Path, *more: str) -> Iterator["subprocess.Popen[str]"]:
    """Hold another process that keeps servers, once it does."""
    with subprocess.Popen(
        [sys.executable, "-c", _ABANDON, str(root), str(front), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        yield other


def _servers_under(root: Path) -> list[int]:
    """Return the processes of servers under a folder."""
    return [
        one.pid
        for one in psutil.process_iter(["cmdline"])
        if any(str(root) in word for word in one.info["cmdline"] or ())
        and one.name().startswith("mariadb")
    ]


def test_servers_of_a_killed_simulator_are_adopted_with_what_they_took_meanwhile(
    ground: MysqlGround,
) -> None:
    ground.backends.close()
    root = ground.root / "mysql"
    with _other(root, ground.root / "front", "orphan") as other:
        other.kill()
    (running,) = _servers_under(root)
    record = read_record(root / "servers/orphan/server.json", MysqlRecord)
    assert record is not None
    ground.sql("orphan", "create table t (n int)", "insert into t values (1)", port=record.port)
    time.sleep(1)
    between = datetime.now(UTC).replace(microsecond=0)
    ground.sql("orphan", "insert into t values (2)", port=record.port)
    unfinished = root / "servers" / "unfinished"
    (unfinished / "data").mkdir(parents=True)

    certificate = (ground.certificates.certificate, ground.certificates.key)
    found = ground.backends = MysqlBackends(root, certificate)
    assert _servers_under(root) == [running]
    assert not unfinished.exists()
    found.restore("orphan", "copy", between)
    assert ground.rows("copy", "t") == [(1,)]

    with pytest.raises(ServerFailedError, match="another process"):
        MysqlBackends(root, certificate)
    found.close()
    assert _servers_under(root) == []
    ground.backends = MysqlBackends(root, certificate)
    assert ground.rows("orphan", "t") == [(1,), (2,)]
    assert ground.backends.window("copy") is not None
    for server in ("orphan", "copy"):
        ground.backends.remove(server, retain=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_an_ordinary_user_keeps_servers_of_its_own(ground: MysqlGround) -> None:
    nobody = pwd.getpwnam("nobody")
    home = ground.root / "nobody"
    home.mkdir()
    for name in ("server.pem", "server.key"):
        (home / name).write_bytes((ground.root / "front" / name).read_bytes())
    for path in (home, *home.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    with _other(home / "mysql", home, "own", str(nobody.pw_uid)) as other:
        (pid,) = _servers_under(home)
        assert psutil.Process(pid).uids().real == nobody.pw_uid
        assert other.stdin is not None
        other.stdin.close()
        assert other.wait(20) == 0
    wait_for("its servers to be gone", lambda: not _servers_under(home))


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user reaches its own folders")
def test_a_folder_that_the_servers_account_cannot_reach_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    backends = MysqlBackends(tmp_path / "mysql", (Path("cert"), Path("key")))
    with pytest.raises(AccessDeniedError, match="cannot reach"):
        backends.create("one", version="8.0", master=MASTER)
    backends.close()


def test_a_server_that_stops_by_itself_has_no_address(ground: MysqlGround) -> None:
    ground.create("dying")
    (pid,) = _servers_under(ground.root / "mysql" / "servers" / "dying")
    ground.sql("dying", "create table t (n int)", "insert into t values (1)")
    os.kill(pid, signal.SIGKILL)
    wait_for("it to be gone", lambda: ground.backends.address("dying") is None)
    ground.backends.restore("dying", "risen", None)
    ground.backends.start("dying")
    assert ground.rows("dying", "t") == ground.rows("risen", "t") == [(1,)]
    for server in ("dying", "risen"):
        ground.backends.remove(server, retain=False)
