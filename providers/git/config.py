"""How a repository of the catalog is reached, and as whom its commits are written."""

import hashlib
import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dulwich.client import parse_rsync_url

from domain.configuration import Repository
from domain.errors import CatalogError, SecretUnavailableError
from providers.secrets.references import Secrets

_AUTHOR = re.compile(r"[^<>\n\0]*[^<>\n\0 ] <[^<>\n\0 ]+>")
_TAKEN_BY = {"gitlab": "oauth2", "bitbucket": "x-token-auth"}
_TOKEN_USER = "x-access-token"  # noqa: S105 - the user name that goes with a token


class Way(Enum):
    """How bytes get to the repository and back."""

    LOCAL = "local"
    SSH = "ssh"
    HTTPS = "https"


@dataclass(frozen=True)
class Remote:
    """One repository as this worker reaches it; `url` holds no credentials, and is for people."""

    way: Way
    url: str
    path: str
    host: str = ""
    port: int | None = None
    user: str = ""
    token: str = field(default="", repr=False)
    key: str = ""
    known_hosts: str = ""
    ca: str = ""

    @property
    def id(self) -> str:
        """Name for a folder of its own."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:20]


def reach(repository: Repository, base: Path, secrets: Secrets) -> Remote:
    """Return how a repository is reached; relative paths count from `base`.

    Raises:
        CatalogError: the address has no form that is known.
        SecretUnavailableError: the token's reference leads nowhere, or the key's to no file.
    """
    url = repository.url
    if url.startswith("https://"):
        token = secrets.read(repository.token) if repository.token else ""
        return _by_https(repository, token, base)
    if url.startswith("ssh://"):
        return _by_ssh_url(repository, base)
    if "://" not in url and re.match(r"[^/]+:", url):
        user_host, path = _host_and_path(url)
        return _by_ssh(repository, base, user_host, None, path)
    if "://" in url and not url.startswith("file://"):
        raise CatalogError(
            f"repository {url}: not an address that is known; write a path, ssh://user@host/path, "
            "user@host:path or https://host/path"
        )
    place = str((base / Path(url.removeprefix("file://")).expanduser()).resolve())
    return Remote(way=Way.LOCAL, url=place, path=place)


def _by_https(repository: Repository, token: str, base: Path) -> Remote:
    parts = urlsplit(repository.url)
    host = parts.hostname or ""
    if not host:
        raise CatalogError(f"repository {repository.url}: it names no host")
    user = next((user for name, user in _TAKEN_BY.items() if name in host), _TOKEN_USER)
    return Remote(
        way=Way.HTTPS,
        url=repository.url.rstrip("/"),
        path=parts.path,
        host=host,
        port=parts.port,
        user=repository.user or user,
        token=token,
        ca=str((base / Path(repository.ca).expanduser()).resolve()) if repository.ca else "",
    )


def _by_ssh_url(repository: Repository, base: Path) -> Remote:
    parts = urlsplit(repository.url)
    user = f"{unquote(parts.username)}@" if parts.username else ""
    if parts.password:
        raise CatalogError("a repository's ssh address carries a password; write a key instead")
    return _by_ssh(
        repository, base, f"{user}{parts.hostname or ''}", parts.port, unquote(parts.path)
    )


def _host_and_path(url: str) -> tuple[str, str]:
    user, host, path = parse_rsync_url(url)
    return (f"{user}@{host}" if user else host), path


def _by_ssh(
    repository: Repository, base: Path, user_host: str, port: int | None, path: str
) -> Remote:
    user, _, host = user_host.rpartition("@")
    if not host or user_host.startswith("-") or host.startswith("-") or not path.strip("/"):
        raise CatalogError(f"repository {repository.url}: it names no host or no path")
    known = repository.known_hosts
    return Remote(
        way=Way.SSH,
        url=repository.url,
        path=path.removeprefix("/") if path.startswith("/~") else path,
        host=host,
        port=port,
        user=user,
        key=str(key_file(repository.key, base)) if repository.key else "",
        known_hosts=str((base / Path(known).expanduser()).resolve()) if known else "",
    )


def key_file(reference: str, base: Path) -> Path:
    """Return the file of an SSH private key by its reference.

    Raises:
        SecretUnavailableError: the reference is of another kind, or no file is there.
    """
    scheme, _, rest = reference.partition(":")
    if scheme != "file" or not rest:
        raise SecretUnavailableError(
            f"SSH key {reference.partition(':')[0]}:…: an SSH key is read by ssh itself; write file:PATH"
        )
    path = (base / Path(rest).expanduser()).resolve()
    if not path.is_file():
        raise SecretUnavailableError(f"SSH key {reference}: no such file where the worker runs")
    return path


def author(repository: Repository) -> bytes:
    """Return as whom commits are written, `Name <mail>`.

    Raises:
        CatalogError: it has another form.
    """
    if not _AUTHOR.fullmatch(repository.author):
        raise CatalogError(f"author {repository.author!r}: write `Name <mail>`")
    return repository.author.encode()


def folder(repository: Repository) -> bytes:
    """Return the configuration's folder, empty for the whole repository.

    Raises:
        CatalogError: it leads out of the repository.
    """
    parts = [part for part in repository.path.split("/") if part not in {"", "."}]
    if ".." in parts or ".git" in parts:
        raise CatalogError(f"path {repository.path!r}: it leads out of the repository's files")
    return "/".join(parts).encode()
