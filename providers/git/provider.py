"""Puts the parts of the Git provider together."""

from pathlib import Path

from domain.platforms import ConfigurationRepository
from providers.git.repositories import GitRepositories
from providers.secrets.references import Secrets


def repositories(state: Path, base: Path, secrets: Secrets) -> ConfigurationRepository:
    """Return what can be done with the configurations of a catalog.

    `state` is a folder for copies of what was fetched, which may be lost; relative paths of the
    catalog count from `base`.
    """
    return GitRepositories(state, base, secrets)
