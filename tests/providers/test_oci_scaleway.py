"""What Scaleway's registry tells beyond the distribution API."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.checks import Verdict
from domain.entries import RegistryEntry
from domain.rollback import Image
from providers.oci import scaleway
from providers.oci.provider import registry
from tests.providers.oci_ground import (
    PASSWORD,
    Asked,
    OneImage,
    Passwords,
    Reply,
    Scripted,
    last,
    opened,
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
    for name in ("DOCKER_CONFIG", "SCW_SECRET_KEY", "SCW_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


class Scaleways(OneImage):
    """A registry of Scaleway with its API at the same address."""

    def script(self, asked: Asked) -> Reply:
        base = "/registry/v1/regions/nl-ams"
        if not asked.path.startswith("/registry/"):
            return self.answer(asked)
        if asked.headers.get("X-Auth-Token") != PASSWORD:
            return told(403, {"type": "permissions_denied", "message": "no"})
        tag = {"digest": self.digest, "updated_at": "2026-03-01T09:30:00.5Z"}
        spaces = [{"id": "n0", "name": "shopping"}, {"id": "n1", "name": "shop"}]
        answers: dict[str, dict[str, object]] = {
            f"{base}/namespaces": {"namespaces": spaces},
            f"{base}/images": {
                "images": [{"id": "i1", "name": "app"}, {"id": "i2", "name": "app2"}]
            },
            f"{base}/images/i1/tags": {"tags": [{**tag, "name": name} for name in self.tags]},
        }
        return told(200, answers[asked.path])


@pytest.fixture
def scaleways(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Scripted, Scaleways]]:
    """Return a registry of Scaleway."""
    estate = Scaleways()
    with scripted(estate.script) as server:
        monkeypatch.setenv("SCW_API_URL", f"http://{server.host}")
        monkeypatch.setenv("SCW_DEFAULT_REGION", "nl-ams")
        yield server, estate


def of_scaleway(server: Scripted, folder: Path, password: str = PASSWORD) -> list[Image]:
    entry = RegistryEntry(kind="scaleway", user="nologin", password="env:KEY")
    images = registry({server.host: entry}, folder, Passwords(password))
    return list(images.images(f"{server.host}/shop/app"))


def test_scaleway_tells_push_times_by_the_key_that_is_the_password(
    scaleways: tuple[Scripted, Scaleways], tmp_path: Path
) -> None:
    server, estate = scaleways
    estate.tags = ["v1", "live"]
    (only,) = of_scaleway(server, tmp_path)
    assert (only.digest, only.tags) == (estate.digest, ("live", "v1"))
    assert only.pushed_at == datetime(2026, 3, 1, 9, 30, 0, 500000, tzinfo=UTC)


def test_who_may_not_ask_scaleways_api_lists_by_tags(
    scaleways: tuple[Scripted, Scaleways], tmp_path: Path
) -> None:
    (only,) = of_scaleway(scaleways[0], tmp_path, "another")
    assert (only.tags, only.pushed_at) == (("v1",), None)


def test_scaleway_keeps_what_has_a_tag_and_hides_the_rest(
    scaleways: tuple[Scripted, Scaleways], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, estate = scaleways
    monkeypatch.setenv("SCW_SECRET_KEY", PASSWORD)
    images = opened(server, scaleway.knowledge(server.host, lambda: None), "shop/app")
    assert last(images.examine(estate.digest)).verdict is Verdict.PASSED
    estate.tags = []
    assert last(images.examine(estate.digest)).verdict is Verdict.UNPROVEN
    found = scaleway.knowledge("rg.fr-par.scw.cloud", lambda: None)
    assert isinstance(found, scaleway.Scaleway)
    assert found._region == "fr-par"
