"""Registries that answer oddly, slowly or not at all become errors that say what to do."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from requests.structures import CaseInsensitiveDict

from domain.checks import Verdict
from domain.entries import RegistryEntry
from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    CredentialsRefusedError,
    ImageMissingError,
    NameTakenError,
    ProviderUnavailableError,
    QuotaReachedError,
    RecoveryError,
    ThrottledError,
    TransientError,
    UnknownProviderError,
    UnsupportedResourceError,
    UntrustedServerError,
)
from domain.platforms import ImageRegistry
from providers.oci.client import OciClient
from providers.oci.config import place_of
from providers.oci.errors import oci_errors, pace_of, refusal_of, safe
from providers.oci.manifests import Blob
from providers.oci.provider import registry
from providers.secrets.references import Secrets
from tests.providers.oci_ground import Asked, Reply, digest_of, refused, scripted, told
from tests.station import free_ports

APP = "shop/app"
DIGEST = f"sha256:{'1' * 64}"
TYPE = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageRegistry:
    """Return the registries of an empty catalog."""
    return reached(tmp_path, monkeypatch)


def reached(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **entries: RegistryEntry
) -> ImageRegistry:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("providers.oci.client._CALLS_PER_SECOND", 1000.0)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    return registry(entries, folder, Secrets(folder))


def client_of(host: str) -> OciClient:
    return OciClient(place_of(f"{host}/{APP}"), lambda: None, None)


ANSWERS: list[tuple[int, str, str, type[RecoveryError]]] = [
    (429, "TOOMANYREQUESTS", "slow down", ThrottledError),
    (403, "TOOMANYREQUESTS", "slow down", ThrottledError),
    (401, "UNAUTHORIZED", "authentication required", AccessDeniedError),
    (403, "DENIED", "requested access is denied", AccessDeniedError),
    (403, "DENIED", "Your authorization token has expired.", CredentialsRefusedError),
    (451, "", "", AccessDeniedError),
    (404, "NAME_UNKNOWN", "repository name not known", ImageMissingError),
    (404, "MANIFEST_UNKNOWN", "manifest unknown", ImageMissingError),
    (404, "BLOB_UNKNOWN", "blob unknown", ImageMissingError),
    (404, "", "", ImageMissingError),
    (400, "MANIFEST_BLOB_UNKNOWN", "blob unknown", ImageMissingError),
    (400, "NAME_INVALID", "invalid name", ConfigurationRefusedError),
    (400, "TAG_INVALID", "invalid tag", ConfigurationRefusedError),
    (400, "TAG_INVALID", "The image tag already exists and is immutable", NameTakenError),
    (400, "MANIFEST_INVALID", "manifest invalid", ConfigurationRefusedError),
    (400, "DIGEST_INVALID", "digest invalid", ConfigurationRefusedError),
    (400, "", "", ConfigurationRefusedError),
    (412, "PRECONDITION", "configured as immutable", NameTakenError),
    (409, "", "", NameTakenError),
    (405, "UNSUPPORTED", "unsupported", UnsupportedResourceError),
    (405, "", "", UnsupportedResourceError),
    (501, "", "", UnsupportedResourceError),
    (402, "", "", QuotaReachedError),
    (413, "", "", QuotaReachedError),
    (507, "", "", QuotaReachedError),
    (408, "", "", ProviderUnavailableError),
    (500, "UNKNOWN", "unknown error", ProviderUnavailableError),
    (502, "", "", ProviderUnavailableError),
    (503, "UNAVAILABLE", "", ProviderUnavailableError),
    (504, "", "", ProviderUnavailableError),
    (302, "", "", ConfigurationRefusedError),
    (418, "TEAPOT", "", UnknownProviderError),
]


@pytest.mark.parametrize(("status", "code", "message", "becomes"), ANSWERS)
def test_every_refusal_becomes_an_error_that_says_what_to_do(
    status: int, code: str, message: str, becomes: type[RecoveryError]
) -> None:
    _, headers, body = refused(status, code, message) if code else (status, {}, b"<html>no</html>")
    error = refusal_of("read it", status, CaseInsensitiveDict(headers), body)
    assert type(error) is becomes
    assert str(error).startswith("read it: ")
    assert (code or f"HTTP {status}") in str(error)


def test_every_status_becomes_something() -> None:
    for status in range(300, 600):
        error = refusal_of("read it", status, CaseInsensitiveDict(), b"")
        assert isinstance(error, TransientError) == (
            status in {408, 425, 429}
            or (status >= 500 and status not in {501, 507})
            or type(error) is UnknownProviderError
        )


def test_the_pace_that_a_registry_asks_for_is_kept(images: ImageRegistry) -> None:
    script = lambda _: refused(429, "TOOMANYREQUESTS", Retry_After="17")  # noqa: E731
    with scripted(script) as server, pytest.raises(ThrottledError) as refusal:
        images.images(f"{server.host}/{APP}")
    assert refusal.value.pace == timedelta(seconds=17)
    soon = pace_of(format_datetime(datetime.now(UTC) + timedelta(minutes=1)))
    assert soon is not None
    assert timedelta(seconds=50) < soon <= timedelta(minutes=1)
    assert pace_of("Wed, 21 Oct 2015 07:28:00 GMT") == timedelta()
    assert (pace_of(""), pace_of("soon")) == (None, None)


def test_throttling_while_many_tags_are_read_ends_the_listing(images: ImageRegistry) -> None:
    def script(asked: Asked) -> Reply:
        if asked.path.endswith("/tags/list"):
            return told(200, {"tags": [f"v{number}" for number in range(200)]})
        return refused(429, "TOOMANYREQUESTS")

    with scripted(script) as server:
        with pytest.raises(ThrottledError) as refusal:
            images.images(f"{server.host}/{APP}")
        assert refusal.value.pace == timedelta(seconds=5)
        assert len(server.asked) < 30


def test_a_registry_that_is_down_is_asked_again(images: ImageRegistry) -> None:
    place = f"127.0.0.1:{free_ports(1)}/{APP}"
    asking: list[Callable[[], object]] = [
        lambda: images.images(place),
        lambda: images.find(place, "v1"),
        lambda: images.examine(place, DIGEST),
        lambda: images.protect(place, DIGEST),
    ]
    for ask in asking:
        with pytest.raises(ProviderUnavailableError, match="Connection refused"):
            ask()


def test_a_registry_with_a_problem_of_its_own_is_asked_again(images: ImageRegistry) -> None:
    with scripted(lambda _: refused(503, "UNAVAILABLE")) as server:
        for ask in (images.examine, images.protect, images.find):
            with pytest.raises(ProviderUnavailableError):
                ask(f"{server.host}/{APP}", DIGEST)


def test_a_registry_that_does_not_answer_in_time_is_asked_again(
    images: ImageRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.oci.transport._TIMEOUT", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        host = f"127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(ProviderUnavailableError, match="does not answer"):
            images.find(f"{host}/{APP}", "v1")


def test_a_host_that_no_name_server_knows_is_asked_again(
    images: ImageRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")

    def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ProviderUnavailableError, match="Name or service not known"):
        images.find("registry.test/app", "v1")


def test_every_page_of_the_tags_is_read() -> None:
    manifest = json.dumps({"mediaType": TYPE}).encode()

    def script(asked: Asked) -> Reply:
        if asked.path.endswith("/tags/list"):
            last = int(asked.query.get("last", ["0"])[0])
            # some registries write an address of their inside, which is not followed
            link = f'<http://inside.test:5000{asked.path}?last={last + 2}&n=2>; rel="next"'
            more = {"Link": link} if last < 4 else {}
            return 200, more, json.dumps({"tags": [f"v{last + 1}", f"v{last + 2}"]}).encode()
        if asked.path.endswith("v3"):
            return told(404)
        return 200, {"Docker-Content-Digest": digest_of(manifest)}, b""

    with scripted(script) as server:
        client = client_of(server.host)
        assert client.tags() == ["v1", "v2", "v3", "v4", "v5", "v6"]
        assert len(server.asked) == 3


def test_a_repository_without_tags_is_empty(images: ImageRegistry) -> None:
    with scripted(lambda _: told(200, {"name": APP, "tags": None})) as server:
        assert images.images(f"{server.host}/{APP}") == []


def test_a_registry_that_tells_no_digest_is_asked_for_the_bytes() -> None:
    body = json.dumps({"mediaType": TYPE}).encode()
    with scripted(lambda _: (200, {"Content-Type": TYPE}, body)) as server:
        assert client_of(server.host).digest_of("v1") == digest_of(body)


def test_bytes_under_a_foreign_digest_fail(images: ImageRegistry) -> None:
    with scripted(lambda _: told(200, {"mediaType": TYPE}, Content_Type=TYPE)) as server:
        (first,) = images.examine(f"{server.host}/{APP}", DIGEST)
        assert first.verdict is Verdict.FAILED
        assert "the bytes under it are those of sha256:" in first.observed
        with pytest.raises(ImageMissingError):
            images.find(f"{server.host}/{APP}", DIGEST)


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b'{"schemaVersion": 1}', b'{"mediaType": 7, "layers": [1], "config": []}'],
)
def test_what_is_no_manifest_fails(images: ImageRegistry, body: bytes) -> None:
    with scripted(lambda _: (200, {"Content-Type": "text/html"}, body)) as server:
        (first,) = images.examine(f"{server.host}/{APP}", digest_of(body))
    assert first.verdict is Verdict.FAILED
    assert "its format is not read" in first.observed


def test_a_digest_that_is_a_path_is_never_asked_for() -> None:
    with scripted(lambda _: told(200)) as server:
        client = client_of(server.host)
        evil = Blob("../../../other/blobs/sha256:1", 7)
        assert client.size_of(evil) is None
        assert client.manifest("../../other/manifests/v1") is None
        with pytest.raises(ImageMissingError):
            client.config(evil)
        assert server.asked == []


def test_an_answer_without_an_end_is_refused(images: ImageRegistry) -> None:
    huge = b" " * (5 * 2**20)
    with scripted(lambda _: (200, {"Content-Type": TYPE}, huge)) as server:
        (first,) = images.examine(f"{server.host}/{APP}", DIGEST)
    assert first.verdict is Verdict.FAILED
    assert "an answer of more than 4194304 bytes" in first.observed


@pytest.mark.parametrize(
    ("reply", "size"),
    [
        ((206, {"Content-Range": "bytes 0-0/4096"}, b"x"), 4096),
        ((200, {}, b"x" * 70_000), 70_000),
        ((404, {}, b""), None),
        ((416, {"Content-Range": "bytes */0"}, b""), 0),
    ],
)
def test_the_size_of_a_blob_is_what_the_registry_has(reply: Reply, size: int | None) -> None:
    with scripted(lambda _: reply) as server:
        assert client_of(server.host).size_of(Blob(DIGEST, 9)) == size


def test_redirects_in_a_circle_end(images: ImageRegistry) -> None:
    with scripted(lambda asked: told(307, Location=asked.path)) as server:
        with pytest.raises(ConfigurationRefusedError, match="in a circle"):
            images.find(f"{server.host}/{APP}", "v1")
        assert len(server.asked) < 10


@pytest.mark.parametrize("reply", [refused(405, "UNSUPPORTED"), refused(403, "DENIED"), told(409)])
def test_where_no_tag_can_be_put_nothing_is_protected_and_that_is_no_error(
    images: ImageRegistry, reply: Reply
) -> None:
    body = json.dumps({"mediaType": TYPE}).encode()

    def script(asked: Asked) -> Reply:
        if asked.verb == "PUT":
            return reply
        return told(404) if asked.verb == "HEAD" else (200, {"Content-Type": TYPE}, body)

    with scripted(script) as server:
        assert images.protect(f"{server.host}/{APP}", digest_of(body)) == ""
        (put,) = [one for one in server.asked if one.verb == "PUT"]
        assert put.body == body
        assert put.headers["Content-Type"] == TYPE


def test_what_a_registry_says_is_shown_without_what_may_be_secret() -> None:
    told_by_it = (
        'token=marker-1 password: "marker-2", Bearer marker-3.x '
        "https://user:marker-4@store.test/x?sig=marker-5 eyJhbGciOiJI.marker-6.x " + "x" * 900
    )
    shown = safe(told_by_it)
    assert "marker" not in shown
    assert len(shown) <= 301
    assert "https://store.test" in shown


class Secure:
    """A server behind a certificate for registry.test, which is this machine."""

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "ca.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry.test")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName("registry.test")]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, SHA256())
        )
        self.ca.write_bytes(made.public_bytes(Encoding.PEM))
        (folder / "key.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.ca, folder / "key.pem")


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """Return the host of a registry that speaks TLS, and the certificate that signs its own."""
    known = Secure(tmp_path)
    usual = socket.getaddrinfo

    def here(host: str, *more: Any, **named: Any) -> Any:
        return usual("127.0.0.1" if host == "registry.test" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    monkeypatch.setenv("no_proxy", "*")
    with scripted(lambda _: told(200, {"tags": []}), tls=known.context) as server:
        yield server.host.replace("127.0.0.1", "registry.test"), known.ca


def test_a_registry_whose_certificate_is_not_trusted_is_refused(
    secure: tuple[str, Path], images: ImageRegistry
) -> None:
    host, _ = secure
    with pytest.raises(UntrustedServerError, match=r"write the file .* as `ca`"):
        images.images(f"{host}/{APP}")
    (only,) = images.examine(f"{host}/{APP}", DIGEST)
    assert only.verdict is Verdict.FAILED


def test_a_registry_is_trusted_by_the_catalogs_certificates(
    secure: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, ca = secure
    images = reached(tmp_path, monkeypatch, **{host: RegistryEntry(ca=ca.name)})
    assert images.images(f"{host}/{APP}") == []
    missing = reached(tmp_path, monkeypatch, **{host: RegistryEntry(ca="not-there.pem")})
    with pytest.raises(ConfigurationRefusedError, match=r"not-there\.pem: no such file"):
        missing.images(f"{host}/{APP}")


def test_a_registry_without_tls_elsewhere_is_never_told_anything(
    images: ImageRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *more, **named: usual("127.0.0.1", *more, **named)
    )
    monkeypatch.setenv("no_proxy", "*")
    with scripted(lambda _: told(200)) as server:
        with pytest.raises(ConfigurationRefusedError, match="does not speak TLS"):
            images.images(f"{server.host.replace('127.0.0.1', 'registry.test')}/{APP}")
        assert server.asked == []


def test_errors_that_are_not_the_librarys_pass_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError), oci_errors("divide"):
        1 / 0  # noqa: B018 - what is raised is the point
