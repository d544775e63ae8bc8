"""A way into a simulated endpoint for a psql that was built without TLS: it is added on the way."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ASK_FOR_TLS = struct.pack(">II", 8, 80877103)  # PostgreSQL's own request, before any login
_CHUNK = 65536


@contextmanager
def tunnel(host: str, port: int, authority: str) -> Iterator[int]:
    """Hold a port of this machine that leads to an endpoint, verified and encrypted from here on."""
    context = ssl.create_default_context(cafile=authority)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    inner, _ = listening.accept()
                except OSError:  # closed: psql has ended
                    return
                threading.Thread(
                    target=_join, args=(inner, host, port, context), daemon=True
                ).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def _join(inner: socket.socket, host: str, port: int, context: ssl.SSLContext) -> None:
    with inner, socket.create_connection((host, port)) as plain:
        plain.sendall(_ASK_FOR_TLS)
        if plain.recv(1) != b"S":
            return
        with context.wrap_socket(plain, server_hostname=host) as outer:
            back = threading.Thread(target=_copy, args=(outer, inner), daemon=True)
            back.start()
            _copy(inner, outer)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until the source ends, then end the other direction."""
    try:
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one side is gone, and with it what there was to copy
