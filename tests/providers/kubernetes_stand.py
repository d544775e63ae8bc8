"""What the tests of clusters share; it holds no test itself."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from domain.checks import Finding
from domain.configuration import ConfigurationFile
from domain.errors import (
    NotYetError,
)
from domain.platforms import ApplicationPlatform
from domain.resources import KubernetesPlatform, Objectives
from domain.rollback import (
    Change,
    ProtectedApplication,
    Revision,
    RollbackScope,
)
from providers.kubernetes.provider import platform
from simulators.kubernetes.images import Crashes, NeverReady
from tests.kubernetes_cluster import (
    REAL,
    V1,
    V2,
    KubernetesCluster,
    image_patch,
    workload,
)

REPOSITORY = "registry.k8s.io/pause"
SCALE = 1.0 if REAL else 100.0
ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def application_in(
    cluster: KubernetesCluster, kind: str = "deployment", **more: Any
) -> ProtectedApplication:
    """Return the application `shop` as a catalog declares it."""
    place = {kind: "shop", **more.pop("place", {})}
    return ProtectedApplication(
        path="shop/production/shop",
        provider="own",
        provider_kind="local",
        objectives=Objectives(),
        name="shop",
        platform=KubernetesPlatform(
            kind="kubernetes",
            kubeconfig=str(cluster.kubeconfig),
            namespace=cluster.namespace,
            **place,
        ),
        image=REPOSITORY,
        **more,
    )


def platform_of(cluster: KubernetesCluster) -> ApplicationPlatform:
    """Return the provider, as a worker has it."""
    return platform(cluster.kubeconfig.parent, SCALE)


def back_to(ran: Revision, **more: Any) -> Change:
    """Return the change that goes back to a revision."""
    wanted: dict[str, Any] = {
        "revision": ran.id,
        "image": REPOSITORY,
        "digest": ran.digest,
        "scope": RollbackScope.TEMPLATE,
        "cause": "refloat rollback of a test",
    }
    return Change(**{**wanted, **more})


def previous(history: Sequence[Revision]) -> Revision:
    """Return the newest revision that is not the current one."""
    return next(one for one in history if not one.current)


def comes(cluster: KubernetesCluster, act: Any) -> str:
    """Return what a poll says once it is more than "not yet"."""

    def asked() -> str:
        try:
            return str(act())
        except NotYetError:
            return ""

    return str(cluster.wait("what is polled", asked))


def observed(findings: Sequence[Finding], name: str) -> Finding:
    """Return the finding of a name."""
    return next(one for one in findings if one.name == name)


def shipped(
    cluster: KubernetesCluster, first: str = V1, then: str = V2, **spec: Any
) -> list[Revision]:
    """Roll one version out, and then another; return the history after each was looked at."""
    cluster.deploy(image=first, **spec)
    cluster.wait_rolled_out()
    one = platform_of(cluster)
    one.history(application_in(cluster))
    cluster.apps.patch_namespaced_deployment(
        "shop", cluster.namespace, image_patch(then), field_manager="kubectl-set"
    )
    cluster.wait_rolled_out()
    return list(one.history(application_in(cluster)))


def changes_of(cluster: KubernetesCluster) -> list[str]:
    """Return the calls that changed something but notes."""
    return [
        one
        for one in cluster.simulator.requests
        if not one.startswith("GET") and "dryRun" not in one
        and "refloat-observer" not in one and "selfsubject" not in one
    ]  # fmt: skip


def made(cluster: KubernetesCluster, kind: str) -> tuple[ApplicationPlatform, ProtectedApplication]:
    """Roll two versions of a workload out, and return how to go back."""
    one, application = platform_of(cluster), application_in(cluster, kind.lower())
    spec: dict[str, Any] = {} if kind == "DaemonSet" else {"replicas": 2}
    if kind == "StatefulSet":
        spec["serviceName"] = "shop"
    name = {"Deployment": "deployment", "StatefulSet": "stateful_set", "DaemonSet": "daemon_set"}[
        kind
    ]
    create = getattr(cluster.apps, f"create_namespaced_{name}")
    create(cluster.namespace, workload(kind, **spec))
    digest = settled(cluster, one, application)
    getattr(cluster.apps, f"patch_namespaced_{name}")("shop", cluster.namespace, image_patch(V2))
    cluster.wait("the second version", lambda: settled(cluster, one, application) != digest)
    settled(cluster, one, application)
    return one, application


def settled(
    cluster: KubernetesCluster, one: ApplicationPlatform, application: ProtectedApplication
) -> str:
    """Return the digest of what runs, once it is healthy everywhere."""
    comes(cluster, lambda: one.require_healthy(application))
    return next(each.digest for each in one.history(application) if each.current)


def stuck(
    cluster: KubernetesCluster, behaviour: Crashes | NeverReady
) -> tuple[ApplicationPlatform, ProtectedApplication, Change]:
    """Roll a version out that breaks the last pod of a StatefulSet."""
    one, application = platform_of(cluster), application_in(cluster, "statefulset")
    cluster.simulator.behave(V2, behaviour)
    body = workload("StatefulSet", replicas=2, serviceName="shop")
    cluster.apps.create_namespaced_stateful_set(cluster.namespace, body)
    settled(cluster, one, application)
    cluster.apps.patch_namespaced_stateful_set("shop", cluster.namespace, image_patch(V2))

    def broken() -> bool:
        last = cluster.pods()[-1]
        states = last.status.container_statuses or ()
        return last.spec.containers[0].image == V2 and any(not state.ready for state in states)

    cluster.wait("a broken pod", broken)
    return one, application, back_to(previous(one.history(application)))


def file(*objects: Any, path: str = "all.yaml") -> ConfigurationFile:
    """Return a file of several documents; JSON is YAML."""
    return ConfigurationFile(
        path=path, content="\n---\n".join(json.dumps(one) for one in objects).encode()
    )


def config_map(name: str = "settings", **data: str) -> dict[str, Any]:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str = "keys", **data: str) -> dict[str, Any]:
    """Return a Secret with values as they are written in one."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
