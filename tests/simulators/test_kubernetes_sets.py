"""StatefulSets and DaemonSets of the simulated cluster, and the revisions that both keep."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes_cluster import (
    MISSING,
    V1,
    V2,
    KubernetesCluster,
    image_patch,
    kubernetes_cluster,
    refusal_of,
    workload,
)

LABEL = "controller-revision-hash"


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster."""
    with kubernetes_cluster() as made:
        yield made


def make(cluster: KubernetesCluster, **spec: Any) -> Any:
    """Make a StatefulSet."""
    body = workload("StatefulSet", **{"serviceName": "shop", **spec})
    return cluster.apps.create_namespaced_stateful_set(cluster.namespace, body)


def held(cluster: KubernetesCluster) -> Any:
    """Return the StatefulSet."""
    return cluster.apps.read_namespaced_stateful_set("shop", cluster.namespace)


def set_image(cluster: KubernetesCluster, image: str) -> None:
    """Give the StatefulSet another image."""
    patch = image_patch(image)
    cluster.apps.patch_namespaced_stateful_set("shop", cluster.namespace, patch)


def wait_done(cluster: KubernetesCluster) -> Any:
    """Return the StatefulSet once every pod is of its template and ready."""

    def done() -> Any:
        found = held(cluster)
        status, wanted = found.status, found.spec.replicas
        counts = (status.replicas, status.ready_replicas, status.updated_replicas)
        observed = status.observed_generation == found.metadata.generation
        same = status.current_revision == status.update_revision
        return found if observed and same and counts == (wanted,) * 3 else None

    return cluster.wait("the StatefulSet", done)


def revisions(cluster: KubernetesCluster) -> list[Any]:
    """Return the revisions by their number."""
    found = cluster.apps.list_namespaced_controller_revision(cluster.namespace).items
    return sorted(found, key=lambda one: int(one.revision))


def images(cluster: KubernetesCluster) -> list[str]:
    """Return the images of the pods, by the pods' names."""
    return [pod.spec.containers[0].image for pod in cluster.pods()]


def test_pods_have_numbers_and_come_one_after_the_other(cluster: KubernetesCluster) -> None:
    make(cluster, replicas=3)
    seen = wait_done(cluster)
    pods = cluster.pods()
    assert [pod.metadata.name for pod in pods] == ["shop-0", "shop-1", "shop-2"]
    born = [pod.metadata.creation_timestamp for pod in pods]
    assert born == sorted(born)
    assert {pod.metadata.labels[LABEL] for pod in pods} == {seen.status.update_revision}
    assert pods[1].metadata.labels["apps.kubernetes.io/pod-index"] == "1"
    assert seen.status.current_replicas == 3


def test_a_revision_holds_the_template_as_a_patch(cluster: KubernetesCluster) -> None:
    make(cluster, replicas=1)
    wait_done(cluster)
    only = revisions(cluster)[0]
    template = only.data["spec"]["template"]
    assert template["$patch"] == "replace"
    assert template["spec"]["containers"][0]["image"] == V1
    assert only.metadata.owner_references[0].kind == "StatefulSet"
    assert only.metadata.name.startswith("shop-")


def test_an_earlier_template_gets_its_revision_back(cluster: KubernetesCluster) -> None:
    make(cluster, replicas=1)
    first = wait_done(cluster).status.update_revision
    set_image(cluster, V2)
    second = wait_done(cluster).status.update_revision
    set_image(cluster, V1)
    wait_done(cluster)
    assert [one.metadata.name for one in revisions(cluster)] == [second, first]
    assert [one.revision for one in revisions(cluster)] == [2, 3]


def test_an_update_begins_with_the_last_pod(cluster: KubernetesCluster) -> None:
    make(cluster, replicas=3)
    wait_done(cluster)
    set_image(cluster, MISSING)
    cluster.wait("the last pod", lambda: images(cluster) == [V1, V1, MISSING])
    cluster.wait("it to be counted", lambda: held(cluster).status.updated_replicas == 1)
    seen = held(cluster).status
    assert (seen.ready_replicas, seen.current_replicas) == (2, 2)
    assert seen.current_revision != seen.update_revision


def test_a_partition_keeps_the_first_pods_as_they_are(cluster: KubernetesCluster) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    make(cluster, replicas=3, updateStrategy=strategy)
    wait_done(cluster)
    set_image(cluster, V2)
    cluster.wait("the last pod", lambda: images(cluster) == [V1, V1, V2])
    cluster.wait("it to be ready", lambda: held(cluster).status.ready_replicas == 3)
    cluster.core.delete_namespaced_pod("shop-0", cluster.namespace)
    time.sleep(0.05)
    cluster.wait("a new first pod", lambda: images(cluster) == [V1, V1, V2])


def test_going_back_waits_for_the_broken_pod_until_somebody_deletes_it(
    cluster: KubernetesCluster,
) -> None:
    make(cluster, replicas=2)
    wait_done(cluster)
    set_image(cluster, MISSING)
    cluster.wait("the broken pod", lambda: images(cluster) == [V1, MISSING])
    set_image(cluster, V1)
    time.sleep(0.2)
    assert images(cluster) == [V1, MISSING], "as a real cluster does, by its documentation"
    cluster.core.delete_namespaced_pod("shop-1", cluster.namespace)
    wait_done(cluster)


def test_in_parallel_a_broken_pod_is_replaced_at_once(cluster: KubernetesCluster) -> None:
    make(cluster, replicas=2, podManagementPolicy="Parallel")
    wait_done(cluster)
    set_image(cluster, MISSING)
    cluster.wait("the broken pod", lambda: images(cluster) == [V1, MISSING])
    set_image(cluster, V1)
    wait_done(cluster)


def test_volumes_outlive_their_pods(cluster: KubernetesCluster) -> None:
    assert cluster.simulator, "a real one may have no storage to give"
    resources = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": resources}
    make(cluster, replicas=2, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": spec}])
    wait_done(cluster)
    cluster.apps.patch_namespaced_stateful_set("shop", cluster.namespace, {"spec": {"replicas": 1}})
    wait_done(cluster)
    claims = cluster.core.list_namespaced_persistent_volume_claim(cluster.namespace).items
    assert [one.metadata.name for one in claims] == ["data-shop-0", "data-shop-1"]


def test_most_of_a_stateful_set_never_changes(cluster: KubernetesCluster) -> None:
    make(cluster, replicas=0)
    error = refusal_of(
        lambda: cluster.apps.patch_namespaced_stateful_set(
            "shop", cluster.namespace, {"spec": {"serviceName": "other"}}
        )
    )
    assert error.status == 422
    assert "updates to statefulset spec for fields other than" in error.body


def test_a_daemon_set_has_a_pod_on_every_node_and_replaces_one_at_a_time(
    cluster: KubernetesCluster,
) -> None:
    body = workload("DaemonSet")
    cluster.apps.create_namespaced_daemon_set(cluster.namespace, body)

    def daemons() -> Any:
        return cluster.apps.read_namespaced_daemon_set("shop", cluster.namespace)

    def done() -> Any:
        found = daemons()
        status = found.status
        wanted = status.desired_number_scheduled
        counts = (status.number_ready, status.updated_number_scheduled, status.number_available)
        observed = status.observed_generation == found.metadata.generation
        return found if observed and wanted and counts == (wanted,) * 3 else None

    wanted = cluster.wait("the DaemonSet", done).status.desired_number_scheduled
    assert len({pod.spec.node_name for pod in cluster.pods()}) == wanted
    change = cluster.apps.patch_namespaced_daemon_set
    change("shop", cluster.namespace, image_patch(MISSING))
    cluster.wait("a broken pod", lambda: daemons().status.number_unavailable == 1)
    time.sleep(0.1)
    assert daemons().status.number_unavailable == 1
    assert daemons().status.updated_number_scheduled == 1
    change("shop", cluster.namespace, image_patch(V1))
    cluster.wait("the DaemonSet", done)
    assert [one.revision for one in revisions(cluster)] == [2, 3]
    mark = revisions(cluster)[-1].metadata.labels[LABEL]
    assert {pod.metadata.labels[LABEL] for pod in cluster.pods()} == {mark}
