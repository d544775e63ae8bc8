"""Whose name a registry is asked in: the catalog's, or what `docker login` and the like left."""

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from domain.entries import RegistryEntry
from domain.errors import ConfigurationRefusedError
from providers.oci.config import HUB, HUBS_NAMES, Place
from providers.secrets.references import Secrets

_HUBS_KEY = "https://index.docker.io/v1/"
_PROGRAM = re.compile(r"[A-Za-z0-9][\w.-]*")
_PROGRAMS_SECONDS = 20
_NO_USER = "<token>"


@dataclass(frozen=True)
class Credentials:
    """A user with a password, or a token that stands for both; none of it is ever shown."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    """What a token service exchanges for tokens: `docker login` to Azure leaves such."""
    bearer: str = field(default="", repr=False)
    """What the registry itself takes."""

    @property
    def basic(self) -> str:
        """The header of basic authentication."""
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


Keyring: TypeAlias = Callable[[], Credentials | None]
"""Reads the credentials at the last moment; None asks anonymously."""


def from_entry(entry: RegistryEntry, secrets: Secrets) -> Credentials | None:
    """Return the credentials that the catalog names, or None where it names none.

    Raises:
        SecretUnavailableError: the password's reference leads nowhere.
    """
    if entry.password is None:
        return None
    return Credentials(entry.user, secrets.read(entry.password))


def from_docker(place: Place, environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """Return what the usual tools left for a repository, its nearest entry first.

    Raises:
        ConfigurationRefusedError: a file of theirs is broken; its content is not repeated.
    """
    for path in _files(environment):
        content = _content(path)
        found = _program(content, place, path) or _stored(content, place, path)
        if found is not None:
            return found
    return None


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment["HOME"]) if environment.get("HOME") else Path.home()
    if environment.get("REGISTRY_AUTH_FILE"):
        yield Path(environment["REGISTRY_AUTH_FILE"])
    if environment.get("XDG_RUNTIME_DIR"):
        yield Path(environment["XDG_RUNTIME_DIR"]) / "containers" / "auth.json"
    yield Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigurationRefusedError(
            f"{path}: {error.strerror}; let the worker's account read it, or remove it"
        ) from None
    except ValueError:
        raise _broken(path) from None  # the decoder quotes what it read
    if not isinstance(content, dict):
        raise _broken(path)
    return content


def _broken(path: Path) -> ConfigurationRefusedError:
    return ConfigurationRefusedError(f"{path}: not the JSON that `docker login` writes; correct it")


def _keys(place: Place) -> Iterator[str]:
    """Yield what an entry for a repository may be called, the nearest first: podman names paths."""
    parts = place.path.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join((place.host, *parts[:count]))
    yield from HUBS_NAMES if place.host == HUB else (place.host,)


def _named(key: str) -> str:
    """Return an entry's key without the scheme and the version that old tools wrote."""
    return re.sub(r"/v[12]/?$", "", re.sub(r"^https?://", "", key)).rstrip("/")


def _stored(content: Mapping[str, Any], place: Place, path: Path) -> Credentials | None:
    kept = content.get("auths")
    named = {_named(key): value for key, value in kept.items()} if isinstance(kept, dict) else {}
    entry: Mapping[str, Any] = next(
        (named[key] for key in _keys(place) if isinstance(named.get(key), dict)), {}
    )
    if entry.get("identitytoken"):
        return Credentials(identity=str(entry["identitytoken"]))
    if entry.get("registrytoken"):
        return Credentials(bearer=str(entry["registrytoken"]))
    if not entry.get("auth"):
        known = entry.get("username") and entry.get("password")
        return Credentials(str(entry["username"]), str(entry["password"])) if known else None
    try:
        pair = base64.b64decode(str(entry["auth"]), validate=True).decode()
    except (binascii.Error, ValueError):
        raise _broken(path) from None
    user, _, password = pair.rstrip("\0").partition(":")
    return Credentials(user, password)


def _program(content: Mapping[str, Any], place: Place, path: Path) -> Credentials | None:
    """Return what the helper program of a host answers; the host goes in by its input."""
    helpers = content.get("credHelpers")
    own = helpers.get(place.host) if isinstance(helpers, dict) else None
    name = own or content.get("credsStore")
    if not name:
        return None
    program = shutil.which(f"docker-credential-{name}") if _PROGRAM.fullmatch(str(name)) else None
    if program is None:
        if own is None:
            return None  # a store of somebody's desktop, which the worker's machine need not have
        raise ConfigurationRefusedError(
            f"{path}: docker-credential-{name} is not installed where the worker runs"
        )
    asked = _HUBS_KEY if place.host == HUB else place.host
    try:
        done = subprocess.run(
            [program, "get"],
            input=asked.encode(),
            capture_output=True,
            timeout=_PROGRAMS_SECONDS,
            check=True,
        )
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (OSError, ValueError, TypeError, KeyError, subprocess.SubprocessError):
        return None  # it has none for this host; what it printed may be a secret
    return Credentials(identity=secret) if user == _NO_USER else Credentials(user, secret)
