"""How Refloat reaches Azure Resource Manager: two generations of SDK packages, each for what it does best.

`azure-mgmt-rdbms` begins restores and reads; its models know neither keys nor identities of
PostgreSQL and write their own defaults into changes, so what they lack or spoil is taken from the
newer package of each engine. Which call is whose is said here and nowhere else.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.rest import HttpRequest
from azure.identity import DefaultAzureCredential
from azure.mgmt.mysqlflexibleservers import MySQLManagementClient as NewerMySql
from azure.mgmt.mysqlflexibleservers import operations as newer_mysql
from azure.mgmt.postgresqlflexibleservers import PostgreSQLManagementClient as NewerPostgreSql
from azure.mgmt.postgresqlflexibleservers import operations as newer_postgresql
from azure.mgmt.rdbms import mysql_flexibleservers, postgresql_flexibleservers
from azure.mgmt.rdbms.mysql_flexibleservers import operations as mysql
from azure.mgmt.rdbms.postgresql_flexibleservers import operations as postgresql

from domain.errors import ConfigurationRefusedError, CredentialsRefusedError
from providers.azure.errors import azure_errors

ENDPOINT = "AZURE_RESOURCE_MANAGER_ENDPOINT"
"""Environment variable with another Resource Manager, such as a stand-in or a sovereign cloud's.

The Python SDK honours none: its `AZURE_SDK_CLOUD_CONF` only chooses among three built-in clouds.
This one is Azure Service Operator's, beside the `AZURE_AUTHORITY_HOST` that azure-identity reads.
"""
AUDIENCE = "AZURE_RESOURCE_MANAGER_AUDIENCE"
"""Environment variable with whom the token is for, where that differs from the cloud's own."""
Client = TypeVar("Client")
LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
CONNECTS, SECONDS = 5.0, 30.0


@dataclass(frozen=True)
class PostgreSql:
    """The calls for PostgreSQL servers.

    `servers`, `configurations`, `firewall_rules` and `names` are those of rdbms: list, get, restore
    to a time, delete, restart, stop, start. Everything else is the newer package's: `whole` reads
    what rdbms drops (keys, identity, access, storage), changes servers without writing defaults
    beside, restores elsewhere and revives deleted servers.
    """

    servers: postgresql.ServersOperations
    configurations: postgresql.ConfigurationsOperations
    firewall_rules: postgresql.FirewallRulesOperations
    names: postgresql.CheckNameAvailabilityOperations
    whole: newer_postgresql.ServersOperations
    backups: newer_postgresql.BackupsAutomaticAndOnDemandOperations
    virtual_endpoints: newer_postgresql.VirtualEndpointsOperations
    private_endpoints: newer_postgresql.PrivateEndpointConnectionsOperations
    capabilities: newer_postgresql.CapabilitiesByLocationOperations
    quota: newer_postgresql.QuotaUsagesOperations


@dataclass(frozen=True)
class MySql:
    """The calls for MySQL servers.

    `servers`, `configurations`, `firewall_rules` and `names` are those of rdbms, which here also
    knows keys, identity and restores elsewhere. `whole` changes networks and I/O scaling too, and
    `taking` makes backups: rdbms only lists them.
    """

    servers: mysql.ServersOperations
    configurations: mysql.ConfigurationsOperations
    firewall_rules: mysql.FirewallRulesOperations
    names: mysql.CheckNameAvailabilityWithoutLocationOperations
    backups: mysql.BackupsOperations
    whole: newer_mysql.ServersOperations
    taking: newer_mysql.LongRunningBackupOperations
    private_endpoints: newer_mysql.PrivateEndpointConnectionsOperations
    capabilities: newer_mysql.LocationBasedCapabilitySetOperations


class Begun:
    """Takes down where Azure tells about the operation that a call begins.

    For a `begin_…` call, as its `raw_response_hook`, with `polling=False`.
    """

    url = ""

    def __call__(self, response: PipelineResponse[Any, Any]) -> None:
        """Keep the address that the answer names."""
        self.url = response.http_response.headers.get("Azure-AsyncOperation", self.url)


class AzureDatabases:
    """One subscription: each call goes out once, ends after `seconds`, and follows nothing up.

    Pass `polling=False` to `begin_…` calls and read nothing of what they return. Credentials are
    azure-identity's; a stand-in on this machine, the only http endpoint allowed, gets none.
    """

    def __init__(
        self, subscription: str, endpoint: str | None = None, *, seconds: float = SECONDS
    ) -> None:
        """Find the credentials, without a call.

        Raises:
            ConfigurationRefusedError: the endpoint would carry the token in clear text.
            CredentialsRefusedError: the environment asks for credentials that do not exist.
        """
        self._subscription = subscription
        self._options = _options(endpoint or os.environ.get(ENDPOINT) or "", seconds)
        self._credential = (
            NoCredential() if "authentication_policy" in self._options else _credential()
        )
        self._clients: list[Any] = []
        self._newer = self._made(NewerPostgreSql)
        self.postgresql = self._postgresql()
        self.mysql = self._mysql()

    def ask(self, url: str, api_version: str = "") -> Mapping[str, Any]:
        """Return what Resource Manager has at a path, or at a full address that it named.

        For what no package of ours covers: locks, permissions, operations under way.
        """
        params = {"api-version": api_version} if api_version else {}
        with azure_errors(f"asking Azure for {urlsplit(url).path}"):
            answer = self._newer.send_request(HttpRequest("GET", url, params=params))
            answer.raise_for_status()
            told: Mapping[str, Any] = answer.json()
            return told

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def _postgresql(self) -> PostgreSql:
        newer, old = self._newer, self._made(postgresql_flexibleservers.PostgreSQLManagementClient)
        return PostgreSql(
            servers=old.servers,
            configurations=old.configurations,
            firewall_rules=old.firewall_rules,
            names=old.check_name_availability,
            whole=newer.servers,
            backups=newer.backups_automatic_and_on_demand,
            virtual_endpoints=newer.virtual_endpoints,
            private_endpoints=newer.private_endpoint_connections,
            capabilities=newer.capabilities_by_location,
            quota=newer.quota_usages,
        )

    def _mysql(self) -> MySql:
        old = self._made(mysql_flexibleservers.MySQLManagementClient)
        newer = self._made(NewerMySql)
        return MySql(
            servers=old.servers,
            configurations=old.configurations,
            firewall_rules=old.firewall_rules,
            names=old.check_name_availability_without_location,
            backups=old.backups,
            whole=newer.servers,
            taking=newer.long_running_backup,
            private_endpoints=newer.private_endpoint_connections,
            capabilities=newer.location_based_capability_set,
        )

    def _made(self, client: Callable[..., Client]) -> Client:
        made = client(self._credential, self._subscription, **self._options)
        self._clients.append(made)
        return made


class NoCredential(TokenCredential):
    """Stands where a credential must, towards an endpoint that gets none."""

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        """Refuse: whoever asks would send a token where none may go."""
        raise CredentialsRefusedError(f"no token for {', '.join(scopes)} goes to a stand-in")


def _options(endpoint: str, seconds: float) -> dict[str, Any]:
    """Return what all clients are made with.

    A policy given in place of the SDK's own is what keeps the credential out of an http call.
    """
    options: dict[str, Any] = {
        "retry_total": 0,
        "connection_timeout": CONNECTS,
        "read_timeout": seconds,
    }
    if endpoint:
        options["base_url"] = endpoint.rstrip("/")
    if audience := os.environ.get(AUDIENCE):
        options["credential_scopes"] = [f"{audience.rstrip('/')}/.default"]
    if urlsplit(endpoint).scheme == "http":
        if urlsplit(endpoint).hostname not in LOOPBACK:
            raise ConfigurationRefusedError(
                f"{endpoint}: the access token would travel in clear text; write https in {ENDPOINT}"
            )
        options["authentication_policy"] = SansIOHTTPPolicy()
    return options


def _credential() -> TokenCredential:
    try:
        return DefaultAzureCredential(process_timeout=int(SECONDS))
    except ValueError as error:
        raise CredentialsRefusedError(
            f"the environment asks for Azure credentials that do not exist ({error})"
        ) from error
