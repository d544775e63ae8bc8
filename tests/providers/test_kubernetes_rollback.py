"""Going back to an earlier version in a cluster: the change, and whom it does not overrun."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from domain.checks import Verdict
from domain.errors import (
    ConflictError,
    NotYetError,
    ProviderUnavailableError,
    ResourceMissingError,
    RolloutFailedError,
)
from domain.resources import Health
from domain.rollback import (
    Applied,
    Change,
    RollbackScope,
)
from providers.kubernetes import applying
from providers.kubernetes.client import Clusters
from providers.kubernetes.workloads import workload_of
from simulators.kubernetes.images import Crashes, NeverReady
from simulators.kubernetes.planted import Fault
from tests.kubernetes_cluster import (
    V1,
    V2,
    KubernetesCluster,
    image_patch,
    kubernetes_cluster,
    workload,
)
from tests.providers.kubernetes_stand import (
    ONE,
    REPOSITORY,
    application_in,
    back_to,
    changes_of,
    comes,
    made,
    observed,
    platform_of,
    previous,
    shipped,
    stuck,
)


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster with a namespace of the test's own."""
    with kubernetes_cluster() as made:
        yield made


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_every_kind_of_workload_comes_back_by_digest(kind: str, cluster: KubernetesCluster) -> None:
    one, application = made(cluster, kind)
    change = back_to(previous(one.history(application)), expected=one.version(application))

    assert all(finding.good for finding in one.examine(application, change))
    one.apply(application, change, key="run-1")
    told = comes(cluster, lambda: one.poll_rollout(application, change))

    assert change.digest[:19] in told
    staying = [pod for pod in cluster.pods() if pod.metadata.deletion_timestamp is None]
    assert {pod.spec.containers[0].image for pod in staying} == {f"{REPOSITORY}@{change.digest}"}
    assert comes(cluster, lambda: one.require_healthy(application))
    assert one.history(application)[0].digest == change.digest


def test_the_whole_template_comes_back_and_the_number_of_replicas_stays(
    cluster: KubernetesCluster,
) -> None:
    history = shipped(cluster)
    body = {"spec": {"replicas": 3, "template": {"spec": {"containers": [
        {"name": "app", "env": [{"name": "NEW", "value": "1"}]}]}}}}  # fmt: skip
    cluster.apps.patch_namespaced_deployment("shop", cluster.namespace, body)
    cluster.wait_rolled_out()

    platform_of(cluster).apply(application_in(cluster), back_to(history[1]), key="run-1")

    live = cluster.deployment()
    assert live.spec.replicas == 3
    assert live.spec.template.spec.containers[0].env is None
    assert live.metadata.annotations["refloat.dev/run"] == "run-1"
    assert live.metadata.annotations["kubernetes.io/change-cause"] == "refloat rollback of a test"
    assert "pod-template-hash" not in live.spec.template.metadata.labels


def test_the_image_alone_comes_back_where_that_is_asked_for(cluster: KubernetesCluster) -> None:
    history = shipped(cluster)
    body = {"spec": {"template": {"spec": {"containers": [
        {"name": "app", "env": [{"name": "NEW", "value": "1"}]}]}}}}  # fmt: skip
    cluster.apps.patch_namespaced_deployment("shop", cluster.namespace, body)
    change = back_to(history[1], scope=RollbackScope.IMAGE)

    platform_of(cluster).apply(application_in(cluster), change, key="run-1")

    container = cluster.deployment().spec.template.spec.containers[0]
    assert container.image == f"{REPOSITORY}@{change.digest}"
    assert container.env[0].name == "NEW"


def test_an_image_that_never_ran_here_is_put_into_the_present_template(
    cluster: KubernetesCluster,
) -> None:
    shipped(cluster)
    change = Change(
        revision="", image=f"{REPOSITORY}:some-tag", digest=ONE, scope=RollbackScope.TEMPLATE
    )

    platform_of(cluster).apply(application_in(cluster), change, key="run-1")

    assert cluster.deployment().spec.template.spec.containers[0].image == f"{REPOSITORY}@{ONE}"


def test_containers_beside_the_main_one_come_back_by_digest_too(cluster: KubernetesCluster) -> None:
    side = "registry.example/proxy:3"
    cluster.simulator.image(side, ONE)
    body = workload("Deployment")
    body["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": side})
    cluster.apps.create_namespaced_deployment(cluster.namespace, body)
    cluster.wait_rolled_out()
    one, application = platform_of(cluster), application_in(cluster)
    one.history(application)
    cluster.set_image(V2)
    cluster.wait_rolled_out()

    one.apply(application, back_to(previous(one.history(application))), key="run-1")

    images = [each.image for each in cluster.deployment().spec.template.spec.containers]
    assert images[1] == f"registry.example/proxy@{ONE}"


def test_applying_twice_with_one_key_makes_one_rollout(cluster: KubernetesCluster) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    change = back_to(previous(shipped(cluster)), expected=one.version(application))

    first = one.apply(application, change, key="run-1")
    again = one.apply(application, change, key="run-1")

    assert first == again == Applied(version=one.version(application))
    assert len([call for call in changes_of(cluster) if "=refloat" in call]) == 1


def test_a_change_whose_answer_was_lost_is_found_by_its_key(cluster: KubernetesCluster) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    change = back_to(previous(shipped(cluster)), expected=one.version(application))
    cluster.simulator.fault(Fault(method="PATCH", path=".*/deployments/shop", drop="after"))

    with pytest.raises(ProviderUnavailableError):
        one.apply(application, change, key="run-1")
    one.apply(application, change, key="run-1")

    assert len([call for call in changes_of(cluster) if "=refloat" in call]) == 1


def test_a_template_changed_since_the_plan_is_not_overrun_and_who_changed_it_is_named(
    cluster: KubernetesCluster,
) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    change = back_to(previous(shipped(cluster)), expected=one.version(application))
    cluster.apps.patch_namespaced_deployment(
        "shop",
        cluster.namespace,
        image_patch("registry.k8s.io/pause:3.8"),
        field_manager="release-bot",
    )

    with pytest.raises(
        ConflictError, match=r"release-bot changed it at 2\d{3}-.*nothing was overwritten"
    ):
        one.apply(application, change, key="run-1")

    unchanged = observed(one.examine(application, change), "nobody changed it since")
    assert unchanged.verdict is Verdict.FAILED


def test_an_autoscaler_that_moves_the_number_of_replicas_is_no_conflict(
    cluster: KubernetesCluster,
) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    change = back_to(previous(shipped(cluster)), expected=one.version(application))
    cluster.apps.patch_namespaced_deployment_scale(
        "shop", cluster.namespace, {"spec": {"replicas": 3}}
    )

    one.apply(application, change, key="run-1")

    assert cluster.deployment().spec.replicas == 3


def test_a_status_that_moves_in_between_is_read_again(cluster: KubernetesCluster) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    change = back_to(previous(shipped(cluster)), expected=one.version(application))
    cluster.simulator.fault(Fault(method="PATCH", path=".*/deployments/shop", status=409, times=2))

    one.apply(application, change, key="run-1")

    assert len([call for call in changes_of(cluster) if "=refloat" in call]) == 3


def test_a_change_of_this_run_is_taken_back(cluster: KubernetesCluster) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    before, earlier = shipped(cluster)
    one.apply(application, back_to(earlier), key="run-1")
    undo = back_to(before, undoes="run-1")

    first = one.apply(application, undo, key="undo-run-1")
    again = one.apply(application, undo, key="undo-run-1")

    assert not first.left_alone
    assert first == again
    assert before.digest in cluster.deployment().spec.template.spec.containers[0].image
    assert comes(cluster, lambda: one.poll_rollout(application, undo))


def test_what_somebody_else_changed_since_is_not_taken_back(cluster: KubernetesCluster) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    before, earlier = shipped(cluster)
    one.apply(application, back_to(earlier), key="run-1")
    cluster.apps.patch_namespaced_deployment(
        "shop",
        cluster.namespace,
        image_patch("registry.k8s.io/pause:3.8"),
        field_manager="release-bot",
    )

    applied = one.apply(application, back_to(before, undoes="run-1"), key="undo-run-1")

    assert "release-bot" in applied.left_alone
    assert (
        cluster.deployment().spec.template.spec.containers[0].image == "registry.k8s.io/pause:3.8"
    )


def test_a_change_that_never_happened_is_not_taken_back(cluster: KubernetesCluster) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    before, _ = shipped(cluster)

    applied = one.apply(application, back_to(before, undoes="run-1"), key="undo-run-1")

    assert "was not changed by this run" in applied.left_alone


def test_a_poll_tells_that_somebody_else_has_changed_the_image_meanwhile(
    cluster: KubernetesCluster,
) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    change = back_to(previous(shipped(cluster)))
    one.apply(application, change, key="run-1")
    cluster.set_image(V2)

    with pytest.raises(ConflictError, match="no more"):
        one.poll_rollout(application, change)


@pytest.mark.parametrize("behaviour", [Crashes(), NeverReady()], ids=["crashes", "is never ready"])
def test_a_broken_pod_of_a_stateful_set_is_moved_out_of_the_way(
    behaviour: Crashes | NeverReady, cluster: KubernetesCluster
) -> None:
    one, application, change = stuck(cluster, behaviour)

    one.apply(application, change, key="run-1")
    comes(cluster, lambda: one.poll_rollout(application, change))

    removed = [call for call in changes_of(cluster) if call.startswith("DELETE")]
    assert [call.rpartition("/")[2] for call in removed] == ["shop-1"]


def test_a_broken_pod_that_may_not_be_removed_is_named_with_the_command(
    cluster: KubernetesCluster,
) -> None:
    one, application, change = stuck(cluster, Crashes())
    cluster.simulator.deny("delete", "", "pods")

    one.apply(application, change, key="run-1")

    with pytest.raises(RolloutFailedError, match="kubectl delete pod shop-1"):
        comes(cluster, lambda: one.poll_rollout(application, change))
    assert (
        observed(one.examine(application, change), "right to delete pods").verdict is Verdict.FAILED
    )


def test_a_revision_that_is_kept_no_more_is_told_with_those_that_are(
    cluster: KubernetesCluster,
) -> None:
    history = shipped(cluster)

    with pytest.raises(ResourceMissingError, match=f"shop-none is kept no more.*{history[0].id}"):
        platform_of(cluster).apply(
            application_in(cluster), back_to(history[1], revision="shop-none"), key="run-1"
        )


def test_a_health_address_that_does_not_answer_is_waited_for_while_the_program_lives(
    cluster: KubernetesCluster,
) -> None:
    cluster.deploy()
    cluster.wait_rolled_out()
    health = Health(url="http://127.0.0.1:9/health", within=timedelta(seconds=1))

    with pytest.raises(NotYetError, match="to be healthy"):
        platform_of(cluster).require_healthy(application_in(cluster, health=health))


def test_a_program_that_ends_is_told_instead_of_waiting_for_its_health(
    cluster: KubernetesCluster,
) -> None:
    cluster.simulator.behave(V1, Crashes(exit_code=7))
    cluster.deploy()
    application = application_in(cluster, health=Health(url="http://127.0.0.1:9/health"))

    with pytest.raises(RolloutFailedError, match="exit code 7"):
        comes(cluster, lambda: platform_of(cluster).require_healthy(application))


def test_a_change_between_the_read_and_the_patch_is_not_overrun(cluster: KubernetesCluster) -> None:
    application, history = application_in(cluster), shipped(cluster)
    work = workload_of(Clusters(cluster.kubeconfig.parent), application)
    live, change = work.live(), back_to(history[1])
    wanted = applying.template_of(work, application, change, live)
    cluster.set_image("registry.k8s.io/pause:3.8")

    with pytest.raises(ConflictError):
        applying.patch(work, application, change, live, wanted, key="run-1")

    assert (
        cluster.deployment().spec.template.spec.containers[0].image == "registry.k8s.io/pause:3.8"
    )
