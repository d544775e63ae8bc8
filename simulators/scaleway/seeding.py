"""Instances that have existed for long, with settings that differ from every default."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from simulators.backends import Master
from simulators.estate import Seed
from simulators.reached import PROJECT
from simulators.scaleway.account import Account, new_id
from simulators.scaleway.endpoints import connect, open_endpoint
from simulators.scaleway.instances import availability, schedule_next
from simulators.scaleway.nodes import GIGABYTE, default_settings
from simulators.scaleway.shapes import (
    ALWAYS,
    Instance,
    LogsPolicy,
    Rule,
    Schedule,
    Snapshot,
    Tags,
    Volume,
)
from simulators.scaleway.snapshots import described

EXISTED = timedelta(days=90)

EXISTED = timedelta(days=90)
VERSIONS = {"postgresql": "15", "mysql": "8"}
PRIVATE_NETWORK_ID = "9f1c7d52-0f6b-4b1f-9f58-6a1c3f0d7e21"
PRODUCTION: Mapping[str, Any] = {
    "region": "fr-par",
    "project_id": PROJECT,
    "node_type": "db-pro2-xs",
    "high_availability_mode": "multiple_zone",
    "tags": ("environment=production", "team=shop"),
    "endpoints": ({"private_network": {"private_network_id": PRIVATE_NETWORK_ID}},),
    "rules": (
        {"ip": "10.20.0.0/16", "description": "offices"},
        {"ip": "192.0.2.0/24", "description": "batch"},
    ),
    "settings": {"max_connections": "400", "work_mem": "32", "maintenance_work_mem": "2048"},
    "backup_schedule": {"frequency": 12, "retention": 14, "disabled": False},
    "backup_same_region": True,
    "logs_policy": {"max_age_retention": 90, "total_disk_retention": 5 * GIGABYTE},
    "encryption": {"enabled": True},
    "volume": {"type": "sbs_15k", "size": 50 * GIGABYTE},
    "automatic_snapshots": 2,
}


def seeded(account: Account, seed: Seed) -> Instance:
    """Make the instance of a seed, running, with automatic snapshots that are really taken."""
    unknown = set(seed.settings) - set(PRODUCTION)
    if unknown:
        raise ValueError(f"no such setting of an instance: {', '.join(sorted(unknown))}")
    chosen = {**PRODUCTION, **seed.settings}
    instance = _described(account, seed, chosen)
    backends = account.backends(instance)
    backends.create(instance.id, version=instance.version, master=instance.master)
    with account.lock:
        account.instances[instance.id] = instance
        for spec in chosen["endpoints"]:
            open_endpoint(account, instance, spec)
        connect(account, *account.addresses(instance))
        schedule_next(account, instance)
    for _ in range(chosen["automatic_snapshots"]):
        back_up(account, instance)
    return instance


def back_up(account: Account, instance: Instance) -> Snapshot:
    """Take the automatic snapshot that an instance's schedule asks for, now."""
    clock = account.estate.clock
    now, kept = clock.now(), timedelta(days=instance.schedule.retention)
    snapshot = described(
        instance, f"autobackup_{instance.name}_{now:%Y%m%dT%H%M%S}", now, now + kept
    )
    snapshot.held_at = account.backends(instance).take(instance.id, snapshot.id)
    snapshot.updated_at = clock.now()
    with account.lock:
        account.snapshots[snapshot.id] = snapshot
        schedule_next(account, instance)
    return snapshot


def _described(account: Account, seed: Seed, chosen: Mapping[str, Any]) -> Instance:
    return Instance(
        id=new_id(),
        region=chosen["region"],
        name=seed.name,
        created_at=account.estate.clock.now() - EXISTED,
        made_at=ALWAYS,
        project=chosen["project_id"],
        engine=seed.engine,
        version=seed.version or VERSIONS[seed.engine],
        node_type=chosen["node_type"],
        high_availability=availability(dict(chosen)),
        volume=Volume(**chosen["volume"]),
        encrypted=bool(chosen["encryption"]["enabled"]),
        master=Master(seed.user, seed.password, seed.database),
        tags=Tags([(ALWAYS, tuple(chosen["tags"]))]),
        settings=default_settings(seed.engine, chosen["node_type"]) | chosen["settings"],
        rules=[Rule(rule["ip"], rule["description"]) for rule in chosen["rules"]],
        schedule=Schedule(**chosen["backup_schedule"]),
        logs_policy=LogsPolicy(**chosen["logs_policy"]),
        same_region=chosen["backup_same_region"],
    )
