"""Why pods do not come, in one sentence: the runtime's, the scheduler's, the probe's, the program's own."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import NotYetError, RolloutFailedError
from domain.platforms import ApplicationPlatform
from domain.rollback import Change, ProtectedApplication
from providers.kubernetes.provider import platform
from providers.kubernetes.workloads import given_up
from simulators.kubernetes.cluster import Pace
from simulators.kubernetes.images import (
    Behaviour,
    CannotBePulled,
    Crashes,
    HasNoRoom,
    NeverReady,
    Refused,
    Runs,
)
from tests.kubernetes_cluster import (
    MISSING,
    V1,
    V2,
    KubernetesCluster,
    image_patch,
    kubernetes_cluster,
    workload,
)
from tests.providers.kubernetes_stand import (
    SCALE,
    application_in,
    back_to,
    comes,
    platform_of,
    previous,
)

_PACE = Pace(
    start_seconds=0.02, stop_seconds=0.01, back_off_seconds=0.05, notice_seconds=0.001,
    second=1 / SCALE,
)  # fmt: skip


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster whose deadlines pass as fast as its pods start."""
    with kubernetes_cluster(_PACE) as made:
        yield made


def why(cluster: KubernetesCluster, kind: str = "deployment") -> str:
    """Return why the rollout of an application fails."""
    with pytest.raises(RolloutFailedError) as caught:
        comes(cluster, lambda: platform_of(cluster).require_healthy(application_in(cluster, kind)))
    return str(caught.value)


def broken(
    cluster: KubernetesCluster, behaviour: Behaviour, kind: str = "Deployment", **spec: Any
) -> str:
    """Roll out an image that behaves so, and return what is told of it."""
    cluster.simulator.behave(V2, behaviour)
    if kind == "StatefulSet":
        spec["serviceName"] = "shop"
    name = {"Deployment": "deployment", "StatefulSet": "stateful_set", "DaemonSet": "daemon_set"}[
        kind
    ]
    body = workload(kind, image=V2, **spec)
    getattr(cluster.apps, f"create_namespaced_{name}")(cluster.namespace, body)
    return why(cluster, kind.lower())


KINDS = pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])


@KINDS
def test_an_image_that_cannot_be_pulled_is_told_in_the_runtimes_words(
    kind: str, cluster: KubernetesCluster
) -> None:
    said = broken(cluster, CannotBePulled("pull access denied, repository does not exist"), kind)

    assert "container app of pod shop-" in said
    assert "cannot be pulled" in said
    assert "pull access denied, repository does not exist" in said


def test_a_tag_that_does_not_exist_is_told_before_the_deadline(cluster: KubernetesCluster) -> None:
    cluster.deploy(image=MISSING)

    assert "cannot be pulled" in why(cluster)


@KINDS
def test_a_crash_loop_is_told_with_its_exit_code_and_its_last_words(
    kind: str, cluster: KubernetesCluster
) -> None:
    words = "".join(f"step {number}\n" for number in range(20)) + "no such column: vat\n"

    said = broken(cluster, Crashes(exit_code=3, logs=words), kind)

    assert "exit code 3, 3 restarts" in said
    assert said.endswith("step 18 | step 19 | no such column: vat")
    assert "step 10" not in said


def test_a_program_that_needs_more_memory_is_told_as_such(cluster: KubernetesCluster) -> None:
    said = broken(cluster, Crashes(exit_code=137, reason="OOMKilled", logs=""))

    assert "exit code 137 (OOMKilled)" in said
    assert said.endswith("it wrote nothing")


def test_last_words_are_cut_and_what_looks_like_a_secret_is_masked(
    cluster: KubernetesCluster,
) -> None:
    said = broken(
        cluster,
        Crashes(
            logs=f"connecting to postgres://shop:hunter2@db/shop\npassword=tr0ub4dor\n{'x' * 900}\n"
        ),
    )

    assert "hunter2" not in said
    assert "tr0ub4dor" not in said
    assert "connecting to postgres://(masked)@db/shop" in said
    assert "x" * 300 in said
    assert "x" * 301 not in said


def test_last_words_that_may_not_be_read_hold_nothing_up(cluster: KubernetesCluster) -> None:
    cluster.simulator.deny("get", "", "pods/log")
    cluster.simulator.deny("list", "", "events")

    assert "exit code 1" in broken(cluster, Crashes())


def test_one_crash_is_not_believed_to_be_a_loop() -> None:
    with kubernetes_cluster(Pace(start_seconds=0.01, back_off_seconds=30)) as slow:
        slow.simulator.behave(V1, Crashes())
        slow.deploy()
        one, application = platform_of(slow), application_in(slow)

        def crashed() -> str:
            with pytest.raises(NotYetError) as caught:
                one.require_healthy(application)
            return str(caught.value) if "keeps ending" in str(caught.value) else ""

        assert "0 of 1" in slow.wait("a crash", crashed)


def test_a_pod_that_is_never_ready_has_until_the_deadline_and_is_told_by_its_probe(
    cluster: KubernetesCluster,
) -> None:
    behaviour = NeverReady("Readiness probe failed: HTTP probe failed with statuscode: 500")

    said = broken(cluster, behaviour, progressDeadlineSeconds=60)

    assert "is not ready" in said
    assert "HTTP probe failed with statuscode: 500" in said


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_kind_without_a_deadline_of_its_own_has_ten_minutes(
    kind: str, cluster: KubernetesCluster
) -> None:
    cluster.simulator.behave(V2, NeverReady())
    body = workload(kind, image=V2, **({"serviceName": "shop"} if kind == "StatefulSet" else {}))
    name = {"StatefulSet": "stateful_set", "DaemonSet": "daemon_set"}[kind]
    getattr(cluster.apps, f"create_namespaced_{name}")(cluster.namespace, body)
    application = application_in(cluster, kind.lower())
    cluster.wait("a pod", cluster.pods)

    with pytest.raises(NotYetError):
        platform(cluster.kubeconfig.parent, SCALE).require_healthy(application)
    hurried = platform(cluster.kubeconfig.parent, 600.0)
    with pytest.raises(RolloutFailedError, match="is not ready"):
        comes(cluster, lambda: hurried.require_healthy(application))


def test_a_pod_without_room_is_told_in_the_schedulers_words(cluster: KubernetesCluster) -> None:
    said = broken(
        cluster,
        HasNoRoom("0/3 nodes are available: 3 Insufficient memory."),
        progressDeadlineSeconds=60,
    )

    assert "no room" in said
    assert "3 Insufficient memory" in said


def test_a_pod_without_room_is_waited_for_until_the_deadline(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(V2, HasNoRoom())
    cluster.deploy(image=V2)
    one, application = platform_of(cluster), application_in(cluster)
    cluster.wait("a pod", cluster.pods)

    with pytest.raises(NotYetError):
        one.require_healthy(application)


@KINDS
def test_pods_that_admission_refuses_are_told_in_its_words(
    kind: str, cluster: KubernetesCluster
) -> None:
    said = broken(cluster, Refused('violates PodSecurity "restricted:latest": runAsNonRoot'), kind)

    assert "the cluster refuses to make its pods" in said
    assert "runAsNonRoot" in said


def test_a_quota_that_stays_used_up_is_told(cluster: KubernetesCluster) -> None:
    assert "exceeded quota: compute" in broken(cluster, Refused())


def test_a_rollout_on_its_way_says_how_far_it_is(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(V2, Runs(start_seconds=60))
    cluster.deploy(replicas=3, image=V2)
    cluster.wait("its pods", lambda: len(cluster.pods()) == 3)
    one, application = platform_of(cluster), application_in(cluster)

    def told() -> str:
        with pytest.raises(NotYetError) as caught:
            one.require_healthy(application)
        return str(caught.value) if "ready" in str(caught.value) else ""

    assert "0 of 3 updated replicas ready" in cluster.wait("the numbers", told)


def test_a_change_that_its_controller_has_not_seen_is_not_taken_for_the_state_before(
    cluster: KubernetesCluster,
) -> None:
    one, application, change = gone_back(cluster, hold=True)

    with pytest.raises(NotYetError, match="has not seen the change") as caught:
        one.poll_rollout(application, change)

    assert caught.value.pace is not None
    assert caught.value.pace.total_seconds() < 1


def gone_back(
    cluster: KubernetesCluster, *, hold: bool = False
) -> tuple[ApplicationPlatform, ProtectedApplication, Change]:
    """Go back from a version that works to the one before."""
    one, application = platform_of(cluster), application_in(cluster)
    cluster.deploy(replicas=2)
    cluster.wait_rolled_out()
    one.history(application)
    cluster.set_image(V2)
    cluster.wait_rolled_out()
    change = back_to(previous(one.history(application)))
    if hold:
        cluster.simulator.hold()
    one.apply(application, change, key="run-1")
    return one, application, change


def test_a_rollout_is_done_when_every_pod_runs_the_digest(cluster: KubernetesCluster) -> None:
    one, application, change = gone_back(cluster)

    told = comes(cluster, lambda: one.poll_rollout(application, change))

    assert told == f"deployment/shop: 2 of 2 pods ready, running {change.digest[:19]}"
    staying = [pod for pod in cluster.pods() if pod.metadata.deletion_timestamp is None]
    images = {pod.status.container_statuses[0].image_id for pod in staying}
    assert {image.rpartition("@")[2] for image in images} == {change.digest}


def test_the_deadline_that_the_version_before_has_missed_is_not_held_against_the_one_that_comes_back(
    cluster: KubernetesCluster,
) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    cluster.deploy(progressDeadlineSeconds=60)
    cluster.wait_rolled_out()
    one.history(application)
    cluster.simulator.behave(V2, NeverReady())
    cluster.set_image(V2)
    assert "is not ready" in why(cluster)
    change = back_to(previous(one.history(application)))

    one.apply(application, change, key="run-1")

    assert comes(cluster, lambda: one.poll_rollout(application, change))


def test_events_of_the_version_before_are_not_taken_for_those_of_the_one_that_comes_back(
    cluster: KubernetesCluster,
) -> None:
    one, application = platform_of(cluster), application_in(cluster, "daemonset")
    cluster.apps.create_namespaced_daemon_set(cluster.namespace, workload("DaemonSet"))
    comes(cluster, lambda: one.require_healthy(application))
    one.history(application)
    cluster.simulator.behave(V2, Refused('violates PodSecurity "restricted:latest"'))
    cluster.apps.patch_namespaced_daemon_set("shop", cluster.namespace, image_patch(V2))
    assert "violates PodSecurity" in why(cluster, "daemonset")
    change = back_to(previous(one.history(application)))

    one.apply(application, change, key="run-1")

    assert comes(cluster, lambda: one.poll_rollout(application, change))


@pytest.mark.parametrize(
    ("missed", "changed", "believed"), [(30, 60, True), (60, 30, False), (800, 700, True)]
)
def test_a_missed_deadline_is_believed_of_the_present_template_alone(
    *, missed: int, changed: int, believed: bool
) -> None:
    """All in seconds ago; one missed before the change counts when the change is past it as well."""
    now = datetime.now(UTC)
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "lastUpdateTime": (now - timedelta(seconds=missed)).isoformat(),
    }
    owner = {
        "manager": "refloat",
        "time": (now - timedelta(seconds=changed)).isoformat(),
        "fieldsV1": {"f:spec": {"f:template": {}}},
    }
    live = {"metadata": {"managedFields": [owner]}, "status": {"conditions": [condition]}}

    assert given_up(live, timedelta(seconds=600)) is believed
