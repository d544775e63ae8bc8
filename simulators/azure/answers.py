"""Resources as the provider writes them."""

import copy
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from simulators.azure.account import Account, Call
from simulators.azure.addresses import domain_name, port_of, virtual_names
from simulators.azure.families import POSTGRESQL, Json, Parameter
from simulators.azure.refusals import invalid
from simulators.azure.shapes import (
    FAILED,
    INACCESSIBLE,
    PROVISIONING,
    SUCCEEDED,
    Backup,
    Server,
    Task,
    VirtualEndpoint,
)

PAGING = "$skiptoken"


def server_json(account: Account, server: Server) -> Json:
    """Return a server as a reader sees it."""
    told: Json = {
        "id": account.id_of(server),
        "name": server.name,
        "type": server.family.kind,
        "location": server.location,
        "tags": dict(server.tags.seen(account.seen_until())),
        "sku": dict(server.sku),
        "systemData": {"createdAt": moment(server.created_at), "createdByType": "Application"},
        "properties": _properties(account, server),
    }
    if server.identity is not None:
        told["identity"] = copy.deepcopy(server.identity)
    return told


def _properties(account: Account, server: Server) -> Json:
    told = copy.deepcopy(server.properties)
    told["state"] = server.seen_state
    told["fullyQualifiedDomainName"] = domain_name(account, server)
    told["replicationRole"] = "Primary" if server.family is POSTGRESQL else "None"
    told["replicaCapacity"] = 5 if server.family is POSTGRESQL else 10
    told["privateEndpointConnections"] = [
        connection_json(account, server, name) for name in server.connections
    ]
    told["highAvailability"]["state"] = _standby(server)
    opens_at = _earliest(account, server)
    if opens_at is not None:
        told["backup"]["earliestRestoreDate"] = moment(opens_at)
    if server.family is POSTGRESQL:
        told["minorVersion"] = "0"
        told["dataEncryption"] |= _key_status(server)
    else:
        told["fullVersion"] = told["version"]
        told["databasePort"] = port_of(account, server)
    return told


def _standby(server: Server) -> str:
    return (
        "Healthy" if server.properties["highAvailability"]["mode"] != "Disabled" else "NotEnabled"
    )


def _key_status(server: Server) -> Json:
    if server.properties["dataEncryption"]["type"] != "AzureKeyVault":
        return {}
    lost = server.seen_state == INACCESSIBLE
    return {"primaryEncryptionKeyStatus": "Invalid" if lost else "Valid"}


def _earliest(account: Account, server: Server) -> datetime | None:
    """Return from when on the server can be restored; the latest moment nobody is told."""
    if server.seen_state == PROVISIONING:
        return None
    window = account.backends(server).window(server.internal)
    if window is None:
        return None
    kept = timedelta(days=server.properties["backup"]["backupRetentionDays"])
    return max(window[0], account.estate.clock.now() - kept)


def parameter_json(account: Account, server: Server, name: str, parameter: Parameter) -> Json:
    """Return a server parameter; MySQL writes truth as text."""
    value = server.parameters.get(name, parameter.default)
    told: Json = {
        "value": value,
        "defaultValue": parameter.default,
        "dataType": parameter.kind,
        "allowedValues": parameter.allowed,
        "source": "user-override" if name in server.parameters else "system-default",
    }
    truths = {
        "isDynamicConfig": parameter.dynamic,
        "isReadOnly": parameter.fixed,
        "isConfigPendingRestart": name in server.pending,
    }
    if server.family is POSTGRESQL:
        told |= truths
    else:
        told |= {"currentValue": value} | {key: str(true) for key, true in truths.items()}
    return child_json(account, server, "configurations", name, told)


def backup_json(account: Account, server: Server, backup: Backup, kind: str = "backups") -> Json:
    """Return a backup; `backupsV2` is how MySQL's asynchronous calls tell the same."""
    told: Json = {
        "backupType": backup.kind,
        "source": "Customer Initiated" if backup.on_demand else "Automatic",
    }
    if backup.completed_at is not None:
        told["completedTime"] = moment(backup.completed_at)
    if kind == "backupsV2":
        told |= {"backupNameV2": backup.name, "provisioningState": SUCCEEDED}
    return child_json(account, server, kind, backup.name, told)


def endpoint_json(account: Account, server: Server, endpoint: VirtualEndpoint) -> Json:
    """Return a virtual endpoint with its names."""
    told = {
        "endpointType": "ReadWrite",
        "members": list(endpoint.members),
        "virtualEndpoints": virtual_names(account, endpoint),
    }
    return child_json(account, server, "virtualendpoints", endpoint.name, told)


def connection_json(account: Account, server: Server, name: str) -> Json:
    """Return a private endpoint's connection."""
    told = copy.deepcopy(server.connections[name])
    return child_json(account, server, "privateEndpointConnections", name, told)


def child_json(account: Account, server: Server, kind: str, name: str, properties: Json) -> Json:
    """Return what belongs to a server."""
    return {
        "id": f"{account.id_of(server)}/{kind}/{name}",
        "name": name,
        "type": f"{server.family.kind}/{kind}",
        "properties": properties,
    }


def page_json(account: Account, call: Call, path: str, found: Sequence[Json]) -> Json:
    """Return a page of a list, with the address of the next one where there is more."""
    skipped = call.query.get(PAGING, "0")
    if not skipped.isdigit():
        raise invalid(PAGING, "It is none of the service's.")
    ends = int(skipped) + account.page
    told: Json = {"value": list(found[int(skipped) : ends])}
    if ends < len(found):
        query = f"api-version={call.api_version}&{quote(PAGING)}={ends}"
        told["nextLink"] = f"{call.host}{path}?{query}"
    return told


def task_json(task: Task) -> Json:
    """Return an operation as `Azure-AsyncOperation` tells it; its failure comes with status 200."""
    told: Json = {"name": task.id, "status": task.status, "startTime": moment(task.began_at)}
    if task.status == FAILED:
        _, code, message = task.error
        told["error"] = {"code": code, "message": message}
    result = task.result() if task.status == SUCCEEDED else None
    return told | {"properties": result["properties"]} if result else told


def progress_json(task: Task) -> Json:
    """Return an operation with how far it is, as only MySQL's newer API does."""
    return task_json(task) | {"percentComplete": float(task.operation.percent)}


def moment(at: datetime) -> str:
    """Return a moment as it travels."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
