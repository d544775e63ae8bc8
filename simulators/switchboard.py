"""The process that carries the connections of simulated endpoints, told what to do line by line.

It is a process of its own because some calls of PostgreSQL's client library, such as a cancel, hold
up every thread of the process that makes them until the other side has answered. It ends with
whoever holds its standard input.
"""

import asyncio
import contextlib
import json
import ssl
import sys
from typing import Any

from simulators.piping import Endpoint


class Switchboard:
    """Every open endpoint."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._endpoints: dict[str, Endpoint] = {}

    async def carry_out(self, asked: dict[str, Any]) -> bool:
        """Carry out one command; return False for a port that somebody else has."""
        name = asked["name"]
        if asked["act"] == "open":
            endpoint = Endpoint(name, asked["port"], asked["protocol"], self._tls)
            try:
                await endpoint.listen()
            except OSError:
                return False
            self._endpoints[name] = endpoint
        elif asked["act"] == "route":
            address = asked["address"]
            self._endpoints[name].move((address[0], address[1]) if address else None)
        else:
            self._endpoints.pop(name).close()
        return True


async def serve(certificate: str, key: str) -> None:
    """Carry out the commands that come in, one a line, until there are no more."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    board, commands = Switchboard(tls), asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while line := await commands.readline():
        answer = await board.carry_out(json.loads(line))
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(serve(*sys.argv[1:]))
