"""The clients of Cloud SQL go where they are told, with credentials only where they are safe."""

import socket
from collections.abc import Iterator
from typing import Any

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials

from domain.errors import (
    ConfigurationRefusedError,
    CredentialsRefusedError,
    ProviderUnavailableError,
)
from providers.gcp.client import ENDPOINT, CloudSql
from providers.gcp.errors import gcp_errors

ORDERS = {"project": "shop", "instance": "orders"}


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return a socket that takes connections and never answers, as the API's endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{listening.getsockname()[1]}/")
        yield listening


@pytest.fixture
def scopes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what default credentials are asked for, which are found."""
    asked: list[Any] = []

    def default(**options: Any) -> tuple[AnonymousCredentials, str]:
        asked.append(options["scopes"])
        return AnonymousCredentials(), "shop"  # type: ignore[no-untyped-call] # google-auth

    monkeypatch.setattr(google.auth, "default", default)
    monkeypatch.delenv(ENDPOINT, raising=False)
    return asked


def url_of(client: Any) -> str:
    return str(client.transport._url)


def test_the_usual_endpoint_is_googles_with_the_default_credentials(scopes: list[Any]) -> None:
    cloud = CloudSql()
    assert cloud.instances.api_endpoint == "sqladmin.googleapis.com"
    assert url_of(cloud.backups) == "https://sqladmin.googleapis.com:443"
    assert scopes == [["https://www.googleapis.com/auth/cloud-platform"]]
    cloud.close()


def test_another_endpoint_is_reached_with_the_default_credentials(
    scopes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for cloud in (CloudSql("https://sql.internal"), CloudSql("https://sql.internal:8443/")):
        assert url_of(cloud.operations).startswith("https://sql.internal:")
        cloud.close()
    monkeypatch.setenv(ENDPOINT, "https://sql.internal/")
    CloudSql().close()
    assert len(scopes) == 3


def test_no_token_travels_in_clear_text(scopes: list[Any]) -> None:
    with pytest.raises(ConfigurationRefusedError, match="clear text"):
        CloudSql("http://sql.internal")
    assert scopes == []


def test_a_worker_without_credentials_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    with pytest.raises(CredentialsRefusedError, match=r"/nowhere/key\.json"):
        CloudSql()


def test_a_call_ends_in_time_and_is_made_once(deaf: socket.socket) -> None:
    cloud = CloudSql(seconds=0.2)
    with pytest.raises(ProviderUnavailableError, match="could not be reached"), gcp_errors("read"):
        cloud.instances.get(request=ORDERS)
    deaf.settimeout(0.2)
    deaf.accept()[0].close()
    with pytest.raises(TimeoutError):
        deaf.accept()
    cloud.close()


def test_nobody_at_the_endpoint_is_told_as_such(deaf: socket.socket) -> None:
    deaf.close()
    cloud = CloudSql()
    with pytest.raises(ProviderUnavailableError, match="Connection refused"), gcp_errors("read"):
        cloud.instances.get(request=ORDERS)
    cloud.close()


@pytest.mark.usefixtures("deaf")
def test_a_call_without_a_row_says_so() -> None:
    cloud = CloudSql()
    with pytest.raises(NotImplementedError, match="failover has no row"):
        cloud.instances.failover(request=ORDERS)
    cloud.close()
