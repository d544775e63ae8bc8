"""What a configuration's folder holds at a commit, and what is looked at before it comes back."""

import os
from pathlib import Path

import pytest

from domain.checks import Verdict
from domain.errors import (
    ResourceMissingError,
    UnsupportedResourceError,
)
from tests.providers.git_ground import (
    Told,
    findings_of,
    make_history,
    point_of,
)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return make_history(tmp_path)


def test_the_files_of_the_folder_are_given_in_order_with_links_followed(told: Told) -> None:
    ground, _ = told
    (ground.ada.folder / "deploy" / "sub").mkdir()
    (ground.ada.folder / "deploy" / "sub" / "link").symlink_to("../app.yaml")
    commit = ground.ada.commit({"deploy/sub/b.bin": b"\0\xff"}, "More")

    files = ground.provider().files(ground.configuration(), commit)

    assert [(file.path, file.content) for file in files] == [
        ("app.yaml", b"replicas: 0\n"),
        ("new.yaml", b"a: 1\n"),
        ("sub/b.bin", b"\0\xff"),
        ("sub/link", b"replicas: 0\n"),
    ]


@pytest.mark.parametrize("leads", ["../../README", "/etc/passwd", "none", "sub", "link"])
def test_a_link_out_of_the_folder_is_refused_by_name(told: Told, leads: str) -> None:
    ground, _ = told
    (ground.ada.folder / "deploy" / "link").symlink_to(leads)
    commit = ground.ada.commit({"deploy/sub/x": "1\n"}, "Link")
    ground.ada.commit({"deploy/app.yaml": "b: 1\n"}, "Go on")

    with pytest.raises(UnsupportedResourceError, match="link is a link"):
        ground.provider().files(ground.configuration(), commit)
    verdict, said = findings_of(ground, point_of(ground, commit))["files"]
    assert verdict is Verdict.FAILED
    assert "link is a link" in said


def test_a_submodule_is_refused_by_name(told: Told) -> None:
    ground, made = told
    ground.ada.run("update-index", "--add", "--cacheinfo", f"160000,{made[0]},deploy/vendored")
    commit = ground.ada.record("Vendor it")
    ground.ada.run("rm", "-q", "--cached", "deploy/vendored")
    ground.ada.record("Do not")

    with pytest.raises(UnsupportedResourceError, match="vendored is a submodule"):
        ground.provider().files(ground.configuration(), commit)
    assert findings_of(ground, point_of(ground, commit))["files"][0] is Verdict.FAILED


def test_a_file_kept_in_lfs_is_refused_by_name(told: Told) -> None:
    ground, _ = told
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    commit = ground.ada.commit({"deploy/big.bin": pointer}, "Keep it elsewhere")

    with pytest.raises(UnsupportedResourceError, match=r"big\.bin is kept in Git LFS"):
        ground.provider().files(ground.configuration(), commit)


def test_a_commit_that_is_unknown_is_told(told: Told) -> None:
    ground, _ = told

    with pytest.raises(ResourceMissingError):
        ground.provider().files(ground.configuration(), "1" * 40)


def test_everything_that_a_restore_needs_is_looked_at(told: Told) -> None:
    ground, made = told

    found = findings_of(ground, point_of(ground, made[0]))

    assert {name: verdict for name, (verdict, _) in found.items()} == {
        "branch": Verdict.PASSED,
        "right to push": Verdict.PASSED,
        "signing key": Verdict.NOT_APPLICABLE,
        "files": Verdict.PASSED,
    }
    assert ground.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_a_branch_that_moved_since_is_found(told: Told) -> None:
    ground, made = told
    point = point_of(ground, made[0])
    ground.ada.commit({"README": "3\n"}, "Go on")

    verdict, said = findings_of(ground, point)["branch"]

    assert verdict is Verdict.FAILED
    assert "Go on" in said


def test_a_repository_that_may_only_be_read_is_found(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground, made = told
    point = point_of(ground, made[0])
    monkeypatch.setattr(os, "access", lambda *_: False)

    verdict, said = findings_of(ground, point)["right to push"]

    assert verdict is Verdict.FAILED
    assert "not writable" in said
