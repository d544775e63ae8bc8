"""Azure's backups: names for moments, which a restore to a time reaches."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.errors import (
    AccessDeniedError,
    BusyError,
    QuotaReachedError,
    ResourceMissingError,
    UnsupportedResourceError,
)
from domain.resources import Engine
from providers.azure.activity import ActivityLog
from providers.azure.client import AzureClient
from providers.azure.comparing import PREMIUM_V2
from providers.azure.databases import AzureInstances
from providers.azure.describing import kept_of, moment
from providers.azure.errors import Quirk
from providers.azure.servers import Servers
from providers.managed.driver import Backups
from providers.managed.model import Instance, KeptBackup, Window

LAG = timedelta(minutes=5)
"""How far the log's copy may be behind: Azure documents five minutes and tells no latest time."""
ON_DEMAND = {Engine.POSTGRESQL: 7, Engine.MYSQL: 50}
"""Most backups on demand of one server, as Azure documents it."""
_BURSTABLE = "Burstable"


class AzureBackups(Backups):
    """The window is [earliest restore date, now less the lag]; a deleted server has one moment."""

    def __init__(
        self,
        client: AzureClient,
        servers: Servers,
        instances: AzureInstances,
        log: ActivityLog,
        lag: timedelta,
    ) -> None:
        self._client, self._servers, self._instances = client, servers, instances
        self._log, self._lag = log, lag

    def window(self, name: str, instance: Instance | None) -> Window | None:
        """Return the window; None while it would close before it opens."""
        if instance is None:
            return self._of_deleted(name)
        found = self._servers.described(name, instance.engine)
        if found is None:
            return None
        backup = found["properties"].get("backup") or {}
        opens_at, closes_at = (
            moment(backup.get("earliestRestoreDate")),
            datetime.now(UTC) - self._lag,
        )
        if opens_at is None or opens_at > closes_at:
            return None
        return Window(opens_at, closes_at)

    def _of_deleted(self, name: str) -> Window | None:
        """Return the one moment of a deleted server that can be had: that of its deletion.

        Raises:
            UnsupportedResourceError: we may not read the log that tells it.
        """
        for engine in self._instances.engines(name):
            server_id = self._client.id_of(name, engine)
            try:
                gone_at = self._log.deleted_at(server_id)
            except AccessDeniedError as error:
                raise UnsupportedResourceError(
                    f"{name} is deleted, and {error}; give the worker "
                    "`Microsoft.Insights/eventtypes/values/read`, or bring the server back by hand: "
                    "learn.microsoft.com, 'Restore a deleted server'"
                ) from None
            if gone_at is not None:
                return Window(gone_at, gone_at, "as it was when it was deleted", server_id)
        return None

    def all(self, name: str, instance: Instance | None) -> Sequence[KeptBackup]:
        """Return the finished backups; those of a deleted server cannot be seen."""
        if instance is None:
            return []
        try:
            found = self._listed(name, instance.engine)
        except ResourceMissingError:
            return []
        kept = (kept_of(one, name) for one in found)
        return sorted(
            (one for one in kept if one is not None), key=lambda one: one.taken_at, reverse=True
        )

    def _listed(self, name: str, engine: Engine) -> list[dict[str, Any]]:
        lists, group = self._client.of(engine).backups.list_by_server, self._client.group
        return self._client.listed(f"list the backups of {name}", lambda: lists(group, name))

    def take(self, instance: Instance, name: str) -> None:
        """Begin a backup on demand; what takes none waits for its first automatic one."""
        kept = self.all(instance.name, instance)
        if any(one.name == name for one in kept):
            return
        if instance.engine is Engine.POSTGRESQL and self._takes_none(instance):
            raise _no_backups(instance, none_yet=not kept)
        ours = sum(not one.automatic for one in kept)
        if ours >= ON_DEMAND[instance.engine]:
            raise QuotaReachedError(
                f"{instance.name} has {ours} backups on demand, the most that Azure keeps of a server; "
                "delete one, or wait until its retention is over"
            )
        self._begin(instance, name)

    def _takes_none(self, instance: Instance) -> bool:
        found = self._servers.whole(instance.name, instance.engine)
        tier = (found.get("sku") or {}).get("tier")
        disk = (found["properties"].get("storage") or {}).get("type")
        return tier == _BURSTABLE or disk == PREMIUM_V2

    def _begin(self, instance: Instance, name: str) -> None:
        doing = f"take backup {name} of {instance.name}"
        if instance.engine is Engine.MYSQL:
            self._servers.begin(instance, doing, self._client.sdk.mysql.taking.begin_create, name)
            return
        act = self._client.sdk.postgresql.backups.begin_create
        self._servers.begin(instance, doing, act, name, quirk=Quirk.BACKUP)

    def copy(self, backup: KeptBackup, region: str) -> str:
        """Refuse: a server's geo-redundant backup is the only copy elsewhere."""
        raise UnsupportedResourceError(
            f"backup {backup.id} cannot be copied to {region}: Azure copies backups only to the paired "
            "region, of servers with geo-redundant backup, which PostgreSQL's are made with"
        )

    def delete(self, backup: KeptBackup) -> None:
        """Delete a backup on demand of PostgreSQL; all others go with their retention."""
        for engine in self._instances.engines(backup.source):
            found = self._servers.described(backup.source, engine)
            if found is None:
                continue
            if engine is Engine.MYSQL or backup.automatic:
                raise UnsupportedResourceError(
                    f"backup {backup.id}: Azure deletes it when its retention is over, and not before"
                )
            act = self._client.sdk.postgresql.backups.begin_delete
            doing = f"delete backup {backup.id}"
            try:
                self._client.begin(doing, act, backup.source, backup.name)
            except ResourceMissingError:
                return
            return


def _no_backups(instance: Instance, *, none_yet: bool) -> BusyError | UnsupportedResourceError:
    """Return why no backup is taken: a young server's first automatic one is waited for."""
    why = f"{instance.name}: Azure takes no backups on demand of its tier or kind of disk"
    if none_yet:
        return BusyError(f"{why}; its first automatic one is not complete")
    return UnsupportedResourceError(f"{why}: restore to a time, or from an automatic backup")
