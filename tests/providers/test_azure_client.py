"""How the clients of Azure are made: where they call, with which credentials, how often."""

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential
from azure.mgmt.rdbms.mysql_flexibleservers.models import ServerRestartParameter

from domain.errors import ConfigurationRefusedError, CredentialsRefusedError
from providers.azure.client import AUDIENCE, ENDPOINT, AzureDatabases, Begun, NoCredential
from simulators.azure.plane import SUBSCRIPTION
from simulators.faults import Refusal
from tests.simulators.azure_ground import GROUP, Ground, simulated


@pytest.fixture
def ground() -> Iterator[Ground]:
    with simulated() as made:
        yield made


def made_of(clients: AzureDatabases) -> list[Any]:
    return clients._clients


def test_the_environment_names_a_stand_in(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, f"{ground.wire.url}/")
    clients = AzureDatabases(SUBSCRIPTION)

    assert clients.postgresql.servers.get(GROUP, "orders").name == "orders"
    assert clients.mysql.whole.get(GROUP, "carts").name == "carts"
    clients.close()


def test_azure_itself_gets_the_sdks_own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    clients = AzureDatabases(SUBSCRIPTION)

    for one in made_of(clients):
        assert isinstance(one._config.credential, DefaultAzureCredential)
        assert one._config.credential_scopes == ["https://management.azure.com/.default"]
    clients.close()


def test_another_cloud_may_have_another_audience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "https://management.example.org")
    monkeypatch.setenv(AUDIENCE, "https://management.core.example.org/")
    clients = AzureDatabases(SUBSCRIPTION)

    for one in made_of(clients):
        assert one._config.credential_scopes == ["https://management.core.example.org/.default"]
    clients.close()


@pytest.mark.parametrize("endpoint", ["http://10.0.0.1:8080", "http://management.example.org"])
def test_no_token_travels_in_clear_text(endpoint: str) -> None:
    with pytest.raises(ConfigurationRefusedError, match="clear text"):
        AzureDatabases(SUBSCRIPTION, endpoint)
    with pytest.raises(CredentialsRefusedError):
        NoCredential().get_token("https://management.azure.com/.default")


def test_credentials_that_do_not_exist_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "bogus")

    with pytest.raises(CredentialsRefusedError, match="bogus"):
        AzureDatabases(SUBSCRIPTION)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_call_goes_out_once(ground: Ground, status: int) -> None:
    ground.estate.faults.refuse("Servers_Get", Refusal(status, "Strange", "no"))

    for servers in (
        ground.postgresql.servers,
        ground.postgresql.whole,
        ground.mysql.servers,
        ground.mysql.whole,
    ):
        ground.wire.calls.clear()
        with pytest.raises(HttpResponseError):
            servers.get(GROUP, "orders")
        assert len(ground.wire.calls) == 1


def test_where_an_operation_is_told_is_taken_down(ground: Ground) -> None:
    begun = Begun()
    wanted = ServerRestartParameter(restart_with_failover="Disabled")
    restart = ground.mysql.servers.begin_restart
    restart(GROUP, "carts", wanted, polling=False, raw_response_hook=begun)

    assert begun.url.startswith(f"{ground.wire.url}/subscriptions/{SUBSCRIPTION}/")
    assert ground.clients.ask(begun.url)["status"] == "InProgress"
