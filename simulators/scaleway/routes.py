"""Which call is which: method and path, the provider's own name, what carries it out."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request

from simulators.scaleway import access, backups, endpoints, instances, snapshots, upgrades
from simulators.scaleway.account import Account, Call
from simulators.scaleway.answers import nodes_json
from simulators.scaleway.reading import page_of
from simulators.scaleway.shapes import Json

Handler: TypeAlias = Callable[[Account, Call], Json | None]
UNKNOWN = "Unknown"


def list_nodes(account: Account, call: Call) -> Json:
    """Return every node type with its stock."""
    told = nodes_json(call.region, lambda name: account.stock.get(name, "available"))
    return page_of("node_types", told, call)


ONE = "/instances/<instance_id>"
TABLE: tuple[tuple[str, str, str, Handler], ...] = (
    ("GET", "/node-types", "ListNodeTypes", list_nodes),
    ("GET", "/instances", "ListInstances", instances.list_instances),
    ("POST", "/instances", "CreateInstance", instances.create_instance),
    ("GET", ONE, "GetInstance", instances.get_instance),
    ("PATCH", ONE, "UpdateInstance", instances.update_instance),
    ("DELETE", ONE, "DeleteInstance", instances.delete_instance),
    ("POST", f"{ONE}/restart", "RestartInstance", instances.restart_instance),
    ("POST", f"{ONE}/upgrade", "UpgradeInstance", upgrades.upgrade_instance),
    ("GET", f"{ONE}/certificate", "GetInstanceCertificate", access.get_certificate),
    ("PUT", f"{ONE}/settings", "SetInstanceSettings", access.set_settings),
    ("POST", f"{ONE}/settings", "AddInstanceSettings", access.add_settings),
    ("DELETE", f"{ONE}/settings", "DeleteInstanceSettings", access.delete_settings),
    ("GET", f"{ONE}/acls", "ListInstanceACLRules", access.list_rules),
    ("PUT", f"{ONE}/acls", "SetInstanceACLRules", access.set_rules),
    ("POST", f"{ONE}/acls", "AddInstanceACLRules", access.add_rules),
    ("DELETE", f"{ONE}/acls", "DeleteInstanceACLRules", access.delete_rules),
    ("GET", f"{ONE}/users", "ListUsers", access.list_users),
    ("GET", f"{ONE}/databases", "ListDatabases", access.list_databases),
    ("POST", f"{ONE}/endpoints", "CreateEndpoint", endpoints.create_endpoint),
    ("GET", "/endpoints/<endpoint_id>", "GetEndpoint", endpoints.get_endpoint),
    ("DELETE", "/endpoints/<endpoint_id>", "DeleteEndpoint", endpoints.delete_endpoint),
    ("POST", "/endpoints/<endpoint_id>/migrate", "MigrateEndpoint", endpoints.migrate_endpoint),
    ("POST", f"{ONE}/snapshots", "CreateSnapshot", snapshots.create_snapshot),
    ("GET", "/snapshots", "ListSnapshots", snapshots.list_snapshots),
    ("GET", "/snapshots/<snapshot_id>", "GetSnapshot", snapshots.get_snapshot),
    ("PATCH", "/snapshots/<snapshot_id>", "UpdateSnapshot", snapshots.update_snapshot),
    ("DELETE", "/snapshots/<snapshot_id>", "DeleteSnapshot", snapshots.delete_snapshot),
    (
        "POST",
        "/snapshots/<snapshot_id>/create-instance",
        "CreateInstanceFromSnapshot",
        snapshots.create_instance_from_snapshot,
    ),
    ("GET", "/backups", "ListDatabaseBackups", backups.list_backups),
    ("POST", "/backups", "CreateDatabaseBackup", backups.create_backup),
    ("GET", "/backups/<backup_id>", "GetDatabaseBackup", backups.get_backup),
    ("PATCH", "/backups/<backup_id>", "UpdateDatabaseBackup", backups.update_backup),
    ("DELETE", "/backups/<backup_id>", "DeleteDatabaseBackup", backups.delete_backup),
    ("POST", "/backups/<backup_id>/restore", "RestoreDatabaseBackup", backups.restore_backup),
    ("POST", "/backups/<backup_id>/export", "ExportDatabaseBackup", backups.export_backup),
)
HANDLERS: Mapping[str, Handler] = {name: handler for _, _, name, handler in TABLE}
ROUTES = Map(
    [
        Rule(f"/rdb/v1/regions/<region>{path}", methods=[method], endpoint=name)
        for method, path, name, _ in TABLE
    ]
)


def matched(request: Request) -> tuple[str, dict[str, str]]:
    """Return the name of a call and what its path names; `Unknown` for what is not simulated."""
    try:
        name, ids = ROUTES.bind_to_environ(request.environ).match()
    except HTTPException:
        return UNKNOWN, {}
    return str(name), {key: str(value) for key, value in ids.items()}


def subject(request: Request) -> tuple[str, str, str]:
    """Return the resource, its id and the action of a call, for errors that name them."""
    name, ids = matched(request)
    ids.pop("region", "")
    key, thing_id = next(iter(ids.items()), ("", ""))
    resource = key.removesuffix("_id") or request.path.rsplit("/", 1)[-1].removesuffix("s")
    if name.startswith("List"):
        return resource, thing_id, "list"
    return resource, thing_id, "read" if name.startswith("Get") else "write"
