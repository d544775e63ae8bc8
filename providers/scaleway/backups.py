"""Scaleway's snapshots: of whole instances, kept beyond them; there is no restore to a time."""

import re
from collections.abc import Sequence
from dataclasses import replace

from scaleway.rdb.v1.types import Instance as Told
from scaleway.rdb.v1.types import Snapshot

from domain.errors import ResourceMissingError, UnsupportedResourceError
from providers.managed.driver import Backups
from providers.managed.model import Instance, KeptBackup, Window
from providers.managed.names import RUN
from providers.scaleway.client import PAGE, ScalewayClient
from providers.scaleway.describing import kept_of

LOCAL = "lssd"
"""The type of volume that has no snapshots."""
ASIDE = re.compile(r"refloat-[0-9a-f]{8}-was-(.+)")
"""What an instance is called that gave its name up in a cutover."""


class ScalewayBackups(Backups):
    """A snapshot names its instance by id and by name; the id outlives a rename."""

    def __init__(self, client: ScalewayClient) -> None:
        self._client = client

    def window(self, name: str, instance: Instance | None) -> Window | None:
        """Return none: Scaleway lets nobody restore to a time."""
        del name, instance
        return None

    def all(self, name: str, instance: Instance | None) -> Sequence[KeptBackup]:
        """Return the snapshots of the instance and of those that were what the name means now.

        Names are not unique. What is of a namesake that exists now is left out, and so is what
        a gone namesake left behind that lived beside the instance.
        """
        with self._client.call(f"list the snapshots of {name}"):
            listed = self._client.rdb.list_snapshots_all(page_size=PAGE)
        strangers = self._namesakes(name, instance) if instance else set()
        found = [
            self._kept(one, instance)
            for one in listed
            if one.created_at is not None
            and one.instance_id not in strangers
            and _belongs(one, name, instance)
        ]
        return sorted(found, key=lambda one: one.taken_at, reverse=True)

    @staticmethod
    def _kept(one: Snapshot, instance: Instance | None) -> KeptBackup:
        """Return a snapshot; one of the instance itself is of its name now, not of the name then."""
        kept = kept_of(one)
        if instance is None or one.instance_id != instance.id:
            return kept
        return replace(kept, source=instance.name)

    def _namesakes(self, name: str, instance: Instance) -> set[str]:
        """Return the other instances of the name, without one that a cutover could not rename."""
        with self._client.call(f"list the instances called {name}"):
            listed = self._client.rdb.list_instances_all(name=name, page_size=PAGE)
        others = [one for one in listed if one.name == name and one.id != instance.id]
        return {one.id for one in others if not _came_before(one, instance)}

    def named(self, instance: Instance, name: str) -> KeptBackup | None:
        """Return the newest snapshot of an instance that has exactly this name."""
        with self._client.call(f"look for the snapshot {name}"):
            listed = self._client.rdb.list_snapshots_all(
                instance_id=instance.id, name=name, page_size=PAGE
            )
        kept = [kept_of(one) for one in listed if one.name == name and one.created_at]
        return max(kept, key=lambda one: one.taken_at, default=None)

    def take(self, instance: Instance, name: str) -> None:
        """Begin a snapshot, unless the instance has one of this name: an answer may be lost."""
        if instance.settings.get("volume type") == LOCAL:
            raise UnsupportedResourceError(
                f"{instance.name}: Scaleway takes snapshots of block storage only, and its volume "
                "is local; move it with `scw rdb instance upgrade volume-type=sbs_5k`"
            )
        if self.named(instance, name) is not None:
            return
        with self._client.call(f"take snapshot {name} of {instance.name}"):
            self._client.rdb.create_snapshot(instance_id=instance.id, name=name)

    def copy(self, backup: KeptBackup, region: str) -> str:
        """Refuse: a snapshot stays in its region."""
        raise UnsupportedResourceError(
            f"{backup.name or backup.id}: Scaleway copies no snapshot to {region}; only logical "
            "backups of single databases can be kept in another region (`scw rdb backup create`, "
            "with backup-same-region=false at the instance)"
        )

    def delete(self, backup: KeptBackup) -> None:
        """Delete a snapshot."""
        try:
            with self._client.call(f"delete snapshot {backup.id}"):
                self._client.rdb.delete_snapshot(snapshot_id=backup.id)
        except ResourceMissingError:
            return


def _came_before(one: Told, instance: Instance) -> bool:
    if RUN not in instance.tags or instance.created_at is None or one.created_at is None:
        return False
    return one.created_at < instance.created_at


def _belongs(one: Snapshot, name: str, instance: Instance | None) -> bool:
    """Return whether a snapshot is of the instance, or of what its name meant before it."""
    if instance is not None and one.instance_id == instance.id:
        return True
    was = ASIDE.fullmatch(one.instance_name)
    if was is not None and was[1] == name:
        return True
    if one.instance_name != name:
        return False
    born = instance.created_at if instance else None
    return born is None or (one.created_at is not None and one.created_at < born)
