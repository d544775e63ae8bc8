"""How Refloat reaches Cloud SQL: the SDK's four v1 clients, over REST."""

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import google.auth
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud import sqladmin_v1 as sql
from google.cloud.sqladmin_v1.services.sql_backup_runs_service.transports import (
    SqlBackupRunsServiceTransport,
)
from google.cloud.sqladmin_v1.services.sql_backups_service.transports import (
    SqlBackupsServiceTransport,
)
from google.cloud.sqladmin_v1.services.sql_instances_service.transports import (
    SqlInstancesServiceTransport,
)
from google.cloud.sqladmin_v1.services.sql_operations_service.transports import (
    SqlOperationsServiceTransport,
)

from domain.entries import GcpProviderEntry
from domain.errors import ConfigurationRefusedError
from providers.gcp.errors import gcp_errors
from providers.gcp.rest import Rpc, rest_transport
from providers.managed.limiter import Gate

ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SQL"
"""Environment variable with another endpoint; gcloud's own, as the SDK honours none for it."""
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
SECONDS = 30.0
PROJECT = "/v1/projects/{project}"
INSTANCE = PROJECT + "/instances/{instance}"
RUNS = INSTANCE + "/backupRuns"
BACKUPS = "/v1/{parent=projects/*}/backups"
BACKUP = "/v1/{name=projects/*/backups/*}"

OF_INSTANCES = {
    "list": Rpc("get", PROJECT + "/instances", sql.InstancesListResponse),
    "get": Rpc("get", INSTANCE, sql.DatabaseInstance),
    "insert": Rpc("post", PROJECT + "/instances", sql.Operation, "body"),
    "clone": Rpc("post", INSTANCE + "/clone", sql.Operation, "body"),
    "restore_backup": Rpc("post", INSTANCE + "/restoreBackup", sql.Operation, "body"),
    "patch": Rpc("patch", INSTANCE, sql.Operation, "body"),
    "update": Rpc("put", INSTANCE, sql.Operation, "body"),
    "delete": Rpc("delete", INSTANCE, sql.Operation),
    "get_latest_recovery_time": Rpc(
        "get", INSTANCE + "/getLatestRecoveryTime", sql.SqlInstancesGetLatestRecoveryTimeResponse
    ),
}
OF_OPERATIONS = {
    "get": Rpc("get", PROJECT + "/operations/{operation}", sql.Operation),
    "list": Rpc("get", PROJECT + "/operations", sql.OperationsListResponse),
}
OF_BACKUP_RUNS = {
    "list": Rpc("get", RUNS, sql.BackupRunsListResponse),
    "get": Rpc("get", RUNS + "/{id}", sql.BackupRun),
    "insert": Rpc("post", RUNS, sql.Operation, "body"),
    "delete": Rpc("delete", RUNS + "/{id}", sql.Operation),
}
OF_BACKUPS = {
    "list_backups": Rpc("get", BACKUPS, sql.ListBackupsResponse),
    "get_backup": Rpc("get", BACKUP, sql.Backup),
    "create_backup": Rpc("post", BACKUPS, sql.Operation, "backup"),
    "delete_backup": Rpc("delete", BACKUP, sql.Operation),
}


class CloudSql:
    """The clients for instances, operations, backup runs and backups of Cloud SQL.

    A call that no timeout is given to ends after `seconds`; nothing is retried. Without an
    endpoint, that of the environment or else Google's own is used, with the application default
    credentials. Only the environment may name an http endpoint, and no credentials go there.
    """

    def __init__(self, api_endpoint: str | None = None, *, seconds: float = SECONDS) -> None:
        """Find the credentials, without a call; `CredentialsRefusedError` when there are none."""
        self._options = _options(api_endpoint)
        self._credentials = _credentials(api_endpoint)
        self._seconds = seconds
        self.instances: sql.SqlInstancesServiceClient = self._client(
            sql.SqlInstancesServiceClient, SqlInstancesServiceTransport, OF_INSTANCES
        )
        self.operations: sql.SqlOperationsServiceClient = self._client(
            sql.SqlOperationsServiceClient, SqlOperationsServiceTransport, OF_OPERATIONS
        )
        self.backup_runs: sql.SqlBackupRunsServiceClient = self._client(
            sql.SqlBackupRunsServiceClient, SqlBackupRunsServiceTransport, OF_BACKUP_RUNS
        )
        self.backups: sql.SqlBackupsServiceClient = self._client(
            sql.SqlBackupsServiceClient, SqlBackupsServiceTransport, OF_BACKUPS
        )

    def literally(
        self, name: str, at: Mapping[str, str], body: Mapping[str, object]
    ) -> sql.Operation:
        """Make a call about an instance with JSON as it is given.

        A message of the SDK is written without empty lists, empty texts and plain false, so it can
        open a network to somebody and never close it again.
        """
        transport: Any = self.instances.transport
        answer: sql.Operation = transport.literal(name, at, body)
        return answer

    def close(self) -> None:
        """Close the connections of all four."""
        for client in (self.instances, self.operations, self.backup_runs, self.backups):
            client.transport.close()  # type: ignore[no-untyped-call] # the SDK's

    def _client(self, client: type[Any], base: type[Any], rpcs: Mapping[str, Rpc]) -> Any:  # noqa: ANN401 - one of four classes, named where this is called
        return client(
            transport=rest_transport(base, rpcs, self._seconds),
            credentials=self._credentials,
            client_options=self._options,
        )


def _options(api_endpoint: str | None) -> dict[str, str]:
    endpoint = api_endpoint or os.environ.get(ENDPOINT)
    return {"api_endpoint": endpoint.rstrip("/")} if endpoint else {}


def _credentials(api_endpoint: str | None) -> Credentials:
    endpoint = api_endpoint or os.environ.get(ENDPOINT, "")
    if not endpoint.startswith("http://"):
        with gcp_errors("looking for Google credentials"):
            return google.auth.default(scopes=[SCOPE])[0]
    if api_endpoint is not None:
        raise ConfigurationRefusedError(
            f"{api_endpoint}: an access token would travel in clear text; write https,"
            f" or name a stand-in by the environment variable {ENDPOINT}"
        )
    return AnonymousCredentials()  # type: ignore[no-untyped-call] # google-auth


class GcpClient:
    """Cloud SQL in one project, each call at the account's pace and translated.

    Credentials and endpoint are the SDK's own; they are looked for at the first call.
    """

    def __init__(self, entry: GcpProviderEntry, scale: float) -> None:
        self.entry = entry
        self.call = Gate(entry.calls_per_second, scale, gcp_errors).call

    @cached_property
    def sql(self) -> CloudSql:
        """The four clients."""
        return CloudSql()

    @property
    def parent(self) -> str:
        """The project as project-level calls name it."""
        return f"projects/{self.entry.project}"

    def at(self, instance: str) -> dict[str, str]:
        """Return where an instance is."""
        return {"project": self.entry.project, "instance": instance}

    def change(self, doing: str, instance: str, settings: Mapping[str, object]) -> None:
        """Begin to change settings; what is not named stays as it is, and none goes to its default."""
        with self.call(doing):
            self.sql.literally("patch", self.at(instance), {"settings": settings})
