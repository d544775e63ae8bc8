"""What only some clusters have: other credentials, certificates, limits, controllers and kinds."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.config import incluster_config

from domain.errors import (
    AccessDeniedError,
    CredentialsRefusedError,
    NotYetError,
    ResourceMissingError,
    UntrustedServerError,
)
from domain.resources import KubernetesPlatform
from providers.kubernetes.client import Cluster, Json, Kind
from providers.kubernetes.config import load
from providers.kubernetes.discovery import Discovery
from providers.kubernetes.manifests import manifests
from providers.kubernetes.owners import owners
from providers.kubernetes.serverside import ServerSide
from providers.kubernetes.workloads import DEPLOYMENT, Workload
from simulators.kubernetes.planted import Fault
from tests.kubernetes_cluster import (
    FAST,
    REAL,
    KubernetesCluster,
    kubernetes_cluster,
)
from tests.providers.kubernetes_stand import (
    application_in,
    file,
    platform_of,
)


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster with a namespace of the test's own."""
    with kubernetes_cluster() as made:
        yield made


def test_credentials_that_were_renewed_are_read_again(cluster: KubernetesCluster) -> None:
    cluster.deploy()
    one, application = platform_of(cluster), application_in(cluster)
    one.version(application)
    cluster.simulator.token = "another"

    with pytest.raises(CredentialsRefusedError):
        one.version(application)
    cluster.simulator.write_kubeconfig(cluster.kubeconfig)

    assert one.version(application)


def test_a_server_of_another_authority_is_not_trusted() -> None:
    if REAL:
        pytest.skip("only a simulated cluster can do this")
    with kubernetes_cluster(FAST, tls=True) as cluster:
        application = application_in(cluster)
        with pytest.raises(ResourceMissingError):
            platform_of(cluster).version(application)
        text = cluster.kubeconfig.read_text()
        line = next(one for one in text.splitlines() if "certificate-authority" in one)
        cluster.kubeconfig.write_text(text.replace(f"{line}\n", ""))

        with pytest.raises(UntrustedServerError, match="does not prove who it is"):
            platform_of(cluster).version(application)


def test_a_cluster_that_is_overloaded_is_asked_again_when_it_says(
    cluster: KubernetesCluster,
) -> None:
    cluster.deploy()
    cluster.simulator.fault(Fault(path=".*/deployments/shop", status=429, retry_after=3))

    with pytest.raises(Exception, match="slow down") as caught:
        platform_of(cluster).version(application_in(cluster))

    assert getattr(caught.value, "pace", None) == timedelta(seconds=3)
    assert not isinstance(caught.value, ApiException)


def test_inside_a_cluster_the_pods_own_account_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("pods-own")
    (tmp_path / "ca.crt").write_text("a certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)

    settings = load(tmp_path, "", "").settings

    assert settings.host == "https://10.0.0.1:443"
    assert settings.get_api_key_with_prefix("BearerToken") == "bearer pods-own"


class _Scripted(Cluster):
    """A cluster that has one object more, of a kind that the simulated one does not know."""

    def __init__(self, cluster: KubernetesCluster, spec: Json | None) -> None:
        place = application_in(cluster).platform
        assert isinstance(place, KubernetesPlatform)
        super().__init__(cluster.kubeconfig.parent, place)
        self._spec = spec

    def get(self, kind: Kind, namespace: str, name: str) -> Json:
        if self._spec is None:
            raise AccessDeniedError("not allowed")
        return {"spec": self._spec, "metadata": {"name": name, "namespace": namespace}}


FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps"}
ARGO = {"argocd.argoproj.io/instance": "storefront"}


@pytest.mark.parametrize(
    ("labels", "spec", "good", "said"),
    [
        (FLUX, {"suspend": True}, True, "is suspended"),
        (FLUX, {"suspend": False}, False, "Flux, by Kustomization flux-system/apps looks after it"),
        (FLUX, None, False, "may not read it"),
        (ARGO, {"syncPolicy": {}}, True, "is suspended"),
        (ARGO, {"syncPolicy": {"automated": {"enabled": False}}}, True, "is suspended"),
        (ARGO, {"syncPolicy": {"automated": {"prune": True}}}, False, "Argo CD, by Application"),
        (ARGO, None, False, "may not read it"),
    ],
)
def test_a_controller_that_is_suspended_undoes_nothing(
    *, labels: dict[str, str], spec: Json | None, good: bool, said: str, cluster: KubernetesCluster
) -> None:
    live = cluster.deploy()
    shop = Workload(_Scripted(cluster, spec), DEPLOYMENT, cluster.namespace, live.metadata.name)

    found = next(iter(owners(shop, {"metadata": {"labels": labels}, "spec": {}})))

    assert found.good is good
    assert said in found.observed


class _Defines(Discovery):
    """What a cluster says of its kinds while a definition was applied and is not served yet."""

    def find(self, api_version: str, kind: str) -> Kind | None:
        if kind == "CustomResourceDefinition":
            return Kind("v1", "configmaps", "ConfigMap")
        return super().find(api_version, kind)


def test_a_kind_that_the_files_define_is_waited_for_until_it_is_served(
    cluster: KubernetesCluster,
) -> None:
    definition = {
        "apiVersion": "v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "names": {"kind": "Widget"}, "scope": "Namespaced"},
    }
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}
    held = _Scripted(cluster, None)
    applier = ServerSide(held, _Defines(held), "label", cluster.namespace)

    placed = applier.place(manifests([file(widget, definition)]))

    assert [one.manifest.kind for one in placed] == ["CustomResourceDefinition", "Widget"]
    trial = applier.trials(placed[1:])[0]
    assert (trial.refused, trial.changes) == (None, True)
    with pytest.raises(NotYetError, match="serve the kind Widget"):
        applier.apply(placed[1])
