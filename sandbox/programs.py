"""The programs of a sandbox, each a process that outlives its starter."""

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from domain.errors import ServerFailedError
from providers.local.applications import read_settings
from providers.local.processes import Daemon
from providers.local.supervisor import supervisor_alive
from sandbox.images import registry_command
from sandbox.layout import Ports, SandboxLayout
from simulators.reached import reached_at

_STEADY = 30.0
SCALE = 60.0
_ATTRIBUTES = (
    "RefloatResource",
    "RefloatKind",
    "RefloatMode",
    "RefloatPhase",
    "RefloatVerdict",
    "RefloatRun",
)
FAST = (
    'history.timerProcessorMaxTimeShift="1ms"',
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
)
"""The development server polls its own queues slowly by default; these values make it prompt."""


def temporal_program() -> str:
    """Return the path of Temporal's command.

    Raises:
        ServerFailedError: the extra `sandbox` is not installed.
    """
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise ServerFailedError(
            "no program `temporal`; install it with: pip install 'refloat[sandbox]'"
        )
    return found


def temporal_command(layout: SandboxLayout, ports: Ports) -> list[str]:
    """Return the command of the development server, with its state on disk."""
    values = [part for value in FAST for part in ("--dynamic-config-value", value)]
    attributes = [
        part for name in _ATTRIBUTES for part in ("--search-attribute", f"{name}=Keyword")
    ]
    return [
        temporal_program(),
        "server",
        "start-dev",
        "--ip",
        "127.0.0.1",
        "--port",
        str(ports.temporal),
        "--ui-port",
        str(ports.web),
        "--db-filename",
        str(layout.root / "temporal.db"),
        "--sqlite-pragma",
        "journal_mode=wal",
        "--sqlite-pragma",
        "synchronous=1",
        "--log-level",
        "error",
        *attributes,
        *values,
    ]


class _Pause:
    """Lets a program that keeps ending be started ever more seldom."""

    def __init__(self) -> None:
        self._next, self._delay = 0.0, 0.5

    def over(self) -> bool:
        """Return whether it may be started now, and count the start."""
        now = time.monotonic()
        if now < self._next:
            return False
        steady = now - self._next > _STEADY
        self._delay = 0.5 if steady else min(_STEADY, self._delay * 2)
        self._next = now + self._delay
        return True


class Programs:
    """Temporal, supervisor and worker of one sandbox."""

    def __init__(self, layout: SandboxLayout, ports: Ports) -> None:
        self.layout, self.ports = layout, ports
        run, logs = layout.root / "run", layout.root / "logs"
        self.keeper = Daemon(run / "keeper.pid", logs / "keeper.log")
        self.temporal = Daemon(run / "temporal.pid", logs / "temporal.log")
        self.supervisor = Daemon(run / "supervisor.pid", logs / "supervisor.log")
        self.worker = Daemon(run / "worker.pid", logs / "worker.log")
        self.simulator = Daemon(run / "simulator.pid", logs / "simulator.log")
        self.heartbeat = Daemon(run / "heartbeat.pid", logs / "heartbeat.log")
        self.shop = Daemon(run / "shop.pid", logs / "shop.log")
        self.registry = Daemon(run / "registry.pid", logs / "registry.log")
        self._pauses = {name: _Pause() for name in self.all()}

    def all(self) -> dict[str, Daemon]:
        """Return the programs by name."""
        common = {"temporal": self.temporal, "worker": self.worker}
        if self.ports.cloud:
            beside = {
                "simulator": self.simulator,
                "heartbeat": self.heartbeat,
                "shop": self.shop,
            }
            return common | beside
        if self.ports.registry:
            common["registry"] = self.registry
        return common | {"supervisor": self.supervisor}

    def commands(self) -> dict[str, list[str]]:
        """Return how each program is started."""
        catalog = str(self.layout.catalog)
        commands = {
            "temporal": temporal_command(self.layout, self.ports),
            "simulator": simulator_command(self.layout, self.ports),
            "heartbeat": [sys.executable, "-m", "providers.heartbeats", "--catalog", catalog],
            "shop": [sys.executable, "-m", "sandbox.shop"],
            "supervisor": [
                sys.executable,
                "-m",
                "providers.local.supervisor",
                "--catalog",
                catalog,
            ],
            "worker": [sys.executable, "-m", "worker", "--catalog", catalog],
        }
        if self.ports.registry:
            commands["registry"] = registry_command(self.layout, self.ports)
        return {name: command for name, command in commands.items() if name in self.all()}

    def tick(self) -> None:
        """Start what does not run; the worker only once Temporal answers."""
        for name, command in self.commands().items():
            daemon = self.all()[name]
            if daemon.pid is not None:
                continue
            if self._ready(name) and self._pauses[name].over():
                daemon.start(command, environment=self._environment(), folder=self.layout.root)

    def _ready(self, name: str) -> bool:
        """Return whether what a program cannot do without is there."""
        if name in {"heartbeat", "shop"}:
            return (self.layout.root / "checkout.env").exists()
        if name == "worker":
            waits = self.ports.cloud and not self.layout.catalog.exists()
            return not waits and self.temporal.pid is not None and answers(self.ports.temporal)
        return True

    def _environment(self) -> dict[str, str]:
        """Return what the programs see: our account's own, the simulator's address, the shop's."""
        made = {**_environment(), **cloud_environment(self.ports)}
        settings = self.layout.root / "checkout.env"
        if self.ports.cloud and settings.exists():
            made |= read_settings(settings)
        return made

    def stop(self) -> None:
        """Stop everything in order; the supervisor stops the servers it keeps.

        A supervisor that is gone is started once more, so that it finds and stops what it kept.
        """
        self.keeper.stop(within=10)
        self.worker.stop(within=20)
        if self.ports.cloud:
            for daemon in (self.heartbeat, self.shop, self.simulator, self.temporal):
                daemon.stop(within=60)
            return
        if self.supervisor.pid is None:
            command = self.commands()["supervisor"]
            self.supervisor.start(command, environment=_environment(), folder=self.layout.root)
            log = self.supervisor.log
            wait_until("the supervisor", lambda: supervisor_alive(self.layout.root), 30, log)
        self.supervisor.stop(signal.SIGINT, within=90)
        self.registry.stop(within=10)
        self.temporal.stop(within=10)


def simulator_command(layout: SandboxLayout, ports: Ports) -> list[str]:
    """Return how the simulated cloud is started."""
    return [
        sys.executable,
        "-m",
        "simulators",
        ports.cloud,
        "--root",
        str(layout.root / "cloud"),
        "--port",
        str(ports.simulator),
        "--first-port",
        str(ports.first),
        "--last-port",
        str(ports.last),
        "--scale",
        str(SCALE),
    ]


def cloud_environment(ports: Ports) -> Mapping[str, str]:
    """Return what makes each SDK talk to the simulator, by the SDK's own means."""
    if not ports.cloud:
        return {}
    return {"REFLOAT_TIME_SCALE": str(SCALE), **reached_at(f"http://127.0.0.1:{ports.simulator}")}


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REFLOAT_")}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def answers(port: int) -> bool:
    """Return whether somebody listens on `port` of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(what: str, true: Callable[[], bool], within: float, log: Path) -> None:
    """Wait for a condition.

    Raises:
        ServerFailedError: naming the log to read.
    """
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            raise ServerFailedError(f"the sandbox waited {within:.0f} s for {what}; read {log}")
        time.sleep(0.1)


def keep(layout: SandboxLayout) -> None:
    """Keep the programs running until told to stop: a killed one comes back."""
    ports = layout.prepare()
    programs, stopping = Programs(layout, ports), []
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stopping.append(True))
    while not stopping:
        programs.tick()
        time.sleep(0.25)
