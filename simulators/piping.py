"""The connections of simulated endpoints: each one piped to a server, those of PostgreSQL out of TLS."""

import asyncio
import ssl
import struct
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Literal, cast

Protocol = Literal["postgresql", "mysql"]
Address = tuple[str, int]

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102  # request codes of PostgreSQL's protocol
_HEAD = struct.Struct(">II")
_CANCEL_SIZE = 16


@dataclass
class Endpoint:
    """One name with its port: where its connections go, and those that are open."""

    name: str
    port: int
    protocol: Protocol
    tls: ssl.SSLContext
    address: Address | None = None
    visits: "set[Visit]" = field(default_factory=set)
    listening: asyncio.Server | None = None

    async def listen(self) -> None:
        """Begin to take connections on the port.

        Raises:
            OSError: somebody else listens there.
        """
        loop = asyncio.get_running_loop()
        self.listening = await loop.create_server(
            lambda: Visit(self), "127.0.0.1", self.port, backlog=512
        )

    def move(self, address: Address | None) -> None:
        """Send connections to `address` from now on and cut those to another one."""
        if address != self.address:
            self.address = address
            self.cut()

    def cut(self) -> None:
        """Cut every open connection."""
        for visit in list(self.visits):
            visit.abort()

    def close(self) -> None:
        """Take no more connections and cut the open ones."""
        if self.listening is not None:
            self.listening.close()
        self.cut()


class Side(asyncio.Protocol):
    """One side of a piped connection: what comes in goes out at the other, at the other's pace."""

    def __init__(self, other: "Side | None" = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what has come."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Read no more from the other side: this one takes no more."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on from the other side."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other side once it has taken all."""
        del exc
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Visit(Side):
    """The client's side of one connection to an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._held = b""
        self._greeted = endpoint.protocol == "mysql"  # there the server speaks first
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it at once when the name leads nowhere."""
        super().connection_made(transport)
        self._endpoint.visits.add(self)
        if self._endpoint.address is None:
            transport.close()
        elif self._greeted:
            self._begin(self._reach())

    def data_received(self, data: bytes) -> None:
        """Pass on what has come, or hold it until it is known where to."""
        if self.other is not None:
            super().data_received(data)
            return
        self._held += data
        if not self._greeted:
            self._greet()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the server know."""
        self._endpoint.visits.discard(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Cut the connection on both sides."""
        self._endpoint.visits.discard(self)
        for task in self._tasks:
            task.cancel()
        for side in (self, self.other):
            if side is not None and side.transport is not None:
                side.transport.abort()

    def _greet(self) -> None:
        """Answer the requests by which a client of PostgreSQL begins."""
        assert self.transport is not None
        while len(self._held) >= _HEAD.size:
            size, code = _HEAD.unpack_from(self._held)
            if (size, code) == (_HEAD.size, _GSS):
                self._held = self._held[size:]
                self.transport.write(b"N")
                continue
            if self._held == _HEAD.pack(_HEAD.size, _SSL):
                self._greeted, self._held = True, b""
                self.transport.pause_reading()  # what comes next is for the TLS layer
                self.transport.write(b"S")
                self._begin(self._secure())
            elif (size, code) == (_CANCEL_SIZE, _CANCEL):
                if len(self._held) < size:
                    return
                self._greeted = True  # clients send this one in plain, as to a server with TLS
                self._begin(self._reach())
            else:
                self.transport.write(_refusal())
                self.transport.close()
            return

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _secure(self) -> None:
        """Begin TLS with the client, then reach the server."""
        assert self.transport is not None
        loop = asyncio.get_running_loop()
        try:
            inside = await loop.start_tls(
                self.transport, self, self._endpoint.tls, server_side=True
            )
        except OSError:  # such as a client that does not trust the certificate
            self.abort()
            return
        self.transport = inside
        if inside is not None:
            await self._reach()

    async def _reach(self) -> None:
        """Connect to the server and pass on what the client has sent so far."""
        assert self.transport is not None
        loop, far, address = asyncio.get_running_loop(), Side(self), self._endpoint.address
        try:
            if address is not None:
                await loop.create_connection(lambda: far, *address)
        except OSError:
            pass
        if far.transport is None or self.transport.is_closing():
            self.abort()
            if far.transport is not None:
                far.transport.abort()
            return
        self.other = far
        far.transport.write(self._held)
        self._held = b""


def _refusal() -> bytes:
    """Return the error of PostgreSQL's protocol for a client that asks for no TLS."""
    told = {
        b"S": b"FATAL",
        b"V": b"FATAL",
        b"C": b"28000",
        b"M": b"TLS required: connect with sslmode=require or stricter",
    }
    body = b"".join(kind + text + b"\0" for kind, text in told.items()) + b"\0"
    return b"E" + struct.pack(">I", len(body) + 4) + body
