"""Deployments of the simulated cluster: revisions, rollouts, their conditions, and what stops them."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from simulators.kubernetes.images import Crashes, HasNoRoom, NeverReady, Refused, Runs
from tests.kubernetes_cluster import (
    FAST,
    MISSING,
    V1,
    V2,
    KubernetesCluster,
    kubernetes_cluster,
    refusal_of,
)

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
BROKEN = "registry.example/shop:broken"


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster."""
    with kubernetes_cluster() as made:
        yield made


@pytest.fixture
def hasty() -> Iterator[KubernetesCluster]:
    """Return a cluster in which a second of a deadline is over at once."""
    with kubernetes_cluster(replace(FAST, second=0.1)) as made:
        yield made


def condition(thing: Any, kind: str) -> tuple[str, str] | None:
    """Return the status and reason of a condition."""
    for one in thing.status.conditions or []:
        if one.type == kind:
            return one.status, one.reason
    return None


def sets(cluster: KubernetesCluster) -> dict[str, Any]:
    """Return the ReplicaSets by their revision."""
    found = cluster.apps.list_namespaced_replica_set(cluster.namespace).items
    return {one.metadata.annotations[REVISION]: one for one in found}


def image_of(thing: Any) -> str:
    """Return the image of a workload's container."""
    return str(thing.spec.template.spec.containers[0].image)


def wait_condition(cluster: KubernetesCluster, kind: str, status: str, reason: str) -> None:
    """Wait for a condition of the Deployment."""
    cluster.wait(
        f"{kind} {reason}", lambda: condition(cluster.deployment(), kind) == (status, reason)
    )


def events(cluster: KubernetesCluster, kind: str, reason: str) -> list[str]:
    """Return the messages of events about objects of a kind."""
    found = cluster.core.list_namespaced_event(
        cluster.namespace, field_selector=f"involvedObject.kind={kind}"
    )
    return [event.message for event in found.items if event.reason == reason]


def test_a_rollout_ends_available_and_complete(cluster: KubernetesCluster) -> None:
    cluster.deploy(replicas=3)
    seen = cluster.wait_rolled_out()
    wait_condition(cluster, "Progressing", "True", "NewReplicaSetAvailable")
    seen = cluster.deployment()
    assert condition(seen, "Available") == ("True", "MinimumReplicasAvailable")
    assert seen.metadata.annotations[REVISION] == "1"
    assert seen.status.unavailable_replicas is None
    only = sets(cluster)["1"]
    mark = only.metadata.labels["pod-template-hash"]
    assert only.metadata.name == f"shop-{mark}"
    assert {pod.metadata.labels["pod-template-hash"] for pod in cluster.pods()} == {mark}
    owner = cluster.pods()[0].metadata.owner_references[0]
    assert (owner.kind, owner.uid, owner.controller) == ("ReplicaSet", only.metadata.uid, True)
    expected = f"Scaled up replica set shop-{mark} from 0 to 3"
    assert events(cluster, "Deployment", "ScalingReplicaSet") == [expected]


def test_each_template_is_a_revision_and_an_old_one_comes_back(cluster: KubernetesCluster) -> None:
    cluster.deploy(replicas=1)
    cluster.wait_rolled_out()
    cluster.set_image(V2)
    cluster.wait_rolled_out()
    first = sets(cluster)["1"]
    cluster.set_image(V1)
    seen = cluster.wait_rolled_out()
    found = sets(cluster)
    assert seen.metadata.annotations[REVISION] == "3"
    assert sorted(found) == ["2", "3"]
    assert found["3"].metadata.uid == first.metadata.uid
    assert found["3"].metadata.annotations[HISTORY] == "1"
    assert (image_of(found["2"]), image_of(found["3"])) == (V2, V1)


def test_only_as_many_old_revisions_are_kept_as_asked(cluster: KubernetesCluster) -> None:
    cluster.deploy(revisionHistoryLimit=1)
    cluster.wait_rolled_out()
    for colour in ("red", "green"):
        patch = {"spec": {"template": {"metadata": {"annotations": {"colour": colour}}}}}
        cluster.apps.patch_namespaced_deployment("shop", cluster.namespace, patch)
        cluster.wait_rolled_out()
    cluster.wait("the first to go", lambda: sorted(sets(cluster)) == ["2", "3"])


def test_a_version_that_cannot_be_pulled_leaves_the_old_one_serving(
    cluster: KubernetesCluster,
) -> None:
    cluster.deploy(replicas=4)
    cluster.wait_rolled_out()
    cluster.set_image(MISSING)

    def stuck() -> bool:
        seen = cluster.deployment()
        return bool(seen.status.updated_replicas == 2 and seen.status.replicas == 5)

    cluster.wait("the rollout to get stuck", stuck)
    seen = cluster.deployment()
    assert (seen.status.available_replicas, seen.status.unavailable_replicas) == (3, 2)
    assert condition(seen, "Available") == ("True", "MinimumReplicasAvailable")
    cluster.set_image(V1)
    cluster.wait_rolled_out()
    assert all(pod.status.container_statuses[0].ready for pod in cluster.pods())


def test_a_rollout_without_progress_runs_out_of_time(hasty: KubernetesCluster) -> None:
    hasty.deploy(replicas=1, progressDeadlineSeconds=3)
    hasty.wait_rolled_out()
    hasty.set_image(MISSING)
    wait_condition(hasty, "Progressing", "False", "ProgressDeadlineExceeded")
    hasty.set_image(V1)
    hasty.wait_rolled_out()
    wait_condition(hasty, "Progressing", "True", "NewReplicaSetAvailable")


@pytest.mark.parametrize("behaviour", [Crashes(), NeverReady(), HasNoRoom()])
def test_a_version_that_never_gets_ready_stops_the_rollout(
    cluster: KubernetesCluster, behaviour: Any
) -> None:
    cluster.simulator.behave(BROKEN, behaviour)
    cluster.deploy(replicas=2)
    cluster.wait_rolled_out()
    cluster.set_image(BROKEN)
    cluster.wait("a new pod", lambda: cluster.deployment().status.updated_replicas)
    time.sleep(0.2)
    seen = cluster.deployment().status
    assert (seen.replicas, seen.updated_replicas, seen.available_replicas) == (3, 1, 2)


def test_a_rollout_stays_within_its_bounds(cluster: KubernetesCluster) -> None:
    bounds = {"maxSurge": 0, "maxUnavailable": 1}
    cluster.deploy(replicas=3, strategy={"type": "RollingUpdate", "rollingUpdate": bounds})
    cluster.wait_rolled_out()
    cluster.set_image(V2)
    seen = []

    def over() -> bool:
        status = cluster.deployment().status
        seen.append((status.replicas, status.available_replicas or 0))
        return bool(status.updated_replicas == 3 and status.available_replicas == 3)

    cluster.wait("the rollout", over)
    assert max(replicas for replicas, _ in seen) <= 3
    assert min(available for _, available in seen) >= 2


def test_a_rollout_that_recreates_runs_no_two_versions_at_once(cluster: KubernetesCluster) -> None:
    cluster.deploy(replicas=2, strategy={"type": "Recreate"})
    cluster.wait_rolled_out()
    cluster.set_image(V2)
    images: set[frozenset[str]] = set()

    def over() -> bool:
        pods = cluster.pods()
        images.add(frozenset(pod.spec.containers[0].image for pod in pods))
        return bool(cluster.deployment().status.updated_replicas == 2)

    cluster.wait("the new pods", over)
    cluster.wait_rolled_out()
    assert frozenset((V1, V2)) not in images


def test_scaling_keeps_the_revision(cluster: KubernetesCluster) -> None:
    cluster.deploy(replicas=1)
    cluster.wait_rolled_out()
    patch = {"spec": {"replicas": 3}}
    cluster.apps.patch_namespaced_deployment_scale("shop", cluster.namespace, patch)
    cluster.wait_rolled_out()
    scale = cluster.apps.read_namespaced_deployment_scale("shop", cluster.namespace)
    assert (scale.spec.replicas, scale.status.selector) == (3, "app=shop")
    assert list(sets(cluster)) == ["1"]


def test_a_rollout_that_is_scaled_meanwhile_grows_in_proportion(cluster: KubernetesCluster) -> None:
    cluster.deploy(replicas=4)
    cluster.wait_rolled_out()
    cluster.set_image(MISSING)
    cluster.wait("it to get stuck", lambda: cluster.deployment().status.updated_replicas == 2)
    patch = {"spec": {"replicas": 8}}
    cluster.apps.patch_namespaced_deployment("shop", cluster.namespace, patch)
    cluster.wait("more pods", lambda: cluster.deployment().status.replicas == 10)
    assert sum(one.spec.replicas for one in sets(cluster).values()) == 10
    assert sets(cluster)["1"].spec.replicas > 3


def test_a_paused_rollout_waits(cluster: KubernetesCluster) -> None:
    cluster.deploy()
    cluster.wait_rolled_out()
    change = cluster.apps.patch_namespaced_deployment
    change("shop", cluster.namespace, {"spec": {"paused": True}})
    wait_condition(cluster, "Progressing", "Unknown", "DeploymentPaused")
    seen = cluster.set_image(V2)

    def observed() -> bool:
        return bool(cluster.deployment().status.observed_generation == seen.metadata.generation)

    cluster.wait("the change to be seen", observed)
    assert list(sets(cluster)) == ["1"]
    change("shop", cluster.namespace, {"spec": {"paused": False}})
    cluster.wait_rolled_out()
    assert sorted(sets(cluster)) == ["1", "2"]


def test_pods_that_are_not_admitted_are_told_of(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(BROKEN, Refused())
    cluster.deploy(image=BROKEN)
    wait_condition(cluster, "ReplicaFailure", "True", "FailedCreate")
    message = events(cluster, "ReplicaSet", "FailedCreate")[0]
    assert message.startswith("Error creating: pods ")
    assert "is forbidden: exceeded quota" in message
    cluster.simulator.behave(BROKEN, Runs())
    cluster.wait_rolled_out()
    cluster.wait(
        "the failure to be over", lambda: condition(cluster.deployment(), "ReplicaFailure") is None
    )


def test_a_workload_that_is_not_admitted_is_forbidden(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(BROKEN, Refused("denied by policy", workloads=True))
    cluster.deploy()
    cluster.wait_rolled_out()
    error = refusal_of(lambda: cluster.set_image(BROKEN))
    assert error.status == 403
    assert "denied by policy" in error.body
    assert image_of(cluster.deployment()) == V1


def test_held_controllers_observe_nothing(cluster: KubernetesCluster) -> None:
    cluster.deploy()
    cluster.wait_rolled_out()
    cluster.simulator.hold()
    cluster.set_image(V2)
    time.sleep(0.05)
    seen = cluster.deployment()
    assert (seen.metadata.generation, seen.status.observed_generation) == (2, 1)
    cluster.simulator.hold(held=False)
    cluster.wait_rolled_out()


def test_pods_count_as_available_once_ready_for_long_enough(hasty: KubernetesCluster) -> None:
    hasty.deploy(minReadySeconds=4)
    hasty.wait("a ready pod", lambda: hasty.deployment().status.ready_replicas)
    assert hasty.deployment().status.available_replicas is None
    hasty.wait_rolled_out()
