"""How images are named, and which host of which registry a name means."""

import ipaddress
import re
from dataclasses import dataclass

from domain.errors import CatalogError

HUB = "docker.io"
_HUBS_API = "registry-1.docker.io"
HUBS_NAMES = (HUB, "index.docker.io", _HUBS_API)
_PATH = re.compile(
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)
_HOST = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True)
class Place:
    """One repository: the host as images name it, and the path below it."""

    host: str
    path: str

    @property
    def address(self) -> str:
        """Where the host's API is; without encryption only on this machine."""
        return address_of(_HUBS_API if self.host == HUB else self.host)

    def __str__(self) -> str:
        """Return the repository in full."""
        return f"{self.host}/{self.path}"


def place_of(repository: str) -> Place:
    """Return the place of a repository as a pod names it; a bare name is one of Docker's.

    Raises:
        CatalogError: it is no name of a repository.
    """
    first, slash, rest = repository.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    host, path = (first, rest) if named else (HUB, repository)
    if host in HUBS_NAMES:
        host, path = HUB, path if "/" in path else f"library/{path}"
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(path):
        raise CatalogError(
            f"image {repository!r}: no name of a repository; write host/path without tag and digest"
        )
    return Place(host, path)


def address_of(host: str) -> str:
    """Return the address of a host: encrypted, unless it is this machine."""
    return f"{'http' if is_loopback(host) else 'https'}://{host}"


def is_loopback(host: str) -> bool:
    """Return whether a host, with or without a port, is this machine."""
    name = host[1 : host.index("]")] if host.startswith("[") and "]" in host else host
    name = name.partition(":")[0] if name.count(":") == 1 else name
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
