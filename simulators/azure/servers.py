"""Servers that exist: listed, read, changed, restarted, stopped, deleted."""

from collections.abc import Callable
from datetime import datetime

from simulators.azure.account import STANDING, Account, Call
from simulators.azure.addresses import forget, route, withdraw
from simulators.azure.answers import page_json, server_json
from simulators.azure.changes import change_of
from simulators.azure.families import Json
from simulators.azure.operations import Answer
from simulators.azure.shapes import DROPPING, READY, STOPPED, UPDATING, Deleted, Server


def list_servers(account: Account, call: Call) -> Answer:
    """Return the servers of the subscription, or of one resource group."""
    if call.group:
        account.require_group(call.group)
    found = [
        server_json(account, server)
        for server in account.listed(call.family)
        if not call.group or server.group.lower() == call.group.lower()
    ]
    return page_json(account, call, f"{call.scope}/providers/{call.family.kind}", found)


def get_server(account: Account, call: Call) -> Answer:
    """Return one server."""
    return server_json(account, account.server(call))


def update_server(account: Account, call: Call) -> Answer:
    """Begin a change of what a call names; its tags replace all tags."""
    server = account.server(call)
    account.require(server)
    apply = change_of(server, call.body)
    tags = call.body.get("tags")
    if isinstance(tags, dict):
        server.tags.write(account.estate.clock.elapsed(), dict(tags))
    lasts = account.estate.durations.change
    return account.begin(
        server, "update", lasts, state=UPDATING, then=apply, result=shown(account, server)
    )


def restart_server(account: Account, call: Call) -> Answer:
    """Begin a restart, after which parameters that waited for one are in force."""
    server = account.server(call)
    account.require(server)
    backends = account.backends(server)

    def work() -> None:
        backends.stop(server.internal)
        backends.start(server.internal)

    def finish() -> None:
        server.pending.clear()
        route(account, server)

    lasts = account.estate.durations.change
    return account.begin(server, "restart", lasts, state="Restarting", work=work, then=finish)


def stop_server(account: Account, call: Call) -> Answer:
    """Begin to stop a server; Azure starts it again after seven days, this stand-in never."""
    server = account.server(call)
    account.require(server)
    backends = account.backends(server)

    def finish() -> None:
        server.state = STOPPED
        route(account, server)

    return account.begin(
        server,
        "stop",
        account.estate.durations.change,
        state="Stopping",
        work=lambda: backends.stop(server.internal),
        then=finish,
    )


def start_server(account: Account, call: Call) -> Answer:
    """Begin to start a stopped server."""
    server = account.server(call)
    account.require(server, STOPPED)
    backends = account.backends(server)

    def finish() -> None:
        server.state = READY
        route(account, server)

    return account.begin(
        server,
        "start",
        account.estate.durations.change,
        state="Starting",
        work=lambda: backends.start(server.internal),
        then=finish,
    )


def delete_server(account: Account, call: Call) -> Answer:
    """Begin a deletion; a server that does not exist is as good as deleted."""
    account.require_group(call.group)
    server = account.find(call.family, call.group, call.name)
    if server is None:
        return None
    account.require(server, *STANDING)
    backends = account.backends(server)
    if server.endpoint is not None:
        withdraw(account, server.endpoint)
        server.endpoint = None
    asked_at = account.estate.clock.now()
    return account.begin(
        server,
        "delete",
        account.estate.durations.delete,
        state=DROPPING,
        work=lambda: backends.remove(server.internal, retain=True),
        then=lambda: _drop(account, server, asked_at),
    )


def _drop(account: Account, server: Server, asked_at: datetime) -> None:
    account.servers.remove(server)
    account.deleted.append(Deleted(server, asked_at, account.estate.clock.elapsed()))
    forget(account, server)


def shown(account: Account, server: Server) -> Callable[[], Json]:
    """Return how the result of an operation is told that makes or changes a server."""
    return lambda: server_json(account, server)
