"""One commit on top of a real branch: what it holds, that it is pushed once, and over nobody's work."""

import shutil
from pathlib import Path

import pytest

from domain.configuration import (
    ConfigurationPoint,
    Delivery,
)
from domain.errors import (
    AccessDeniedError,
    ConflictError,
    NotOursError,
    UnsupportedResourceError,
)
from tests.providers.git_ground import FOLDER, Ground, Told, make_history, point_of

KEY = "4d6c1f0a-0c7e-4d3b-9a57-3f2f3c1e8f10"
MESSAGE = "Go back to the state before the saving"


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return make_history(tmp_path)


@pytest.fixture
def no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no git program where the worker looks for one."""
    found = shutil.which

    def without_git(name: str) -> str | None:
        return None if name == "git" else found(name)

    monkeypatch.setattr(shutil, "which", without_git)


def restored(ground: Ground, point: ConfigurationPoint, **repository: object) -> str:
    configuration = ground.configuration(**repository)
    return ground.provider().restore(configuration, point, key=KEY, message=MESSAGE).id


def tree(ground: Ground, what: str) -> str:
    return ground.git("rev-parse", what)


def test_one_commit_is_pushed_whose_folder_is_that_of_the_target(told: Told) -> None:
    ground, made = told

    commit = restored(ground, point_of(ground, made[0]))

    assert ground.head() == commit
    assert tree(ground, f"{commit}:{FOLDER}") == tree(ground, f"{made[0]}:{FOLDER}")
    assert ground.git("log", "-1", "--format=%P %an <%ae>", commit) == (
        f"{made[3]} Refloat <refloat@localhost>"
    )
    assert ground.git("log", "-1", "--format=%B", commit) == (
        f"{MESSAGE}\n\nRefloat-Run: {KEY}\nRefloat-Restores: {made[0]}"
    )
    ground.git("fsck", "--strict", "--full")


@pytest.mark.usefixtures("no_git")
def test_without_a_git_program_the_same_commit_is_pushed(told: Told) -> None:
    ground, made = told

    commit = restored(ground, point_of(ground, made[0]))

    assert ground.head() == commit
    assert tree(ground, f"{commit}:{FOLDER}") == tree(ground, f"{made[0]}:{FOLDER}")
    ground.git("fsck", "--strict", "--full")


def test_what_is_outside_the_folder_stays_as_it_is_now(told: Told) -> None:
    ground, made = told

    commit = restored(ground, point_of(ground, made[0]))

    assert ground.git("show", f"{commit}:README") == "2"
    assert ground.git("diff", "--name-only", made[3], commit) == "deploy/app.yaml\ndeploy/new.yaml"


def test_a_folder_within_folders_comes_back_beside_its_neighbours(told: Told) -> None:
    ground, _ = told
    first = ground.ada.commit(
        {"a/b/c/x": "1\n", "a/b/other": "1\n", "a/z": "1\n", "a-b": "1\n", "a.b": "1\n"}, "Deep"
    )
    ground.ada.commit({"a/b/c/x": "2\n", "a/b/other": "2\n", "a/b/c/y": "1\n"}, "Deeper")

    commit = restored(ground, point_of(ground, first, path="a/b/c/"), path="a/b/c/")

    assert ground.git("diff", "--name-only", f"{commit}~", commit) == "a/b/c/x\na/b/c/y"
    assert ground.git("show", f"{commit}:a/b/other") == "2"
    ground.git("fsck", "--strict", "--full")


def test_without_a_folder_the_whole_tree_comes_back(told: Told) -> None:
    ground, made = told

    commit = restored(ground, point_of(ground, made[0], path=""), path="")

    assert tree(ground, f"{commit}^{{tree}}") == tree(ground, f"{made[0]}^{{tree}}")


def test_a_folder_that_was_removed_comes_back(told: Told) -> None:
    ground, made = told
    ground.ada.run("rm", "-rq", "deploy")
    ground.ada.record("Clean up")

    commit = restored(ground, point_of(ground, made[3]))

    assert tree(ground, f"{commit}:{FOLDER}") == tree(ground, f"{made[3]}:{FOLDER}")


def test_history_is_not_rewritten(told: Told) -> None:
    ground, made = told

    commit = restored(ground, point_of(ground, made[0]))

    assert ground.git("rev-list", commit).split() == [commit, *reversed(made)]


def test_restoring_twice_with_one_key_makes_one_commit(told: Told) -> None:
    ground, made = told
    point = point_of(ground, made[0])

    first = restored(ground, point)
    again = restored(ground, point)

    assert first == again == ground.head()
    assert len(ground.git("rev-list", "main").split()) == len(made) + 1


def test_a_worker_killed_between_push_and_answer_adopts_its_commit_though_others_went_on(
    told: Told,
) -> None:
    ground, made = told
    point = point_of(ground, made[0])
    first = restored(ground, point)
    ground.ada.pull()
    after = ground.ada.commit({"README": "3\n"}, "Go on")
    shutil.rmtree(ground.root / "state", ignore_errors=True)

    assert ground.provider().made(ground.configuration(), key=KEY) is not None
    assert restored(ground, point) == first
    assert ground.head() == after


def test_nothing_was_made_under_a_key_that_never_ran(told: Told) -> None:
    ground, made = told
    restored(ground, point_of(ground, made[0]))

    assert ground.provider().made(ground.configuration(), key="another") is None
    assert ground.provider().made(ground.configuration(branch="none"), key=KEY) is None


def test_a_push_in_between_is_a_conflict_that_names_it_and_stays(told: Told) -> None:
    ground, made = told
    point = point_of(ground, made[0])
    other = ground.clone("bert").commit({"deploy/app.yaml": "replicas: 5\n"}, "Repair by hand")

    with pytest.raises(ConflictError) as error:
        restored(ground, point)

    assert f"{other[:12]} 'Repair by hand' by Ada" in str(error.value)
    assert "refloat rollback shop/production/settings" in str(error.value)
    assert ground.head() == other


@pytest.mark.parametrize("fixture", ["told", "no_git"])
def test_a_push_in_the_very_moment_is_a_conflict_too(
    told: Told, monkeypatch: pytest.MonkeyPatch, fixture: str, request: pytest.FixtureRequest
) -> None:
    from providers.git import writing

    request.getfixturevalue(fixture)
    ground, made = told
    point = point_of(ground, made[0])
    moved: list[str] = []

    def pushed_by_another(message: str, key: str, restores: str) -> bytes:
        moved.append(ground.clone("bert").commit({"deploy/x": "5\n"}, "Repair by hand"))
        return f"{message}{key}{restores}".encode()

    monkeypatch.setattr(writing, "_message", pushed_by_another)

    with pytest.raises(ConflictError, match="Repair by hand"):
        restored(ground, point)

    assert [ground.head()] == moved


def test_a_hook_that_declines_is_quoted_with_the_way_out(told: Told) -> None:
    ground, made = told
    point = point_of(ground, made[0])
    hook(ground, "echo 'main is protected: open a merge request' >&2; exit 1")

    with pytest.raises(AccessDeniedError) as error:
        restored(ground, point)

    assert "pre-receive hook declined" in str(error.value)
    assert "main is protected: open a merge request" in str(error.value)
    assert "delivery: pull-request" in str(error.value)
    assert ground.head() == made[3]


def hook(ground: Ground, script: str) -> None:
    path = ground.remote / "hooks" / "pre-receive"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.usefixtures("no_git")
def test_hooks_without_a_git_program_to_run_them_are_refused(told: Told) -> None:
    ground, made = told
    point = point_of(ground, made[0])
    hook(ground, "exit 1")

    with pytest.raises(UnsupportedResourceError, match=r"hooks \(pre-receive\).*install git"):
        restored(ground, point)

    assert ground.head() == made[3]


@pytest.mark.parametrize("fixture", ["told", "no_git"])
def test_a_branch_that_somebody_works_in_is_refused(
    told: Told, fixture: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(fixture)
    ground, made = told
    point = point_of(ground, made[0], url="ada")

    with pytest.raises((AccessDeniedError, UnsupportedResourceError), match=r"checked out|working"):
        restored(ground, point, url="ada")

    assert ground.ada.run("status", "--porcelain") == ""


def test_a_pull_request_gets_a_branch_of_its_own(told: Told) -> None:
    ground, made = told
    asked = {"delivery": Delivery.PULL_REQUEST}
    point = point_of(ground, made[0], **asked)

    commit = restored(ground, point, **asked)
    again = restored(ground, point, **asked)

    assert commit == again == ground.head(f"refloat/{KEY[:8]}")
    assert ground.head() == made[3]
    assert ground.provider().made(ground.configuration(**asked), key=KEY) is not None


def test_a_pull_request_that_was_merged_is_found_in_the_branch(told: Told) -> None:
    ground, made = told
    asked = {"delivery": Delivery.PULL_REQUEST}
    point = point_of(ground, made[0], **asked)
    commit = restored(ground, point, **asked)
    ground.ada.run("fetch", "-q")
    ground.ada.run("merge", "-q", "--no-ff", "-m", "Merge", f"origin/refloat/{KEY[:8]}")
    ground.ada.run("push", "-q", "origin", "HEAD", f":refloat/{KEY[:8]}")

    assert restored(ground, point, **asked) == commit


def test_a_branch_of_the_same_name_by_somebody_else_is_not_touched(told: Told) -> None:
    ground, made = told
    asked = {"delivery": Delivery.PULL_REQUEST}
    point = point_of(ground, made[0], **asked)
    ground.git("branch", f"refloat/{KEY[:8]}", made[1])

    with pytest.raises(NotOursError, match="Tell more"):
        restored(ground, point, **asked)

    assert ground.head(f"refloat/{KEY[:8]}") == made[1]


def test_a_commit_is_not_older_than_the_one_it_follows(told: Told) -> None:
    from datetime import UTC, datetime

    ground, made = told
    ahead = datetime(2090, 1, 1, tzinfo=UTC)
    ground.ada.commit({"deploy/app.yaml": "replicas: 1\n"}, "A clock is ahead", ahead)

    restored(ground, point_of(ground, made[0]))

    assert ground.git("log", "-1", "--format=%ct", "main") == str(int(ahead.timestamp()))


def test_a_commit_is_marked_good_once(told: Told) -> None:
    ground, made = told
    configuration = ground.configuration()

    for _ in range(2):
        tag = ground.provider().mark_good(configuration, made[2], key=KEY)

        assert tag == f"refloat/good/{KEY[:8]}"
    assert ground.git("rev-parse", f"refs/tags/{tag}") == made[2]


def test_a_mark_of_the_same_name_on_another_commit_is_not_moved(told: Told) -> None:
    ground, made = told
    ground.git("tag", f"refloat/good/{KEY[:8]}", made[0])

    with pytest.raises(NotOursError, match=made[0][:12]):
        ground.provider().mark_good(ground.configuration(), made[2], key=KEY)


@pytest.mark.usefixtures("no_git")
def test_without_a_git_program_a_commit_is_marked_good(told: Told) -> None:
    ground, made = told

    tag = ground.provider().mark_good(ground.configuration(), made[2], key=KEY)

    assert ground.git("rev-parse", f"refs/tags/{tag}") == made[2]
