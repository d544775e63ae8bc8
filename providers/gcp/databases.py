"""Cloud SQL instances: found, cloned, made from backups, labelled, deleted."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from google.cloud import sqladmin_v1 as sql

from domain.errors import (
    AccessDeniedError,
    BusyError,
    ConfigurationRefusedError,
    NameTakenError,
    ProviderUnavailableError,
    RecoveryError,
    ResourceMissingError,
    ServerFailedError,
    TransientError,
)
from providers.gcp.client import GcpClient
from providers.gcp.describing import (
    OURS,
    STOPPED,
    instance_of,
    is_read,
    json_of,
    labels_of,
    state_of,
    tags_of,
)
from providers.gcp.errors import failure_of, suspension_of
from providers.gcp.fields import Json, at
from providers.gcp.settings import at_restore
from providers.managed.driver import Instances
from providers.managed.model import Instance, Order, State
from providers.managed.names import SELF
from providers.managed.pacing import soon

_MAKING = {"CREATE", "CLONE", "CREATE_CLONE", "RESTORE_VOLUME"}
_CHANGING = "UPDATE"
_RECENT = 20
_FINAL_DAYS = 30
_REFUSALS = (BusyError, ConfigurationRefusedError)


class GcpInstances(Instances):
    """A name is unique in the project and never changes, so it is the identity too."""

    def __init__(self, client: GcpClient, ca_file: str, scale: float) -> None:
        self._client, self._ca_file, self._scale = client, ca_file, scale

    def find(self, name: str, id: str = "") -> Instance | None:  # noqa: A002 - the protocol's word
        """Return the instance of a name; of a copy also whether a change is still being made.

        A change does not show in the state of an instance, only in its operations.
        """
        told = self._told(id or name)
        if told is None:
            return None
        found = self._read(told)
        is_copy = found.name.startswith(OURS) and found.state is State.READY
        if is_copy and self.changing(found.name):
            return replace(found, pending=("a change of its settings",))
        return found

    def _read(self, told: sql.DatabaseInstance) -> Instance:
        return instance_of(told, self._ca_file)

    def _told(self, name: str) -> sql.DatabaseInstance | None:
        """Return an instance as it is told.

        For one that is not there Cloud SQL may answer "forbidden": what the list does not show
        either, while we may read the list, is not there.
        """
        try:
            with self._client.call(f"describe {name}"):
                return self._client.sql.instances.get(request=self._client.at(name))
        except ResourceMissingError:
            return None
        except AccessDeniedError:
            if any(one.name == name for one in self._listed()):
                raise
            return None

    def all(self) -> Sequence[Instance]:
        """Return every instance of the region, of the engines that Refloat restores."""
        region = self._client.entry.region
        here = [one for one in self._listed() if one.region == region]
        return [self._read(one) for one in here if is_read(json_of(one))]

    def _listed(self) -> list[sql.DatabaseInstance]:
        """Return every instance of the project; refuse a list without those of the region."""
        found: list[sql.DatabaseInstance] = []
        asked: dict[str, Any] = {"project": self._client.entry.project}
        while True:
            with self._client.call("list the instances"):
                # the SDK's iterator yields warnings in the place of instances; its pages are right
                page = next(iter(self._client.sql.instances.list(request=asked).pages))
            region = self._client.entry.region
            for warning in page.warnings:
                if warning.region == region:
                    raise ProviderUnavailableError(f"list the instances: {warning.message}")
            found += page.items
            if not page.next_page_token:
                return found
            asked["page_token"] = page.next_page_token

    def restore(self, order: Order) -> Instance | None:
        """Begin a clone, or an instance of a backup.

        A backup overwrites an instance of the name without a word, so the name is looked up first,
        and an attempt whose answer was lost is never sent again.
        """
        if self._told(order.name) is not None:
            raise NameTakenError(f"restore {order.source} as {order.name}: the name is taken")
        if order.point.snapshot_id:
            self._unpack(order, f"{self._client.parent}/backups/{order.point.snapshot_id}")
        else:
            self._clone(order)
        return None  # the answer is an operation

    def _clone(self, order: Order) -> None:
        """Begin a clone; a deleted source is named by when it was deleted."""
        source, _, deleted = order.point.source_id.rpartition("@")
        context = {
            "destination_instance_name": order.name,
            "point_in_time": order.point.at,
            **({"source_instance_deletion_time": deleted} if deleted else {}),
        }
        with self._client.call(f"clone {order.source} as {order.name}"):
            self._client.sql.instances.clone(
                request={
                    **self._client.at(source or order.source),
                    "body": {"clone_context": context},
                }
            )

    def _unpack(self, order: Order, backup: str) -> None:
        like = order.like or self._as_it_was(backup)
        body = {
            "backup": backup,
            "restoreInstanceSettings": {"settings": at_restore(like, order.mode)},
        }
        with self._client.call(f"restore {backup} as {order.name}"):
            self._client.sql.literally("restore_backup", self._client.at(order.name), body)

    def _as_it_was(self, backup: str) -> Instance | None:
        """Return a deleted source as its backup remembers it."""
        with self._client.call(f"describe {backup}"):
            told = self._client.sql.backups.get_backup(request={"name": backup})
        return self._read(told.instance_settings) if told.instance_settings.name else None

    def failure(self, name: str, id: str = "") -> RecoveryError | None:  # noqa: A002 - as above
        """Return why an instance was not made or is broken.

        A clone of a stopped instance comes up stopped: it is started, and waited for.
        """
        found = self._told(id or name)
        if found is not None and state_of(json_of(found))[1] == STOPPED:
            self._client.change(f"start {name}", name, {"activationPolicy": "ALWAYS"})
            return soon(f"{name} to start", self._scale)
        why = (suspension_of(found) if found is not None else None) or self._not_made(name)
        # what may pass by itself passes for another instance only: this one stays as it is
        return ServerFailedError(str(why)) if isinstance(why, TransientError) else why

    def _not_made(self, name: str) -> RecoveryError | None:
        failures = (
            failure_of(one) for one in self._operations(name) if one.operation_type.name in _MAKING
        )
        return next((one for one in failures if one is not None), None)

    def changing(self, name: str) -> bool:
        """Return whether a change of an instance is not over."""
        return any(
            one.operation_type.name == _CHANGING and one.status.name != "DONE"
            for one in self._operations(name)
        )

    def _operations(self, name: str) -> Sequence[sql.Operation]:
        """Return the newest operations of an instance; none where there is no such instance."""
        asked = {**self._client.at(name), "max_results": _RECENT}
        try:
            with self._known(name), self._client.call(f"list the operations of {name}"):
                page = next(iter(self._client.sql.operations.list(request=asked).pages))
        except ResourceMissingError:
            return []
        return [one for one in page.items if one.target_id == name]

    def tag(self, instance: Instance, tags: Mapping[str, str]) -> None:
        """Set labels, and return once they show: until then nobody would find what they mark.

        What is broken may refuse them, or take them and never show them; nobody waits for that, for
        it must not keep its successor from taking its place.
        """
        name = instance.name
        found = self._told(name)
        if found is None:
            raise ResourceMissingError(f"label {name}: there is no such instance")
        told = json_of(found)
        labels, wanted = labels_of(told), _labelled(name, labels_of(told), tags)
        if {key: value for key, value in wanted.items() if value} == labels:
            return
        version = at(told, "settings.settingsVersion")
        change = {"userLabels": wanted, "settingsVersion": version}
        broken = _is_broken(told)
        with suppress(*(_REFUSALS if broken else ())), self._known(name):
            self._client.change(f"label {name}", name, change)
        if not broken:
            raise soon(f"the labels of {name} to show", self._scale)

    def delete(self, instance: Instance, final_backup: str) -> None:
        """Lift what was inherited, then delete; a last backup is kept for a month."""
        name = instance.name
        if lifted := _lifted(instance, keep=bool(final_backup)):
            with self._known(name):
                self._client.change(f"lift the protection of {name}", name, lifted)
            raise soon(f"the protection of {name} to be lifted", self._scale)
        asked: dict[str, Any] = {**self._client.at(name), "enable_final_backup": False}
        if final_backup and (instance.state is State.READY or instance.told == STOPPED):
            asked["enable_final_backup"] = True
            asked["final_backup_description"] = final_backup
            asked["final_backup_ttl_days"] = _FINAL_DAYS
        with self._known(name), self._client.call(f"delete {name}"):
            self._client.sql.instances.delete(request=asked)

    @contextmanager
    def _known(self, name: str) -> Iterator[None]:
        """Tell what is gone as such, also where Cloud SQL answers "forbidden"."""
        try:
            yield
        except AccessDeniedError:
            if self._told(name) is not None:
                raise
            raise ResourceMissingError(f"{name}: it is gone") from None

    def drop_doubles(self, instance: Instance) -> None:
        """Do nothing: a name is unique."""


def _labelled(name: str, labels: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """Return all labels to send, so that it does not matter whether they are merged or replaced.

    Those of ours that were inherited are emptied before the instance takes any for its own.
    """
    own = tags_of(name, labels)
    inherited = {key: "" for key in labels if key not in own}
    return {**labels, **inherited, **tags, SELF: name}


def _is_broken(told: Json) -> bool:
    state, word = state_of(told)
    return state in {State.FAILED, State.NEEDS_ACTION} and word != STOPPED


def _lifted(instance: Instance, *, keep: bool) -> dict[str, Any]:
    """Return what stands in the way of a deletion, or would leave backups of a rehearsal behind."""
    lifted = {}
    if instance.settings["deletion protection"] == "true":
        lifted["deletionProtectionEnabled"] = False
    retained = instance.settings["backups after deletion"] == "true"
    if retained and not keep and instance.state is not State.FAILED:
        lifted["retainBackupsOnDelete"] = False
    return lifted
