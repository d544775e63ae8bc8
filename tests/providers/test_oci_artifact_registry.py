"""What Google Artifact Registry tells beyond the distribution API."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import google.auth
import pytest

from domain.checks import Verdict
from domain.entries import RegistryEntry
from domain.errors import (
    CatalogError,
)
from providers.oci import artifact_registry
from providers.oci.cleanup import Version, judge_cleanup
from providers.oci.provider import registry
from tests.providers.oci_ground import (
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

NOW = datetime.now(UTC)
DIGEST = f"sha256:{'1' * 64}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let calls go out at once, and find no credentials of whoever runs the tests."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    for module in ("client", "rest"):
        monkeypatch.setattr(f"providers.oci.{module}._CALLS_PER_SECOND", 1000.0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)


class GooglesLogin:
    """The application default credentials."""

    token, valid = "marker-of-google", True

    def refresh(self, _: object) -> None:
        """Stay as they are."""


@pytest.fixture
def google_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the worker an identity at Google."""
    monkeypatch.setattr(google.auth, "default", lambda **_: (GooglesLogin(), "shop"))


PATH = "shop-project/images/shop/app"


class Google(OneImage):
    """An Artifact Registry with its API at the same address."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}

    def script(self, asked: Asked) -> Reply:
        parent = "/v1/projects/shop-project/locations/europe/repositories/images"
        if not asked.path.startswith("/v1/"):
            return self.answer(asked)
        if asked.headers.get("Authorization") != "Bearer marker-of-google":
            return told(401, {"error": {"status": "UNAUTHENTICATED", "message": "no"}})
        if asked.path == parent:
            return told(200, self.settings)
        assert asked.path == f"{parent}/dockerImages"
        host = "europe-docker.pkg.dev"
        other = {"uri": f"{host}/shop-project/images/other@{DIGEST}"}
        own = {
            "uri": f"{host}/{PATH}@{self.digest}",
            "tags": self.tags,
            "uploadTime": "2026-03-01T09:30:00.5Z",
            "imageSizeBytes": "77",
        }
        if asked.query.get("pageToken"):
            return told(200, {"dockerImages": [own]})
        return told(200, {"dockerImages": [other], "nextPageToken": "2"})


@pytest.fixture
def google_server(
    google_login: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Scripted, Google]]:
    """Return an Artifact Registry."""
    del google_login
    estate = Google()
    with scripted(estate.script) as server:
        monkeypatch.setenv(artifact_registry.ENDPOINT, f"http://{server.host}/")
        yield server, estate


def test_artifact_registry_tells_push_times_of_the_image_alone(
    google_server: tuple[Scripted, Google],
) -> None:
    server, estate = google_server
    (only,) = opened(server, artifact_registry.ArtifactRegistry("europe"), PATH).images(5)
    assert only.digest == estate.digest
    assert only.pushed_at == datetime(2026, 3, 1, 9, 30, 0, 500000, tzinfo=UTC)


def test_a_cleanup_policy_that_will_delete_the_image_leaves_it_unproven(
    google_server: tuple[Scripted, Google],
) -> None:
    server, estate = google_server
    old = {"action": "DELETE", "condition": {"tagState": "ANY", "olderThan": "86400s"}}
    estate.settings = {"cleanupPolicies": {"old": old}}
    images = opened(server, artifact_registry.ArtifactRegistry("europe"), PATH)
    kept = last(images.examine(estate.digest))
    assert (kept.verdict, "the policy old deletes it" in kept.observed) == (Verdict.UNPROVEN, True)
    estate.settings["cleanupPolicyDryRun"] = True
    assert last(images.examine(estate.digest)).verdict is Verdict.PASSED


def test_a_registry_that_is_none_of_googles_is_a_mistake_in_the_catalog(tmp_path: Path) -> None:
    images = registry({"quay.test": RegistryEntry(kind="artifact-registry")}, tmp_path, Passwords())
    with pytest.raises(CatalogError, match="no host of Artifact Registry"):
        images.images("quay.test/shop/app")
    found = artifact_registry.knowledge("europe-west1-docker.pkg.dev", lambda: None)
    assert isinstance(found, artifact_registry.ArtifactRegistry)


VERSIONS = [
    Version(f"sha256:{number}", (f"v{number}",) if number else (), NOW - timedelta(days=number))
    for number in range(4)
]
OLD = {"action": "DELETE", "condition": {"olderThan": "172800s"}}


@pytest.mark.parametrize(
    ("digest", "policies", "verdict", "says"),
    [
        ("3", {}, "passed", "no cleanup policy"),
        ("3", {"old": OLD}, "unproven", "the policy old deletes it now"),
        ("1", {"old": OLD}, "unproven", "the policy old deletes it at"),
        (
            "3",
            {"old": OLD, "tags": {"action": "KEEP", "condition": {"tagPrefixes": ["v3", "w"]}}},
            "passed",
            "the policy tags keeps it",
        ),
        (
            "1",
            {"old": OLD, "few": {"action": "KEEP", "mostRecentVersions": {"keepCount": 2}}},
            "passed",
            "the policy few keeps it",
        ),
        (
            "2",
            {"old": OLD, "few": {"action": "KEEP", "mostRecentVersions": {"keepCount": 2}}},
            "unproven",
            "the policy old deletes it",
        ),
        (
            "3",
            {
                "bare": {
                    "action": "DELETE",
                    "condition": {"tagState": "UNTAGGED", "packageNamePrefixes": ["app"]},
                }
            },
            "passed",
            "selects it",
        ),
        (
            "0",
            {"bare": {"action": "DELETE", "condition": {"tagState": "UNTAGGED"}}},
            "unproven",
            "now",
        ),
        (
            "3",
            {"old": OLD, "new": {"action": "KEEP", "condition": {"newerThan": "3600s"}}},
            "unproven",
            "old deletes",
        ),
        (
            "3",
            {"one": {"action": "DELETE", "condition": {"versionNamePrefixes": ["sha256:9"]}}},
            "passed",
            "selects it",
        ),
    ],
)
def test_cleanup_policies_are_read_as_google_documents_them(
    digest: str, policies: Mapping[str, object], verdict: str, says: str
) -> None:
    (seen,) = judge_cleanup({"cleanupPolicies": policies}, "app", VERSIONS, f"sha256:{digest}")
    assert (seen.verdict.value, says in seen.observed) == (verdict, True), seen.observed
