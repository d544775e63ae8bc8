"""Servers that have existed for long, with settings that differ from every default."""

import copy
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from simulators.azure.account import Account, Call
from simulators.azure.addresses import route
from simulators.azure.families import FAMILIES, POSTGRESQL, Family, Json
from simulators.azure.making import back_up, described
from simulators.azure.shapes import ALWAYS, Server, Tags, VirtualEndpoint
from simulators.backends import Master
from simulators.estate import Seed

EXISTED = timedelta(days=90)
VERSIONS = {"postgresql": "15", "mysql": "8.0.21"}
IDENTITY = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/sandbox/providers"
    "/Microsoft.ManagedIdentity/userAssignedIdentities/databases"
)
TENANT = "b7a3c1de-4f20-4c57-8d1e-6f0a9e2d5b31"
PRODUCTION: Mapping[str, Any] = {
    "group": "sandbox",
    "sku": {"name": "Standard_D4ds_v5", "tier": "GeneralPurpose"},
    "tags": {"environment": "production", "team": "shop"},
    "identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}},
    "backup": {"backupRetentionDays": 14, "geoRedundantBackup": "Enabled"},
    "highAvailability": {"mode": "ZoneRedundant", "standbyAvailabilityZone": "3"},
    "maintenanceWindow": {
        "customWindow": "Enabled",
        "startHour": 3,
        "startMinute": 30,
        "dayOfWeek": 6,
    },
    "dataEncryption": {
        "type": "AzureKeyVault",
        "primaryKeyURI": "https://shop-keys.vault.azure.net/keys/databases",
        "primaryUserAssignedIdentityId": IDENTITY,
        "geoBackupKeyURI": "https://shop-keys-north.vault.azure.net/keys/databases",
        "geoBackupUserAssignedIdentityId": IDENTITY,
    },
    "network": {"publicNetworkAccess": "Disabled"},
    "availabilityZone": "2",
    "firewallRules": {
        "offices": {"startIpAddress": "203.0.113.0", "endIpAddress": "203.0.113.255"},
        "batch": {"startIpAddress": "198.51.100.7", "endIpAddress": "198.51.100.7"},
    },
    "privateEndpointConnections": ("shop-application",),
    "administrators": (
        {
            "objectId": "5f0d6f5a-2c1b-4f5e-9a55-0c6f6f5d7e11",
            "principalName": "database-admins",
            "principalType": "Group",
            "tenantId": TENANT,
        },
    ),
    "automaticBackups": 2,
}
OF_ENGINE: Mapping[str, Mapping[str, Any]] = {
    "postgresql": {
        "storage": {"storageSizeGB": 256, "autoGrow": "Enabled", "tier": "P20", "iops": 2300},
        "authConfig": {
            "activeDirectoryAuth": "Enabled",
            "passwordAuth": "Enabled",
            "tenantId": TENANT,
        },
        "configurations": {
            "max_connections": "400",
            "work_mem": "16384",
            "log_min_duration_statement": "500",
            "azure.extensions": "pg_stat_statements,pgcrypto",
        },
        "virtualEndpoint": "",
    },
    "mysql": {
        "storage": {
            "storageSizeGB": 256,
            "iops": 1200,
            "autoGrow": "Disabled",
            "autoIoScaling": "Enabled",
            "storageSku": "Premium_LRS",
        },
        "configurations": {
            "max_connections": "400",
            "long_query_time": "0.5",
            "slow_query_log": "ON",
            "time_zone": "Europe/Amsterdam",
            "event_scheduler": "ON",
        },
    },
}
PROPERTIES = (
    "storage",
    "authConfig",
    "backup",
    "dataEncryption",
    "highAvailability",
    "maintenanceWindow",
    "network",
    "availabilityZone",
)


def seeded(account: Account, seed: Seed) -> Server:
    """Make the server of a seed, running, with automatic backups noted.

    A virtual endpoint named by an empty text is called as the server with `-endpoint`; None
    makes none.
    """
    production = {**PRODUCTION, **OF_ENGINE[seed.engine]}
    unknown = set(seed.settings) - set(production)
    if unknown:
        raise ValueError(f"no such setting of a server: {', '.join(sorted(unknown))}")
    chosen = copy.deepcopy({**production, **seed.settings})
    server = _described(account, seed, chosen)
    backends = account.backends(server)
    master = Master(seed.user, seed.password, seed.database)
    backends.create(server.internal, version=server.properties["version"], master=master)
    with account.lock:
        account.servers.append(server)
        route(account, server)
        for _ in range(chosen["automaticBackups"]):
            back_up(account, server, account.estate.clock.now())
    return server


def _described(account: Account, seed: Seed, chosen: Json) -> Server:
    family = next(one for one in FAMILIES if one.engine == seed.engine)
    server = described(account, _call(family, seed, chosen), account.groups[chosen["group"]])
    server.made_at = ALWAYS
    server.created_at -= EXISTED
    server.tags = Tags([(ALWAYS, chosen["tags"])])
    server.sku = chosen["sku"]
    server.properties |= {name: chosen[name] for name in PROPERTIES if name in chosen}
    server.properties |= {
        "version": seed.version or VERSIONS[seed.engine],
        "administratorLogin": seed.user,
    }
    server.databases.append(seed.database)
    server.parameters = dict(chosen["configurations"])
    server.rules = dict(chosen["firewallRules"])
    server.administrators = list(chosen["administrators"])
    server.connections = {name: _connection(name) for name in chosen["privateEndpointConnections"]}
    if family is POSTGRESQL and chosen["virtualEndpoint"] is not None:
        name = chosen["virtualEndpoint"] or f"{seed.name}-endpoint"
        server.endpoint = VirtualEndpoint(name, [seed.name])
    return server


def _call(family: Family, seed: Seed, chosen: Json) -> Call:
    """Return the call by which the server might have been made."""
    body = {"identity": chosen["identity"]}
    return Call("", "", family, "", group=chosen["group"], name=seed.name, body=body)


def _connection(name: str) -> Json:
    group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/sandbox"
    endpoint = f"{group}/providers/Microsoft.Network/privateEndpoints/{name}"
    return {
        "privateEndpoint": {"id": endpoint},
        "groupIds": ["server"],
        "privateLinkServiceConnectionState": {"status": "Approved", "description": ""},
        "provisioningState": "Succeeded",
    }
