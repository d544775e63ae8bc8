"""Git's protocol through a program: ssh to a server, or git itself to a folder of this machine."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO

from dulwich.client import SubprocessWrapper, TraditionalGitClient
from dulwich.protocol import Protocol

from domain.errors import ConfigurationRefusedError
from providers.git.config import Remote

CONNECT = timedelta(seconds=10)
SILENT = timedelta(seconds=15)
WHOLE = timedelta(minutes=10)
"""One exchange with a repository, its first fetch of everything included, ends after this."""
_GRACE = timedelta(seconds=5)
_OWN = ("GIT_CONFIG", "GIT_TRACE", "GIT_SSL", "GIT_TERMINAL")


def surroundings() -> Mapping[str, str]:
    """Return the environment for a program: English words, and no repository but the one named."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_OWN)
    }
    return {**kept, "LC_ALL": "C", "LANGUAGE": "", "SSH_ASKPASS_REQUIRE": "never"}


def over_ssh(remote: Remote) -> Callable[[str], Sequence[str]]:
    """Return the command that runs a service at the server of `remote`.

    Raises:
        ConfigurationRefusedError: there is no ssh.
    """
    if shutil.which("ssh") is None:
        raise ConfigurationRefusedError(
            f"{remote.url}: there is no ssh program where the worker runs; install OpenSSH's client"
        )
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": str(int(CONNECT.total_seconds())),
        "ServerAliveInterval": str(int(SILENT.total_seconds())),
        "ServerAliveCountMax": "2",
        "ForwardAgent": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "LogLevel": "ERROR",
        "SetEnv": "GIT_PROTOCOL=version=2",
    }
    if remote.key:
        options["IdentitiesOnly"] = "yes"
    if remote.known_hosts:
        options["UserKnownHostsFile"] = f'"{remote.known_hosts}"'
        options["GlobalKnownHostsFile"] = "/dev/null"
    argv = ["ssh", "-x", "-T"]
    argv += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    argv += ["-i", remote.key] if remote.key else []
    argv += ["-p", str(remote.port)] if remote.port else []
    argv += ["-l", remote.user] if remote.user else []
    # quoted as git itself does; some servers read the line without a shell
    quoted = "'" + remote.path.replace("'", "'\\''") + "'"
    return lambda service: [*argv, "--", remote.host, f"git-{service} {quoted}"]


def in_folder(path: str) -> Callable[[str], Sequence[str]]:
    """Return the command that runs a service of git's own on a folder."""
    return lambda service: ["git", service, str(Path(path))]


class ProgramClient(TraditionalGitClient):
    """Talks to a program's input and output, and leaves none behind."""

    def __init__(self, command: Callable[[str], Sequence[str]]) -> None:
        super().__init__(quiet=True)
        self._command = command
        self._open: list[Protocol] = []

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        """Start the program; the command names the path already."""
        del path, protocol_version
        process = subprocess.Popen(
            self._command(cmd.decode()),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=surroundings(),
            start_new_session=True,  # a deadline ends what the program started, too
        )
        timer = threading.Timer(WHOLE.total_seconds(), _kill, [process])
        timer.daemon = True
        timer.start()
        wrapped = SubprocessWrapper(process)
        protocol = Protocol(wrapped.read, wrapped.write, partial(_end, process, timer))
        self._open.append(protocol)
        return protocol, wrapped.can_read, process.stderr

    def close(self) -> None:
        """End what still runs; the library leaves a connection open that was refused."""
        for protocol in self._open:
            protocol.close()


def _end(process: subprocess.Popen[bytes], timer: threading.Timer) -> None:
    """Hang up, and leave the program a moment to end by itself."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):  # it is closed all the same
                pipe.close()
    try:
        process.wait(_GRACE.total_seconds())
    except subprocess.TimeoutExpired:
        _kill(process)
        process.wait()
    timer.cancel()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.killpg(process.pid, signal.SIGKILL)
