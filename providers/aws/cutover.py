"""The rename swap: the endpoint's name belongs to the identifier, so the identifiers change hands."""

from domain.errors import BusyError, NameTakenError, ResourceMissingError, ServerFailedError
from domain.resources import ProtectedResource
from providers.aws.client import AwsClient
from providers.aws.databases import AwsInstances
from providers.managed.driver import Traffic
from providers.managed.model import Instance, Moved, State
from providers.managed.names import (
    RUN,
    SERVES,
    SINCE,
    SUPERSEDED,
    name_of,
    old_name_of,
    run_tag,
    serving,
)
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
        """Return the instance of the catalog's name.

        What is broken may keep that name although it is superseded: then it is what was cut over to.
        """
        named = self._instances.find(resource.instance)
        if named is not None and SUPERSEDED not in named.tags:
            return named
        return serving(self._instances.all(), named, resource.instance)

    def move(self, resource: ProtectedResource, old: Instance | None, new: Instance) -> Moved:
        """Rename the old one away, then the new one to the name.

        AWS renames nothing that is broken: then the new one keeps its name and its own address.
        """
        run_id, name = new.tags.get(RUN, ""), resource.instance
        aside = old_name_of(run_id, name)
        if new.name == name:
            self._settled(new)
            names = _NAMES.format(new=name_of(run_id, name), now=name, was=aside)
            return Moved(f"{new.host}:{new.port}", (_NOTE, names))
        if old is not None and old.name == name:
            try:
                self._rename(old, aside)
            except NameTakenError:  # by itself: its state does not tell that it is being renamed
                raise soon(f"{name} to be renamed to {aside}", self._scale) from None
            except ServerFailedError as error:
                return _beside(new, str(error))
        if old is not None:
            self._settled(old)
        try:
            self._rename(new, name)
        except NameTakenError:
            holder = self._instances.find(name)
            if holder is not None and SUPERSEDED not in holder.tags:
                raise
            if holder is None:
                raise soon(f"the name {name} to be free", self._scale) from None
            return _beside(new, f"{name} is superseded, {holder.told}, and has the name still")
        raise AssertionError  # a rename always waits

    def move_back(self, resource: ProtectedResource, run_id: str) -> None:
        """Rename the new one back to its own name, then the old one to the path's."""
        holder = self._instances.find(resource.instance)
        if holder is not None and holder.tags.get(RUN) == run_tag(run_id):
            self._unmark(holder)
            self._rename(holder, name_of(run_id, resource.instance))
        copy = self._instances.find(name_of(run_id, resource.instance))
        if copy is not None and copy.tags.get(RUN) == run_tag(run_id):
            self._unmark(copy)
        was = self._instances.find(old_name_of(run_id, resource.instance))
        if was is not None:
            self._rename(was, resource.instance)
        if holder is not None:
            self._settled(holder)

    def _unmark(self, copy: Instance) -> None:
        """Take the path's tag away, also one that does not show yet."""
        self._settled(copy)
        self._instances.tag(copy, {SERVES: "", SINCE: ""})
        if SERVES in copy.tags:
            raise soon(f"{copy.name} to show that it serves no longer", self._scale)

    def _rename(self, instance: Instance, name: str) -> None:
        """Begin a rename and wait for it: the instance reboots under its new name.

        While that goes on, RDS may show an instance under a name that it no longer takes calls for.

        Raises:
            ServerFailedError: it is broken, and RDS does not rename it.
        """
        self._settled(instance)
        try:
            with self._client.call(f"rename {instance.name} to {name}"):
                self._client.rds.modify_db_instance(
                    DBInstanceIdentifier=instance.name,
                    NewDBInstanceIdentifier=name,
                    ApplyImmediately=True,
                )
        except ResourceMissingError:
            raise soon(f"{instance.name} to show under its name", self._scale) from None
        except BusyError:
            if instance.state is State.READY:
                raise
            raise ServerFailedError(
                f"{instance.name} is {instance.told}, and AWS renames nothing that is"
            ) from None
        raise soon(f"{instance.name} to be renamed to {name}", self._scale)

    def _settled(self, instance: Instance) -> None:
        """Return once nothing is going on with an instance, be it whole or broken."""
        if instance.state in {State.BUSY, State.GOING}:
            raise soon(f"{instance.name} to be available, now {instance.told}", self._scale)


def _beside(new: Instance, why: str) -> Moved:
    told = f"{why}: {new.name} keeps its name and its own address, and serves the path from there"
    return Moved(f"{new.host}:{new.port}", (told,))
