"""A Kubernetes cluster for tests: a simulated one, or the one that REFLOAT_TEST_KUBECONFIG names.

Each test has a namespace of its own in it, and the official client.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException

from simulators.kubernetes.cluster import Pace
from simulators.kubernetes.images import CannotBePulled
from simulators.kubernetes.server import KubernetesSimulator

V1, V2 = "registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.10"
"""Two versions that run, in a simulated cluster and in a real one."""
MISSING = "registry.k8s.io/pause:there-is-no-such-tag"
"""One that no node can pull."""
APPLY = "application/apply-patch+yaml"
FAST = Pace(start_seconds=0.02, stop_seconds=0.01, back_off_seconds=0.05, notice_seconds=0.001)
REAL = os.environ.get("REFLOAT_TEST_KUBECONFIG", "")


@dataclass
class KubernetesCluster:
    """A cluster with a namespace for one test; the clients are `Any`, for they have no types."""

    kubeconfig: Path
    namespace: str
    client: Any
    held: KubernetesSimulator | None

    def __post_init__(self) -> None:
        """Put the parts at hand."""
        self.core: Any = kubernetes.client.CoreV1Api(self.client)
        self.apps: Any = kubernetes.client.AppsV1Api(self.client)

    @property
    def simulator(self) -> KubernetesSimulator:
        """What only a simulated cluster can do; a test that asks for it is skipped at a real one."""
        if self.held is None:
            pytest.skip("only a simulated cluster can do this")
        return self.held

    def deploy(self, name: str = "shop", image: str = V1, **spec: Any) -> Any:
        """Make a Deployment and return it."""
        body = workload("Deployment", name, image, **spec)
        return self.apps.create_namespaced_deployment(self.namespace, body)

    def deployment(self, name: str = "shop") -> Any:
        """Return a Deployment."""
        return self.apps.read_namespaced_deployment(name, self.namespace)

    def set_image(self, image: str, name: str = "shop") -> Any:
        """Give a Deployment's container another image."""
        return self.apps.patch_namespaced_deployment(name, self.namespace, image_patch(image))

    def wait_rolled_out(self, name: str = "shop") -> Any:
        """Return a Deployment once all of its pods are of its template and available."""

        def rolled_out() -> Any:
            found = self.deployment(name)
            status, wanted = found.status, found.spec.replicas
            counts = (status.replicas, status.updated_replicas, status.available_replicas)
            observed = status.observed_generation == found.metadata.generation
            return found if observed and counts == (wanted,) * 3 else None

        return self.wait(f"the rollout of {name}", rolled_out)

    def pods(self, app: str = "shop") -> list[Any]:
        """Return the pods of an application, by name."""
        found = self.core.list_namespaced_pod(self.namespace, label_selector=f"app={app}").items
        return sorted(found, key=lambda pod: str(pod.metadata.name))

    def wait(self, what: str, true: Callable[[], Any]) -> Any:
        """Return what `true` returns once it is true."""
        within, pause = (120.0, 0.5) if self.held is None else (10.0, 0.005)
        deadline = time.monotonic() + within
        while not (found := true()):
            assert time.monotonic() < deadline, f"waited {within:.0f} s for {what}"
            time.sleep(pause)
        return found

    def raw(
        self, path: str, method: str = "GET", body: Any = None, content: str = "", **query: Any
    ) -> Any:
        """Call the API without the client's types, and return the answer's JSON."""
        headers = {"Accept": "application/json", "Content-Type": content or "application/json"}
        return self.client.call_api(
            path,
            method,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
            response_types_map=dict.fromkeys((200, 201, 202), "object"),
            _return_http_data_only=True,
        )

    def apply(self, config: dict[str, Any], manager: str = "refloat", **query: Any) -> Any:
        """Apply a configuration at the server's side, and return the answer's JSON."""
        group = "api/v1" if config["apiVersion"] == "v1" else f"apis/{config['apiVersion']}"
        plural, name = f"{config['kind'].lower()}s", config["metadata"]["name"]
        path = f"/{group}/namespaces/{self.namespace}/{plural}/{name}"
        return self.raw(path, "PATCH", config, APPLY, fieldManager=manager, **query)


def workload(kind: str, name: str = "shop", image: str = V1, **spec: Any) -> dict[str, Any]:
    """Return a workload of the group `apps` with one container, `app`."""
    labels = {"app": name}
    template = {
        "metadata": {"labels": dict(labels)},
        "spec": {
            "containers": [{"name": "app", "image": image}],
            "terminationGracePeriodSeconds": 1,
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def image_patch(image: str) -> dict[str, Any]:
    """Return the strategic merge patch that gives the container `app` another image."""
    container = {"name": "app", "image": image}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def refusal_of(act: Callable[[], object]) -> ApiException:
    """Return the error by which a call is refused."""
    with pytest.raises(ApiException) as caught:
        act()
    return caught.value


@contextmanager
def kubernetes_cluster(pace: Pace = FAST, *, tls: bool = False) -> Iterator[KubernetesCluster]:
    """Hold a cluster; what the test made in it is gone after the block."""
    if REAL:
        with _entered(Path(REAL), None) as cluster:
            yield cluster
        return
    with KubernetesSimulator(pace, tls=tls) as simulator, _folder() as folder:
        simulator.behave(MISSING, CannotBePulled())
        kubeconfig = simulator.write_kubeconfig(folder / "kubeconfig")
        with _entered(kubeconfig, simulator) as cluster:
            yield cluster


@contextmanager
def _entered(
    kubeconfig: Path, simulator: KubernetesSimulator | None
) -> Iterator[KubernetesCluster]:
    client = kubernetes.config.new_client_from_config(str(kubeconfig))
    core = kubernetes.client.CoreV1Api(client)
    made = core.create_namespace({"metadata": {"generateName": "refloat-test-"}})
    try:
        yield KubernetesCluster(kubeconfig, made.metadata.name, client, simulator)
    finally:
        if simulator is None:
            core.delete_namespace(made.metadata.name)
        client.close()
        client.rest_client.pool_manager.clear()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="refloat-test-") as folder:
        yield Path(folder)
