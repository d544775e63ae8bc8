"""Scaleway's instances: found by id or exact name, restored, tagged, deleted."""

import base64
import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from scaleway.rdb.v1.types import ACLRule, HighAvailabilityMode
from scaleway.rdb.v1.types import Instance as Told

from domain.errors import (
    ConfigurationRefusedError,
    KeyUnavailableError,
    NameTakenError,
    PermanentError,
    RecoveryError,
    ResourceMissingError,
    ServerFailedError,
)
from domain.recovery import Tls
from providers.managed.driver import Instances
from providers.managed.model import Instance, Order, State
from providers.managed.names import RUN, SUPERSEDED
from providers.managed.pacing import soon
from providers.scaleway.backups import ASIDE, LOCAL, ScalewayBackups
from providers.scaleway.client import PAGE, ScalewayClient
from providers.scaleway.describing import (
    HAD,
    instance_of,
    own_of,
    state_of,
    tags_with,
    users_of,
)

BROKEN = {State.FAILED, State.NEEDS_ACTION}
STUCK = (ServerFailedError, KeyUnavailableError, ConfigurationRefusedError)
"""What Scaleway's refusals mean where the state of an instance is the reason."""
_COPY = re.compile(r"refloat-[0-9a-f]{8}-(?!was-).+")
_LISTS_SHOW = timedelta(minutes=15)
_CERTIFICATES_LAST = timedelta(minutes=10)
_LAST = datetime.max.replace(tzinfo=UTC)
_SHAPE = ("node type", "volume type", "volume size", "encryption")


def oldest_first(found: Told) -> datetime:
    """Return by what instances of one name are ordered."""
    return found.created_at or _LAST


class ScalewayInstances(Instances):
    """An id is the identity; a name may be anybody's and lists may be late."""

    def __init__(
        self, client: ScalewayClient, backups: ScalewayBackups, tls: Tls, scale: float
    ) -> None:
        self._client, self._backups, self._tls, self._scale = client, backups, tls, scale
        self._certificates: dict[str, tuple[float, str]] = {}

    def told(self, id: str) -> Told | None:  # noqa: A002 - the protocol's word
        """Return an instance as Scaleway tells it now, or None where it is gone."""
        try:
            with self._client.call(f"read instance {id}"):
                return self._client.rdb.get_instance(instance_id=id)
        except ResourceMissingError:
            return None

    def named(self, name: str) -> list[Told]:
        """Return every instance of exactly this name, oldest first."""
        with self._client.call(f"list the instances called {name}"):
            listed = self._client.rdb.list_instances_all(name=name, page_size=PAGE)
        return sorted((one for one in listed if one.name == name), key=oldest_first)

    def everything(self) -> list[Told]:
        """Return every instance of the project in the region."""
        with self._client.call("list the instances"):
            return self._client.rdb.list_instances_all(page_size=PAGE)

    def described(self, found: Told) -> Instance:
        """Return an instance in the common form, with what proves its identity."""
        return instance_of(found, self._trust(found), partial(self._rules, found.id))

    def _rules(self, id: str) -> Sequence[ACLRule]:  # noqa: A002 - as above
        with self._client.call(f"list who may connect to {id}"):
            return self._client.rdb.list_instance_acl_rules_all(instance_id=id, page_size=PAGE)

    def find(self, name: str, id: str = "") -> Instance | None:  # noqa: A002 - as above
        """Return the instance of the id, else the oldest of the name, one of ours before others."""
        if id:
            found = self.told(id)
        else:
            ordered = sorted(self.named(name), key=lambda one: RUN not in own_of(one))
            found = next(iter(ordered), None)
        return self.described(found) if found is not None else None

    def all(self) -> Sequence[Instance]:
        """Return every instance, without its certificate."""
        return [
            instance_of(one, self._tls, partial(self._rules, one.id)) for one in self.everything()
        ]

    def _trust(self, found: Told) -> Tls:
        """Return what proves an instance's identity: the file of the catalog, else its own word.

        Each has a certificate of its own that signs for nobody else. So its name need not be
        compared with the address, of which a moved endpoint has another than the certificate.
        """
        state = state_of(str(found.status))
        if self._tls.ca_file or not found.endpoints or state in {State.GOING, State.FAILED}:
            return self._tls
        try:
            return Tls(ca=self._certificate(found.id), verify="ca")
        except PermanentError as error:
            if state is State.READY and not isinstance(error, ResourceMissingError):
                raise
            return self._tls

    def _certificate(self, id: str) -> str:  # noqa: A002 - as above
        known_at, text = self._certificates.get(id, (0.0, ""))
        if text and time.monotonic() - known_at < _CERTIFICATES_LAST.total_seconds():
            return text
        with self._client.call(f"read the certificate of {id}"):
            content = self._client.rdb.get_instance_certificate(instance_id=id).content
        text = base64.b64decode(content).decode()
        self._certificates[id] = time.monotonic(), text
        return text

    def restore(self, order: Order) -> Instance | None:
        """Begin an instance from a snapshot, in the shape of the source; nothing is of its name."""
        if self.named(order.name):
            raise NameTakenError(f"{order.name}: Scaleway has an instance of this name already")
        assert order.point.snapshot_id is not None
        node, available, mode = self._shape(order)
        with self._client.call(f"restore {order.source} as {order.name}"):
            made = self._client.rdb.create_instance_from_snapshot(
                snapshot_id=order.point.snapshot_id,
                instance_name=order.name,
                node_type=node,
                is_ha_cluster=available,
                high_availability_mode=mode,
            )
        return self.described(made)

    def _shape(self, order: Order) -> tuple[str, bool, HighAvailabilityMode | None]:
        """Return node type and availability; of a deleted source what its snapshot still tells.

        A drill has the availability of an incident: some node types are not made without.
        """
        if order.like is not None:
            known, mode = order.like.settings, order.like.settings.get("high availability", "")
            chosen = HighAvailabilityMode(mode) if mode in set(HighAvailabilityMode) else None
            return known["node type"], mode != "disabled", chosen
        assert order.point.snapshot_id is not None
        with self._client.call(f"read snapshot {order.point.snapshot_id}"):
            kept = self._client.rdb.get_snapshot(snapshot_id=order.point.snapshot_id)
        with self._client.call("list the node types"):
            listed = self._client.rdb.list_node_types_all(
                include_disabled_types=True, page_size=PAGE
            )
        required = {one.name.lower() for one in listed if one.is_ha_required}
        return kept.node_type, kept.node_type.lower() in required, None

    def failure(self, name: str, id: str = "") -> RecoveryError | None:  # noqa: A002 - as above
        """Return why an instance is broken, by what its state says."""
        found = self.find(name, id)
        if found is None or found.state not in BROKEN:
            return None
        if found.told == "locked":
            return KeyUnavailableError(f"{found.name}: Scaleway says 'locked'; {_ADVICE['locked']}")
        return ServerFailedError(
            f"{found.name}: Scaleway says {found.told!r}; {_ADVICE[found.told]}"
        )

    def tag(self, instance: Instance, tags: Mapping[str, str]) -> None:
        """Set our tags and leave everybody's; all of an instance's tags are written at once.

        What is broken may take no change at all: it stays as it is then, and its name tells.
        """
        found = self.told(instance.id)
        if found is None:
            raise ResourceMissingError(f"{instance.name}: it is gone")
        if SUPERSEDED in tags and ASIDE.fullmatch(found.name) and HAD not in own_of(found):
            # written with the name: to write what is not read yet would lose it for good
            raise soon(f"the tag {HAD} of {found.name} to show", self._scale)
        wanted = tags_with(found, tags)
        if sorted(wanted) == sorted(found.tags):
            return
        try:
            with self._client.call(f"tag {instance.name}"):
                self._client.rdb.update_instance(instance_id=found.id, tags=wanted)
        except STUCK:
            if state_of(str(found.status)) not in BROKEN:
                raise

    def delete(self, instance: Instance, final_backup: str) -> None:
        """Delete an instance once its last snapshot is complete, where one is asked for."""
        self.drop_doubles(instance)
        local = instance.settings.get("volume type") == LOCAL
        if final_backup and not local and instance.state is not State.FAILED:
            self._require_last(instance, final_backup)
        with self._client.call(f"delete {instance.name}"):
            self._client.rdb.delete_instance(instance_id=instance.id)

    def _require_last(self, instance: Instance, name: str) -> None:
        kept = self._backups.named(instance, name)
        if kept is None:
            self._backups.take(instance, name)
        elif kept.usable:
            return
        elif kept.told == "error":
            raise ServerFailedError(
                f"the snapshot {name} ({kept.id}) failed; delete it, then release again"
            )
        raise soon(f"the snapshot {name}, the last one of {instance.name}", self._scale)

    def drop_doubles(self, instance: Instance) -> None:
        """Delete what an answer that was lost made twice; one in the making is busy until it is made."""
        if not _COPY.fullmatch(instance.name):
            return
        for one in self.named(instance.name):
            if one.id != instance.id and self._is_double(one, instance):
                with self._client.call(f"delete {one.id}, made twice as {one.name}"):
                    self._client.rdb.delete_instance(instance_id=one.id)

    def _is_double(self, one: Told, instance: Instance) -> bool:
        """Return whether an instance was provably made by the run that made another.

        The name alone proves nothing: it has the same shape, was made while lists could be late,
        and nobody gave it a tag of his own.
        """
        other = instance_of(one, self._tls, partial(self._rules, one.id))
        if other.state is State.GOING or other.created_at is None or instance.created_at is None:
            return False
        near = abs(other.created_at - instance.created_at) <= _LISTS_SHOW
        alike = all(other.settings[name] == instance.settings[name] for name in _SHAPE)
        ours = other.tags.get(RUN) in {None, instance.tags.get(RUN)}
        untouched = set(users_of(one)) <= set(_tags(instance))
        return near and alike and ours and untouched and other.engine is instance.engine


def _tags(instance: Instance) -> list[str]:
    listed: list[str] = json.loads(instance.settings.get("tags") or "[]")
    return listed


_ADVICE = {
    "error": "it does not recover by itself; delete it and restore again, or ask Scaleway's support",
    "locked": (
        "its encryption key is of no use now, or Scaleway locked it; see the console, or ask "
        "Scaleway's support"
    ),
    "disk_full": "grow its volume with `scw rdb instance upgrade volume-size=…`",
}
