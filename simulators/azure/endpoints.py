"""Virtual endpoints of PostgreSQL: names that can be taken off one server and given to another."""

from collections.abc import Callable

from simulators.azure.account import Account, Call
from simulators.azure.addresses import route, withdraw
from simulators.azure.answers import endpoint_json, page_json
from simulators.azure.families import Json
from simulators.azure.operations import Answer
from simulators.azure.refusals import ApiError, invalid
from simulators.azure.shapes import UPDATING, Server, VirtualEndpoint


def list_endpoints(account: Account, call: Call) -> Answer:
    """Return the virtual endpoint of a server, where it has one."""
    server = account.server(call)
    found = [endpoint_json(account, server, server.endpoint)] if server.endpoint else []
    return page_json(account, call, f"{account.id_of(server)}/virtualendpoints", found)


def get_endpoint(account: Account, call: Call) -> Answer:
    """Return one virtual endpoint."""
    server = account.server(call)
    return endpoint_json(account, server, _named(server, call.child))


def put_endpoint(account: Account, call: Call) -> Answer:
    """Begin a virtual endpoint; its name must be free, so another server must have lost it first."""
    server = account.server(call)
    account.require(server)
    endpoint = VirtualEndpoint(call.child, _members(server, call))
    _require_free(account, server, endpoint)

    def finish() -> None:
        server.endpoint = endpoint
        route(account, server)

    return _begin(account, server, endpoint, finish)


def update_endpoint(account: Account, call: Call) -> Answer:
    """Begin to change who is behind a virtual endpoint."""
    server = account.server(call)
    account.require(server)
    endpoint = _named(server, call.child)
    members = _members(server, call)

    def finish() -> None:
        endpoint.members = members

    return _begin(account, server, endpoint, finish)


def delete_endpoint(account: Account, call: Call) -> Answer:
    """Begin to take a virtual endpoint away; from then on its name leads nowhere."""
    server = account.server(call)
    account.require(server)
    endpoint = server.endpoint
    if endpoint is None or endpoint.name.lower() != call.child.lower():
        return None

    def finish() -> None:
        withdraw(account, endpoint)
        server.endpoint = None

    lasts = account.estate.durations.change
    return account.begin(server, "endpoint", lasts, state=UPDATING, then=finish)


def _begin(
    account: Account, server: Server, endpoint: VirtualEndpoint, finish: Callable[[], None]
) -> Answer:
    def result() -> Json:
        return endpoint_json(account, server, endpoint)

    lasts = account.estate.durations.change
    return account.begin(server, "endpoint", lasts, state=UPDATING, then=finish, result=result)


def _members(server: Server, call: Call) -> list[str]:
    members = [str(one) for one in call.properties.get("members") or ()]
    if [one.lower() for one in members] != [server.name]:
        raise invalid("members", f"The stand-in has no replicas: only '{server.name}' can be.")
    return members


def _require_free(account: Account, server: Server, endpoint: VirtualEndpoint) -> None:
    if server.endpoint is not None and server.endpoint.name.lower() != endpoint.name.lower():
        message = f"Server '{server.name}' has a virtual endpoint already."
        raise ApiError(409, "VirtualEndpointAlreadyExists", message)
    for other in account.servers:
        used = other.endpoint is not None and other.endpoint.name.lower() == endpoint.name.lower()
        if used and other is not server:
            message = f"The virtual endpoint name '{endpoint.name}' is already used."
            raise ApiError(409, "VirtualEndpointNameAlreadyExists", message)


def _named(server: Server, name: str) -> VirtualEndpoint:
    if server.endpoint is None or server.endpoint.name.lower() != name.lower():
        raise ApiError(404, "ResourceNotFound", f"The virtual endpoint '{name}' was not found.")
    return server.endpoint
