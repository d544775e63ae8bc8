"""What Azure Container Registry tells beyond the distribution API, and how it locks."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from domain.checks import Verdict
from domain.errors import (
    CredentialsRefusedError,
    ProviderUnavailableError,
    RecoveryError,
)
from providers.oci import acr
from tests.providers.oci_ground import (
    Asked,
    OneImage,
    Reply,
    last,
    opened,
    refused,
    scripted,
    told,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let calls go out at once, and find no credentials of whoever runs the tests."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    for module in ("client", "rest"):
        monkeypatch.setattr(f"providers.oci.{module}._CALLS_PER_SECOND", 1000.0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)


class AzuresLogin:
    """The identity of a worker in Azure."""

    raised: Exception | None = None

    def get_token(self, scope: str) -> SimpleNamespace:
        assert scope == "https://containerregistry.azure.net/.default"
        if self.raised is not None:
            raise self.raised
        return SimpleNamespace(token="marker-of-azure")


class Acr(OneImage):
    """A registry of Azure as its documentation has it."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes = {"deleteEnabled": True, "writeEnabled": True}
        self.listed_tags = ["v1"]
        self.may_lock = True

    def script(self, asked: Asked) -> Reply:
        if asked.path == "/oauth2/exchange":
            assert b"access_token=marker-of-azure" in asked.body
            return told(200, {"refresh_token": "marker-of-acr"})
        if asked.path == "/oauth2/token":
            assert b"refresh_token=marker-of-acr" in asked.body
            return told(200, {"access_token": "marker-of-access"})
        if asked.headers.get("Authorization") != "Bearer marker-of-access":
            realm = f"http://{asked.headers['Host']}/oauth2/token"
            challenge = f'Bearer realm="{realm}",service="acr",scope="repository:shop/app:pull"'
            return refused(401, "UNAUTHORIZED", WWW_Authenticate=challenge)
        return self.metadata(asked) if asked.path.startswith("/acr/v1/") else self.answer(asked)

    def metadata(self, asked: Asked) -> Reply:
        """Answer what Azure's own API asks."""
        own = {
            "digest": self.digest,
            "createdTime": "2026-03-01T09:30:00.1234567Z",
            "imageSize": 77,
            "tags": self.listed_tags,
            "changeableAttributes": self.attributes,
        }
        if asked.path == "/acr/v1/shop/app/_manifests":
            return told(200, {"manifests": [own]})
        if asked.path != f"/acr/v1/shop/app/_manifests/{self.digest}":
            return refused(404, "MANIFEST_UNKNOWN")
        if asked.verb == "PATCH":
            if not self.may_lock:
                return refused(403, "DENIED")
            self.attributes |= json.loads(asked.body)
        return told(200, {"manifest": own})


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Acr:
    """Return a registry of Azure whose worker has an identity."""
    monkeypatch.setattr(acr, "DefaultAzureCredential", AzuresLogin)
    return Acr()


def test_acr_is_opened_by_the_workers_identity_and_tells_push_times(azure: Acr) -> None:
    with scripted(azure.script) as server:
        (only,) = opened(server, acr.knowledge(server.host, lambda: None), "shop/app").images(5)
    assert only.digest == azure.digest
    assert only.pushed_at == datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)


def test_acr_locks_an_image_once_and_then_it_is_kept(azure: Acr) -> None:
    azure.listed_tags = azure.tags = []
    with scripted(azure.script) as server:
        images = opened(server, acr.knowledge(server.host, lambda: None), "shop/app")
        assert last(images.examine(azure.digest)).verdict is Verdict.UNPROVEN
        assert images.protect(azure.digest) == images.protect(azure.digest) != ""
        assert last(images.examine(azure.digest)).verdict is Verdict.PASSED
        assert azure.attributes["deleteEnabled"] is False
        locks = [one for one in server.asked if one.verb == "PATCH"]
        assert ["Authorization" in one.headers for one in locks] == [False, True]


def test_where_acr_may_not_be_locked_a_tag_protects(azure: Acr) -> None:
    azure.may_lock = False
    with scripted(azure.script) as server:
        images = opened(server, acr.knowledge(server.host, lambda: None), "shop/app")
        assert "refloat-kept-" in images.protect(azure.digest)


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (ClientAuthenticationError("marker-1"), CredentialsRefusedError),
        (ServiceRequestError("marker-1"), ProviderUnavailableError),
    ],
)
def test_a_worker_without_an_identity_in_azure_is_told_so(
    azure: Acr,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    becomes: type[RecoveryError],
) -> None:
    monkeypatch.setattr(AzuresLogin, "raised", raised)
    with scripted(azure.script) as server, pytest.raises(becomes) as seen:
        opened(server, acr.knowledge(server.host, lambda: None), "shop/app").images(5)
    assert "marker" not in str(seen.value)
