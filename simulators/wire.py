"""Serves a control plane on loopback, counts its calls, and lets faults happen to them."""

import json
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeAlias

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from simulators.estate import Estate, Seed
from simulators.faults import Refusal

Environment: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
ADMIN = "/_simulator/"


class ControlPlane(Protocol):
    """One simulated cloud: answers its API, and what tests and the sandbox need beside it."""

    estate: Estate

    def operation_of(self, request: Request) -> str:
        """Return the name of the API call in the provider's own word, such as `ModifyDBInstance`."""
        ...

    def answer(self, request: Request) -> Response:
        """Carry out a call and answer as the provider does, its errors included."""
        ...

    def render(self, request: Request, refusal: Refusal) -> Response:
        """Return an error in the provider's own form."""
        ...

    def throttled(self) -> Refusal:
        """Return the error by which the provider refuses too many calls."""
        ...

    def seed(self, seed: Seed) -> tuple[str, int]:
        """Make an instance that has existed for long; return its address once it runs protected."""
        ...

    def allow(self, instances: int) -> None:
        """Set how many instances the account may have, as its provider does on request."""
        ...

    def force(self, name: str, state: str) -> None:
        """Hold an instance in a raw state of the provider; an empty state lets it go on."""
        ...


@dataclass(frozen=True)
class Call:
    """One call, and when it came in, in real seconds."""

    at: float
    operation: str
    status: int


class _Quiet(WSGIRequestHandler):
    """Writes no line for a call: whoever wants them asks for `calls`."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep quiet."""


class Wire:
    """The HTTP server of one control plane, on 127.0.0.1 only."""

    def __init__(self, plane: ControlPlane, port: int = 0, *, rate: float | None = None) -> None:
        self.plane, self.rate = plane, rate
        self.calls: list[Call] = []
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", port, self._serve, threaded=True, request_handler=_Quiet
        )
        self.port = self._server.port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the API is, such as `http://127.0.0.1:4711`."""
        return f"http://127.0.0.1:{self.port}"

    def count(self) -> Counter[str]:
        """Return how often each operation was called."""
        with self._lock:
            return Counter(call.operation for call in self.calls)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self, environment: Environment, start: StartResponse) -> Iterable[bytes]:
        request = Request(environment)
        if request.path.startswith(ADMIN):
            return self._administer(request)(environment, start)
        came, operation = time.monotonic(), self.plane.operation_of(request)
        faults = self.plane.estate.faults
        refusal = faults.refusal_of(operation)
        if faults.throttling or self._too_many():
            refusal = self.plane.throttled()
        answer = self.plane.render(request, refusal) if refusal else self.plane.answer(request)
        with self._lock:
            self.calls.append(Call(came, operation, answer.status_code))
        if refusal is None and faults.takes_reply_of(operation):
            cut: socket.socket = environment["werkzeug.socket"]
            cut.shutdown(socket.SHUT_RDWR)
        return answer(environment, start)

    def _too_many(self) -> bool:
        """Count the call; return whether the account made too many within a simulated second."""
        if self.rate is None:
            return False
        now, second = time.monotonic(), 1 / self.plane.estate.clock.scale
        with self._lock:
            while self._recent and now - self._recent[0] > second:
                self._recent.popleft()
            self._recent.append(now)
            return len(self._recent) > self.rate

    def _administer(self, request: Request) -> Response:
        """Answer what is no part of any cloud: for the sandbox, benches and curious people."""
        asked = json.loads(request.get_data() or b"{}")
        what = request.path.removeprefix(ADMIN)
        estate = self.plane.estate
        if what == "seed":
            host, port = self.plane.seed(Seed(**asked))
            return Response(json.dumps({"host": host, "port": port}), mimetype="application/json")
        if what == "calls":
            with self._lock:
                told = [asdict(call) for call in self.calls]
            return Response(json.dumps(told), mimetype="application/json")
        if what == "clock":
            estate.clock.move(timedelta(seconds=asked["move"]))
        elif what == "force":
            self.plane.force(asked["name"], asked["state"])
        elif what == "allow":
            self.plane.allow(asked["instances"])
        elif what == "throttle":
            estate.faults.throttle_for(timedelta(seconds=asked["seconds"]))
        elif what == "lose-reply":
            estate.faults.lose_reply(asked["operation"], asked.get("times", 1))
        elif what == "refuse":
            estate.faults.refuse(
                asked["operation"], Refusal(asked["status"], asked["code"], asked["message"])
            )
        else:
            return Response(f"no such act: {what}\n", status=404)
        return Response("{}", mimetype="application/json")
