"""How Refloat reaches Azure Resource Manager: two generations of SDK packages, each for what it does best.

`azure-mgmt-rdbms` begins restores and reads; its models know neither keys nor identities of
PostgreSQL and write their own defaults into changes, so what they lack or spoil is taken from the
newer package of each engine. Which call is whose is said here and nowhere else.
"""

import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, TypeVar, cast
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.paging import ItemPaged
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

from domain.entries import AzureProviderEntry
from domain.errors import ConfigurationRefusedError, CredentialsRefusedError
from domain.resources import Engine
from providers.azure.errors import Quirk, azure_errors
from providers.managed.limiter import Gate

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
NAMESPACES = {
    Engine.POSTGRESQL: "Microsoft.DBforPostgreSQL",
    Engine.MYSQL: "Microsoft.DBforMySQL",
}


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
    administrators: newer_postgresql.AdministratorsMicrosoftEntraOperations
    replicas: newer_postgresql.ReplicasOperations
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
    administrators: newer_mysql.AzureADAdministratorsOperations
    replicas: newer_mysql.ReplicasOperations
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

    def ask(self, url: str, api_version: str = "", filtered: str = "") -> Mapping[str, Any]:
        """Return what Resource Manager has at a path, or at a full address that it named.

        For what no package of ours covers: locks, permissions, operations under way or past.
        """
        params = {"api-version": api_version, "$filter": filtered}
        params = {name: value for name, value in params.items() if value}
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
            administrators=newer.administrators_microsoft_entra,
            replicas=newer.replicas,
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
            administrators=newer.azure_ad_administrators,
            replicas=newer.replicas,
            capabilities=newer.location_based_capability_set,
        )

    def _made(self, client: Callable[..., Client]) -> Client:
        made = client(self._credential, self._subscription, **self._options)
        self._clients.append(made)
        return made


class AzureClient:
    """The calls of one catalog entry, each at the account's pace and with its errors named.

    What is sent is JSON of our own: the models of the four packages spell the same things in
    different ways, and some write defaults beside what they are asked to send.
    """

    def __init__(self, entry: AzureProviderEntry, scale: float) -> None:
        self.entry, self.group = entry, entry.resource_group
        self.call = Gate(entry.calls_per_second, scale, azure_errors).call

    @cached_property
    def sdk(self) -> AzureDatabases:
        """The packages; their first use may find that there are no credentials."""
        return AzureDatabases(self.entry.subscription)

    def of(self, engine: Engine) -> PostgreSql | MySql:
        """Return the calls of an engine."""
        return self.sdk.mysql if engine is Engine.MYSQL else self.sdk.postgresql

    def id_of(self, name: str, engine: Engine) -> str:
        """Return a server's resource id in one spelling: answers spell groups in many."""
        group = f"/subscriptions/{self.entry.subscription}/resourceGroups/{self.group}"
        return f"{group}/providers/{NAMESPACES[engine]}/flexibleServers/{name.lower()}"

    def begin(
        self, doing: str, act: Callable[..., object], *what: object, quirk: Quirk | None = None
    ) -> str:
        """Begin an operation in our resource group; return where Azure tells of it."""
        begun = Begun()
        with self.call(doing), azure_errors(doing, quirk):
            act(self.group, *what, polling=False, raw_response_hook=begun)
        return begun.url

    def listed(self, doing: str, lists: Callable[[], Iterable[object]]) -> list[dict[str, Any]]:
        """Return everything that a list holds, in Azure's own words; each page is a call."""
        found: list[dict[str, Any]] = []
        pages: Any = cast("ItemPaged[object]", lists()).by_page()
        while True:
            with self.call(doing):
                found += [told(one) for one in next(pages)]
            if not pages.continuation_token:
                return found

    def asked(self, doing: str, url: str, api_version: str, filtered: str = "") -> list[Any]:
        """Return a list that no package of ours covers, page by page."""
        found: list[Any] = []
        while url:
            with self.call(doing):
                page = self.sdk.ask(url, api_version, filtered)
            found += page.get("value", [])
            url, api_version, filtered = page.get("nextLink") or "", "", ""
        return found


def told(model: object) -> dict[str, Any]:
    """Return a model of any package in Azure's own words, times as text."""
    known: Any = model
    newer = isinstance(model, Mapping)
    written: dict[str, Any] = known.as_dict() if newer else known.serialize(keep_readonly=True)
    return written


def body(wanted: Mapping[str, Any]) -> IO[bytes]:
    """Return what to send for it, and nothing else."""
    return io.BytesIO(json.dumps(wanted).encode())


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
