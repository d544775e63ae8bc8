"""Snapshots: taken, kept beyond their instance, and made into new instances."""

import copy
from dataclasses import replace
from datetime import datetime, timedelta

from simulators.scaleway.account import Account, Call, expiry, new_id
from simulators.scaleway.answers import snapshot_json
from simulators.scaleway.instances import (
    PROVISIONING,
    PUBLIC,
    availability,
    finish_with,
    node_of,
    schedule_next,
)
from simulators.scaleway.nodes import NODE_TYPES, default_settings
from simulators.scaleway.reading import listed, page_of, told
from simulators.scaleway.refusals import invalid
from simulators.scaleway.shapes import (
    ALWAYS,
    DELETING,
    ERROR,
    LOCKED,
    Doing,
    Instance,
    Json,
    LogsPolicy,
    Rule,
    Schedule,
    Snapshot,
    Tags,
)

YEAR = timedelta(days=365)


def list_snapshots(account: Account, call: Call) -> Json:
    """Return the snapshots of a region, of an instance where one is named; it may be gone."""
    project, instance = call.query.get("project_id"), call.query.get("instance_id")
    found = [
        _told(account, snapshot)
        for snapshot in listed(account, account.snapshots.values(), call)
        if instance in (None, snapshot.instance) and project in (None, snapshot.source.project)
    ]
    return page_of("snapshots", found, call)


def get_snapshot(account: Account, call: Call) -> Json:
    """Return one snapshot."""
    return _told(account, _find(account, call))


def create_snapshot(account: Account, call: Call) -> Json:
    """Begin a snapshot; its instance cannot be changed meanwhile."""
    instance, now = account.instance(call), account.estate.clock.now()
    account.require(instance)
    if instance.volume.type == "lssd":
        raise invalid("instance_id", "constraint", "local volumes have no snapshots")
    expires_at = expiry(call, now + YEAR)
    if expires_at <= now:
        raise invalid("expires_at", "constraint", "must be in the future")
    snapshot = described(instance, call.required("name"), now, expires_at)
    snapshot.made_at = account.estate.clock.elapsed()
    account.snapshots[snapshot.id] = snapshot
    _take(account, instance, snapshot)
    return _told(account, snapshot)


def _take(account: Account, instance: Instance, snapshot: Snapshot) -> None:
    backends = account.backends(instance)

    def take() -> None:
        snapshot.held_at = backends.take(instance.id, snapshot.id)

    def finish() -> None:
        snapshot.updated_at = account.estate.clock.now()

    lasts = account.estate.durations.snapshot
    account.begin(snapshot, "snapshot", lasts, status="creating", work=take, then=finish)
    assert snapshot.doing is not None
    operation = snapshot.doing.operation
    instance.doing = Doing(operation, "snapshotting", lambda: None, harmless=True)


def described(
    instance: Instance, name: str, created_at: datetime, expires_at: datetime
) -> Snapshot:
    """Return the record of a snapshot that is not taken yet, and that no lag hides."""
    return Snapshot(
        id=new_id(),
        region=instance.region,
        name=name,
        created_at=created_at,
        made_at=ALWAYS,
        instance=instance.id,
        expires_at=expires_at,
        source=replace(
            instance,
            doing=None,
            held="",
            volume=copy.copy(instance.volume),
            tags=Tags(list(instance.tags.versions)),
        ),
    )


def update_snapshot(account: Account, call: Call) -> Json:
    """Change a snapshot's name or when it expires."""
    snapshot = _find(account, call)
    account.require(snapshot)
    snapshot.name = str(call.body.get("name") or snapshot.name)
    snapshot.expires_at = expiry(call, snapshot.expires_at)
    return _told(account, snapshot)


def delete_snapshot(account: Account, call: Call) -> Json:
    """Remove a snapshot with its data."""
    snapshot = _find(account, call)
    account.require(snapshot, ERROR, LOCKED)
    backends = account.estate.backends[snapshot.source.engine]
    account.begin(
        snapshot,
        "delete",
        account.estate.durations.delete,
        status=DELETING,
        work=lambda: backends.forget(snapshot.id),
        then=lambda: _drop(account, snapshot),
    )
    return _told(account, snapshot)


def create_instance_from_snapshot(account: Account, call: Call) -> Json:
    """Begin an instance with a snapshot's data; of the source's settings few come along."""
    snapshot = _find(account, call)
    account.require(snapshot)
    node = node_of(account, str(call.body.get("node_type") or snapshot.source.node_type))
    instance = _restored(account, snapshot, call, node)
    account.add(instance)
    backends = account.backends(instance)

    def restore() -> None:
        backends.restore_snapshot(snapshot.id, instance.id)

    def finish() -> None:
        finish_with(account, instance, [PUBLIC])

    lasts = account.estate.durations.restore
    account.begin(instance, "restore", lasts, status=PROVISIONING, work=restore, then=finish)
    assert instance.doing is not None
    snapshot.doing = Doing(instance.doing.operation, "restoring", lambda: None, harmless=True)
    return told(account, instance, fresh=True)


def _restored(account: Account, snapshot: Snapshot, call: Call, node: str) -> Instance:
    clock, source = account.estate.clock, snapshot.source
    enough = NODE_TYPES[node].memory >= NODE_TYPES[source.node_type].memory
    tags = source.tags.versions[-1][1] if account.tags_restored else ()
    instance = replace(
        source,
        id=new_id(),
        name=call.required("instance_name"),
        created_at=clock.now(),
        made_at=clock.elapsed(),
        status="ready",
        doing=None,
        held="",
        node_type=node,
        high_availability=availability(call.body),
        volume=copy.copy(source.volume),
        tags=Tags([(clock.elapsed(), tags)]),
        settings=dict(source.settings) if enough else default_settings(source.engine, node),
        rules=[Rule("0.0.0.0/0", "Allow all")],
        schedule=Schedule(disabled=source.schedule.disabled),
        logs_policy=LogsPolicy(),
        same_region=False,
    )
    schedule_next(account, instance)
    return instance


def _told(account: Account, snapshot: Snapshot) -> Json:
    return snapshot_json(snapshot, account.status(snapshot))


def _find(account: Account, call: Call) -> Snapshot:
    return account.find(account.snapshots, Snapshot, call.region, call.ids["snapshot_id"])


def _drop(account: Account, snapshot: Snapshot) -> None:
    account.snapshots.pop(snapshot.id, None)
