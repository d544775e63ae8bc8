"""Cloud SQL's backups, those of deleted instances included, and its window."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import sqladmin_v1 as sql

from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    PointRefusedError,
    ResourceMissingError,
    UnsupportedResourceError,
)
from providers.gcp.client import GcpClient
from providers.gcp.describing import moment, tags_of
from providers.managed.driver import Backups
from providers.managed.model import Instance, KeptBackup, Window
from providers.managed.names import SERVES

_SHARE = timedelta(microseconds=1)
_NO_WINDOW = (
    ResourceMissingError,
    AccessDeniedError,
    PointRefusedError,
    ConfigurationRefusedError,
)
"""How Cloud SQL answers when it kept no log of a deleted instance; which of them is not known."""


class GcpBackups(Backups):
    """Backups belong to the project and outlive their instance, where it is set so."""

    def __init__(self, client: GcpClient) -> None:
        self._client = client

    def window(self, name: str, instance: Instance | None) -> Window | None:
        """Return the window; of a deleted instance that of the last of the name, if its log is kept.

        Its `source_id` is the moment of the deletion, exactly, after the name of an instance that
        had taken the place of the named one.
        """
        if instance is None:
            return next(self._of_deleted(name), None)
        if not instance.keeping.point_in_time:
            return None
        try:
            return self._asked(instance.name)
        except PointRefusedError:  # no backup yet
            return None

    def _of_deleted(self, name: str) -> Iterator[Window]:
        found = self._told(name, None)
        gone = {(_stamp(one), _owner(one)) for one in found if one.instance_deletion_time}
        for deleted, owner in sorted(gone, reverse=True):
            source_id = deleted if owner == name else f"{owner}@{deleted}"
            note = "of the deleted instance" if owner == name else f"of the deleted {owner}"
            try:
                window = self._asked(owner, deleted)
            except _NO_WINDOW:
                continue
            if window is not None:
                yield Window(window.opens_at, window.closes_at, note, source_id)

    def _asked(self, name: str, deleted: str = "") -> Window | None:
        asked: dict[str, Any] = self._client.at(name)
        if deleted:
            asked["source_instance_deletion_time"] = deleted
        with self._client.call(f"read the recovery window of {name}"):
            told = self._client.sql.instances.get_latest_recovery_time(request=asked)
        opens: Any = told.earliest_recovery_time
        opens_at, closes_at = moment(opens), moment(told.latest_recovery_time)
        if opens_at is None or closes_at is None:
            return None
        partly = opens.nanosecond % 1000 > 0
        return Window(opens_at + _SHARE if partly else opens_at, closes_at)

    def all(self, name: str, instance: Instance | None) -> Sequence[KeptBackup]:
        """Return the backups of the instance and of those that had its place before."""
        kept = [_kept(one) for one in self._told(name, instance)]
        return sorted(kept, key=lambda one: one.taken_at, reverse=True)

    def _told(self, name: str, instance: Instance | None) -> list[sql.Backup]:
        """Return the backups of a name, and of every instance that took the place of that name.

        Where nothing else can have the place, only those of the name are asked for: a project
        may have thousands.
        """
        serves = instance.tags.get(SERVES, "") if instance else name
        asked: dict[str, Any] = {"parent": self._client.parent}
        if not serves:
            asked["filter"] = f"instance:{name}"
        found: list[sql.Backup] = []
        while True:
            with self._client.call(f"list the backups of {name}"):
                page = next(iter(self._client.sql.backups.list_backups(request=asked).pages))
            found += [one for one in page.backups if _belongs(one, name, serves)]
            if not page.next_page_token:
                return found
            asked["page_token"] = page.next_page_token

    def take(self, instance: Instance, name: str) -> None:
        """Begin a backup on demand where the instance's own go, described by our key."""
        if any(one.name == name for one in self.all(instance.name, instance)):
            return
        backup = {"instance": instance.name, "description": name}
        if location := instance.settings["backup location"]:
            backup["location"] = location
        with self._client.call(f"take backup {name} of {instance.name}"):
            self._client.sql.backups.create_backup(
                request={"parent": self._client.parent, "backup": backup}
            )

    def copy(self, backup: KeptBackup, region: str) -> str:
        """Refuse: where a backup is kept is chosen before it is taken."""
        raise UnsupportedResourceError(
            f"backup {backup.id} of {backup.source} cannot be copied to {region}: Cloud SQL keeps a "
            "backup where the instance's backup location says; set it to a multi-region, and the "
            "backups from then on outlive a region"
        )

    def delete(self, backup: KeptBackup) -> None:
        """Delete a backup; one that is gone may be told as forbidden."""
        name = f"{self._client.parent}/backups/{backup.id}"
        try:
            with self._client.call(f"delete backup {backup.id}"):
                self._client.sql.backups.delete_backup(request={"name": name})
        except ResourceMissingError:
            return
        except AccessDeniedError:
            if any(one.name == name for one in self._told(backup.source, None)):
                raise


def _owner(told: sql.Backup) -> str:
    return told.instance.rpartition("/")[2]


def _stamp(told: sql.Backup) -> str:
    """Return when the instance was deleted as RFC 3339 has it, to the nanosecond."""
    stamp: Any = told.instance_deletion_time
    return str(stamp.rfc3339())


def _belongs(told: sql.Backup, name: str, serves: str) -> bool:
    """Return whether a backup is of the name, or of what the name in its place meant at some time."""
    owner = _owner(told)
    labels = tags_of(owner, told.instance_settings.settings.user_labels)
    return owner == name or bool(serves and serves in {owner, labels.get(SERVES)})


def _kept(told: sql.Backup) -> KeptBackup:
    """Return a backup in the common form; one that is being taken has no moment yet."""
    began, ended = _interval(told)
    taken_at = ended or began or datetime.now(UTC)
    return KeptBackup(
        id=told.name.rpartition("/")[2],
        taken_at=taken_at,
        began_at=began or taken_at,
        source=_owner(told),
        name=told.description,
        usable=told.state.name == "SUCCESSFUL" and ended is not None,
        told=told.state.name.lower(),
        automatic=told.type_.name == "AUTOMATED",
        size_bytes=told.max_chargeable_bytes or None,
        encrypted=True,
    )


def _interval(told: sql.Backup) -> tuple[datetime | None, datetime | None]:
    """Return from when to when the moment of the data can be."""
    span: Any = told.backup_interval
    if span is None:
        return None, None
    stamps = {name: getattr(span, name) for name in ("start_time", "end_time")}
    known = {
        name: stamp.ToDatetime(tzinfo=UTC) for name, stamp in stamps.items() if span.HasField(name)
    }
    return known.get("start_time"), known.get("end_time")
