"""HTTP to a registry: bounded, encrypted, and without the credentials on any other host.

The client library `oras` was read and is not used: it sets no timeouts, keeps no exact bytes of a
manifest, logs what the registry answers, and reads credentials from files that nobody named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from domain.errors import ConfigurationRefusedError, UntrustedServerError
from providers.oci.config import is_loopback

AT_ONCE = 4
"""Calls that one question makes side by side."""
_TIMEOUT = (5.0, 30.0)
_MOST_STEPS = 5
_MOVED = frozenset((301, 302, 303, 307, 308))
_CHUNK = 2**16
_SHORT = "IncompleteRead"


@dataclass(frozen=True)
class Answer:
    """What came back; `elsewhere` where a redirect led to another host, whose answer this is."""

    status: int
    headers: CaseInsensitiveDict[str]
    body: bytes = b""
    elsewhere: bool = False


@dataclass(frozen=True)
class Question:
    """One request; more than `most` bytes of an answer are refused.

    With `cut` they are left unread, and an answer that ends before its announced length is what it
    is: registries end so when they only remember a blob. Without `follow`, a redirect is an answer.
    """

    verb: str
    url: str
    headers: Mapping[str, str] | None = None
    body: bytes | Mapping[str, str] | None = None
    most: int = 0
    cut: bool = False
    follow: bool = True


class _Authorization(requests.auth.AuthBase):
    """Sets one header, or none: an explicit one keeps the library from reading `~/.netrc`."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value:
            request.headers["Authorization"] = self._value
        return request


class Transport:
    """Sends requests, each once: Temporal repeats, and nobody else."""

    def __init__(self, ca: Path | None) -> None:
        self._ca = ca
        self._near, self._far = _session(), _session()
        self._near.trust_env = False  # a proxy does not reach this machine's own registry

    def send(self, question: Question, authorization: str | None) -> Answer:
        """Return the answer, after the redirects of what is only read.

        Raises what `requests` raises, `UntrustedServerError` before anything would travel without
        encryption, and `ConfigurationRefusedError` where a certificate file is missing.
        """
        url, elsewhere = question.url, False
        for _ in range(_MOST_STEPS):
            answer = self._once(question, url, None if elsewhere else authorization)
            answer = replace(answer, elsewhere=elsewhere)
            target = answer.headers.get("Location", "")
            followed = question.follow and question.verb in {"GET", "HEAD"} and target
            if answer.status not in _MOVED or not followed:
                return answer
            following = urljoin(url, target)
            elsewhere = elsewhere or _origin(following) != _origin(url)
            url = following
        raise ConfigurationRefusedError(
            f"{_origin(question.url)[1]}: the registry redirects in a circle; correct its host"
        )

    def _once(self, question: Question, url: str, authorization: str | None) -> Answer:
        near = is_loopback(urlsplit(url).netloc.rpartition("@")[2])
        if urlsplit(url).scheme != "https" and not near:
            raise UntrustedServerError(
                f"{_origin(question.url)[1]}: the registry leads to {_origin(url)[1]} without "
                "encryption, where Refloat does not follow"
            )
        if self._ca is not None and not self._ca.is_file():
            raise ConfigurationRefusedError(
                f"{self._ca}: no such file of certificates; correct `ca` of the registry"
            )
        with (self._near if near else self._far).request(
            question.verb,
            url,
            headers=dict(question.headers or {}),
            data=question.body,
            auth=_Authorization(authorization),
            timeout=_TIMEOUT,
            allow_redirects=False,
            stream=True,
            verify=str(self._ca) if self._ca else True,
        ) as response:
            return Answer(response.status_code, response.headers, _read(response, question))


def _session() -> requests.Session:
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", HTTPAdapter(pool_maxsize=2 * AT_ONCE))
    session.mount("http://", HTTPAdapter(pool_maxsize=2 * AT_ONCE))
    # a proxy that compresses would change the bytes that a digest is the digest of
    session.headers.update({"User-Agent": "refloat", "Accept-Encoding": "identity"})
    return session


def _read(response: requests.Response, question: Question) -> bytes:
    """Return the body, of an error's no more than is worth showing."""
    refused = response.status_code >= requests.codes.bad_request
    found, room = bytearray(), _CHUNK if refused else question.most
    try:
        for chunk in response.iter_content(_CHUNK) if room else ():
            found += chunk
            if len(found) > room:
                break
    except requests.exceptions.ChunkedEncodingError as error:
        if not question.cut or _SHORT not in str(error):
            raise
    if len(found) > room and not refused and not question.cut:
        raise ConfigurationRefusedError(
            f"{_origin(response.url)[1]}: an answer of more than {room} bytes, which is no "
            "manifest and no configuration of an image"
        )
    return bytes(found)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()
