"""What Amazon ECR tells beyond the distribution API."""

import json
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions as sdk
from moto.ecr.models import ecr_backends
from moto.server import ThreadedMotoServer

from domain.checks import Verdict
from domain.entries import RegistryEntry
from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    CredentialsRefusedError,
    ImageMissingError,
    ProviderUnavailableError,
    RecoveryError,
    ThrottledError,
    UnknownProviderError,
)
from domain.platforms import ImageRegistry
from providers.oci import ecr
from providers.oci.lifecycle import Held, judge_lifecycle
from providers.oci.provider import registry
from tests.providers.oci_ground import (
    Passwords,
    Served,
    guarded_server,
    last,
    push,
    push_index,
)

ACCOUNT, REGION = "123456789012", "eu-west-3"
_LOGIN = "AWS:$2b$04$refloatrefloatrefloatuLkcg9V7zl50LTvt0CL7ES7aFPzh.kJG"
TYPE = "application/vnd.oci.image.manifest.v1+json"
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let calls go out at once, and find no credentials of whoever runs the tests."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    for module in ("client", "ecr"):
        monkeypatch.setattr(f"providers.oci.{module}._CALLS_PER_SECOND", 1000.0)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_CONFIG", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """Return the address of a simulated AWS."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a registry that wants the token which the simulated ECR gives."""
    with guarded_server(tmp_path_factory.mktemp("ecr"), _LOGIN) as running:
        yield running


class Ecr:
    """One repository that ECR tells of, and the registry that keeps it."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.path = f"shop/app-{secrets.token_hex(4)}"
        self.host, self.auth = served.host, ("AWS", f"{ACCOUNT}-auth-token")
        self.place = f"{served.host}/{self.path}"
        self.sdk = boto3.client("ecr", region_name=REGION)
        self.sdk.create_repository(repositoryName=self.path)
        self.images: ImageRegistry = registry(
            {served.host: RegistryEntry(kind="ecr")}, folder, Passwords()
        )

    def push(self, tag: str, content: bytes, days: int = 0) -> str:
        """Push an image some days ago."""
        digest = push(self.host, self.path, tag, [content], auth=self.auth)
        self.tell(digest, tag, days)
        return digest

    def tell(self, digest: str, tag: str, days: int = 0) -> Any:
        """Let ECR list an image, and return its record."""
        named = {"imageTag": tag} if tag else {}
        self.sdk.put_image(
            repositoryName=self.path,
            imageManifest=json.dumps({"mediaType": TYPE, "digest": digest}),
            imageDigest=digest,
            **named,
        )
        found = self.record(digest)
        found.image_pushed_at = int((NOW - timedelta(days=days)).timestamp())
        return found

    def record(self, digest: str) -> Any:
        """Return what the simulator keeps of an image."""
        kept = ecr_backends[ACCOUNT][REGION].repositories[self.path]
        return next(one for one in kept.images if one.image_digest == digest)

    def rules(self, *rules: Mapping[str, object]) -> None:
        """Give the repository a lifecycle policy."""
        text = json.dumps({"rules": list(rules)})
        self.sdk.put_lifecycle_policy(repositoryName=self.path, lifecyclePolicyText=text)


@pytest.fixture
def repository(
    aws: str, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ecr]:
    """Return an empty repository of the simulated ECR."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "marker-of-the-secret-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    made = Ecr(served, tmp_path)
    yield made
    made.sdk.delete_repository(repositoryName=made.path, force=True)


def rule(priority: int, count: int, **selection: object) -> dict[str, object]:
    unit = {} if selection.get("countType") == "imageCountMoreThan" else {"countUnit": "days"}
    return {
        "rulePriority": priority,
        "selection": {"countNumber": count, **unit, **selection},
        "action": {"type": "expire"},
    }


def test_ecr_gives_the_token_to_pull_with_and_tells_when_images_were_pushed(
    repository: Ecr,
) -> None:
    young, old = repository.push("v2", b"2", days=1), repository.push("v1", b"1", days=9)
    found = repository.images.images(repository.place)
    assert [one.digest for one in found] == [young, old]
    assert found[1].pushed_at is not None
    assert abs(found[1].pushed_at - (NOW - timedelta(days=9))) < timedelta(seconds=2)
    assert repository.images.find(repository.place, old[7:21]).tags == ("v1",)


def test_the_untagged_children_of_an_index_are_no_images_of_their_own(repository: Ecr) -> None:
    inner = push(repository.host, repository.path, "", [b"1"], auth=repository.auth)
    index = push_index(
        repository.host, repository.path, "v1", {"linux/amd64": inner}, auth=repository.auth
    )
    repository.tell(inner, "")
    repository.tell(index, "v1")
    assert [one.digest for one in repository.images.images(repository.place)] == [index]


def test_a_repository_without_a_policy_keeps_its_images(repository: Ecr) -> None:
    digest = repository.push("v1", b"1")
    seen = repository.images.examine(repository.place, digest)
    assert [one.verdict for one in seen] == [Verdict.PASSED] * 4
    assert last(seen).observed == "the repository has no lifecycle policy"


def test_a_lifecycle_rule_that_will_delete_the_image_leaves_it_unproven(repository: Ecr) -> None:
    digest = repository.push("v1", b"1", days=9)
    repository.rules(
        rule(1, 30, tagStatus="tagged", tagPrefixList=["v"], countType="sinceImagePushed")
    )
    kept = last(repository.images.examine(repository.place, digest))
    assert kept.verdict is Verdict.UNPROVEN
    assert "rule 1 deletes it at" in kept.observed
    assert "lower priority" in kept.advice


def test_an_archived_image_fails_with_the_call_that_restores_it(repository: Ecr) -> None:
    digest = repository.push("v1", b"1")
    repository.record(digest).image_status = "ARCHIVED"
    seen = repository.images.examine(repository.place, digest)
    (storage,) = [one for one in seen if one.name == "the image's storage class"]
    assert storage.verdict is Verdict.FAILED
    assert "update-image-storage-class" in storage.advice
    assert repository.images.images(repository.place) == []


def test_in_ecr_a_tag_protects(repository: Ecr) -> None:
    digest = repository.push("v1", b"1")
    assert "refloat-kept-" in repository.images.protect(repository.place, digest)


def test_who_may_not_read_the_policy_is_told_so_and_the_parts_are_still_proven(
    repository: Ecr, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = repository.push("v1", b"1")

    def denied(*_: object) -> Any:
        raise AccessDeniedError("lacks ecr:GetLifecyclePolicy")

    monkeypatch.setattr(ecr.Ecr, "_lifecycle", denied)
    seen = repository.images.examine(repository.place, digest)
    assert [one.verdict for one in seen] == [Verdict.PASSED, Verdict.PASSED, Verdict.UNPROVEN]
    assert "GetLifecyclePolicy" in last(seen).observed


def test_who_may_only_pull_lists_by_tags(repository: Ecr, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = repository.push("v1", b"1")

    def denied(*_: object) -> Any:
        raise AccessDeniedError("lacks ecr:DescribeImages")

    monkeypatch.setattr(ecr.Ecr, "_details", denied)
    (only,) = repository.images.images(repository.place)
    assert (only.digest, only.pushed_at) == (digest, None)


def test_a_repository_that_ecr_does_not_know_is_said_so(repository: Ecr) -> None:
    with pytest.raises(ImageMissingError, match="no such repository in this account"):
        repository.images.images(f"{repository.host}/not/there")


def test_the_host_of_ecr_tells_account_and_region() -> None:
    for host in (
        "210987654321.dkr.ecr.eu-central-1.amazonaws.com",
        "210987654321.dkr.ecr-fips.eu-central-1.amazonaws.com",
        "210987654321.dkr-ecr.eu-central-1.on.aws",
    ):
        found = ecr.knowledge(host, lambda: None)
        assert isinstance(found, ecr.Ecr)
        assert (found._registry, found._region) == ({"registryId": "210987654321"}, "eu-central-1")


ECR_ERRORS: list[tuple[Exception, type[RecoveryError]]] = [
    *(
        (sdk.ClientError({"Error": {"Code": code, "Message": "marker-1"}}, "DescribeImages"), kind)
        for code, kind in {
            "ThrottlingException": ThrottledError,
            "RepositoryNotFoundException": ImageMissingError,
            "AccessDeniedException": AccessDeniedError,
            "ExpiredTokenException": CredentialsRefusedError,
            "UnrecognizedClientException": CredentialsRefusedError,
            "InvalidParameterException": ConfigurationRefusedError,
            "ServerException": ProviderUnavailableError,
            "NeverHeardOf": UnknownProviderError,
        }.items()
    ),
    (sdk.NoCredentialsError(), CredentialsRefusedError),
    (sdk.NoRegionError(), ConfigurationRefusedError),
    (sdk.EndpointConnectionError(endpoint_url="https://x?marker-1"), ProviderUnavailableError),
    (sdk.ReadTimeoutError(endpoint_url="https://x"), ProviderUnavailableError),
]


@pytest.mark.parametrize(("raised", "becomes"), ECR_ERRORS)
def test_ecrs_errors_become_the_domains(raised: Exception, becomes: type[RecoveryError]) -> None:
    with pytest.raises(becomes) as seen, ecr.ecr_errors("ask"):
        raise raised
    assert "marker" not in str(seen.value)
    if becomes is AccessDeniedError:
        assert "ecr:DescribeImages" in str(seen.value)


HELD = [
    Held(f"sha256:{number}", (f"v{number}", "old") if number > 2 else (f"v{number}",), moment)
    for number, moment in enumerate(NOW - timedelta(days=days) for days in range(6))
]
UNTAGGED = Held("sha256:u", (), NOW - timedelta(days=3))


@pytest.mark.parametrize(
    ("digest", "rules", "verdict", "says"),
    [
        (
            "5",
            [rule(1, 3, tagStatus="any", countType="imageCountMoreThan")],
            "unproven",
            "number 7",
        ),
        ("1", [rule(1, 3, tagStatus="any", countType="imageCountMoreThan")], "passed", "number 2"),
        ("u", [rule(1, 2, tagStatus="untagged", countType="sinceImagePushed")], "unproven", "now"),
        (
            "1",
            [rule(1, 2, tagStatus="untagged", countType="sinceImagePushed")],
            "passed",
            "no rule",
        ),
        (
            "1",
            [rule(1, 2, tagStatus="tagged", tagPatternList=["*1"], countType="sinceImagePushed")],
            "unproven",
            "rule 1 deletes it at",
        ),
        (
            "1",
            [
                rule(
                    1,
                    2,
                    tagStatus="tagged",
                    tagPrefixList=["v", "old"],
                    countType="sinceImagePulled",
                )
            ],
            "passed",
            "no rule",
        ),
        (
            "5",
            [
                rule(9, 1, tagStatus="any", countType="imageCountMoreThan"),
                rule(
                    1, 99, tagStatus="tagged", tagPrefixList=["old"], countType="imageCountMoreThan"
                ),
            ],
            "passed",
            "rule 1 keeps",
        ),
        (
            "4",
            [
                {
                    "rulePriority": 3,
                    "selection": {
                        "tagStatus": "any",
                        "countType": "sinceImagePulled",
                        "countNumber": 90,
                    },
                    "action": {"type": "transition", "targetStorageClass": "archive"},
                }
            ],
            "unproven",
            "rule 3 archives it at",
        ),
    ],
)
def test_lifecycle_rules_are_read_as_ecr_documents_them(
    digest: str, rules: list[Mapping[str, object]], verdict: str, says: str
) -> None:
    seen = judge_lifecycle(json.dumps({"rules": rules}), [*HELD, UNTAGGED], f"sha256:{digest}")
    assert (seen.verdict.value, says in seen.observed) == (verdict, True), seen.observed


def test_a_policy_that_cannot_be_read_selects_nothing() -> None:
    assert judge_lifecycle("no json", HELD, "sha256:1").verdict is Verdict.PASSED
