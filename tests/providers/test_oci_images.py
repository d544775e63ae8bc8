"""A real registry is listed, searched and examined, and its images are kept."""

import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.checks import Finding, Verdict
from domain.errors import CatalogError, ImageMissingError
from domain.platforms import ImageRegistry
from domain.rollback import BUILD_LABEL, COMMIT_LABEL, SCHEMA_LABEL
from providers.oci.provider import registry
from providers.secrets.references import Secrets
from tests.providers.oci_ground import (
    Served,
    delete,
    digest_of,
    push,
    push_index,
    put_manifest,
    registry_server,
)

COMMIT, OTHER = "3f9a1c" + "e" * 34, "b07d55" + "a" * 34


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a registry that every test uses below a path of its own."""
    with registry_server(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def path() -> str:
    """Return a repository's path that no other test uses."""
    return f"shop/app-{secrets.token_hex(4)}"


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageRegistry:
    """Return the registries of an empty catalog, on a machine where nobody logged in."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("providers.oci.client._CALLS_PER_SECOND", 1000.0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    return registry({}, tmp_path, Secrets(tmp_path))


def verdicts(findings: Sequence[Finding]) -> dict[str, str]:
    return {one.name: one.verdict.value for one in findings}


def test_images_are_listed_newest_first_with_what_their_labels_tell(
    served: Served, images: ImageRegistry, path: str
) -> None:
    labels = {COMMIT_LABEL: COMMIT, BUILD_LABEL: "77", SCHEMA_LABEL: "3..5"}
    old = push(served.host, path, "v1", [b"one", b"two"], labels)
    new = push(served.host, path, "v2", commit=OTHER, created="2026-03-02T09:30:00Z")
    found = images.images(f"{served.host}/{path}")
    assert [one.digest for one in found] == [new, old]
    assert found[1].commit == COMMIT
    assert (found[1].build, found[1].schema_version, found[1].tags) == ("77", "3..5", ("v1",))
    assert found[1].created_at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert found[1].size_bytes > 6
    assert found[1].reference == f"{served.host}/{path}@{old}"


def test_two_tags_of_one_digest_are_one_image(
    served: Served, images: ImageRegistry, path: str
) -> None:
    digest = push(served.host, path, "v1")
    assert push(served.host, path, "latest") == digest
    (only,) = images.images(f"{served.host}/{path}")
    assert only.tags == ("latest", "v1")


def test_no_more_images_come_than_asked_for(
    served: Served, images: ImageRegistry, path: str
) -> None:
    for number in range(4):
        push(served.host, path, f"v{number}", [f"{number}".encode()])
    assert len(images.images(f"{served.host}/{path}", limit=3)) == 3


def test_annotations_tell_what_labels_do_not(
    served: Served, images: ImageRegistry, path: str
) -> None:
    push(served.host, path, "v1", annotations={COMMIT_LABEL: COMMIT, SCHEMA_LABEL: "4"})
    (only,) = images.images(f"{served.host}/{path}")
    assert (only.commit, only.schema_version) == (COMMIT, "4")


@pytest.mark.parametrize(
    ("tag", "commit", "build"),
    [
        ("3f9a1ce", "3f9a1ce", ""),
        ("sha-3f9a1ce", "3f9a1ce", ""),
        (COMMIT, COMMIT, ""),
        ("20260301", "", "20260301"),
        ("build-412", "", "build-412"),
        ("v1.2.3", "", ""),
        ("deadbeefs", "", ""),
    ],
)
def test_a_tag_may_name_the_commit_or_the_build(
    served: Served, images: ImageRegistry, path: str, tag: str, commit: str, build: str
) -> None:
    push(served.host, path, tag)
    (only,) = images.images(f"{served.host}/{path}")
    assert (only.commit, only.build) == (commit, build)


def test_a_label_wins_over_a_tag_that_looks_like_a_commit(
    served: Served, images: ImageRegistry, path: str
) -> None:
    push(served.host, path, "0123abc", commit=COMMIT)
    assert images.images(f"{served.host}/{path}")[0].commit == COMMIT


def test_an_image_is_found_by_tag_digest_beginning_and_commit(
    served: Served, images: ImageRegistry, path: str
) -> None:
    place = f"{served.host}/{path}"
    wanted = push(served.host, path, "v1", [b"one"], commit=COMMIT)
    push(served.host, path, "v2", [b"two"], commit=OTHER)
    for reference in ("v1", wanted, wanted[:19], wanted[7:19], COMMIT, COMMIT[:7], COMMIT[:12]):
        assert images.find(place, reference).digest == wanted, reference
    assert images.find(place, wanted).tags == ("v1",)


def test_a_commit_is_found_by_the_tag_that_begins_it(
    served: Served, images: ImageRegistry, path: str
) -> None:
    wanted = push(served.host, path, COMMIT[:8])
    assert images.find(f"{served.host}/{path}", COMMIT).digest == wanted


def test_what_is_not_there_is_refused_with_the_nearest_tags(
    served: Served, images: ImageRegistry, path: str
) -> None:
    push(served.host, path, "v1.4.1", [b"1"])
    push(served.host, path, "v1.4.2", [b"2"])
    push(served.host, path, "nightly", [b"3"])
    with pytest.raises(
        ImageMissingError, match=r"commit v1\.4\.3.* Instead: v1\.4\.[12]; v1"
    ) as told:
        images.find(f"{served.host}/{path}", "v1.4.3")
    assert "nightly" not in str(told.value)
    with pytest.raises(ImageMissingError, match=r"Instead: sha256:.*nightly"):
        images.find(f"{served.host}/{path}", f"sha256:{'0' * 64}")


def test_a_commit_that_two_images_were_built_from_is_refused_with_both(
    served: Served, images: ImageRegistry, path: str
) -> None:
    one = push(served.host, path, "a", [b"1"], commit=COMMIT)
    two = push(served.host, path, "b", [b"2"], commit=COMMIT)
    with pytest.raises(ImageMissingError, match="means 2 images; name the digest") as told:
        images.find(f"{served.host}/{path}", COMMIT[:10])
    assert one[:19] in str(told.value)
    assert two[:19] in str(told.value)


def test_a_repository_that_is_not_there_is_said_so(
    served: Served, images: ImageRegistry, path: str
) -> None:
    for ask in (images.images, lambda place: images.find(place, "v1")):
        with pytest.raises(ImageMissingError, match=path):
            ask(f"{served.host}/{path}")


def test_a_moved_tag_means_the_new_image_and_the_old_one_is_found_by_digest(
    served: Served, images: ImageRegistry, path: str
) -> None:
    place = f"{served.host}/{path}"
    old = push(served.host, path, "live", [b"1"])
    assert images.find(place, "live").digest == old
    new = push(served.host, path, "live", [b"2"])
    assert images.find(place, "live").digest == new
    assert images.find(place, old).tags == ()
    kept = list(images.examine(place, old))[-1]
    assert kept.verdict is Verdict.UNPROVEN
    assert "no tag names it" in kept.observed


def test_charts_and_signatures_are_no_images(
    served: Served, images: ImageRegistry, path: str
) -> None:
    digest = push(served.host, path, "v1")
    config = {
        "mediaType": "application/vnd.cncf.helm.config.v1+json",
        "digest": digest_of(b"a layer"),
        "size": 7,
    }
    chart = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [],
    }
    for tag in ("chart-1", f"{digest.replace(':', '-')}.sig"):
        put_manifest(served.host, path, tag, chart)
    assert [one.digest for one in images.images(f"{served.host}/{path}")] == [digest]
    with pytest.raises(ImageMissingError, match="no image of a container"):
        images.find(f"{served.host}/{path}", "chart-1")


def test_dockers_formats_are_read_too(served: Served, images: ImageRegistry, path: str) -> None:
    one = push(served.host, path, "one", commit=COMMIT, form="docker")
    both = push_index(served.host, path, "both", {"linux/amd64": one}, form="docker")
    found = {image.digest: image.commit for image in images.images(f"{served.host}/{path}")}
    assert found == {one: COMMIT, both: COMMIT}
    seen = list(images.examine(f"{served.host}/{path}", both))
    assert {finding.verdict for finding in seen} == {Verdict.PASSED}


def test_a_whole_image_passes(served: Served, images: ImageRegistry, path: str) -> None:
    digest = push(served.host, path, "v1", [b"one", b"two"])
    seen = list(images.examine(f"{served.host}/{path}", digest))
    assert verdicts(seen) == {
        "the image's manifest": "passed",
        "the image's parts": "passed",
        "the image is kept": "passed",
    }
    assert "all 3 there" in seen[1].observed
    assert "tagged v1" in seen[2].observed


def test_a_layer_whose_bytes_are_gone_is_named_though_the_registry_remembers_it(
    served: Served, images: ImageRegistry, path: str
) -> None:
    content = secrets.token_bytes(16)
    digest = push(served.host, path, "v1", [b"one", content])
    place = f"{served.host}/{path}"
    assert verdicts(images.examine(place, digest))["the image's parts"] == "passed"
    served.file_of(digest_of(content)).unlink()
    parts = list(images.examine(place, digest))[1]
    assert parts.verdict is Verdict.FAILED
    assert f"layer {digest_of(content)} is missing (16 B)" in parts.observed
    assert "push it again" in parts.advice


def test_a_layer_that_was_deleted_is_named(
    served: Served, images: ImageRegistry, path: str
) -> None:
    digest = push(served.host, path, "v1", [b"one", b"gone"])
    delete(served.host, path, "blobs", digest_of(b"gone"))
    parts = list(images.examine(f"{served.host}/{path}", digest))[1]
    assert (parts.verdict, parts.observed) == (
        Verdict.FAILED,
        f"layer {digest_of(b'gone')} is missing (4 B)",
    )


def test_a_layer_of_another_size_is_named(served: Served, images: ImageRegistry, path: str) -> None:
    content = secrets.token_bytes(16)
    push(served.host, path, "v1", [content])
    part = {"mediaType": "application/octet-stream", "digest": digest_of(content), "size": 99}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": part,
        "layers": [part],
    }
    other = put_manifest(served.host, path, "v2", manifest)
    parts = list(images.examine(f"{served.host}/{path}", other))[1]
    assert (parts.verdict, "has 16 bytes, not 99" in parts.observed) == (Verdict.FAILED, True)


def test_a_deleted_manifest_fails_and_nothing_more_is_asked(
    served: Served, images: ImageRegistry, path: str
) -> None:
    digest = push(served.host, path, "v1")
    delete(served.host, path, "manifests", digest)
    (only,) = images.examine(f"{served.host}/{path}", digest)
    assert only.verdict is Verdict.FAILED
    assert f"has no manifest {digest}" in only.observed


def test_a_manifest_whose_bytes_changed_on_the_disk_fails(
    served: Served, images: ImageRegistry, path: str
) -> None:
    digest = push(served.host, path, "v1", [secrets.token_bytes(8)])
    file = served.file_of(digest)
    file.write_bytes(file.read_bytes().replace(b'"schemaVersion": 2', b'"schemaVersion":  2'))
    first = images.examine(f"{served.host}/{path}", digest)[0]
    assert first.verdict is Verdict.FAILED


def test_a_listed_image_without_its_configuration_is_still_listed(
    served: Served, images: ImageRegistry, path: str
) -> None:
    layers = [secrets.token_bytes(8)]
    digest = push(served.host, path, "v1", layers, commit=COMMIT)
    manifest = served.file_of(digest).read_text()
    config = manifest.partition('"digest": "')[2][:71]
    delete(served.host, path, "blobs", config)
    (only,) = images.images(f"{served.host}/{path}")
    assert (only.digest, only.commit) == (digest, "")
    parts = list(images.examine(f"{served.host}/{path}", digest))[1]
    assert f"configuration {config} is missing" in parts.observed


def test_an_index_is_one_image_told_by_this_machines_platform(
    served: Served, images: ImageRegistry, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = push(served.host, path, "", [b"amd"], commit=COMMIT)
    other = push(served.host, path, "", [b"arm"], commit=OTHER)
    index = push_index(
        served.host, path, "v1", {"linux/arm64": other, "linux/amd64": ours}, attests=ours
    )
    place = f"{served.host}/{path}"
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (only,) = images.images(place)
    assert (only.digest, only.commit) == (index, COMMIT)
    assert verdicts(images.examine(place, index)) == {
        "the image's manifest": "passed",
        "the image's parts for linux/amd64": "passed",
        "the image's parts for linux/arm64": "passed",
        "the image is kept": "passed",
    }


def test_an_index_fails_by_this_machines_platform_and_is_unproven_by_another(
    served: Served, images: ImageRegistry, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = push(served.host, path, "", [b"amd"]), push(served.host, path, "", [b"arm"])
    index = push_index(served.host, path, "v1", {"linux/arm64": theirs, "linux/amd64": ours})
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    delete(served.host, path, "blobs", digest_of(b"arm"))
    seen = verdicts(images.examine(f"{served.host}/{path}", index))
    assert seen["the image's parts for linux/amd64"] == "passed"
    assert seen["the image's parts for linux/arm64"] == "unproven"
    delete(served.host, path, "manifests", ours)
    seen = verdicts(images.examine(f"{served.host}/{path}", index))
    assert seen["the image's parts for linux/amd64"] == "failed"


def test_protecting_twice_leaves_one_more_tag_on_the_same_bytes(
    served: Served, images: ImageRegistry, path: str
) -> None:
    place = f"{served.host}/{path}"
    old = push(served.host, path, "live", [b"1"])
    push(served.host, path, "live", [b"2"])
    done = images.protect(place, old)
    assert f"refloat-kept-{old[7:19]}" in done
    assert images.protect(place, old) == done
    found = {one.digest: one.tags for one in images.images(place)}
    assert found[old] == (f"refloat-kept-{old[7:19]}",)
    assert list(images.examine(place, old))[-1].verdict is Verdict.PASSED


def test_a_keeping_tag_that_somebody_moved_is_put_back(
    served: Served, images: ImageRegistry, path: str
) -> None:
    place = f"{served.host}/{path}"
    kept = push(served.host, path, "v1", [b"1"])
    push(served.host, path, f"refloat-kept-{kept[7:19]}", [b"2"])
    assert images.protect(place, kept)
    assert images.find(place, f"refloat-kept-{kept[7:19]}").digest == kept


def test_an_index_is_protected_as_the_index_that_it_is(
    served: Served, images: ImageRegistry, path: str
) -> None:
    index = push_index(served.host, path, "v1", {"linux/amd64": push(served.host, path, "")})
    assert images.protect(f"{served.host}/{path}", index)
    assert images.find(f"{served.host}/{path}", f"refloat-kept-{index[7:19]}").digest == index


def test_what_is_not_there_cannot_be_protected(
    served: Served, images: ImageRegistry, path: str
) -> None:
    push(served.host, path, "v1")
    with pytest.raises(ImageMissingError):
        images.protect(f"{served.host}/{path}", f"sha256:{'0' * 64}")


@pytest.mark.parametrize(
    "written",
    ["", "http://x/y", "host.test/App", "host.test/a:tag", "host.test/a@sha256:0", "a//b"],
)
def test_what_is_no_name_of_a_repository_is_refused(images: ImageRegistry, written: str) -> None:
    with pytest.raises(CatalogError, match="no name of a repository"):
        images.images(written)
