"""What is looked at in a cluster before anything is changed: rights, other rollouts, other owners."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from domain.checks import Verdict
from providers.kubernetes.provider import platform
from simulators.kubernetes.images import CannotBePulled, Crashes, Refused, Runs
from tests.kubernetes_cluster import (
    V2,
    KubernetesCluster,
    kubernetes_cluster,
)
from tests.providers.kubernetes_stand import (
    REPOSITORY,
    application_in,
    back_to,
    changes_of,
    made,
    observed,
    platform_of,
    previous,
    shipped,
)


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster with a namespace of the test's own."""
    with kubernetes_cluster() as made:
        yield made


def test_looking_changes_nothing(cluster: KubernetesCluster) -> None:
    one, application = platform_of(cluster), application_in(cluster)
    change = back_to(previous(shipped(cluster)), expected=one.version(application))
    before, live = changes_of(cluster), cluster.deployment()

    findings = one.examine(application, change)

    assert [finding.name for finding in findings if not finding.good] == []
    assert changes_of(cluster) == before
    assert cluster.deployment() == live


@pytest.mark.parametrize(
    ("verb", "group", "resource", "name"),
    [
        ("get", "apps", "deployments", "right to get deployments.apps"),
        ("patch", "apps", "deployments", "right to patch deployments.apps"),
        ("list", "apps", "replicasets", "right to list replicasets.apps"),
        ("list", "", "pods", "right to list pods"),
        ("get", "", "pods/log", "right to get pods/log"),
        ("list", "", "events", "right to list events"),
    ],
)
def test_a_missing_right_is_named(
    verb: str, group: str, resource: str, name: str, cluster: KubernetesCluster
) -> None:
    change = back_to(previous(shipped(cluster)))
    cluster.simulator.deny(verb, group, resource)

    found = [
        finding
        for finding in platform_of(cluster).examine(application_in(cluster), change)
        if not finding.good
    ]

    assert name in [finding.name for finding in found]
    assert "providers/kubernetes/README.md" in found[0].advice


def test_a_rollout_of_somebody_else_that_is_coming_up_is_waited_for(
    cluster: KubernetesCluster,
) -> None:
    change = back_to(previous(shipped(cluster)))
    cluster.simulator.behave("registry.k8s.io/pause:3.8", Runs(start_seconds=60))
    cluster.set_image("registry.k8s.io/pause:3.8")
    cluster.wait(
        "a new pod",
        lambda: any(pod.spec.containers[0].image.endswith("3.8") for pod in cluster.pods()),
    )

    found = observed(
        platform(cluster.kubeconfig.parent).examine(application_in(cluster), change),
        "nobody else is rolling out",
    )

    assert found.verdict is Verdict.FAILED
    assert "somebody else is rolling out" in found.observed
    assert "kubectl rollout status deployment/shop" in found.advice


@pytest.mark.parametrize(
    "behaviour", [Crashes(), CannotBePulled()], ids=["crashes", "is not there"]
)
def test_a_rollout_that_fails_is_no_reason_to_wait(
    behaviour: Crashes | CannotBePulled, cluster: KubernetesCluster
) -> None:
    cluster.deploy()
    cluster.wait_rolled_out()
    one, application = platform_of(cluster), application_in(cluster)
    one.history(application)
    cluster.simulator.behave(V2, behaviour)
    cluster.set_image(V2)

    def waiting() -> bool:
        states = [state for pod in cluster.pods() for state in pod.status.container_statuses or ()]
        reasons = {state.state.waiting.reason for state in states if state.state.waiting}
        return bool(reasons - {"ContainerCreating", "PodInitializing"})

    cluster.wait("a failure", waiting)

    change = back_to(previous(one.history(application)))
    found = observed(one.examine(application, change), "nobody else is rolling out")

    assert found.good
    assert "pod shop-" in found.observed


def test_scaling_is_no_rollout_of_somebody_else(cluster: KubernetesCluster) -> None:
    change = back_to(previous(shipped(cluster)))
    cluster.simulator.behave(V2, Runs(start_seconds=60))
    cluster.apps.patch_namespaced_deployment_scale(
        "shop", cluster.namespace, {"spec": {"replicas": 2}}
    )
    cluster.wait("a second pod", lambda: len(cluster.pods()) == 2)

    found = observed(
        platform(cluster.kubeconfig.parent).examine(application_in(cluster), change),
        "nobody else is rolling out",
    )

    assert found.good, found


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("deployment", {"paused": True}, "kubectl rollout resume deployment/shop"),
        ("daemonset", {"updateStrategy": {"type": "OnDelete"}}, "set RollingUpdate"),
    ],
)
def test_a_workload_that_rolls_nothing_out_is_refused(
    kind: str, spec: Mapping[str, Any], said: str, cluster: KubernetesCluster
) -> None:
    name = {"deployment": "Deployment", "daemonset": "DaemonSet"}[kind]
    one, application = made(cluster, name)
    change = back_to(previous(one.history(application)))
    patch = {"deployment": "deployment", "daemonset": "daemon_set"}[kind]
    getattr(cluster.apps, f"patch_namespaced_{patch}")("shop", cluster.namespace, {"spec": spec})

    found = observed(one.examine(application, change), "it rolls out by itself")

    assert found.verdict is Verdict.FAILED
    assert said in found.advice


@pytest.mark.parametrize(
    ("labels", "annotations", "owner", "advice"),
    [
        (
            {
                "kustomize.toolkit.fluxcd.io/name": "apps",
                "kustomize.toolkit.fluxcd.io/namespace": "flux",
            },
            {},
            "Flux, by Kustomization flux/apps",
            "flux suspend kustomization apps -n flux",
        ),
        (
            {
                "helm.toolkit.fluxcd.io/name": "shop",
                "helm.toolkit.fluxcd.io/namespace": "flux-system",
            },
            {},
            "Flux, by HelmRelease flux-system/shop",
            "flux suspend helmrelease shop -n flux-system",
        ),
        (
            {},
            {"argocd.argoproj.io/tracking-id": "storefront:apps/Deployment:shop/shop"},
            "Argo CD, by Application storefront",
            "argocd app set storefront --sync-policy none",
        ),
        (
            {"argocd.argoproj.io/instance": "storefront"},
            {},
            "Argo CD, by Application storefront",
            "argocd app set storefront --sync-policy none",
        ),
        (
            {"app.kubernetes.io/managed-by": "argocd", "app.kubernetes.io/instance": "storefront"},
            {},
            "Argo CD, by Application storefront",
            "argocd app set storefront --sync-policy none",
        ),
    ],
)
def test_a_controller_that_would_undo_it_is_named_with_what_to_do_instead(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    owner: str,
    advice: str,
    cluster: KubernetesCluster,
) -> None:
    change = back_to(previous(shipped(cluster)))
    body = {"metadata": {"labels": labels, "annotations": annotations}}
    cluster.apps.patch_namespaced_deployment("shop", cluster.namespace, body)

    found = observed(
        platform_of(cluster).examine(application_in(cluster), change), "no controller would undo it"
    )

    assert found.verdict is Verdict.FAILED
    assert found.observed.startswith(owner)
    assert advice in found.advice
    assert "roll back the configuration in Git" in found.advice


def test_what_flux_was_told_to_leave_alone_may_be_changed(cluster: KubernetesCluster) -> None:
    change = back_to(previous(shipped(cluster)))
    group = "kustomize.toolkit.fluxcd.io"
    body = {
        "metadata": {
            "labels": {f"{group}/name": "apps"},
            "annotations": {f"{group}/reconcile": "disabled"},
        }
    }
    cluster.apps.patch_namespaced_deployment("shop", cluster.namespace, body)

    found = observed(
        platform_of(cluster).examine(application_in(cluster), change), "no controller would undo it"
    )

    assert found.good
    assert "suspended" in found.observed


def test_helm_and_an_autoscaler_are_told_and_hinder_nothing(cluster: KubernetesCluster) -> None:
    change = back_to(previous(shipped(cluster)))
    body = {"metadata": {"annotations": {"meta.helm.sh/release-name": "storefront"}}}
    cluster.apps.patch_namespaced_deployment("shop", cluster.namespace, body)
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "busy"},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
        },
    }
    cluster.client.call_api(
        f"/apis/autoscaling/v2/namespaces/{cluster.namespace}/horizontalpodautoscalers",
        "POST", body=scaler, auth_settings=["BearerToken"],
        header_params={"Accept": "application/json", "Content-Type": "application/json"},
        response_types_map={201: "object"},
    )  # fmt: skip

    findings = platform_of(cluster).examine(application_in(cluster), change)

    assert all(finding.good for finding in findings)
    helm = observed(findings, "no controller would undo it")
    assert "Helm's release storefront" in helm.observed
    assert "HorizontalPodAutoscaler busy" in observed(findings, "number of replicas").observed


def test_a_change_that_admission_refuses_is_known_before_anything_changes(
    cluster: KubernetesCluster,
) -> None:
    change = back_to(previous(shipped(cluster)))
    said = 'admission webhook "signed.example" denied the request: image is not signed'
    cluster.simulator.behave(f"{REPOSITORY}@{change.digest}", Refused(said, workloads=True))

    found = observed(
        platform_of(cluster).examine(application_in(cluster), change), "the change would be taken"
    )

    assert found.verdict is Verdict.FAILED
    assert "image is not signed" in found.observed
    assert cluster.deployment().spec.template.spec.containers[0].image == V2
