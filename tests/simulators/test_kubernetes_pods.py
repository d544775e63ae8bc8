"""Pods of the simulated cluster: how they start and fail, what they ran, and what is told of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from simulators.kubernetes.images import (
    CannotBePulled,
    Crashes,
    HasNoRoom,
    NeverReady,
    Refused,
    Runs,
)
from tests.kubernetes_cluster import MISSING, V1, KubernetesCluster, kubernetes_cluster, refusal_of

SHOP = "registry.example/shop:v1"
FIRST, SECOND = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster."""
    with kubernetes_cluster() as made:
        yield made


def run(cluster: KubernetesCluster, image: str, **spec: Any) -> Any:
    """Run a pod of one container."""
    containers = [{"name": "app", "image": image}]
    spec = {"containers": containers, "terminationGracePeriodSeconds": 1, **spec}
    body = {"metadata": {"name": "shop", "labels": {"app": "shop"}}, "spec": spec}
    return cluster.core.create_namespaced_pod(cluster.namespace, body)


def pod(cluster: KubernetesCluster) -> Any:
    """Return the pod."""
    return cluster.core.read_namespaced_pod("shop", cluster.namespace)


def container(cluster: KubernetesCluster) -> Any:
    """Return the status of its container, once there is one."""
    found = pod(cluster).status.container_statuses
    return found[0] if found else None


def condition(cluster: KubernetesCluster, kind: str) -> Any:
    """Return a condition of the pod."""
    found = [one for one in pod(cluster).status.conditions or [] if one.type == kind]
    return found[0] if found else None


def wait_waiting(cluster: KubernetesCluster, reason: str) -> Any:
    """Return the container's status once it waits for a reason."""

    def waits() -> Any:
        found = container(cluster)
        waiting = found and found.state.waiting
        return found if waiting and waiting.reason == reason else None

    return cluster.wait(reason, waits)


def wait_running(cluster: KubernetesCluster) -> Any:
    """Return the container's status once it is ready."""

    def ready() -> Any:
        found = container(cluster)
        return found if found and found.ready else None

    return cluster.wait("a ready container", ready)


def events(cluster: KubernetesCluster, reason: str) -> list[Any]:
    """Return the events of the pod."""
    uid = pod(cluster).metadata.uid
    found = cluster.core.list_namespaced_event(
        cluster.namespace, field_selector=f"involvedObject.uid={uid}"
    )
    return [event for event in found.items if event.reason == reason]


def test_a_pod_runs_and_tells_what_it_runs(cluster: KubernetesCluster) -> None:
    assert run(cluster, V1).status.phase == "Pending"
    seen = wait_running(cluster)
    assert seen.image_id.partition("@")[2].startswith("sha256:")
    assert (seen.restart_count, seen.state.running is not None) == (0, True)
    assert pod(cluster).status.phase == "Running"
    for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready"):
        assert condition(cluster, kind).status == "True"
    assert [event.message for event in events(cluster, "Started")]


def test_an_image_that_cannot_be_pulled_is_tried_again(cluster: KubernetesCluster) -> None:
    run(cluster, MISSING)
    wait_waiting(cluster, "ErrImagePull")
    seen = wait_waiting(cluster, "ImagePullBackOff")
    assert seen.state.waiting.message.startswith(f'Back-off pulling image "{MISSING}"')
    assert pod(cluster).status.phase == "Pending"
    assert events(cluster, "Failed")[0].type == "Warning"
    error = refusal_of(lambda: cluster.core.read_namespaced_pod_log("shop", cluster.namespace))
    assert error.status == 400
    assert "trying and failing to pull image" in error.body


def test_a_registry_says_why(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(SHOP, CannotBePulled("pull access denied: authorization failed"))
    run(cluster, SHOP)
    seen = wait_waiting(cluster, "ImagePullBackOff")
    assert seen.state.waiting.message.endswith("pull access denied: authorization failed")


def test_a_crash_loop_counts_and_keeps_the_last_logs(cluster: KubernetesCluster) -> None:
    logs = "starting\nreading settings\nfatal: no such table\n"
    cluster.simulator.behave(SHOP, Crashes(exit_code=3, logs=logs, after_seconds=0.02))
    run(cluster, SHOP)
    seen = wait_waiting(cluster, "CrashLoopBackOff")
    assert seen.last_state.terminated.exit_code == 3
    assert "restarting failed container=app" in seen.state.waiting.message
    cluster.wait("more restarts", lambda: container(cluster).restart_count >= 2)
    last = cluster.core.read_namespaced_pod_log(
        "shop", cluster.namespace, previous=True, tail_lines=1, _preload_content=False
    )
    assert last.data == b"fatal: no such table\n"
    assert condition(cluster, "Ready").status == "False"
    cluster.wait("events", lambda: events(cluster, "BackOff"))


def test_a_container_killed_for_its_memory_says_so(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(SHOP, Crashes(exit_code=137, reason="OOMKilled"))
    run(cluster, SHOP)
    seen = wait_waiting(cluster, "CrashLoopBackOff")
    assert seen.last_state.terminated.reason == "OOMKilled"


def test_a_crash_without_restarts_fails_the_pod(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(SHOP, Crashes())
    run(cluster, SHOP, restartPolicy="Never")
    cluster.wait("its failure", lambda: pod(cluster).status.phase == "Failed")
    assert container(cluster).state.terminated.exit_code == 1


def test_a_pod_that_is_never_ready_runs(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(SHOP, NeverReady())
    run(cluster, SHOP)
    cluster.wait("it to run", lambda: pod(cluster).status.phase == "Running")
    assert condition(cluster, "Ready").reason == "ContainersNotReady"
    cluster.wait("probes", lambda: [one for one in events(cluster, "Unhealthy") if one.count > 1])


def test_a_probe_that_fails_later_restarts_nothing(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(SHOP, Runs())
    run(cluster, SHOP)
    wait_running(cluster)
    cluster.simulator.behave(SHOP, NeverReady())
    cluster.wait("it to be unready", lambda: not container(cluster).ready)
    cluster.simulator.behave(SHOP, CannotBePulled())
    cluster.simulator.behave(SHOP, Runs())
    assert wait_running(cluster).restart_count == 0


def test_a_pod_without_room_waits_for_it(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(SHOP, HasNoRoom())
    run(cluster, SHOP)
    cluster.wait("the verdict", lambda: condition(cluster, "PodScheduled"))
    seen = condition(cluster, "PodScheduled")
    assert (seen.status, seen.reason) == ("False", "Unschedulable")
    assert seen.message == "0/3 nodes are available: 3 Insufficient cpu."
    assert (pod(cluster).status.phase, pod(cluster).spec.node_name) == ("Pending", None)
    assert events(cluster, "FailedScheduling")
    cluster.simulator.behave(SHOP, Runs())
    wait_running(cluster)


def test_a_pod_that_is_not_admitted_is_forbidden(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(SHOP, Refused())
    error = refusal_of(lambda: run(cluster, SHOP))
    assert error.status == 403
    assert 'pods \\"shop\\" is forbidden: exceeded quota' in error.body


def test_a_broken_init_container_keeps_the_others_waiting(cluster: KubernetesCluster) -> None:
    run(cluster, V1, initContainers=[{"name": "prepare", "image": MISSING}])
    seen = wait_waiting(cluster, "PodInitializing")
    assert not seen.ready

    def failing() -> bool:
        first = pod(cluster).status.init_container_statuses[0]
        waiting = first.state.waiting
        return bool(waiting and waiting.reason == "ImagePullBackOff")

    cluster.wait("its failure", failing)
    assert condition(cluster, "Initialized").status == "False"


def test_a_tag_means_what_it_led_to_at_the_start(cluster: KubernetesCluster) -> None:
    cluster.simulator.image(SHOP, FIRST)
    run(cluster, SHOP)
    assert wait_running(cluster).image_id == f"registry.example/shop@{FIRST}"
    cluster.simulator.image(SHOP, SECOND)
    assert container(cluster).image_id == f"registry.example/shop@{FIRST}"


@pytest.mark.parametrize(("policy", "digest"), [("IfNotPresent", FIRST), ("Always", SECOND)])
def test_a_node_that_holds_a_tag_asks_again_only_if_told_to(
    cluster: KubernetesCluster, policy: str, digest: str
) -> None:
    cluster.simulator.image(SHOP, FIRST)
    run(cluster, SHOP, nodeName="node-1")
    wait_running(cluster)
    cluster.core.delete_namespaced_pod("shop", cluster.namespace, grace_period_seconds=0)
    cluster.simulator.image(SHOP, SECOND)
    containers = [{"name": "app", "image": SHOP, "imagePullPolicy": policy}]
    run(cluster, SHOP, nodeName="node-1", containers=containers)
    assert wait_running(cluster).image_id == f"registry.example/shop@{digest}"


def test_a_digest_behaves_as_the_tag_that_leads_to_it(cluster: KubernetesCluster) -> None:
    cluster.simulator.image(SHOP, FIRST)
    cluster.simulator.behave(SHOP, NeverReady())
    run(cluster, f"registry.example/shop@{FIRST}")
    cluster.wait("it to run", lambda: pod(cluster).status.phase == "Running")
    assert not container(cluster).ready


def test_a_pod_goes_gracefully(cluster: KubernetesCluster) -> None:
    run(cluster, V1)
    wait_running(cluster)
    seen = cluster.core.delete_namespaced_pod("shop", cluster.namespace)
    assert seen.metadata.deletion_timestamp is not None

    def gone() -> bool:
        return not cluster.pods()

    cluster.wait("its end", gone)
