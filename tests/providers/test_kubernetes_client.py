"""Credentials, certificates and limits of a cluster, as calls meet them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from kubernetes.client.exceptions import ApiException

from domain.errors import (
    CredentialsRefusedError,
    ResourceMissingError,
    UntrustedServerError,
)
from simulators.kubernetes.planted import Fault
from tests.kubernetes_cluster import (
    FAST,
    REAL,
    KubernetesCluster,
    kubernetes_cluster,
)
from tests.providers.test_kubernetes_stand import (
    application_in,
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
