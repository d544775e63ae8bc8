"""A sandbox of its own for a test, used by the commands that people type."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from sandbox.layout import choose_root
from tests.station import free_ports

REPOSITORY = Path(__file__).resolve().parents[2]
ORDERS = "shop/production/orders"
SETTINGS = "shop/production/settings"
CHECKOUT = "shop/production/checkout"
Done = subprocess.CompletedProcess[str]
_QUESTION = re.compile(rb"\[y/N\]: ?$")


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return what a command sees: nothing of the tests but where programs and sources are."""
    kept = ("LD_LIBRARY_PATH", "TMPDIR")  # an interpreter may need the one, a machine the other
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm",
        **more,
    }


@dataclass(frozen=True)
class Box:
    """One sandbox, the folder that its commands are typed in, and who types them."""

    folder: Path
    python: str = sys.executable
    account: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """Where a sandbox is unless another folder is named."""
        return self.folder / ".refloat"

    @property
    def environment(self) -> dict[str, str]:
        """What every command sees."""
        return environment(self.folder, **self.more)

    @property
    def ports(self) -> dict[str, int]:
        """The ports of the sandbox by name."""
        found: dict[str, int] = json.loads((self.root / "ports.json").read_text())
        return found

    def run(self, *command: str, within: float = 150) -> Done:
        """Run a command with nobody at a terminal."""
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=within,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env=self.environment,
            **self.account,
        )

    def refloat(self, *arguments: str, code: int = 0) -> str:
        """Run `refloat` and return what it printed; the test fails at any other exit code."""
        done = self.run(self.python, "-m", "cli", *arguments)
        assert done.returncode == code, told(arguments, done)
        return done.stdout if code == 0 else done.stderr

    def document(self, *arguments: str, code: int = 0) -> Any:
        """Run `refloat` and return the one JSON document that it prints."""
        done = self.run(self.python, "-m", "cli", "--output", "json", *arguments)
        assert done.returncode == code, told(arguments, done)
        return json.loads(done.stdout)

    def sql(self, query: str) -> str:
        """Run SQL on the current database as its administrator."""
        return self.refloat("sandbox", "psql", "-Atc", query).strip()

    def programs(self) -> dict[str, int]:
        """Return the pid of every program that `sandbox status` tells of; all is well with them."""
        screen = self.refloat("sandbox", "status")
        return {
            name: int(pid) for name, pid in re.findall(r"^(\w+) +pid (\d+)$", screen, re.MULTILINE)
        }

    def files(self) -> dict[str, Any]:
        """Return what the sandbox's own files say of servers, points, runs and settings."""
        database = self.root / "databases" / "orders"
        return {
            "current": (database / "current.json").read_text(),
            "servers": sorted(path.name for path in (database / "servers").iterdir()),
            "points": sorted(path.name for path in database.glob("archive/*/snapshots/*.json")),
            "reports": sorted(path.name for path in self.root.glob("reports/*.json")),
            "settings": (self.root / "checkout.env").read_text(),
            "ports": (self.root / "ports.json").read_text(),
            "catalog": (self.root / "refloat.yaml").read_text(),
        }

    def shop_is_healthy(self) -> bool:
        """Return whether the shop says that its last order went through."""
        return fetch(f"http://127.0.0.1:{self.ports['shop']}/healthz")[0] == 200


def told(arguments: Any, done: Done) -> str:
    """Return all that a command said, for a failing test."""
    return f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"


def fetch(address: str) -> tuple[int, bytes]:
    """Return status and content of a page; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - our own pages
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def type_at_terminal(box: Box, *command: str, within: float = 150) -> tuple[int, str]:
    """Run a command at a terminal and say yes to what it asks; return exit code and screen."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, cwd=box.folder, env=box.environment
    )
    os.close(slave)
    screen, deadline = b"", time.monotonic() + within
    try:
        while select.select([master], [], [], max(deadline - time.monotonic(), 0))[0]:
            try:
                shown = os.read(master, 4096)
            except OSError:  # how Linux tells that the other end has closed
                break
            if not shown:
                break
            screen += shown
            if _QUESTION.search(screen):
                os.write(master, b"y\n")
                screen += b"\n"
        return process.wait(timeout=10), screen.decode()
    finally:
        process.kill()
        process.wait()
        os.close(master)


def living(folder: Path) -> dict[int, str]:
    """Return every process that names the folder in its command line or works in it."""
    found = {}
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line, cwd = " ".join(process.info["cmdline"] or []), process.info["cwd"] or ""
        if str(folder) in line or Path(folder) in (Path(cwd), *Path(cwd).parents):
            found[process.pid] = line
    return found


def kill_all(folder: Path) -> int:
    """Kill every process of a folder, as a power cut does; return how many there were."""
    killed: set[int] = set()
    while found := living(folder):
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        killed |= set(found)
        time.sleep(0.05)
    return len(killed)


def require_silence(folder: Path, within: float = 5.0) -> None:
    """Return when no process of a folder is left."""
    deadline = time.monotonic() + within
    while (found := living(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found == {}


def choose_ports(root: Path, *, images: bool = False) -> None:
    """Choose the ports of a sandbox that is to be, so that tests side by side never meet."""
    first = free_ports(17)
    names = ("database", "temporal", "web", "shop", "first")
    ports = {name: first + number for number, name in enumerate(names)} | {"last": first + 15}
    ports["registry"] = first + 16 if images else 0
    root.mkdir(parents=True, exist_ok=True)
    (root / "ports.json").write_text(json.dumps(ports))


@contextmanager
def empty_box(mode: int = 0o755, *, images: bool = False) -> Iterator[Box]:
    """Hold a folder for a sandbox; afterwards neither folder nor process is left of it.

    With `images` its shop runs in a container, which takes some seconds more to make.
    """
    folder = Path(tempfile.mkdtemp(prefix="refloat-e2e-"))
    folder.chmod(mode)
    box = Box(folder)
    root, _ = choose_root(box.root)
    choose_ports(root, images=images)
    try:
        yield box
    finally:
        box.run(box.python, "-m", "cli", "sandbox", "down", "--purge")
        for path in {folder, root}:
            kill_all(path)
            shutil.rmtree(path, ignore_errors=not path.exists())


@contextmanager
def running_box() -> Iterator[Box]:
    """Hold a sandbox that is up."""
    with empty_box() as box:
        box.refloat("sandbox", "up")
        yield box
