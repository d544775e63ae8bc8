"""Registries are asked with the right credentials, which never show and go to nobody else."""

import base64
import json
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from domain.checks import Verdict
from domain.entries import RegistryEntry
from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    CredentialsRefusedError,
    SecretUnavailableError,
)
from domain.platforms import ImageRegistry
from providers.oci.client import OciClient
from providers.oci.config import place_of
from providers.oci.credentials import Credentials, from_docker
from providers.oci.provider import registry
from providers.oci.tokens import challenge_in
from providers.secrets.references import Secrets
from tests.providers.oci_ground import (
    PASSWORD,
    USER,
    Asked,
    Passwords,
    Reply,
    Served,
    guarded_server,
    push,
    scripted,
    told,
)

APP = "shop/app"
DIGEST = f"sha256:{'1' * 64}"
Ask = Callable[..., ImageRegistry]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """Return a registry behind a password, and the digest of its one image."""
    with guarded_server(tmp_path_factory.mktemp("guarded")) as running:
        yield running, push(running.host, APP, "v1", auth=(USER, PASSWORD))


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


def test_a_password_opens_a_guarded_registry(guarded: tuple[Served, str], ask: Ask) -> None:
    served, digest = guarded
    images = ask(served.host)
    assert images.find(f"{served.host}/{APP}", "v1").digest == digest
    assert all(one.good for one in images.examine(f"{served.host}/{APP}", digest))
    assert images.protect(f"{served.host}/{APP}", digest)


def test_without_credentials_the_refusal_says_where_to_name_them(
    guarded: tuple[Served, str], ask: Ask
) -> None:
    served, digest = guarded
    images = ask(served.host, None)
    with pytest.raises(AccessDeniedError, match="there are none; name `user` and `password`"):
        images.images(f"{served.host}/{APP}")
    (only,) = images.examine(f"{served.host}/{APP}", digest)
    assert only.verdict is Verdict.FAILED
    assert "let the worker's user pull" in only.advice
    assert images.protect(f"{served.host}/{APP}", digest) == ""


def test_a_wrong_password_is_refused_and_not_shown(guarded: tuple[Served, str], ask: Ask) -> None:
    served, digest = guarded
    images = ask(served.host, "marker-of-a-wrong-one")
    with pytest.raises(CredentialsRefusedError, match="does not accept the user") as refusal:
        images.find(f"{served.host}/{APP}", "v1")
    assert "marker" not in str(refusal.value)
    (only,) = images.examine(f"{served.host}/{APP}", digest)
    assert (only.verdict, "marker" in str(only)) == (Verdict.FAILED, False)


def test_a_changed_password_is_read_at_the_next_refusal(
    guarded: tuple[Served, str], home: Path
) -> None:
    served, digest = guarded
    secrets = Passwords("marker-of-an-old-one")
    entry = RegistryEntry(user=USER, password="file:password")
    images = registry({served.host: entry}, home, secrets)
    with pytest.raises(CredentialsRefusedError):
        images.find(f"{served.host}/{APP}", "v1")
    secrets.value = PASSWORD
    assert images.find(f"{served.host}/{APP}", "v1").digest == digest


def test_a_password_whose_reference_leads_nowhere_is_said_so(
    guarded: tuple[Served, str], home: Path
) -> None:
    served, _ = guarded
    entry = RegistryEntry(user=USER, password="env:NO_SUCH_VARIABLE")
    images = registry({served.host: entry}, home, Secrets(home))
    with pytest.raises(SecretUnavailableError, match="NO_SUCH_VARIABLE"):
        images.images(f"{served.host}/{APP}")


def test_an_entry_may_forbid_to_protect(guarded: tuple[Served, str], home: Path) -> None:
    served, digest = guarded
    entry = RegistryEntry(user=USER, password="env:REGISTRY", protect=False)
    images = registry({served.host: entry}, home, Passwords())
    assert images.protect(f"{served.host}/{APP}", digest) == ""


def test_a_token_service_without_encryption_is_told_no_password(ask: Ask) -> None:
    def script(_: Asked) -> Reply:
        return told(401, {}, WWW_Authenticate='Bearer realm="http://tokens.test/",service="x"')

    with (
        scripted(script) as server,
        pytest.raises(ConfigurationRefusedError, match=r"tokens\.test .*not encrypted"),
    ):
        ask(server.host).find(f"{server.host}/{APP}", "v1")


def test_a_redirect_to_another_host_carries_no_credentials(ask: Ask) -> None:
    def elsewhere(_: Asked) -> Reply:
        return 206, {"Content-Range": "bytes 0-0/7"}, b"x"

    def script(asked: Asked) -> Reply:
        if "Authorization" not in asked.headers:
            return told(401, {}, WWW_Authenticate='Basic realm="x"')
        if "/blobs/" in asked.path:
            return told(307, {}, Location=f"http://{store.host}/signed?signature=marker-1")
        return told(200, MANIFEST, Content_Type=str(MANIFEST["mediaType"]))

    with scripted(elsewhere) as store, scripted(script) as server:
        images = ask(server.host)
        seen = images.examine(f"{server.host}/{APP}", DIGEST)
        client = OciClient(
            place_of(f"{server.host}/{APP}"), lambda: Credentials(USER, PASSWORD), None
        )
        manifest = client.manifest(DIGEST)
        assert manifest is not None
        assert [client.size_of(part) for part in manifest.parts] == [7, 7]
        assert len(store.asked) == 2
        assert all("Authorization" not in one.headers for one in store.asked)
        assert any("Authorization" in one.headers for one in server.asked)
    assert seen[0].verdict is Verdict.FAILED  # its bytes are not those of the digest


MANIFEST = {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"digest": DIGEST, "size": 7},
    "layers": [{"digest": DIGEST.replace("1", "2"), "size": 7}],
}


def test_a_redirect_without_encryption_is_not_followed(ask: Ask) -> None:
    def script(_: Asked) -> Reply:
        return told(302, {}, Location="http://store.test/blob?signature=marker-1")

    with scripted(script) as server, pytest.raises(AccessDeniedError) as refusal:
        ask(server.host).find(f"{server.host}/{APP}", "v1")
    assert "without encryption" in str(refusal.value)
    assert "marker" not in str(refusal.value)


def test_a_netrc_of_the_worker_is_not_read(home: Path, ask: Ask) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login stranger password marker-of-netrc\n")
    with scripted(lambda _: told(404, {})) as server:
        with pytest.raises(Exception, match="no such"):
            ask(server.host, None).images(f"{server.host}/{APP}")
        assert all("Authorization" not in one.headers for one in server.asked)


@pytest.mark.parametrize(
    "variable", ["HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"]
)
def test_what_the_usual_tools_left_is_found(
    guarded: tuple[Served, str],
    ask: Ask,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    served, digest = guarded
    content = {"auths": {f"https://{served.host}/v2/": {"auth": basic()}}}
    folders = {"HOME": home / ".docker", "DOCKER_CONFIG": home / "own"}
    file = logged_in(folders.get(variable, home / "run/containers"), content)
    if variable == "XDG_RUNTIME_DIR":
        file = file.rename(file.with_name("auth.json"))
    places = {
        "HOME": home,
        "DOCKER_CONFIG": file.parent,
        "XDG_RUNTIME_DIR": home / "run",
        "REGISTRY_AUTH_FILE": file,
    }
    monkeypatch.setenv(variable, str(places[variable]))
    assert ask(served.host, None).find(f"{served.host}/{APP}", "v1").digest == digest


def test_the_nearest_path_of_podmans_file_wins(home: Path) -> None:
    content = {
        "auths": {
            "quay.test": {"auth": basic("all", "1")},
            "quay.test/shop": {"auth": basic("shop", "2")},
            "quay.test/shop/other": {"auth": basic("other", "3")},
        }
    }
    logged_in(home / ".docker", content)
    found = [from_docker(place_of(f"quay.test/{path}")) for path in ("shop/app", "x/y")]
    assert found == [Credentials("shop", "2"), Credentials("all", "1")]
    assert from_docker(place_of("other.test/app")) is None


@pytest.mark.parametrize("name", ["nginx", "docker.io/nginx", "index.docker.io/library/nginx"])
def test_a_bare_name_is_one_of_dockers(home: Path, name: str) -> None:
    logged_in(
        home / ".docker", {"auths": {"https://index.docker.io/v1/": {"auth": basic("hub", "1")}}}
    )
    place = place_of(name)
    assert str(place) == "docker.io/library/nginx"
    assert place.address == "https://registry-1.docker.io"
    assert from_docker(place) == Credentials("hub", "1")


def test_hosts_of_this_machine_alone_are_reached_without_encryption() -> None:
    addresses = {
        name: place_of(f"{name}/app").address
        for name in ("127.0.0.1:5000", "localhost:5000", "localhost", "[::1]:5000", "10.0.0.1:5000")
    }
    assert [address.partition(":")[0] for address in addresses.values()] == [*["http"] * 4, "https"]
    assert place_of("localhost.evil.test/app").address.startswith("https")
    assert place_of("127.0.0.1.evil.test/app").address.startswith("https")


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_a_helper_program_is_asked_by_its_input(
    home: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    program = home / "docker-credential-tests"
    program.write_text(
        '#!/bin/sh\n[ "$*" = get ] || exit 1\nread host\n[ "$host" = quay.test ] || exit 1\n'
        'echo \'{"Username": "helped", "Secret": "marker-of-the-helper"}\'\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(home), prepend=":")
    helper = "tests" if key == "credsStore" else {"quay.test": "tests"}
    logged_in(home / ".docker", {key: helper, "auths": {"quay.test": {}}})
    found = from_docker(place_of("quay.test/shop/app"))
    assert found == Credentials("helped", "marker-of-the-helper")
    assert from_docker(place_of("other.test/shop/app")) is None
    assert "marker" not in repr(found)


def test_a_helper_that_is_not_installed_is_named(home: Path) -> None:
    logged_in(home / ".docker", {"credHelpers": {"quay.test": "not-there"}})
    with pytest.raises(ConfigurationRefusedError, match="docker-credential-not-there"):
        from_docker(place_of("quay.test/app"))


@pytest.mark.parametrize(
    "written",
    ["no json marker", "[]", '{"auths": {"quay.test": {"auth": "marker-that-is-no-base64!"}}}'],
)
def test_a_broken_file_is_named_and_not_repeated(home: Path, written: str) -> None:
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text(written)
    with pytest.raises(ConfigurationRefusedError, match=r"config\.json") as refusal:
        from_docker(place_of("quay.test/app"))
    assert "marker" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_challenges_are_read_in_every_form_that_registries_write() -> None:
    both = 'Basic realm="a", Bearer realm="https://t/",service="s",scope="repository:a:pull,push"'
    found = challenge_in(both)
    assert found is not None
    assert (found.scheme, found.realm, found.scope) == (
        "bearer",
        "https://t/",
        "repository:a:pull,push",
    )
    assert challenge_in("BASIC realm=x") == challenge_in('basic  realm="x"')
    assert challenge_in("Negotiate") is None
    assert challenge_in("") is None
