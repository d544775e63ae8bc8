"""Which commit of a real repository a person means, and what is refused with which words."""

from datetime import timedelta
from pathlib import Path

import pytest

from domain.configuration import ConfigurationPoint, ConfigurationTarget, PointKind
from domain.errors import RecoveryPointUnreachableError, ResourceMissingError
from tests.providers.git_ground import (
    BEGUN,
    MINUTE,
    Ground,
    Told,
    make_ground,
    make_history,
)


def named(reference: str) -> ConfigurationTarget:
    return ConfigurationTarget(kind=PointKind.REFERENCE, reference=reference)


def as_of(minutes: float) -> ConfigurationTarget:
    return ConfigurationTarget(kind=PointKind.TIME, time=BEGUN + timedelta(minutes=minutes))


PREVIOUS = ConfigurationTarget(kind=PointKind.PREVIOUS)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return make_history(tmp_path)


def resolved(ground: Ground, target: ConfigurationTarget, **repository: str) -> ConfigurationPoint:
    return ground.provider().resolve(ground.configuration(**repository), target)


def refused(ground: Ground, target: ConfigurationTarget, **repository: str) -> str:
    with pytest.raises(RecoveryPointUnreachableError) as error:
        resolved(ground, target, **repository)
    return str(error.value)


def test_a_commit_is_found_by_its_whole_id_and_by_seven_digits_of_it(told: Told) -> None:
    ground, made = told

    for reference in (made[0], made[0][:7], made[0][:12].upper()):
        point = resolved(ground, named(reference))

        assert point.target.id == made[0]
        assert point.head.id == made[3]
        assert (point.target.subject, point.target.author, point.target.at) == (
            "Begin",
            "Ada",
            BEGUN,
        )


def test_what_is_undone_are_the_commits_after_the_target_that_touched_the_folder(
    told: Told,
) -> None:
    ground, made = told

    point = resolved(ground, named(made[0]))

    assert [commit.id for commit in point.undone] == [made[3], made[2]]


def test_six_digits_are_no_commit(told: Told) -> None:
    ground, made = told

    said = refused(ground, named(made[0][:6]))

    assert "neither a tag nor, by 7 or more digits" in said
    assert made[2][:12] in said


def test_a_tag_is_found_annotated_or_not_and_by_its_full_name(told: Told) -> None:
    ground, made = told
    ground.git("tag", "v1", made[0])
    ground.ada.run("tag", "-a", "v2", "-m", "release", made[1])
    ground.ada.run("tag", "-a", "v3", "-m", "a tag of a tag", "v2")
    ground.ada.run("push", "-q", "origin", "--tags")

    for name, commit in (("v1", 0), ("refs/tags/v1", 0), ("v2", 1), ("v3", 1)):
        assert resolved(ground, named(name)).target.id == made[commit]


def test_a_tag_with_a_slash_in_its_name_is_found(told: Told) -> None:
    ground, made = told
    ground.git("tag", "release/2026/1", made[0])

    assert resolved(ground, named("release/2026/1")).target.id == made[0]


def test_a_tag_that_reads_like_another_commit_is_refused_as_ambiguous(told: Told) -> None:
    ground, made = told
    ground.git("tag", made[0][:8], made[2])

    said = refused(ground, named(made[0][:8]))

    assert "more than one commit" in said
    assert made[0] in said
    assert made[2] in said


def test_a_tag_of_a_tree_is_refused(told: Told) -> None:
    ground, made = told
    ground.git("tag", "tree", f"{made[0]}^{{tree}}")

    assert "is no commit in the history of main" in refused(ground, named("tree"))


def test_a_commit_of_another_branch_is_no_earlier_state_of_this_one(told: Told) -> None:
    ground, made = told
    ground.ada.run("checkout", "-q", "-b", "other", made[0])
    other = ground.ada.commit({"deploy/app.yaml": "replicas: 9\n"}, "Elsewhere")
    ground.git("tag", "elsewhere", other)

    for reference in (other, other[:8], "elsewhere", "other"):
        said = refused(ground, named(reference))

        assert "no earlier state of this one" in said
        assert made[2][:12] in said


def test_a_name_that_is_unknown_is_refused_with_the_commits_that_could_come_back(
    told: Told,
) -> None:
    ground, made = told

    said = refused(ground, named("v9.9"))

    assert "v9.9" in said
    assert f"Instead: {made[2][:12]} 'Save money' by Ada" in said
    assert made[3][:12] not in said


def test_a_time_means_the_last_commit_made_by_then(told: Told) -> None:
    ground, made = told

    for minutes, commit in ((0, 0), (0.5, 0), (1, 1), (1.9, 1), (2, 2)):
        assert resolved(ground, as_of(minutes)).target.id == made[commit]


def test_a_time_before_the_first_commit_is_refused(told: Told) -> None:
    ground, _ = told

    assert "no commit of main is as old as" in refused(ground, as_of(-1))


def test_a_time_at_which_the_branch_held_what_it_holds_now_is_refused(told: Told) -> None:
    ground, made = told
    ground.ada.commit({"README": "three\n"}, "Tell even more")

    said = refused(ground, as_of(3.5))

    assert made[3][:12] in said
    assert "where the folder deploy is what main holds now" in said


def test_a_time_after_the_newest_commit_is_refused(told: Told) -> None:
    ground, _ = told

    assert "that is what main holds now" in refused(ground, as_of(500))


def test_of_a_merge_a_time_means_what_the_branch_held_not_what_was_merged_later(
    tmp_path: Path,
) -> None:
    ground, made, merged = history_with_a_merge(tmp_path)

    point = resolved(ground, as_of(2.5))

    assert point.target.id == made[0]
    assert [commit.subject for commit in point.undone] == ["Side two", "Side one"]
    assert resolved(ground, named(merged)).target.id == merged


def history_with_a_merge(root: Path) -> tuple[Ground, list[str], str]:
    """Make a branch with two commits, merged after one more on main."""
    ground = make_ground(root)
    ada = ground.ada
    made = [ada.commit({"deploy/app.yaml": "a: 1\n"}, "Begin")]
    ada.run("checkout", "-q", "-b", "side")
    side = ada.commit({"deploy/side.yaml": "s: 1\n"}, "Side one")
    ada.commit({"deploy/side.yaml": "s: 2\n"}, "Side two")
    ada.run("checkout", "-q", "main")
    made.append(ada.commit({"README": "x\n"}, "Outside", BEGUN + 5 * MINUTE))
    ada.run("merge", "-q", "--no-ff", "--no-commit", "side")
    made.append(ada.record("Merge side", BEGUN + 6 * MINUTE))
    return ground, made, side


def test_times_that_do_not_only_rise_are_told(tmp_path: Path) -> None:
    ground = make_ground(tmp_path)
    first = ground.ada.commit({"deploy/a": "1\n"}, "Begin", BEGUN + 90 * MINUTE)
    second = ground.ada.commit({"deploy/a": "2\n"}, "A clock was wrong", BEGUN)
    ground.ada.commit({"deploy/a": "3\n"}, "Go on", BEGUN + 5 * MINUTE)

    point = resolved(ground, as_of(1))

    assert point.target.id == second != first
    assert any("do not only rise" in note for note in point.notes)
    assert not any("do not only rise" in note for note in resolved(ground, named(first)).notes)


def test_the_last_one_marked_good_whose_folder_differs_comes_back(told: Told) -> None:
    ground, made = told
    ground.git("tag", "refloat/good/old", made[0])
    ground.ada.run("tag", "-a", "refloat/good/newer", "-m", "well", made[2])
    ground.ada.run("push", "-q", "origin", "--tags")
    ground.git("tag", "refloat/good/now", made[3])

    point = resolved(ground, PREVIOUS)

    assert point.target.id == made[2]
    assert point.notes == ("marked good by refloat/good/newer",)


def test_nothing_marked_good_is_refused_with_the_last_commits(told: Told) -> None:
    ground, made = told
    ground.git("tag", "refloat/good/now", made[3])
    ground.git("tag", "good", made[0])

    said = refused(ground, PREVIOUS)

    assert "no commit in the history of main is marked good" in said
    assert made[2][:12] in said
    assert made[1][:12] in said


def test_what_another_branch_marked_good_does_not_count(told: Told) -> None:
    ground, made = told
    ground.ada.run("checkout", "-q", "-b", "other", made[0])
    other = ground.ada.commit({"deploy/app.yaml": "replicas: 9\n"}, "Elsewhere")
    ground.git("tag", "refloat/good/other", other)

    assert "is marked good" in refused(ground, PREVIOUS)


def test_the_head_itself_is_refused(told: Told) -> None:
    ground, made = told

    assert "that is what main holds now" in refused(ground, named(made[3]))


def test_without_a_folder_the_whole_repository_counts(told: Told) -> None:
    ground, made = told
    ground.ada.commit({"README": "three\n"}, "Tell even more")

    point = resolved(ground, named(made[3]), path="")

    assert point.target.id == made[3]
    assert [commit.subject for commit in point.undone] == ["Tell even more"]


def test_a_commit_before_the_folder_was_there_is_refused(told: Told) -> None:
    ground, made = told

    said = refused(ground, named(made[0]), path="elsewhere")

    assert "there is no folder elsewhere" in said


def test_a_folder_that_somebody_removed_comes_back(told: Told) -> None:
    ground, made = told
    ground.ada.run("rm", "-rq", "deploy")
    ground.ada.record("Clean up")

    assert resolved(ground, named(made[3])).target.id == made[3]


def test_a_branch_that_is_not_there_is_told_with_those_that_are(told: Told) -> None:
    ground, _ = told

    with pytest.raises(ResourceMissingError, match="no branch production; it has main"):
        resolved(ground, named("v1"), branch="production")


def test_a_repository_that_is_not_there_is_told(told: Told) -> None:
    ground, _ = told

    with pytest.raises(ResourceMissingError, match=r"gone\.git"):
        resolved(ground, named("v1"), url="gone.git")


def test_a_path_counts_from_the_folder_of_the_catalog(told: Told) -> None:
    ground, made = told

    for url in ("remote.git", "./remote.git", f"file://{ground.remote}"):
        assert resolved(ground, named(made[0]), url=url).target.id == made[0]


def test_a_secret_in_a_subject_is_masked(tmp_path: Path) -> None:
    ground = make_ground(tmp_path)
    first = ground.ada.commit({"deploy/a": "1\n"}, "Use ghp_markermarkermarkermarker1 for CI")
    ground.ada.commit({"deploy/a": "2\n"}, "Set DB_PASSWORD=marker at https://u:marker@host/x")

    point = resolved(ground, named(first))

    assert point.target.subject == "Use (secret) for CI"
    assert point.head.subject == "Set DB_PASSWORD=(secret) at https://(secret)@host/x"


def test_more_commits_than_are_listed_are_told(tmp_path: Path) -> None:
    ground = make_ground(tmp_path)
    stream = "".join(
        f"commit refs/heads/main\ncommitter Ada <a@b> {1_700_000_000 + number} +0000\ndata 1\n.\n"
        f"M 100644 inline deploy/a\ndata {len(str(number))}\n{number}\n"
        for number in range(70)
    )
    ground.imported(stream)
    first = ground.git("rev-list", "--max-parents=0", "main")

    point = resolved(ground, named(first))

    assert len(point.undone) == 50
    assert point.notes == ("more commits are undone than the 50 listed",)


def test_the_newest_commits_that_touched_the_folder_are_listed(told: Told) -> None:
    ground, made = told
    ground.git("tag", "refloat/good/1", made[0])

    listed = ground.provider().commits(ground.configuration())

    assert [commit.id for commit in listed.commits] == [made[3], made[2], made[0]]
    assert listed.good == (made[0],)
    assert len(ground.provider().commits(ground.configuration(), limit=1).commits) == 1
