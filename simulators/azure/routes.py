"""Which call is which: verb and path, the name of the operation, the right that it needs, who does it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from simulators.azure import (
    activity,
    backups,
    configurations,
    endpoints,
    firewall,
    making,
    minor,
    operations,
    servers,
)
from simulators.azure.account import Account, Call
from simulators.azure.operations import Answer

Does: TypeAlias = Callable[[Account, Call], Answer]
Rows: TypeAlias = tuple[tuple[str, str, str, Does], ...]
POSTGRESQL, MYSQL, BOTH = r"Microsoft\.DBforPostgreSQL", r"Microsoft\.DBforMySQL", r"[^/]+"
NEWER = {POSTGRESQL: "2022-12-01", MYSQL: "2023-12-30"}
RIGHTS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}


@dataclass(frozen=True)
class Route:
    """One call of the API."""

    verb: str
    pattern: re.Pattern[str]
    operation: str
    right: str
    """The end of the action that roles grant, such as `flexibleServers/restart/action`."""
    does: Does
    since: str = ""
    """The first API version that has the call."""


OF_SUBSCRIPTION: Rows = (
    ("GET", "flexibleServers", "Servers_List", servers.list_servers),
    ("POST", "checkNameAvailability", "CheckNameAvailability_Execute", minor.check_name),
)
OF_GROUP: Rows = (("GET", "flexibleServers", "Servers_ListByResourceGroup", servers.list_servers),)
OF_REGION: Rows = (
    ("POST", "checkNameAvailability", "CheckNameAvailability_Execute", minor.check_name),
    ("GET", "capabilities", "Capabilities_List", minor.list_capabilities),
    ("GET", "capabilitySets", "Capabilities_List", minor.list_capabilities),
    ("GET", "resourceType/flexibleServers/usages", "QuotaUsages_List", minor.list_usages),
    ("GET", "azureAsyncOperation/*", "AzureAsyncOperation_Get", operations.get_status),
    ("GET", "operationResults/*", "OperationResults_Get", operations.get_result),
    ("GET", "operationProgress/*", "OperationProgress_Get", operations.get_progress),
)
OF_SERVER: Rows = (
    ("GET", "", "Servers_Get", servers.get_server),
    ("PUT", "", "Servers_Create", making.put_server),
    ("PATCH", "", "Servers_Update", servers.update_server),
    ("DELETE", "", "Servers_Delete", servers.delete_server),
    ("POST", "restart", "Servers_Restart", servers.restart_server),
    ("POST", "stop", "Servers_Stop", servers.stop_server),
    ("POST", "start", "Servers_Start", servers.start_server),
    ("GET", "configurations", "Configurations_ListByServer", configurations.list_configurations),
    ("GET", "configurations/*", "Configurations_Get", configurations.get_configuration),
    ("PUT", "configurations/*", "Configurations_Put", configurations.put_configuration),
    ("PATCH", "configurations/*", "Configurations_Update", configurations.put_configuration),
    ("GET", "firewallRules", "FirewallRules_ListByServer", firewall.list_rules),
    ("GET", "firewallRules/*", "FirewallRules_Get", firewall.get_rule),
    ("PUT", "firewallRules/*", "FirewallRules_CreateOrUpdate", firewall.put_rule),
    ("DELETE", "firewallRules/*", "FirewallRules_Delete", firewall.delete_rule),
    ("GET", "databases", "Databases_ListByServer", minor.list_databases),
    ("GET", "databases/*", "Databases_Get", minor.get_database),
    ("GET", "administrators", "Administrators_ListByServer", minor.list_administrators),
    (
        "GET",
        "privateEndpointConnections",
        "PrivateEndpointConnections_ListByServer",
        minor.list_connections,
    ),
    (
        "GET",
        "privateEndpointConnections/*",
        "PrivateEndpointConnections_Get",
        minor.get_connection,
    ),
    ("GET", "replicas", "Replicas_ListByServer", minor.list_replicas),
)
NEWER_OF_POSTGRESQL: Rows = (
    ("GET", "backups", "Backups_ListByServer", backups.list_backups),
    ("GET", "backups/*", "Backups_Get", backups.get_backup),
    ("PUT", "backups/*", "Backups_Create", backups.put_backup),
    ("DELETE", "backups/*", "Backups_Delete", backups.delete_backup),
    ("GET", "virtualendpoints", "VirtualEndpoints_ListByServer", endpoints.list_endpoints),
    ("GET", "virtualendpoints/*", "VirtualEndpoints_Get", endpoints.get_endpoint),
    ("PUT", "virtualendpoints/*", "VirtualEndpoints_Create", endpoints.put_endpoint),
    ("PATCH", "virtualendpoints/*", "VirtualEndpoints_Update", endpoints.update_endpoint),
    ("DELETE", "virtualendpoints/*", "VirtualEndpoints_Delete", endpoints.delete_endpoint),
)
OF_MYSQL: Rows = (
    ("GET", "backups", "Backups_ListByServer", backups.list_backups),
    ("GET", "backups/*", "Backups_Get", backups.get_backup),
    (
        "POST",
        "updateConfigurations",
        "Configurations_BatchUpdate",
        configurations.put_configurations,
    ),
)
NEWER_OF_MYSQL: Rows = (
    ("PUT", "backups/*", "Backups_Put", backups.put_at_once),
    ("GET", "backupsV2", "LongRunningBackups_List", backups.list_newer),
    ("GET", "backupsV2/*", "LongRunningBackups_Get", backups.get_newer),
    ("PUT", "backupsV2/*", "LongRunningBackup_Create", backups.put_newer),
)
ANYWHERE: Rows = (
    ("GET", "locks", "Locks_List", minor.list_locks),
    ("GET", "permissions", "Permissions_List", minor.list_permissions),
)
OF_LOG: Rows = (("GET", "eventtypes/management/values", "ActivityLogs_List", activity.list_events),)


def _routes(rows: Rows, where: str, *, below: str = "", since: str = "") -> tuple[Route, ...]:
    """Return the calls at paths that begin with `where`; their rights begin with `below`."""
    return tuple(
        Route(verb, _pattern(where, path), operation, _right(verb, below, path), does, since)
        for verb, path, operation, does in rows
    )


def _pattern(where: str, path: str) -> re.Pattern[str]:
    one = path.replace("*", r"(?P<child>[^/]+)")
    return re.compile(f"{where}/{one}".rstrip("/"), re.IGNORECASE)


def _right(verb: str, below: str, path: str) -> str:
    parts = (*below.split("/"), *path.removesuffix("*").split("/"), RIGHTS[verb])
    return "/".join(part for part in parts if part)


SUBSCRIPTION = "(?P<scope>/subscriptions/[^/]+)"
GROUP = "(?P<scope>/subscriptions/[^/]+/resourceGroups/(?P<group>[^/]+))"
REGION = (
    f"(?P<scope>/subscriptions/[^/]+)/providers/(?P<namespace>{BOTH})/locations/(?P<location>[^/]+)"
)
SERVER = (
    "(?P<scope>/subscriptions/[^/]+/resourceGroups/(?P<group>[^/]+)/providers/"
    "(?P<namespace>{})/flexibleServers/(?P<name>[^/]+))"
)
OF = f"/providers/(?P<namespace>{BOTH})"
AUTHORIZATION = r"(?P<scope>/subscriptions/.+?)/providers/Microsoft\.Authorization"
INSIGHTS = r"(?P<scope>/subscriptions/[^/]+)/providers/Microsoft\.Insights"
KIND = "flexibleServers"
TABLE = (
    *_routes(OF_SUBSCRIPTION, SUBSCRIPTION + OF),
    *_routes(OF_GROUP, GROUP + OF),
    *_routes(OF_REGION, REGION, below="locations"),
    *_routes(OF_SERVER, SERVER.format(BOTH), below=KIND),
    *_routes(NEWER_OF_POSTGRESQL, SERVER.format(POSTGRESQL), below=KIND, since=NEWER[POSTGRESQL]),
    *_routes(OF_MYSQL, SERVER.format(MYSQL), below=KIND),
    *_routes(NEWER_OF_MYSQL, SERVER.format(MYSQL), below=KIND, since=NEWER[MYSQL]),
    *_routes(ANYWHERE, AUTHORIZATION),
    *_routes(OF_LOG, INSIGHTS),
)


def matched(verb: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the call that a request is, and what its path names; None for what is not simulated."""
    for route in TABLE:
        found = route.pattern.fullmatch(path.rstrip("/"))
        if found is not None and route.verb == verb:
            return route, found.groupdict()
    return None
