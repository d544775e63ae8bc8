"""The names under which servers are reached, each a port of its own instead of a DNS name."""

from simulators.azure.account import UNREACHABLE, Account
from simulators.azure.shapes import PROVISIONING, Server, VirtualEndpoint

HOST = "127.0.0.1"


def domain_name(account: Account, server: Server) -> str:
    """Return what stands for `name.postgres.database.azure.com`."""
    return f"{HOST}:{port_of(account, server)}"


def port_of(account: Account, server: Server) -> int:
    """Return the port that stands for a server's DNS name."""
    return account.estate.front.open(_of_server(server), server.family.engine)


def virtual_names(account: Account, endpoint: VirtualEndpoint) -> list[str]:
    """Return the writer's and the reader's name; with one member both lead to it."""
    name = f"{HOST}:{account.estate.front.open(_of_endpoint(endpoint), 'postgresql')}"
    return [name, name]


def route(account: Account, server: Server) -> None:
    """Lead a server's names to where it runs now, or nowhere while it cannot be reached."""
    state = server.seen_state
    reachable = state not in UNREACHABLE and state != PROVISIONING
    address = account.backends(server).address(server.internal) if reachable else None
    port_of(account, server)
    account.estate.front.route(_of_server(server), address)
    if server.endpoint is not None:
        virtual_names(account, server.endpoint)
        account.estate.front.route(_of_endpoint(server.endpoint), address)


def withdraw(account: Account, endpoint: VirtualEndpoint) -> None:
    """Lead a virtual endpoint nowhere; its name, and so its port, can come back elsewhere."""
    virtual_names(account, endpoint)
    account.estate.front.route(_of_endpoint(endpoint), None)


def forget(account: Account, server: Server) -> None:
    """Give up a server's own name."""
    account.estate.front.forget(_of_server(server))


def _of_server(server: Server) -> str:
    return f"azure-{server.family.engine}-{server.name}"


def _of_endpoint(endpoint: VirtualEndpoint) -> str:
    return f"azure-virtual-endpoint-{endpoint.name}"
