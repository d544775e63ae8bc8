"""Tags say which server a path means; where PostgreSQL has a virtual endpoint, that moves too.

A virtual endpoint cannot be handed over: it is deleted at the old server and made at the new one,
and between the two its name leads nowhere. Its name is a tag of the new server before anything
else is done, so that it can be made again from wherever a crash left it.
"""

from collections.abc import Iterator
from typing import Any

from domain.errors import NotYetError, ServerFailedError
from domain.pacing import Pacing
from domain.resources import ProtectedResource
from providers.azure.client import AzureClient, body
from providers.azure.databases import AzureInstances
from providers.azure.describing import address_of
from providers.azure.errors import AGAIN
from providers.azure.servers import STUCK, Servers
from providers.managed.driver import Traffic
from providers.managed.model import Instance, Moved, State
from providers.managed.names import BY, RUN, SERVES, SINCE, SUPERSEDED, name_of, run_tag, serving

ENDPOINT = "refloat-endpoint"
"""Tag of a new server with the name of the virtual endpoint that moves to it."""


class AzureTraffic(Traffic):
    """Every step is known from tags and endpoints, so a crash anywhere goes on from there."""

    def __init__(
        self, client: AzureClient, servers: Servers, instances: AzureInstances, pacing: Pacing
    ) -> None:
        self._client, self._servers, self._instances = client, servers, instances
        self._pacing = pacing

    def current(self, resource: ProtectedResource) -> Instance | None:
        """Return the server that was cut over to last, else the one of the catalog's name."""
        return self._current(resource, frozenset())

    def _current(self, resource: ProtectedResource, without: frozenset[str]) -> Instance | None:
        """Return what a path means, as if some servers were not there; live, as lists may be late."""
        listed = [one for one in self._instances.all() if one.id not in without]
        self._instances.expect(resource.instance, resource.engine)
        found = serving(listed, self._instances.find(resource.instance), resource.instance)
        if found is None or found.name == resource.instance:
            return found
        fresh = self._instances.find(found.name, found.id)
        if fresh is None or fresh.tags.get(SERVES) != resource.instance:
            return self._current(resource, without | {found.id})
        return fresh

    def move(self, resource: ProtectedResource, old: Instance | None, new: Instance) -> Moved:
        """Move the virtual endpoint where there is one; else the consumers go to the new address."""
        address, notes = f"{new.host}:{new.port}", tuple(_notes(old))
        name = new.tags.get(ENDPOINT) or (self._endpoint_of(old) if old else "")
        if not name:
            return Moved(address, (f"{resource.path} is reached at {address} now", *notes))
        if new.tags.get(ENDPOINT) != name:
            self._instances.tag(new, {ENDPOINT: name})
            raise self._wait(f"{new.name} to show that the virtual endpoint {name} moves to it")
        if (there := self._endpoints(new).get(name)) is not None:
            return Moved(_writer_of(there, new), (_GAP.format(name=name, new=new.name), *notes))
        if old is not None and name in self._endpoints(old):
            if old.state in STUCK:
                return Moved(
                    address, (_STAYS.format(name=name, old=old.name, told=old.told), *notes)
                )
            self._remove(old, name)
        self._make(new, name)
        raise AssertionError  # making an endpoint always waits

    def move_back(self, resource: ProtectedResource, run_id: str) -> None:
        """Take the path's tags from the run's server, and the virtual endpoint back to the old one."""
        new = self._instances.find(name_of(run_id, resource.instance))
        if new is None or new.tags.get(RUN) != run_tag(run_id):
            return
        if SERVES in new.tags:
            self._instances.tag(new, {SERVES: "", SINCE: ""})
            raise self._wait(f"{new.name} to show that it serves {resource.path} no longer")
        if name := new.tags.get(ENDPOINT):
            self._give_back(resource, new, name)

    def _give_back(self, resource: ProtectedResource, new: Instance, name: str) -> None:
        old = self._superseded_by(resource, new)
        if old is not None and name not in self._endpoints(old):
            if name in self._endpoints(new):
                self._remove(new, name)
            self._make(old, name)
        self._instances.tag(new, {ENDPOINT: ""})

    def _superseded_by(self, resource: ProtectedResource, new: Instance) -> Instance | None:
        """Return the server that the run of a new one superseded, or was about to."""
        marked = [
            one
            for one in self._instances.all()
            if one.tags.get(SUPERSEDED) == resource.instance and one.tags.get(BY) == new.tags[RUN]
        ]
        found = next((one for one in marked if one.id != new.id), None)
        if found is not None:
            return self._instances.find(found.name, found.id)
        return self._current(resource, frozenset((new.id,)))

    def _endpoint_of(self, server: Instance) -> str:
        """Return the name of a server's virtual endpoint, or an empty one."""
        return next(iter(self._endpoints(server)), "")

    def _endpoints(self, server: Instance) -> dict[str, dict[str, Any]]:
        found = self._servers.endpoints(server.name, server.engine)
        return {one["name"]: one["properties"] for one in found}

    def _remove(self, server: Instance, name: str) -> None:
        """Begin to take a virtual endpoint away, and wait for it."""
        self._require_ready(server)
        act = self._client.sdk.postgresql.virtual_endpoints.begin_delete
        doing = f"take the virtual endpoint {name} from {server.name}"
        self._servers.begin(server, doing, act, name)
        raise self._wait(f"{server.name} to lose the virtual endpoint {name}")

    def _make(self, server: Instance, name: str) -> None:
        """Begin to make a virtual endpoint, and wait for it."""
        self._require_ready(server)
        act = self._client.sdk.postgresql.virtual_endpoints.begin_create
        wanted = {"properties": {"endpointType": "ReadWrite", "members": [server.name]}}
        doing = f"give the virtual endpoint {name} to {server.name}"
        self._servers.begin(server, doing, act, name, body(wanted))
        raise self._wait(f"{server.name} to have the virtual endpoint {name}")

    def _require_ready(self, server: Instance) -> None:
        if server.state in STUCK:
            raise ServerFailedError(
                f"{server.name}: Azure says {server.told!r}, so it cannot change"
            )
        if server.state is not State.READY:
            raise self._wait(f"{server.name} to be available, now {server.told}")

    def _wait(self, what: str) -> NotYetError:
        return NotYetError(what, self._pacing.short(AGAIN))


_GAP = (
    "the virtual endpoint {name} leads to {new} now; while it moved its name led nowhere, and a "
    "resolver may remember that for some minutes. Read replicas are not behind it any more"
)
_STAYS = (
    "the virtual endpoint {name} stays at {old}, which is {told!r} and takes no change: start that "
    "server and move the endpoint, or have its clients use the new address"
)


def _notes(old: Instance | None) -> Iterator[str]:
    """Yield what to know of the server that a path meant before."""
    if old is None:
        return
    if old.state not in STUCK:
        yield f"{old.host}:{old.port} still answers until the release, read-only where it is fenced"
    elif SUPERSEDED not in old.tags:
        yield (
            f"{old.name} is {old.told!r} and took no tag, so the release does not find it: delete it "
            "yourself"
        )


def _writer_of(endpoint: dict[str, Any], server: Instance) -> str:
    """Return the address of the name that leads to the writer; the other one is for readers."""
    names = [str(one) for one in endpoint.get("virtualEndpoints") or []]
    writers = [one for one in names if ".writer." in one] or names
    host, port = address_of(next(iter(writers), server.host), server.engine)
    return f"{host}:{port}"
