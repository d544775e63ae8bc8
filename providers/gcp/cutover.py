"""No instance is ever renamed: labels say which one a path means, and consumers are pointed to it."""

from collections.abc import Iterator

from domain.errors import CatalogError
from domain.resources import ProtectedResource
from providers.gcp.client import GcpClient
from providers.gcp.databases import GcpInstances
from providers.managed.driver import Traffic
from providers.managed.model import Instance, Moved, State
from providers.managed.names import RUN, SERVES, SINCE, SUPERSEDED, name_of, run_tag, serving
from providers.managed.pacing import soon


class GcpTraffic(Traffic):
    """Every step is known from the labels, so a crash anywhere goes on from there."""

    def __init__(self, client: GcpClient, instances: GcpInstances, scale: float) -> None:
        self._client, self._instances, self._scale = client, instances, scale

    def current(self, resource: ProtectedResource) -> Instance | None:
        """Return the instance that was cut over to last, or else the one of the catalog's name.

        Raises:
            CatalogError: the instance is in another region than the catalog says.
        """
        named = self._instances.find(resource.instance)
        region = self._client.entry.region
        if named is not None and named.settings["region"] != region:
            raise CatalogError(
                f"{resource.path}: instance {named.name} is in {named.settings['region']}, and the "
                f"provider's entry is for {region}; give it one of its own region"
            )
        return serving(self._instances.all(), named, resource.instance)

    def move(self, resource: ProtectedResource, old: Instance | None, new: Instance) -> Moved:
        """Return the new address: nothing of Cloud SQL can make the old one lead there."""
        if new.state is not State.READY:
            raise soon(f"{new.name} to be available, now {new.told}", self._scale)
        address, entry = f"{new.host}:{new.port}", self._client.entry
        connector = f"{entry.project}:{entry.region}:{new.name}"
        note = f"{resource.path} has another address now: {address}, for connectors {connector}"
        return Moved(address, (note, *_notes(old)))

    def move_back(self, resource: ProtectedResource, run_id: str) -> None:
        """Take the path's label from the run's instance.

        Labels that are being changed do not show, and would be missed: they are waited for first.
        """
        name, current = name_of(run_id, resource.instance), self.current(resource)
        for one in {name, current.name if current else name}:
            if self._instances.changing(one):
                raise soon(f"the labels of {one} to show", self._scale)
        copy = self._instances.find(name)
        if copy is None or copy.tags.get(RUN) != run_tag(run_id):
            return
        if SERVES in copy.tags:
            self._instances.tag(copy, {SERVES: "", SINCE: ""})


def _notes(old: Instance | None) -> Iterator[str]:
    """Yield what to know of the instance that a path meant before."""
    if old is None:
        return
    if old.host:
        yield (
            f"the old address {old.host}:{old.port} still answers until the release, read-only where "
            "it is fenced"
        )
    if SUPERSEDED not in old.tags:
        yield (
            f"{old.name} is {old.told} and shows no label: if the release does not find it, delete it "
            "yourself"
        )
