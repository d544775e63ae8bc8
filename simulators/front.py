"""The endpoints of simulated instances: stable ports with TLS, routed to the servers behind them."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from domain.errors import PortTakenError
from providers.local.layout import write_text
from simulators.certificates import Certificates
from simulators.piping import Address, Protocol

_PROJECT = Path(__file__).parent.parent


class Front:
    """Gives each endpoint name a port of its own and routes its connections to a server.

    A port stands for a DNS name: it belongs to the name and not to the server, so a name that
    moves to another server keeps its port. PostgreSQL's TLS is required and ends here, with a
    certificate for 127.0.0.1 and localhost that `authority` signed; MySQL's bytes pass untouched,
    so its servers end TLS themselves, with the certificate that `certificate` names.
    """

    def __init__(self, folder: Path, first_port: int, last_port: int) -> None:
        self._record = folder / "ports.json"
        self._range = range(first_port, last_port + 1)
        self._certificates = Certificates(folder)
        self._ports: dict[str, int] = _read(self._record)
        self._open: set[str] = set()
        self._lock = threading.Lock()
        self._board = subprocess.Popen(
            [sys.executable, "-m", "simulators.switchboard", *map(str, self.certificate())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_PROJECT)},
            start_new_session=True,  # a Ctrl-C is for us; it ends when we do
        )

    @property
    def authority(self) -> Path:
        """File with the certificate that signs every endpoint's, as PEM."""
        return self._certificates.authority

    def certificate(self) -> tuple[Path, Path]:
        """Return the files of the endpoints' certificate and its key, for servers that end TLS."""
        return self._certificates.certificate, self._certificates.key

    def open(self, name: str, protocol: Protocol = "postgresql") -> int:
        """Return the port of a name, opened on first use; the same one after a restart.

        Raises:
            PortTakenError: every port of the range is in use, or somebody else's is the name's.
        """
        with self._lock:
            if name not in self._open:
                self._ports[name] = self._opened(name, protocol)
                self._open.add(name)
                write_text(self._record, json.dumps(self._ports, indent=1))
            return self._ports[name]

    def _opened(self, name: str, protocol: Protocol) -> int:
        known, taken = self._ports.get(name), set(self._ports.values())
        free = (port for port in self._range if port not in taken)
        for port in (known,) if known else free:
            if self._tell("open", name, port=port, protocol=protocol):
                return port
        ports = known or f"every port from {self._range.start} to {self._range.stop - 1}"
        raise PortTakenError(f"no endpoint for {name}: {ports} is in use; end what listens there")

    def route(self, name: str, address: Address | None) -> None:
        """Send the connections of a name to a server; None refuses them. Open ones are cut.

        Those of a name that leads to the same server as before stay open.

        Raises:
            KeyError: the name is to lead somewhere and is not open.
        """
        with self._lock:
            if name in self._open:
                self._tell("route", name, address=address)
            elif address is not None:
                raise KeyError(name)

    def forget(self, name: str) -> None:
        """Close a name's port, and let other names have it."""
        with self._lock:
            if name in self._open:
                self._open.remove(name)
                self._tell("close", name)
            if self._ports.pop(name, None) is not None:
                write_text(self._record, json.dumps(self._ports, indent=1))

    def close(self) -> None:
        """Close every port and cut every connection."""
        with self._lock:
            self._open.clear()
            for pipe in (self._board.stdin, self._board.stdout):
                assert pipe is not None
                pipe.close()
            try:
                self._board.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._board.kill()
                self._board.wait()

    def _tell(self, act: str, name: str, **how: object) -> bool:
        """Have the switchboard do something; return whether it could."""
        assert self._board.stdin is not None
        assert self._board.stdout is not None
        with contextlib.suppress(OSError):
            self._board.stdin.write(f"{json.dumps({'act': act, 'name': name, **how})}\n")
            self._board.stdin.flush()
        answer = self._board.stdout.readline()
        if not answer:
            raise RuntimeError("the process of the endpoints has ended")
        return bool(json.loads(answer))


def _read(path: Path) -> dict[str, int]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return {str(name): int(port) for name, port in found.items()}
