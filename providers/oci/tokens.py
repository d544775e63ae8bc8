"""How a registry's challenge is answered: with a password, or with a token that a service gives."""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import urlencode, urljoin, urlsplit

from domain.errors import ConfigurationRefusedError, CredentialsRefusedError
from providers.oci.config import is_loopback
from providers.oci.credentials import Credentials, Keyring
from providers.oci.errors import refusal_of
from providers.oci.transport import Answer, Question

_SCHEME = re.compile(r"(?:^|,)\s*(Bearer|Basic)\b\s*", re.IGNORECASE)
_FIELD = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_MOST = 2**18
_USUAL_SECONDS = 60  # what the specification of tokens says where a service does not
_BASIC_SECONDS = 300
_USED = 0.8  # of a token's life: our clock is not the service's
_CLIENT = "refloat"
_REFUSED = frozenset((400, 401, 403))  # Azure's service says 400 to a token that it does not take
_OWN_PROBLEM = 500

Send: TypeAlias = Callable[[Question, str | None], Answer]


@dataclass(frozen=True)
class Challenge:
    """What a registry wants before it answers."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


@dataclass(frozen=True)
class _Given:
    header: str
    until: float


def challenge_in(header: str) -> Challenge | None:
    """Return the challenge of a `WWW-Authenticate` header, a token's before a password's."""
    parts = _SCHEME.split(header)
    found: dict[str, Challenge] = {}
    for scheme, told in zip(parts[1::2], parts[2::2], strict=True):
        fields = {name.lower(): quoted or bare for name, quoted, bare in _FIELD.findall(told)}
        known = {name: fields.get(name, "") for name in ("realm", "service", "scope")}
        found.setdefault(scheme.lower(), Challenge(scheme.lower(), **known))
    return found.get("bearer") or found.get("basic")


class Authenticator:
    """Keeps what was given for each purpose until shortly before it expires."""

    def __init__(self, keyring: Keyring, send: Send) -> None:
        self._keyring, self._send = keyring, send
        self._given: dict[str, _Given] = {}
        self._lock = threading.Lock()

    def header(self, purpose: str) -> str | None:
        """Return what was given for a purpose, while it is valid."""
        given = self._given.get(purpose)
        return given.header if given and given.until > time.monotonic() else None

    def answer(self, purpose: str, asked: Question, told: str, refused: str | None) -> str | None:
        """Return the header that answers a challenge, or None where nothing can.

        `refused` is what was sent before: several calls that were refused at once get one token.
        """
        challenge = challenge_in(told)
        if challenge is None:
            return None
        with self._lock:
            present = self.header(purpose)
            if present and present != refused:
                return present
            given = self._ask(challenge, asked)
            if given is None:
                self._given.pop(purpose, None)
                return None
            self._given[purpose] = given
            return given.header

    def _ask(self, challenge: Challenge, asked: Question) -> _Given | None:
        credentials = self._keyring()
        now = time.monotonic()
        if credentials is not None and credentials.bearer:
            return _Given(f"Bearer {credentials.bearer}", now + _BASIC_SECONDS)
        if challenge.scheme == "basic":
            known = credentials is not None and not credentials.identity
            return (
                _Given(credentials.basic, now + _BASIC_SECONDS) if credentials and known else None
            )
        realm = urljoin(asked.url, challenge.realm)
        doing = f"ask {urlsplit(realm).netloc} for a token"
        if urlsplit(realm).scheme != "https" and not is_loopback(urlsplit(realm).netloc):
            raise ConfigurationRefusedError(
                f"{doing}: it is not encrypted, and would be told the password; correct the "
                "registry's configuration"
            )
        token, seconds = self._token(doing, realm, challenge, credentials)
        return _Given(f"Bearer {token}", now + seconds * _USED)

    def _token(
        self, doing: str, realm: str, challenge: Challenge, credentials: Credentials | None
    ) -> tuple[str, float]:
        wanted = {"service": challenge.service, "scope": challenge.scope}
        wanted = {name: value for name, value in wanted.items() if value}
        if credentials is not None and credentials.identity:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, **wanted}
            form["refresh_token"] = credentials.identity
            answer = self._send(Question("POST", realm, body=form, most=_MOST), None)
        else:
            scopes = [("scope", one) for one in wanted.pop("scope", "").split(" ") if one]
            query = urlencode([*wanted.items(), *scopes])
            url = f"{realm}{'&' if urlsplit(realm).query else '?'}{query}"
            basic = credentials.basic if credentials else None
            answer = self._send(Question("GET", url, most=_MOST), basic)
        if answer.status in _REFUSED:
            raise _refused(doing, credentials)
        passing = answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= _OWN_PROBLEM
        if passing:
            raise refusal_of(doing, answer.status, answer.headers, answer.body)
        return _token_in(doing, answer.body if answer.status == HTTPStatus.OK else b"")


def _refused(doing: str, credentials: Credentials | None) -> CredentialsRefusedError:
    if credentials is None:
        return CredentialsRefusedError(
            f"{doing}: it gives none without credentials; name `user` and `password` of the "
            "registry in the catalog, or `docker login` where the worker runs"
        )
    return CredentialsRefusedError(
        f"{doing}: it does not accept the credentials, wrong or expired; renew `user` and "
        "`password` of the registry, or `docker login` where the worker runs"
    )


def _token_in(doing: str, body: bytes) -> tuple[str, float]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    found: Mapping[str, object] = content if isinstance(content, dict) else {}
    token = found.get("token") or found.get("access_token")
    if not isinstance(token, str):
        raise ConfigurationRefusedError(
            f"{doing}: it answers without a token, so it is no token service; correct the "
            "registry's configuration"
        )
    seconds = found.get("expires_in")
    lasts = isinstance(seconds, int | float) and seconds > 0
    return token, float(seconds) if lasts and isinstance(seconds, int | float) else _USUAL_SECONDS
