"""The rename swap: the endpoint's name belongs to the identifier, so the identifiers change hands."""

from domain.errors import ResourceMissingError
from domain.resources import ProtectedResource
from providers.aws.client import AwsClient
from providers.aws.databases import AwsInstances
from providers.managed.driver import Traffic
from providers.managed.model import Instance, Moved, State
from providers.managed.names import RUN, name_of, old_name_of, run_tag
from providers.managed.pacing import soon

_NOTE = (
    "the endpoint keeps its name; clients that hold the old address look it up again within minutes"
)
_NAMES = "{new} is called {now} now, and what was {now} is called {was}"


class AwsTraffic(Traffic):
    """Every step is known from which names exist, so a crash anywhere goes on from there."""

    def __init__(self, client: AwsClient, instances: AwsInstances, scale: float) -> None:
        self._client, self._instances, self._scale = client, instances, scale

    def current(self, resource: ProtectedResource) -> Instance | None:
        """Return the instance of the catalog's name."""
        return self._instances.find(resource.instance)

    def move(self, resource: ProtectedResource, old: Instance | None, new: Instance) -> Moved:
        """Rename the old one away, then the new one to the name."""
        run_id = new.tags.get(RUN, "")
        if new.name == resource.instance:
            self._require_ready(new)
            names = _NAMES.format(
                new=name_of(run_id, resource.instance),
                now=resource.instance,
                was=old_name_of(run_id, resource.instance),
            )
            return Moved(f"{new.host}:{new.port}", (_NOTE, names))
        if old is not None and old.name == resource.instance:
            self._rename(old, old_name_of(run_id, resource.instance))
        if old is not None:
            self._require_ready(old)
        self._rename(new, resource.instance)
        raise AssertionError  # a rename always waits

    def move_back(self, resource: ProtectedResource, run_id: str) -> None:
        """Rename the new one back to its own name, then the old one to the path's."""
        holder = self._instances.find(resource.instance)
        if holder is not None and holder.tags.get(RUN) == run_tag(run_id):
            self._require_ready(holder)
            self._rename(holder, name_of(run_id, resource.instance))
        was = self._instances.find(old_name_of(run_id, resource.instance))
        if was is not None:
            self._require_ready(was)
            self._rename(was, resource.instance)
        if holder is not None:
            self._require_ready(holder)

    def _rename(self, instance: Instance, name: str) -> None:
        """Begin a rename and wait for it: the instance reboots under its new name.

        While that goes on, RDS may show an instance under a name that it no longer takes calls for.
        """
        self._require_ready(instance)
        try:
            with self._client.call(f"rename {instance.name} to {name}"):
                self._client.rds.modify_db_instance(
                    DBInstanceIdentifier=instance.name,
                    NewDBInstanceIdentifier=name,
                    ApplyImmediately=True,
                )
        except ResourceMissingError:
            raise soon(f"{instance.name} to show under its name", self._scale) from None
        raise soon(f"{instance.name} to be renamed to {name}", self._scale)

    def _require_ready(self, instance: Instance) -> None:
        if instance.state is not State.READY:
            raise soon(f"{instance.name} to be available, now {instance.told}", self._scale)
