"""What is asked beside servers: databases, administrators, names, sizes, quota, locks, roles."""

import copy

from simulators.azure.account import Account, Call, is_free
from simulators.azure.answers import child_json, connection_json, page_json
from simulators.azure.families import Json
from simulators.azure.making import NAME, place
from simulators.azure.operations import Answer
from simulators.azure.refusals import ApiError, invalid
from simulators.azure.shapes import Server

SIZES = {
    "Burstable": {"Standard_B2s": 2},
    "GeneralPurpose": {"Standard_D2ds_v5": 2, "Standard_D4ds_v5": 4, "Standard_D8ds_v5": 8},
    "MemoryOptimized": {"Standard_E4ds_v5": 4},
}
CHARSETS = {"postgresql": ("UTF8", "en_US.utf8"), "mysql": ("utf8mb4", "utf8mb4_0900_ai_ci")}


def list_databases(account: Account, call: Call) -> Answer:
    """Return the databases that the control plane knows of."""
    server = account.server(call)
    found = [_database_json(account, server, name) for name in server.databases]
    return page_json(account, call, f"{account.id_of(server)}/databases", found)


def get_database(account: Account, call: Call) -> Answer:
    """Return one database."""
    server = account.server(call)
    if call.child not in server.databases:
        raise ApiError(404, "ResourceNotFound", f"The database '{call.child}' was not found.")
    return _database_json(account, server, call.child)


def _database_json(account: Account, server: Server, name: str) -> Json:
    charset, collation = CHARSETS[server.family.engine]
    properties = {"charset": charset, "collation": collation}
    return child_json(account, server, "databases", name, properties)


def list_administrators(account: Account, call: Call) -> Answer:
    """Return who of the directory administers a server."""
    server = account.server(call)
    found = [
        child_json(account, server, "administrators", str(one["objectId"]), dict(one))
        for one in server.administrators
    ]
    return page_json(account, call, f"{account.id_of(server)}/administrators", found)


def list_connections(account: Account, call: Call) -> Answer:
    """Return the private endpoints that lead to a server."""
    server = account.server(call)
    found = [connection_json(account, server, name) for name in server.connections]
    path = f"{account.id_of(server)}/privateEndpointConnections"
    return page_json(account, call, path, found)


def get_connection(account: Account, call: Call) -> Answer:
    """Return one private endpoint's connection."""
    server = account.server(call)
    if call.child not in server.connections:
        message = f"The private endpoint connection '{call.child}' was not found."
        raise ApiError(404, "ResourceNotFound", message)
    return connection_json(account, server, call.child)


def list_replicas(account: Account, call: Call) -> Answer:
    """Return the replicas of a server: there are none."""
    server = account.server(call)
    return page_json(account, call, f"{account.id_of(server)}/replicas", [])


def check_name(account: Account, call: Call) -> Answer:
    """Return whether a new server can have a name."""
    name = str(call.body.get("name") or "")
    told: Json = {"name": name, "type": call.family.kind, "nameAvailable": True, "message": ""}
    if not NAME.fullmatch(name):
        message = "Specified server name does not comply with the naming rules."
        return told | {"nameAvailable": False, "reason": "Invalid", "message": message}
    if not is_free(account, call.family, name):
        message = "Specified server name is already used."
        return told | {"nameAvailable": False, "reason": "AlreadyExists", "message": message}
    return told


def list_capabilities(account: Account, call: Call) -> Answer:
    """Return the sizes that a region has; `no_room` takes some away."""
    if place(call.location) not in account.groups.values():
        raise invalid("locationName", f"There is no region '{call.location}'.")
    editions = [
        {
            "name": tier,
            "supportedServerSkus": _sizes(account, sizes),
            "supportedStorageEditions": [],
        }
        for tier, sizes in SIZES.items()
    ]
    told: Json = {
        "name": "default",
        "zone": "none",
        "supportedServerEditions": editions,
        "supportedFlexibleServerEditions": editions,
        "supportedServerVersions": [{"name": version} for version in call.family.versions],
        "supportedHAMode": ["SameZone", "ZoneRedundant"],
        "geoBackupSupported": "Enabled",
        "zoneRedundantHaSupported": "Enabled",
        "restricted": "Disabled",
    }
    told["properties"] = copy.deepcopy(told)
    return page_json(account, call, call.scope, [told])


def _sizes(account: Account, sizes: dict[str, int]) -> list[Json]:
    return [
        {"name": name, "vCores": cores, "supportedZones": ["1", "2", "3"]}
        for name, cores in sizes.items()
        if name not in account.no_room
    ]


def list_usages(account: Account, call: Call) -> Answer:
    """Return how much of the quota of a region is used; here it counts servers."""
    location = place(call.location)
    used = sum(one.family is call.family and one.location == location for one in account.servers)
    name = {"value": "flexibleServers", "localizedValue": "Flexible servers"}
    usage = {"name": name, "limit": account.quota, "currentValue": used, "unit": "Count"}
    return page_json(account, call, call.scope, [usage])


def list_locks(account: Account, call: Call) -> Answer:
    """Return the management locks at a scope, above and below it."""
    scope = call.scope.lower()
    found = [
        {
            "id": f"{where}/providers/Microsoft.Authorization/locks/lock",
            "name": "lock",
            "type": "Microsoft.Authorization/locks",
            "properties": {"level": level},
        }
        for where, level in account.locks.items()
        if scope.startswith(where.lower()) or where.lower().startswith(scope)
    ]
    return {"value": found}


def list_permissions(account: Account, call: Call) -> Answer:
    """Return what the caller may do at a scope: everything but what the tests denied."""
    del call
    denied = sorted(account.denied)
    granted = {"actions": ["*"], "notActions": denied, "dataActions": [], "notDataActions": []}
    return {"value": [granted]}
