"""RDS instances: found, restored, tagged, deleted."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domain.errors import (
    BusyError,
    KeyUnavailableError,
    RecoveryError,
    ResourceMissingError,
    ServerFailedError,
)
from domain.recovery import Tls
from providers.aws.client import AwsClient
from providers.aws.describing import instance_of
from providers.aws.settings import at_restore
from providers.managed.driver import Instances
from providers.managed.model import Instance, Order, State
from providers.managed.pacing import soon

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import DBInstanceTypeDef, TagTypeDef


class AwsInstances(Instances):
    """A name is unique in account and region; `DbiResourceId` survives a rename."""

    def __init__(self, client: AwsClient, tls: Tls) -> None:
        self._client, self._tls = client, tls

    def find(self, name: str, id: str = "") -> Instance | None:  # noqa: A002 - the protocol's word
        """Return the instance by its identity where that is known, else by its name."""
        by = (
            {"Filters": [{"Name": "dbi-resource-id", "Values": [id]}]}
            if id
            else {"DBInstanceIdentifier": name}
        )
        return next(iter(self._described(f"describe {name}", by)), None)

    def all(self) -> Sequence[Instance]:
        """Return every instance of the region."""
        return self._described("list the instances", {})

    def _described(self, doing: str, by: Mapping[str, Any]) -> list[Instance]:
        found: list[DBInstanceTypeDef] = []
        marker: dict[str, Any] = {}
        while True:
            try:
                with self._client.call(doing):
                    page = self._client.rds.describe_db_instances(**by, **marker)
            except ResourceMissingError:
                return []
            found += page.get("DBInstances", [])
            if not page.get("Marker"):
                return [instance_of(one, self._client, self._tls) for one in found]
            marker = {"Marker": page["Marker"]}

    def restore(self, order: Order) -> Instance | None:
        """Begin a restore with everything set at once that the call takes."""
        settings = at_restore(order)
        with self._client.call(f"restore {order.source} as {order.name}"):
            if order.point.snapshot_id:
                made = self._client.rds.restore_db_instance_from_db_snapshot(
                    DBSnapshotIdentifier=order.point.snapshot_id,
                    DBInstanceIdentifier=order.name,
                    **settings,
                )
                return instance_of(made["DBInstance"], self._client, self._tls)
            assert order.point.at is not None
            begun = self._client.rds.restore_db_instance_to_point_in_time(
                TargetDBInstanceIdentifier=order.name,
                RestoreTime=order.point.at,
                **self._source(order),
                **settings,
            )
        return instance_of(begun["DBInstance"], self._client, self._tls)

    @staticmethod
    def _source(order: Order) -> dict[str, Any]:
        """Name the source; a deleted one by the identity under which its backups are retained."""
        if order.point.source_id:
            return {"SourceDbiResourceId": order.point.source_id}
        return {"SourceDBInstanceIdentifier": order.source}

    def failure(self, name: str, id: str = "") -> RecoveryError | None:  # noqa: A002 - as above
        """Return why an instance is broken, by what its state says."""
        found = self.find(name, id)
        if found is None or found.state not in {State.FAILED, State.NEEDS_ACTION}:
            return None
        if found.told == "inaccessible-encryption-credentials":
            return KeyUnavailableError(
                f"{found.name}: RDS cannot use its key {found.encryption.key}; enable the key in KMS"
            )
        return ServerFailedError(f"{found.name}: RDS says {found.told!r}; {_ADVICE[found.told]}")

    def tag(self, instance: Instance, tags: Mapping[str, str]) -> None:
        """Set and remove tags; they may take minutes to count for authorisation."""
        arn = self._arn(instance)
        kept: list[TagTypeDef] = [
            {"Key": key, "Value": value} for key, value in tags.items() if value
        ]
        gone = [key for key, value in tags.items() if not value]
        if kept:
            with self._client.call(f"tag {instance.name}"):
                self._client.rds.add_tags_to_resource(ResourceName=arn, Tags=kept)
        if gone:
            with self._client.call(f"untag {instance.name}"):
                self._client.rds.remove_tags_from_resource(ResourceName=arn, TagKeys=gone)

    def _arn(self, instance: Instance) -> str:
        entry = self._client.entry
        return f"arn:aws:rds:{entry.region}:{entry.account}:db:{instance.name}"

    def delete(self, instance: Instance, final_backup: str) -> None:
        """Lift the protection, then delete; automated backups stay as long as their retention."""
        if instance.settings.get("deletion protection") == "true":
            self._unprotect(instance)
            raise soon(f"the protection of {instance.name} to be lifted")
        if final_backup and instance.state is State.BUSY:
            raise soon(
                f"{instance.name} to be available for its last snapshot, now {instance.told}"
            )
        last: dict[str, Any] = {"SkipFinalSnapshot": True}
        if final_backup and instance.state is State.READY:
            last = {"SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": final_backup}
        with self._client.call(f"delete {instance.name}"):
            self._client.rds.delete_db_instance(
                DBInstanceIdentifier=instance.name,
                DeleteAutomatedBackups=not final_backup,
                **last,
            )

    def _unprotect(self, instance: Instance) -> None:
        try:
            with self._client.call(f"lift the protection of {instance.name}"):
                self._client.rds.modify_db_instance(
                    DBInstanceIdentifier=instance.name,
                    DeletionProtection=False,
                    ApplyImmediately=True,
                )
        except BusyError:
            if instance.state not in {State.FAILED, State.NEEDS_ACTION}:
                raise
            raise ServerFailedError(
                f"{instance.name} is protected from deletion and {instance.told}, and AWS does not "
                f"lift the protection of what is: {_ADVICE[instance.told]}"
            ) from None

    def drop_doubles(self, instance: Instance) -> None:
        """Do nothing: a name is unique."""


_ADVICE = {
    "failed": "it cannot be recovered; delete it and restore again",
    "incompatible-restore": "the point cannot be restored; choose another",
    "incompatible-network": "its subnets have no free address, or are gone; give it others",
    "incompatible-parameters": "a parameter does not fit its memory; repair the parameter group",
    "incompatible-option-group": "an option does not fit; repair the option group",
    "restore-error": "the point cannot be restored; choose another",
    "inaccessible-encryption-credentials": "enable its key in KMS",
    "insufficient-capacity": "AWS has no such instances here now; choose another class",
    "storage-full": "give it more storage",
    "stopped": "start it",
    "stopping": "start it",
}
