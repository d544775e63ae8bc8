"""The account's things in the provider's own JSON."""

from collections.abc import Callable, Iterable
from datetime import datetime

from simulators.scaleway.nodes import NODE_TYPES, VOLUME_STEP, VOLUMES, NodeType
from simulators.scaleway.shapes import (
    LOAD_BALANCER,
    PRIVATE_NETWORK,
    Backup,
    Endpoint,
    Instance,
    Json,
    Rule,
    Snapshot,
)

ENGINES = {"postgresql": "PostgreSQL", "mysql": "MySQL"}
LOOPBACK = "127.0.0.1"


def moment(at: datetime | None) -> str | None:
    """Return a moment as the provider writes it."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z") if at else None


def endpoint_json(endpoint: Endpoint, region: str) -> Json:
    """Return an endpoint; its kind is told by the key that is there."""
    told: Json = {"id": endpoint.id, "ip": LOOPBACK, "name": None, "port": endpoint.port}
    if endpoint.kind == LOAD_BALANCER:
        return told | {"load_balancer": {}}
    details = {
        "private_network_id": endpoint.private_network,
        "provisioning_mode": "static" if endpoint.service_ip else "ipam",
        "service_ip": endpoint.service_ip or f"{LOOPBACK}/24",
        "zone": f"{region}-1",
    }
    return told | {"private_network": details}


def instance_json(
    instance: Instance, status: str, tags: Iterable[str], endpoints: Iterable[Endpoint]
) -> Json:
    """Return an instance, as a reader sees its status and tags."""
    addresses = [endpoint_json(endpoint, instance.region) for endpoint in endpoints]
    return {
        **_shape(instance),
        "backup_same_region": instance.same_region,
        "backup_schedule": _schedule(instance),
        "created_at": moment(instance.created_at),
        "endpoint": _first(addresses),
        "endpoints": addresses,
        "id": instance.id,
        "init_settings": [],
        "logs_policy": vars(instance.logs_policy).copy(),
        "maintenances": [],
        "name": instance.name,
        "organization_id": instance.project,
        "project_id": instance.project,
        "read_replicas": [],
        "region": instance.region,
        "settings": settings_json(instance.settings),
        "status": status,
        "tags": list(tags),
        "upgradable_version": [],
    }


def _shape(instance: Instance) -> Json:
    return {
        "encryption": {"enabled": instance.encrypted},
        "engine": f"{ENGINES[instance.engine]}-{instance.version}",
        "high_availability_mode": instance.high_availability,
        "is_ha_cluster": instance.high_availability != "disabled",
        "node_type": instance.node_type,
        "volume": _volume(instance) | {"size": instance.volume.size},
    }


def _volume(instance: Instance) -> Json:
    return {"class": VOLUMES[instance.volume.type], "type": instance.volume.type}


def _schedule(instance: Instance) -> Json:
    schedule = instance.schedule
    return {
        "disabled": schedule.disabled,
        "frequency": schedule.frequency,
        "next_run_at": None if schedule.disabled else moment(schedule.next_run_at),
        "retention": schedule.retention,
    }


def _first(addresses: list[Json]) -> Json | None:
    """Return what the outdated field holds: the first endpoint, without the details of its network."""
    if not addresses:
        return None
    return {key: value for key, value in addresses[0].items() if key != PRIVATE_NETWORK}


def settings_json(settings: dict[str, str]) -> list[Json]:
    """Return settings in the order of their names."""
    return [{"name": name, "value": settings[name]} for name in sorted(settings)]


def rule_json(rule: Rule, port: int | None) -> Json:
    """Return one range of addresses that may connect."""
    told = {"action": "allow", "description": rule.description, "direction": "inbound"}
    return told | {"ip": rule.ip, "port": port, "protocol": "tcp"}


def snapshot_json(snapshot: Snapshot, status: str) -> Json:
    """Return a snapshot; its size is unknown until it is made."""
    made = snapshot.updated_at is not None
    return {
        "created_at": moment(snapshot.created_at),
        "expires_at": moment(snapshot.expires_at),
        "id": snapshot.id,
        "instance_id": snapshot.instance,
        "instance_name": snapshot.source.name,
        "name": snapshot.name,
        "node_type": snapshot.source.node_type,
        "region": snapshot.region,
        "size": snapshot.source.volume.size if made else None,
        "status": status,
        "updated_at": moment(snapshot.updated_at),
        "volume_type": _volume(snapshot.source),
    }


def backup_json(backup: Backup, status: str) -> Json:
    """Return a logical backup."""
    link = f"https://s3.{backup.region}.scw.cloud/backups/{backup.id}" if backup.exported else None
    return {
        "created_at": moment(backup.created_at),
        "database_name": backup.database,
        "download_url": link,
        "download_url_expires_at": None,
        "expires_at": moment(backup.expires_at),
        "id": backup.id,
        "instance_id": backup.instance,
        "instance_name": backup.instance_name,
        "name": backup.name,
        "region": backup.region,
        "same_region": backup.same_region,
        "size": None,
        "status": status,
        "updated_at": moment(backup.created_at),
    }


def node_json(node: NodeType, region: str, stock: str) -> Json:
    """Return a node type with how many are left of it."""
    volumes = [
        {"type": kind, "class": VOLUMES[kind], "description": kind, "min_size": VOLUME_STEP,
         "max_size": 2000 * VOLUME_STEP, "chunk_size": VOLUME_STEP}
        for kind in ("bssd", "sbs_5k", "sbs_15k")
    ]  # fmt: skip
    return {
        "available_volume_types": volumes,
        "beta": False,
        "description": f"{node.memory // 10**9} GB RAM; {node.vcpus} vCPU",
        "disabled": False,
        "generation": "generation_v2",
        "instance_range": "Production Optimized",
        "is_bssd_compatible": True,
        "is_ha_required": False,
        "memory": node.memory,
        "name": node.name,
        "region": region,
        "stock_status": stock,
        "vcpus": node.vcpus,
        "volume_constraint": None,
    }


def nodes_json(region: str, stock: Callable[[str], str]) -> list[Json]:
    """Return every node type."""
    return [node_json(node, region, stock(node.name)) for node in NODE_TYPES.values()]
