"""RDS's automated backups and snapshots."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domain.errors import NameTakenError, ResourceMissingError
from providers.aws.client import AwsClient
from providers.managed.driver import Backups
from providers.managed.model import Instance, KeptBackup, Window

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import DBInstanceAutomatedBackupTypeDef, DBSnapshotTypeDef

_GIB = 2**30
_KINDS = ("automated", "manual")


class AwsBackups(Backups):
    """The window is RDS's own word; it moves on every five minutes."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client

    def window(self, name: str, instance: Instance | None) -> Window | None:
        """Return the window; of a deleted instance what is retained of the last of that name."""
        by: dict[str, Any] = (
            {"DbiResourceId": instance.id} if instance else {"DBInstanceIdentifier": name}
        )
        try:
            with self._client.call(f"read the recovery window of {name}"):
                told = self._client.rds.describe_db_instance_automated_backups(**by)
        except ResourceMissingError:
            return None
        states = {"active"} if instance else {"retained"}
        usable = [
            one for one in told.get("DBInstanceAutomatedBackups", []) if one.get("Status") in states
        ]
        windows = [window for one in usable if (window := _window(one, instance))]
        return max(windows, key=lambda one: one.closes_at, default=None)

    def all(self, name: str, instance: Instance | None) -> Sequence[KeptBackup]:
        """Return the snapshots of the instance and of those that had its name before."""
        ways = [{"DBInstanceIdentifier": name}]
        if instance is not None:
            ways.append({"DbiResourceId": instance.id})
        found = {one.id: one for by in ways for one in self._snapshots(name, by)}
        return sorted(found.values(), key=lambda one: one.taken_at, reverse=True)

    def _snapshots(self, name: str, by: Mapping[str, Any]) -> list[KeptBackup]:
        found: list[DBSnapshotTypeDef] = []
        marker: dict[str, Any] = {}
        while True:
            with self._client.call(f"list the snapshots of {name}"):
                page = self._client.rds.describe_db_snapshots(**by, **marker)
            found += page.get("DBSnapshots", [])
            if not page.get("Marker"):
                return [_kept(one) for one in found if one.get("SnapshotCreateTime")]
            marker = {"Marker": page["Marker"]}

    def take(self, instance: Instance, name: str) -> None:
        """Begin a manual snapshot."""
        try:
            with self._client.call(f"take snapshot {name} of {instance.name}"):
                self._client.rds.create_db_snapshot(
                    DBSnapshotIdentifier=name, DBInstanceIdentifier=instance.name
                )
        except NameTakenError:
            return  # named by our key: an attempt whose answer was lost

    def copy(self, backup: KeptBackup, region: str) -> str:
        """Begin a copy in another region; an encrypted one needs the alias of a key there."""
        entry = self._client.entry
        name = backup.id.removeprefix("rds:")
        arn = f"arn:aws:rds:{entry.region}:{entry.account}:snapshot:{backup.id}"
        there = self._client.rds_in(region)
        key: dict[str, Any] = {"KmsKeyId": "alias/aws/rds"} if backup.encrypted else {}
        try:
            with self._client.call(f"copy snapshot {backup.id} to {region}"):
                there.copy_db_snapshot(
                    SourceDBSnapshotIdentifier=arn,
                    TargetDBSnapshotIdentifier=name,
                    SourceRegion=entry.region,
                    CopyTags=True,
                    **key,
                )
        except NameTakenError:
            return name
        return name

    def delete(self, backup: KeptBackup) -> None:
        """Delete a manual snapshot; automated ones go with their retention."""
        try:
            with self._client.call(f"delete snapshot {backup.id}"):
                self._client.rds.delete_db_snapshot(DBSnapshotIdentifier=backup.id)
        except ResourceMissingError:
            return


def _window(told: "DBInstanceAutomatedBackupTypeDef", instance: Instance | None) -> Window | None:
    span = told.get("RestoreWindow") or {}
    opens, closes = span.get("EarliestTime"), span.get("LatestTime")
    if opens is None or closes is None:
        return None
    return Window(opens, closes, source_id="" if instance else told.get("DbiResourceId", ""))


def _kept(told: "DBSnapshotTypeDef") -> KeptBackup:
    """Return a snapshot in the common form; the data in it is of its last transaction's time."""
    created = told["SnapshotCreateTime"]
    known: Mapping[str, Any] = told
    original = known.get("OriginalSnapshotCreateTime") or created  # a copy's own time says nothing
    data_at = (
        known.get("SnapshotDatabaseTime") or known.get("OriginalSnapshotCreateTime") or created
    )
    return KeptBackup(
        id=told["DBSnapshotIdentifier"],
        taken_at=original,
        began_at=min(data_at, original),
        source=told.get("DBInstanceIdentifier", ""),
        source_id=told.get("DbiResourceId", ""),
        name=told["DBSnapshotIdentifier"],
        usable=told.get("Status") == "available",
        told=told.get("Status", ""),
        automatic=told.get("SnapshotType") == "automated",
        size_bytes=told.get("AllocatedStorage", 0) * _GIB or None,
        percent=told.get("PercentProgress"),
        encrypted=bool(told.get("Encrypted")),
    )
