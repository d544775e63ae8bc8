"""What ran in a cluster before, by digest, and whether it was healthy."""

import json
from collections.abc import Iterator

import pytest

from domain.errors import (
    ConfigurationRefusedError,
    ResourceMissingError,
)
from simulators.kubernetes.images import Crashes
from tests.kubernetes_cluster import (
    MISSING,
    REAL,
    V1,
    V2,
    KubernetesCluster,
    kubernetes_cluster,
    workload,
)
from tests.providers.kubernetes_stand import (
    ONE,
    TWO,
    application_in,
    platform_of,
    previous,
    shipped,
)


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster with a namespace of the test's own."""
    with kubernetes_cluster() as made:
        yield made


def test_the_history_tells_what_ran_newest_first_by_digest(cluster: KubernetesCluster) -> None:
    history = shipped(cluster)

    assert [one.current for one in history] == [True, False]
    assert [one.main.written for one in history] == [V2, V1]
    assert all(one.digest.startswith("sha256:") for one in history)
    assert history[1].ended_at == history[0].started_at
    assert [one.healthy for one in history] == [True, True]
    assert history[0].number == history[1].number + 1


def test_a_digest_is_remembered_when_its_pods_are_gone_and_its_tag_was_moved(
    cluster: KubernetesCluster,
) -> None:
    cluster.simulator.image(V1, ONE)
    shipped(cluster)
    cluster.simulator.image(V1, TWO)

    assert previous(platform_of(cluster).history(application_in(cluster))).digest == ONE


def test_without_the_right_to_note_it_the_digest_of_a_gone_tag_is_unknown_and_said_to_be(
    cluster: KubernetesCluster,
) -> None:
    cluster.simulator.deny("patch", "apps", "replicasets")

    history = shipped(cluster)

    assert previous(history).digest == ""
    assert history[0].digest.startswith("sha256:")


def test_notes_that_were_carried_over_to_another_revision_are_not_believed(
    cluster: KubernetesCluster,
) -> None:
    """`kubectl rollout undo` copies a ReplicaSet's annotations to all that come after it."""
    history = shipped(cluster)
    sets = cluster.apps.list_namespaced_replica_set(cluster.namespace).items
    notes = next(one.metadata.annotations for one in sets if one.metadata.name == history[0].id)
    foreign = {name: value for name, value in notes.items() if name.startswith("refloat.dev/")}
    foreign["refloat.dev/images"] = json.dumps({"app": ONE})
    body = {"metadata": {"annotations": foreign}}

    cluster.apps.patch_namespaced_replica_set(history[1].id, cluster.namespace, body)

    assert previous(platform_of(cluster).history(application_in(cluster))).digest != ONE


def test_a_version_that_was_gone_back_to_counts_from_when_it_came_back(
    cluster: KubernetesCluster,
) -> None:
    history = shipped(cluster)
    cluster.set_image(V1)
    cluster.wait_rolled_out()

    back, between = platform_of(cluster).history(application_in(cluster))

    assert (back.id, back.current, back.number) == (history[1].id, True, 3)
    assert back.started_at is not None
    assert between.started_at is not None
    assert back.started_at >= between.started_at
    assert between.ended_at == back.started_at


def test_a_version_that_never_took_over_counts_as_never_healthy(cluster: KubernetesCluster) -> None:
    cluster.deploy(replicas=2)
    cluster.wait_rolled_out()
    cluster.set_image(MISSING)
    cluster.wait("its pod", lambda: len(cluster.pods()) > 2)
    cluster.set_image("registry.k8s.io/pause:nor-is-there-this")
    cluster.wait("a third revision", lambda: cluster.deployment().metadata.annotations.get(
        "deployment.kubernetes.io/revision") == "3")  # fmt: skip

    history = platform_of(cluster).history(application_in(cluster))

    assert [one.healthy for one in history[1:]] == [False, True]


def test_a_version_that_was_seen_to_fail_stays_unhealthy_when_its_pods_are_gone(
    cluster: KubernetesCluster,
) -> None:
    cluster.deploy()
    cluster.wait_rolled_out()
    cluster.simulator.behave(V2, Crashes())
    cluster.set_image(V2)
    one, application = platform_of(cluster), application_in(cluster)
    cluster.wait("a crash seen", lambda: one.history(application)[0].healthy is False)
    cluster.set_image(V1)
    cluster.wait_rolled_out()

    assert [each.healthy for each in one.history(application)] == [True, False]


def test_a_workload_that_is_missing_is_told_by_the_cluster(cluster: KubernetesCluster) -> None:
    with pytest.raises(ResourceMissingError, match='"shop" not found'):
        platform_of(cluster).history(application_in(cluster))


@pytest.mark.parametrize(
    ("images", "container", "chosen"),
    [
        ([("web", V1), ("proxy", "registry.example/proxy:3")], "", "web"),
        ([("proxy", "registry.example/proxy:3"), ("web", V1)], "", "web"),
        ([("web", "registry.mirror/pause:3.9")], "", "web"),
        (
            [("web", "registry.mirror/pause:3.9"), ("proxy", "registry.example/proxy:3")],
            "proxy",
            "proxy",
        ),
    ],
)
def test_the_main_container_is_the_one_named_or_the_one_that_runs_the_image(
    images: list[tuple[str, str]], container: str, chosen: str, cluster: KubernetesCluster
) -> None:
    several(cluster, images)

    found = platform_of(cluster).history(application_in(cluster, place={"container": container}))

    assert found[0].container == chosen
    assert {one.container for one in found[0].images} == {name for name, _ in images}


def test_containers_to_choose_from_are_named_where_nothing_tells_the_main_one(
    cluster: KubernetesCluster,
) -> None:
    several(cluster, [("one", "registry.example/one:1"), ("two", "registry.example/two:1")])

    with pytest.raises(ConfigurationRefusedError, match=r"one \(registry.example/one:1\), two"):
        platform_of(cluster).history(application_in(cluster))


def several(cluster: KubernetesCluster, images: list[tuple[str, str]]) -> None:
    """Roll out pods of several containers."""
    if REAL and any("example" in image or "mirror" in image for _, image in images):
        pytest.skip("these images are nowhere")
    body = workload("Deployment")
    containers = [{"name": name, "image": image} for name, image in images]
    body["spec"]["template"]["spec"]["containers"] = containers
    cluster.apps.create_namespaced_deployment(cluster.namespace, body)
    cluster.wait_rolled_out()
