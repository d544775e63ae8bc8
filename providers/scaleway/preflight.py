"""What Scaleway itself says of credentials, permissions, stock and key; it tells no quota."""

import uuid
from collections.abc import Iterator

from domain.checks import Finding
from domain.errors import (
    AccessDeniedError,
    RecoveryError,
    ResourceMissingError,
    TransientError,
)
from domain.recovery import RecoveryPoint
from domain.resources import Mode, ProtectedResource
from providers.managed.driver import Access
from providers.managed.model import Encrypted, Encryption, Instance
from providers.managed.preflight import asked, finding, unasked
from providers.scaleway.client import PAGE, ScalewayClient

_GOOD = {"available", "low_stock"}


class ScalewayAccess(Access):
    """Asks with calls that change nothing, whatever they answer."""

    def __init__(self, client: ScalewayClient) -> None:
        self._client = client

    def examine(
        self, resource: ProtectedResource, point: RecoveryPoint, source: Instance | None, mode: Mode
    ) -> Iterator[Finding]:
        """Yield one finding a question."""
        del resource, mode
        yield self._credentials()
        yield self._permission()
        yield unasked("instance quota", "room for one more", "Scaleway does not tell")
        yield self._stock(point, source)
        if source is not None and source.encryption.encrypted is Encrypted.YES:
            yield self._key(source)

    def _credentials(self) -> Finding:
        project = self._client.entry.project
        error: RecoveryError | None = None
        try:
            with self._client.call("ask whether the API key is accepted"):
                self._client.rdb.list_instances(page_size=1)
        except TransientError:
            raise
        except RecoveryError as refused:
            error = refused
        return asked("credentials", f"project {project}", "the API key reads it", error)

    def _permission(self) -> Finding:
        """Ask to change an instance that cannot exist: refused or not found, and nothing done."""
        title, expected = "permission to change", "not refused"
        try:
            with self._client.call("ask for the permission to change"):
                self._client.rdb.update_instance(instance_id=str(uuid.uuid4()))
        except AccessDeniedError as error:
            return asked(title, expected, "", error)
        except ResourceMissingError:
            return finding(title, expected, "not refused for an unknown id", good=True)
        except TransientError:
            raise
        except RecoveryError as error:
            return unasked(title, expected, f"Scaleway answers otherwise: {error}")
        return unasked(title, expected, "Scaleway accepts an id that nothing has")

    def _stock(self, point: RecoveryPoint, source: Instance | None) -> Finding:
        title, expected = "stock", "a node of the source's type"
        try:
            node = source.settings["node type"] if source else self._node_of(point)
            with self._client.call("read the stock of node types"):
                listed = self._client.rdb.list_node_types_all(
                    include_disabled_types=True, page_size=PAGE
                )
        except TransientError:
            raise
        except RecoveryError as error:
            return unasked(title, expected, str(error))
        told = next((str(one.stock_status) for one in listed if one.name.lower() == node), "")
        if told not in {*_GOOD, "out_of_stock"}:
            return unasked(title, expected, f"{node}: Scaleway says {told or 'nothing'}")
        return finding(
            title,
            expected,
            f"{node}: {told}",
            good=told in _GOOD,
            advice="wait, or ask Scaleway for the node type; another has to be chosen at the source",
        )

    def _node_of(self, point: RecoveryPoint) -> str:
        """Return what a deleted source ran on, as its snapshot tells."""
        with self._client.call(f"read snapshot {point.snapshot_id}"):
            kept = self._client.rdb.get_snapshot(snapshot_id=point.snapshot_id or "")
        return kept.node_type.lower()

    def encryption(self, instance: Instance) -> Encryption:
        """Return what the instance tells: the key is Scaleway's, and nobody reads its rotation."""
        return instance.encryption

    @staticmethod
    def _key(source: Instance) -> Finding:
        locked = source.told == "locked"
        return finding(
            "encryption key",
            "usable",
            f"{source.name} is locked" if locked else "Scaleway's own, managed by it",
            good=not locked,
            advice="its key is of no use, or Scaleway locked it: ask Scaleway's support",
        )
