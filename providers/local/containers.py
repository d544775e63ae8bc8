"""Containers by Podman: pulled by digest, run by the supervisor, without a daemon or systemd."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    ImageMissingError,
    PreflightRefusedError,
    ProviderUnavailableError,
    ServerFailedError,
)
from providers.local.layout import write_text
from providers.local.processes import identity_of

MISSING = (
    "Podman is not installed, so images cannot be run; install it with: apt-get install podman runc"
)
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_SETTINGS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "{root}/tmp"
{runtime}
"""
"""Without these a container needs systemd and more limits than this process may give.

Locks are files of our own: those in shared memory are one set for every folder of an account, and
a folder that is new takes the locks of another one's containers for free.
"""
_STORAGE = """\
[storage]
driver = "{driver}"
graphroot = "{root}/storage"
runroot = "{root}/run"
"""
_PULL_SECONDS = 150


def podman_missing() -> str:
    """Return why no container can be run here, or nothing."""
    if shutil.which("podman") is None:
        return MISSING
    if not any(shutil.which(name) for name in ("crun", "runc")):
        return "Podman finds no runtime; install one with: apt-get install runc"
    return ""


def on_loopback(repository: str) -> bool:
    """Return whether a repository's registry is this machine, where plain HTTP is fine."""
    host = repository.partition("/")[0]
    return any(host == one or host.startswith(f"{one}:") for one in _LOOPBACK)


@dataclass(frozen=True)
class Traces:
    """One container's name, and the files in which Podman writes down its process and its id."""

    folder: Path
    name: str

    @property
    def pid_file(self) -> Path:
        """Holds the process id of the container's program."""
        return self.folder / "container.pid"

    @property
    def id_file(self) -> Path:
        """Holds the container's id."""
        return self.folder / "container.id"

    def clear(self) -> None:
        """Forget the container before."""
        self.pid_file.unlink(missing_ok=True)
        self.id_file.unlink(missing_ok=True)

    def has_ended(self) -> bool:
        """Return whether the program began and runs no more, whatever Podman knows of it."""
        try:
            return identity_of(int(self.pid_file.read_text())) is None
        except (OSError, ValueError):
            return False


class Podman:
    """Podman with images and containers of its own folder, which goes as a whole."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def environment(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a call; what the container gets travels in it, not in words."""
        self._prepare()
        return {
            **os.environ,
            **(settings or {}),
            "CONTAINERS_CONF": str(self.root / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.root / "storage.conf"),
        }

    def _prepare(self) -> None:
        if (self.root / "storage.conf").exists():
            return
        runtime = "" if shutil.which("crun") else 'runtime = "runc"'
        write_text(self.root / "containers.conf", _SETTINGS.format(runtime=runtime, root=self.root))
        driver = "overlay" if os.geteuid() == 0 else "vfs"
        write_text(self.root / "storage.conf", _STORAGE.format(driver=driver, root=self.root))

    def command(
        self, traces: "Traces", image: str, settings: Mapping[str, str], mounts: Sequence[Path]
    ) -> list[str]:
        """Return how a container is run in the foreground, with the network of this machine."""
        traces.clear()
        return [
            "podman",
            "run",
            "--replace",
            "--rm",
            f"--name={traces.name}",
            f"--pidfile={traces.pid_file}",
            f"--cidfile={traces.id_file}",
            "--network=host",
            "--read-only",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
            "--pull=missing",
            "--quiet",
            f"--tls-verify={'false' if on_loopback(image) else 'true'}",
            *(f"--env={variable}" for variable in settings),
            *(f"--volume={path}:{path}:ro" for path in mounts),
            image,
        ]

    def pull(self, image: str, user: str = "", password: str = "") -> None:
        """Fetch an image by digest, unless it is here.

        Raises:
            ImageMissingError: the registry has it no more.
            AccessDeniedError: it may not be pulled.
            ProviderUnavailableError: the registry does not answer.
        """
        if self._run(["image", "exists", image]).returncode == 0:
            return
        with ExitStack() as stack:
            login = []
            if user:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                login = [f"--authfile={_authfile(Path(folder), image, user, password)}"]
            verified = f"--tls-verify={'false' if on_loopback(image) else 'true'}"
            done = self._run(["pull", "--quiet", verified, *login, image])
        if done.returncode != 0:
            raise _pull_error(image, done.stderr)

    def remove(self, name: str) -> None:
        """Stop and remove a container; fine when there is none."""
        done = self._run(["rm", "--force", "--ignore", "--time=0", name])
        if done.returncode != 0:
            raise ServerFailedError(f"container {name} cannot be removed: {_last(done.stderr)}")

    def works(self) -> bool:
        """Return whether this account can run images at all."""
        return os.geteuid() == 0 or self._run(["unshare", "true"]).returncode == 0

    def leave(self) -> None:
        """End the process that keeps an ordinary account's namespace open between two calls."""
        try:
            pid = int((self.root / "tmp" / "pause.pid").read_text())
            if "catatonit" in psutil.Process(pid).name():
                os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError, psutil.Error):
            return

    def exit_code(self, traces: "Traces") -> int | None:
        """Return how a container's program ended, or None where that is not known."""
        try:
            told = self.root / "tmp" / "exits" / traces.id_file.read_text().strip()
            return int(told.read_text())
        except (OSError, ValueError):
            return None

    def _run(self, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        if missing := podman_missing():
            raise PreflightRefusedError(missing)
        try:
            return subprocess.run(
                [shutil.which("podman") or "podman", *arguments],
                env=self.environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=_PULL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise ProviderUnavailableError(
                f"podman {arguments[0]} did not end within {_PULL_SECONDS} s"
            ) from None


def _authfile(folder: Path, image: str, user: str, password: str) -> Path:
    path = folder / "auth.json"
    login = b64encode(f"{user}:{password}".encode()).decode()
    write_text(path, json.dumps({"auths": {image.partition("/")[0]: {"auth": login}}}), 0o600)
    return path


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "no word"


def _pull_error(image: str, said: str) -> Exception:
    told, lower = _last(said), said.lower()
    if "manifest unknown" in lower or "not found" in lower or "name unknown" in lower:
        return ImageMissingError(f"{image} is not in its registry any more: {told}")
    if "unauthorized" in lower or "denied" in lower:
        return AccessDeniedError(f"{image} may not be pulled with these credentials: {told}")
    if "connection refused" in lower or "no such host" in lower or "timeout" in lower:
        return ProviderUnavailableError(f"the registry of {image} does not answer: {told}")
    return ConfigurationRefusedError(f"{image} cannot be pulled: {told}")
