"""The registries of a catalog: each image's by its host, each SDK imported when an entry asks."""

import importlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from domain.checks import Finding
from domain.entries import RegistryEntry
from domain.errors import CatalogError
from domain.platforms import ImageRegistry
from domain.rollback import Image
from providers.oci.client import OciClient
from providers.oci.config import HUB, HUBS_NAMES, Place, place_of
from providers.oci.credentials import Credentials, Keyring, from_docker, from_entry
from providers.oci.images import Repository
from providers.oci.knowledge import Knowledge, Plain
from providers.secrets.references import Secrets

_KINDS = {
    "ecr": ("providers.oci.ecr", "aws"),
    "artifact-registry": ("providers.oci.artifact_registry", "gcp"),
    "acr": ("providers.oci.acr", "azure"),
    "scaleway": ("providers.oci.scaleway", "scaleway"),
}
"""The module of each kind that knows more, and the extra that installs its SDK."""


class _Kind(Protocol):
    """The module of a kind."""

    def knowledge(self, host: str, named: Keyring) -> Knowledge:
        """Return what one registry's own API knows; makes no call.

        `named` reads the credentials that the catalog names.
        """
        ...


def registry(entries: Mapping[str, RegistryEntry], base: Path, secrets: Secrets) -> ImageRegistry:
    """Return the registries of a catalog, `entries` by their host; others are asked as they are.

    `base` is the folder of the catalog, from which paths count.
    """
    return Registries(entries, base, secrets)


class Registries(ImageRegistry):
    """Picks the registry by the host of each image, and reaches it when it is asked."""

    def __init__(self, entries: Mapping[str, RegistryEntry], base: Path, secrets: Secrets) -> None:
        self._entries = {HUB if host in HUBS_NAMES else host: one for host, one in entries.items()}
        self._base, self._secrets = base, secrets
        self._repositories: dict[Place, Repository] = {}
        self._knowledge: dict[str, Knowledge] = {}
        self._lock = threading.Lock()

    def images(self, repository: str, limit: int = 50) -> Sequence[Image]:
        """Return the images of a repository; of very many tags, those whose names sort last."""
        return self._of(repository).images(limit)

    def find(self, repository: str, reference: str) -> Image:
        """Return the image of a digest, the beginning of one, a tag or a commit."""
        return self._of(repository).find(reference)

    def examine(self, repository: str, digest: str) -> Sequence[Finding]:
        """Return whether every part of an image is there, and stays."""
        return self._of(repository).examine(digest)

    def protect(self, repository: str, digest: str) -> str:
        """Lock an image, or give it a tag, unless its registry's entry forbids it."""
        if not self._entry(place_of(repository)).protect:
            return ""
        return self._of(repository).protect(digest)

    def _of(self, repository: str) -> Repository:
        place = place_of(repository)
        with self._lock:
            if place not in self._repositories:
                self._repositories[place] = self._reach(place)
            return self._repositories[place]

    def _entry(self, place: Place) -> RegistryEntry:
        return self._entries.get(place.host, RegistryEntry())

    def _reach(self, place: Place) -> Repository:
        entry = self._entry(place)
        if place.host not in self._knowledge:
            self._knowledge[place.host] = _knowledge(
                place.host, entry, lambda: from_entry(entry, self._secrets)
            )
        knowledge = self._knowledge[place.host]

        def keyring() -> Credentials | None:
            named = from_entry(entry, self._secrets)
            return named or knowledge.credentials() or from_docker(place)

        ca = (self._base / Path(entry.ca).expanduser()) if entry.ca else None
        return Repository(OciClient(place, keyring, ca), knowledge)


def _knowledge(host: str, entry: RegistryEntry, named: Keyring) -> Knowledge:
    """Return what more the registry tells.

    Raises:
        CatalogError: the SDK of its kind is not installed.
    """
    if entry.kind not in _KINDS:
        return Plain()
    module, extra = _KINDS[entry.kind]
    try:
        kind = cast("_Kind", importlib.import_module(module))
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("providers"):
            raise
        raise CatalogError(
            f"registry {host} is of kind {entry.kind}, whose SDK is not installed (no module "
            f"{error.name}); install it with: pip install 'refloat[{extra}]'"
        ) from None
    return kind.knowledge(host, named)
