"""The HTTP server in front of the API: connections that stay, watches that stream, faults."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from simulators.kubernetes.calls import Call
from simulators.kubernetes.plane import Answer, ApiServer, refusal
from simulators.kubernetes.planted import Fault, Planted
from simulators.kubernetes.values import Json

_SHAKE_SECONDS = 5.0


class Wire:
    """One API server on a free port of 127.0.0.1, with TLS if it is given a certificate."""

    def __init__(self, plane: ApiServer, certificate: tuple[Path, Path] | None) -> None:
        self.plane, self.planted = plane, Planted()
        self.requests: list[str] = []
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.005,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the API is."""
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving and cut every connection."""
        self._server.shutdown()
        self._thread.join()
        self.plane.close()
        self._server.cut()
        self._server.server_close()

    def wrapped(self, connection: socket.socket) -> socket.socket:
        """Return a connection behind TLS, if that is spoken."""
        if self._context is None:
            return connection
        connection.settimeout(_SHAKE_SECONDS)
        secured = self._context.wrap_socket(connection, server_side=True)
        secured.settimeout(None)
        return secured


class _Server(ThreadingHTTPServer):
    """Keeps its open connections, so that it can cut them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        """Serve a connection in its own thread, the handshake included."""
        try:
            connection = self.wire.wrapped(request)
        except OSError:
            return  # it did not speak TLS, or went away
        with self._guard:
            self._open.add(connection)
        try:
            super().finish_request(connection, client_address)
        except OSError:
            pass  # the client went away
        finally:
            with self._guard:
                self._open.discard(connection)
            connection.close()

    def cut(self) -> None:
        """Cut every open connection and wait for the threads that serve them."""
        with self._guard:
            held = [*self._open]
        for connection in held:
            _cut(connection)
        deadline = time.monotonic() + 2
        while self._open and time.monotonic() < deadline:
            time.sleep(0.002)


class _Handler(BaseHTTPRequestHandler):
    """Answers the calls of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it so
        """Keep quiet: whoever wants the calls asks for `requests`."""

    def answer(self) -> None:
        """Take a call, let its fault happen, and answer it."""
        wire = self.server.wire
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, self.path, headers, self.rfile.read(length))
        wire.requests.append(f"{call.method} {call.target}")
        fault = wire.planted.take(call.method, call.path) or Fault()
        if fault.seconds:
            time.sleep(fault.seconds)
        if fault.drop == "before":
            self._drop()
            return
        error = fault.refusal()
        answer = refusal(error) if error else wire.plane.answer(call)
        if fault.drop == "after":
            self._drop()
        elif answer.events is not None:
            self._stream(answer.events)
        else:
            self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the base looks for these

    def _drop(self) -> None:
        self.close_connection = True
        _cut(self.connection)

    def _send(self, answer: Answer) -> None:
        text = isinstance(answer.body, str)
        body = answer.body.encode() if isinstance(answer.body, str) else _encoded(answer.body)
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/plain" if text else "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, events: Iterator[Json]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for event in events:
            line = _encoded(event) + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def _encoded(body: Json) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _cut(connection: socket.socket) -> None:
    shut: Callable[[int], None] = connection.shutdown
    try:
        shut(socket.SHUT_RDWR)
    except OSError:
        return  # it was cut already
