"""A registry that wants the tokens of a service gets the right ones, in time."""

import base64
import json
import secrets as randomness
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from domain.checks import Verdict
from domain.entries import RegistryEntry
from domain.errors import (
    AccessDeniedError,
    CredentialsRefusedError,
)
from domain.platforms import ImageRegistry
from providers.oci.provider import registry
from tests.providers.oci_ground import (
    PASSWORD,
    USER,
    Asked,
    Passwords,
    Reply,
    Scripted,
    Served,
    push,
    registry_server,
    told,
)

APP = "shop/app"
Ask = Callable[..., ImageRegistry]


class Tokens:
    """A token service as registries trust one: it signs who may do what, for a while."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.user, self.password, self.identity = USER, PASSWORD, "marker-of-the-identity"
        self.actions = ["pull", "push"]
        self.seconds = 300
        self.anonymous = False
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._signed()
        self.bundle = folder / "tokens.pem"
        self.bundle.write_bytes(self._certificate.public_bytes(Encoding.PEM))
        self.server = Scripted(self._answer)

    @property
    def section(self) -> Mapping[str, Mapping[str, str]]:
        """How a registry is configured to trust this service."""
        realm = f"http://{self.server.host}/token"
        return {
            "token": {
                "realm": realm,
                "service": "registry of the tests",
                "issuer": "refloat",
                "rootcertbundle": str(self.bundle),
            }
        }

    def token(self, repository: str, actions: Sequence[str], seconds: float = 300) -> str:
        """Return a signed token; with negative seconds it is expired."""
        now = int(time.time())
        chain = base64.b64encode(self._certificate.public_bytes(Encoding.DER)).decode()
        claims = {
            "iss": "refloat",
            "sub": self.user,
            "aud": "registry of the tests",
            "exp": int(now + seconds),
            "nbf": now - 600,
            "iat": now - 600,
            "jti": randomness.token_hex(8),
            "access": [{"type": "repository", "name": repository, "actions": list(actions)}],
        }
        parts = [{"typ": "JWT", "alg": "ES256", "x5c": [chain]}, claims]
        signed = b".".join(_url64(json.dumps(part).encode()) for part in parts)
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(SHA256())))
        return b".".join((signed, _url64(r.to_bytes(32) + s.to_bytes(32)))).decode()

    def _answer(self, asked: Asked) -> Reply:
        form = parse_qs(asked.body.decode()) if asked.verb == "POST" else asked.query
        basic = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        known = (
            self.anonymous
            or asked.headers.get("Authorization") == f"Basic {basic}"
            or form.get("refresh_token") == [self.identity]
        )
        if not known:
            return told(401, {"details": "incorrect username or password"})
        repository = form["scope"][0].split(":")[1]
        token = self.token(repository, self.actions, self.seconds)
        return told(200, {"token": token, "expires_in": max(self.seconds, 60)})

    def _signed(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
        now = datetime.now(UTC)
        begun = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        )
        return begun.sign(self._key, SHA256())


def _url64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


@contextmanager
def token_server(folder: Path) -> Iterator[tuple[Served, Tokens]]:
    """Serve a registry that wants the tokens of a service, and the service."""
    tokens = Tokens(folder)
    try:
        with registry_server(folder, **tokens.section) as served:
            yield served, tokens
    finally:
        tokens.server.close()


class Bearer(requests.auth.AuthBase):
    """Pushes with a token."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home of a worker where nobody logged in."""
    monkeypatch.setattr("providers.oci.client._CALLS_PER_SECOND", 1000.0)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_CONFIG", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def ask(home: Path) -> Ask:
    """Return how a registry is reached, by default with the right password."""

    def reach(host: str, password: str | None = PASSWORD) -> ImageRegistry:
        entry = RegistryEntry(user=USER, password="env:REGISTRY") if password else RegistryEntry()
        return registry({host: entry}, home, Passwords(password or ""))

    return reach


def logged_in(folder: Path, content: Mapping[str, object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content))
    return folder / "config.json"


def basic(user: str = USER, password: str = PASSWORD) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Tokens, str]]:
    """Return a registry behind a token service, the service, and the digest of an image."""
    with token_server(tmp_path_factory.mktemp("trusting")) as (running, tokens):
        allowed = Bearer(tokens.token(APP, ["pull", "push"]))
        yield running, tokens, push(running.host, APP, "v1", auth=allowed)


@pytest.fixture
def tokens(trusting: tuple[Served, Tokens, str]) -> Iterator[Tokens]:
    """Return the token service as a test found it."""
    service = trusting[1]
    before = (service.actions, service.seconds, service.anonymous)
    service.server.asked.clear()
    yield service
    service.actions, service.seconds, service.anonymous = before


def test_a_token_is_asked_for_once_and_used_again(
    trusting: tuple[Served, Tokens, str], tokens: Tokens, ask: Ask
) -> None:
    served, _, digest = trusting
    images = ask(served.host)
    assert all(one.good for one in images.examine(f"{served.host}/{APP}", digest))
    assert images.find(f"{served.host}/{APP}", "v1").digest == digest
    assert len(tokens.server.asked) == 1
    (asked,) = tokens.server.asked
    assert asked.query["service"] == ["registry of the tests"]
    assert asked.query["scope"] == [f"repository:{APP}:pull"]


def test_pushing_asks_for_a_token_of_its_own(
    trusting: tuple[Served, Tokens, str], tokens: Tokens, ask: Ask
) -> None:
    served, _, digest = trusting
    pushed = push(served.host, APP, "", [b"keep"], auth=Bearer(tokens.token(APP, ["pull", "push"])))
    images = ask(served.host)
    assert images.protect(f"{served.host}/{APP}", pushed)
    pulling, pushing = (one.query["scope"][0] for one in tokens.server.asked)
    assert pulling == f"repository:{APP}:pull"
    assert set(pushing.removeprefix(f"repository:{APP}:").split(",")) == {"pull", "push"}
    assert pushed != digest


def test_an_expired_token_is_renewed_at_the_refusal(
    trusting: tuple[Served, Tokens, str], tokens: Tokens, ask: Ask
) -> None:
    served, _, digest = trusting
    images = ask(served.host)
    tokens.seconds = -3600  # the service's clock is behind, and says that the token lasts
    with pytest.raises(AccessDeniedError):
        images.find(f"{served.host}/{APP}", "v1")
    tokens.seconds = 300
    assert images.find(f"{served.host}/{APP}", "v1").digest == digest


def test_a_token_is_renewed_before_it_expires(
    trusting: tuple[Served, Tokens, str],
    tokens: Tokens,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served, _, digest = trusting
    images = ask(served.host)
    images.find(f"{served.host}/{APP}", "v1")
    first = len(tokens.server.asked)
    monkeypatch.setattr("providers.oci.tokens._USED", 0.0)
    images = ask(served.host)
    assert images.find(f"{served.host}/{APP}", "v1").digest == digest
    assert len(tokens.server.asked) > first + 1


def test_a_token_that_may_not_pull_is_a_failed_finding(
    trusting: tuple[Served, Tokens, str], tokens: Tokens, ask: Ask
) -> None:
    served, _, digest = trusting
    tokens.actions = []
    images = ask(served.host)
    (only,) = images.examine(f"{served.host}/{APP}", digest)
    assert only.verdict is Verdict.FAILED
    assert "the right to pull" in only.observed


def test_a_token_that_may_only_pull_cannot_protect_and_that_is_no_error(
    trusting: tuple[Served, Tokens, str], tokens: Tokens, ask: Ask
) -> None:
    served, _, digest = trusting
    tokens.actions = ["pull"]
    assert ask(served.host).protect(f"{served.host}/{APP}", digest) == ""


def test_a_public_image_is_read_with_an_anonymous_token(
    trusting: tuple[Served, Tokens, str], tokens: Tokens, ask: Ask
) -> None:
    served, _, digest = trusting
    tokens.anonymous = True
    assert ask(served.host, None).find(f"{served.host}/{APP}", "v1").digest == digest
    assert "Authorization" not in tokens.server.asked[0].headers


@pytest.mark.parametrize("password", [None, "marker-of-a-wrong-one"])
def test_a_token_service_that_refuses_is_told_apart_from_the_registry(
    trusting: tuple[Served, Tokens, str], tokens: Tokens, ask: Ask, password: str | None
) -> None:
    served, _, _ = trusting
    with pytest.raises(CredentialsRefusedError, match=tokens.server.host) as refusal:
        ask(served.host, password).find(f"{served.host}/{APP}", "v1")
    assert "marker" not in str(refusal.value)


def test_an_identity_that_a_login_left_is_exchanged(
    trusting: tuple[Served, Tokens, str], tokens: Tokens, home: Path, ask: Ask
) -> None:
    served, _, digest = trusting
    kept = {served.host: {"auth": basic("<token>", ""), "identitytoken": tokens.identity}}
    logged_in(home / ".docker", {"auths": kept})
    assert ask(served.host, None).find(f"{served.host}/{APP}", "v1").digest == digest
    assert tokens.server.asked[0].verb == "POST"
