"""Azure Container Registry: identities of Azure, push times, and locks on single images.

Its own API is at the registry's host and takes the same tokens, so no further SDK is needed.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError
from azure.identity import CredentialUnavailableError, DefaultAzureCredential

from domain.checks import Finding, Verdict
from domain.errors import CredentialsRefusedError, ProviderUnavailableError
from providers.oci.client import NEXT, OciClient
from providers.oci.config import address_of
from providers.oci.credentials import Credentials, Keyring
from providers.oci.knowledge import Knowledge, Listed, by_tags, kept
from providers.oci.rest import Rest, object_in
from providers.oci.transport import Question

_AUDIENCE = "https://containerregistry.azure.net/.default"
_MOST = 16 * 2**20
_MOST_PAGES = 100
_READING, _CHANGING = "metadata", "metadata to change"
_MISSING = 404
_LOCKED = "locked against deletion (deleteEnabled false)"


def knowledge(host: str, named: Keyring) -> Knowledge:
    """Return what the registry of a host knows."""
    del named
    return Acr(host)


class Acr(Knowledge):
    """One registry, asked as what the worker is in Azure where the catalog names nobody."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._rest = Rest()
        self._azure: DefaultAzureCredential | None = None
        self._lock = threading.Lock()

    def credentials(self) -> Credentials | None:
        """Return what the registry's token service exchanges, given for the worker's identity."""
        doing = f"ask {self._host} for a token for the worker's identity in Azure"
        form = {
            "grant_type": "access_token",
            "service": self._host,
            "access_token": self._azures_token(doing),
        }
        given = self._rest.post(f"{address_of(self._host)}/oauth2/exchange", doing, form)
        token = given.get("refresh_token")
        if not isinstance(token, str):
            raise CredentialsRefusedError(
                f"{doing}: it answers without one; give the identity the role AcrPull"
            )
        return Credentials(identity=token)

    def listed(self, client: OciClient) -> Sequence[Listed] | None:
        """Return every manifest with when it was pushed."""
        path = f"/acr/v1/{client.place.path}/_manifests?orderby=timedesc&n=500"
        found: list[Listed] = []
        for _ in range(_MOST_PAGES):
            doing = f"list the manifests of {client.place}"
            answer = client.ask(Question("GET", path, most=_MOST), doing, purpose=_READING)
            found += [_listed(one) for one in object_in(answer, doing).get("manifests") or ()]
            following = NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                break
            target = urlsplit(urljoin(path, following[1]))
            path = f"{target.path}?{target.query}"
        return found

    def examine(
        self, client: OciClient, digest: str, tags: Sequence[str] | None
    ) -> Sequence[Finding]:
        """Return whether the image is locked, or at least not for the rule about untagged ones."""
        own = self._manifest(client, digest)
        if own is None:
            return []
        if not _may_go(own):
            return [kept(_LOCKED, Verdict.PASSED)]
        known = tuple(own.get("tags") or tags or ())
        return [by_tags(known, "it is not locked, and a retention policy deletes untagged images")]

    def protect(self, client: OciClient, digest: str) -> str:
        """Lock the image against deletion; unlocking it again is a person's decision."""
        own = self._manifest(client, digest)
        if own is None:
            return ""
        if _may_go(own):
            question = Question(
                "PATCH",
                f"/acr/v1/{client.place.path}/_manifests/{digest}",
                {"Content-Type": "application/json"},
                b'{"deleteEnabled": false}',
            )
            client.ask(question, f"lock {digest} of {client.place}", purpose=_CHANGING)
        return _LOCKED

    def _manifest(self, client: OciClient, digest: str) -> Mapping[str, Any] | None:
        doing = f"read the attributes of {digest} of {client.place}"
        question = Question("GET", f"/acr/v1/{client.place.path}/_manifests/{digest}", most=_MOST)
        answer = client.ask(question, doing, purpose=_READING, fine=(_MISSING,))
        if answer.status == _MISSING:
            return None
        found = object_in(answer, doing).get("manifest")
        return found if isinstance(found, dict) else None

    def _azures_token(self, doing: str) -> str:
        with self._lock:
            self._azure = self._azure or DefaultAzureCredential()
        try:
            return self._azure.get_token(_AUDIENCE).token
        except ServiceRequestError as error:
            raise ProviderUnavailableError(
                f"{doing}: Azure does not answer; Refloat asks again ({type(error).__name__})"
            ) from None
        except (CredentialUnavailableError, ClientAuthenticationError):
            raise CredentialsRefusedError(
                f"{doing}: the worker has no usable credentials of Azure; give it a managed "
                "identity, set AZURE_CLIENT_ID and its like, or name `user` and `password` of the "
                "registry in the catalog"
            ) from None  # its text may quote what a login's service said
        except AzureError as error:
            raise ProviderUnavailableError(
                f"{doing}: Azure gives no token; Refloat asks again ({type(error).__name__})"
            ) from None


def _may_go(own: Mapping[str, Any]) -> bool:
    attributes = own.get("changeableAttributes") or {}
    return attributes.get("deleteEnabled", True) is not False


def _listed(content: Mapping[str, Any]) -> Listed:
    return Listed(
        digest=str(content.get("digest", "")),
        tags=tuple(sorted(content.get("tags") or ())),
        pushed_at=_moment(content.get("createdTime")),
        size_bytes=int(content.get("imageSize") or 0),
    )


def _moment(text: object) -> datetime | None:
    """Return a time as Azure writes it, to 100 nanoseconds."""
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
