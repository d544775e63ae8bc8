"""Puts the parts of the Kubernetes provider together."""

from pathlib import Path

from domain.platforms import ApplicationPlatform, ConfigurationPlatform
from providers.kubernetes.applications import KubernetesApplications
from providers.kubernetes.client import Clusters
from providers.kubernetes.configurations import KubernetesConfigurations


def platform(base: Path, scale: float = 1.0) -> ApplicationPlatform:
    """Return how applications in clusters are gone back with.

    Paths of kubeconfigs are relative to `base`; `scale` is how many times faster than reality a
    simulated cluster works.
    """
    return KubernetesApplications(Clusters(base, scale))


def configurations(base: Path, scale: float = 1.0) -> ConfigurationPlatform:
    """Return how configurations take effect in clusters; as for `platform`."""
    return KubernetesConfigurations(Clusters(base, scale))
