"""Google Artifact Registry: identities of Google, push times, and cleanup policies.

Its REST API is asked directly: two calls are not worth a client of gRPC.
"""

import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import google.auth
from google.auth import exceptions as auth
from google.auth.transport.requests import Request

from domain.checks import Finding
from domain.errors import CatalogError, CredentialsRefusedError, ProviderUnavailableError
from providers.oci.cleanup import Version, judge_cleanup, moment_of
from providers.oci.client import OciClient
from providers.oci.credentials import Credentials, Keyring
from providers.oci.knowledge import Knowledge, Listed
from providers.oci.rest import Rest

ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY"
"""Environment variable with another endpoint; gcloud's own."""
_API = "https://artifactregistry.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_HOST = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev")
_USER = "oauth2accesstoken"
_MOST_PAGES = 50
_PARTS = 3


def knowledge(host: str, named: Keyring) -> Knowledge:
    """Return what the registry of a host knows.

    Raises:
        CatalogError: the host is none of Artifact Registry's.
    """
    del named
    found = _HOST.fullmatch(host)
    if found is None:
        raise CatalogError(
            f"registry {host} is no host of Artifact Registry, such as europe-docker.pkg.dev; "
            "correct its kind"
        )
    return ArtifactRegistry(found[1])


class ArtifactRegistry(Knowledge):
    """The registry of one location, asked by the application default credentials."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._rest = Rest()
        self._google: Any = None
        self._lock = threading.Lock()

    def credentials(self) -> Credentials | None:
        """Return an access token as the password that the registry takes it for."""
        return Credentials(_USER, self._token())

    def listed(self, client: OciClient) -> Sequence[Listed] | None:
        """Return every image with when it was uploaded, or None where the path names none."""
        if _repository(client) is None:
            return None
        return [
            Listed(one.digest, one.tags, one.uploaded_at, one.size_bytes)
            for one in self._versions(client)
        ]

    def examine(
        self, client: OciClient, digest: str, tags: Sequence[str] | None
    ) -> Sequence[Finding]:
        """Return what the repository's cleanup policies will do to the image."""
        del tags
        repository = _repository(client)
        if repository is None:
            return []
        settings = self._get(f"{self._parent(repository)}", f"read the policies of {client.place}")
        versions = self._versions(client)
        package = client.place.path.split("/", _PARTS - 1)[-1]
        return judge_cleanup(settings, package, versions, digest)

    def protect(self, client: OciClient, digest: str) -> str:
        """Return that single images are not locked; a tag is what remains."""
        del client, digest
        return ""

    def _versions(self, client: OciClient) -> list[Version]:
        repository = _repository(client) or ("", "")
        found: list[Version] = []
        token = ""
        for _ in range(_MOST_PAGES):
            query = {"pageSize": "1000", **({"pageToken": token} if token else {})}
            path = f"{self._parent(repository)}/dockerImages?{urlencode(query)}"
            page = self._get(path, f"list the images of {client.place}")
            for one in page.get("dockerImages") or ():
                name, _, digest = str(one.get("uri", "")).rpartition("@")
                if name.partition("/")[2] == client.place.path:
                    found.append(_version(digest, one))
            token = str(page.get("nextPageToken") or "")
            if not token:
                break
        return found

    def _parent(self, repository: tuple[str, str]) -> str:
        project, name = (quote(one, safe="") for one in repository)
        return f"projects/{project}/locations/{self._location}/repositories/{name}"

    def _get(self, path: str, doing: str) -> Mapping[str, Any]:
        api = os.environ.get(ENDPOINT, _API).rstrip("/")
        return self._rest.get(f"{api}/v1/{path}", doing, authorization=f"Bearer {self._token()}")

    def _token(self) -> str:
        """Return a token that is still good for a while."""
        doing = "ask Google for a token"
        with self._lock:
            try:
                if self._google is None:
                    self._google, _ = google.auth.default(scopes=[_SCOPE])
                if not self._google.valid:
                    self._google.refresh(Request())
            except auth.TransportError:
                raise ProviderUnavailableError(
                    f"{doing}: Google could not be reached; Refloat asks again"
                ) from None
            except auth.GoogleAuthError as error:
                raise CredentialsRefusedError(
                    f"{doing}: no usable Google credentials; set GOOGLE_APPLICATION_CREDENTIALS "
                    f"or give the machine a service account ({type(error).__name__})"
                ) from None
            return str(self._google.token)


def _repository(client: OciClient) -> tuple[str, str] | None:
    """Return the project and the repository of a path, which has an image's name below them."""
    parts = client.place.path.split("/", _PARTS - 1)
    return (parts[0], parts[1]) if len(parts) == _PARTS else None


def _version(digest: str, content: Mapping[str, Any]) -> Version:
    return Version(
        digest=digest,
        tags=tuple(sorted(content.get("tags") or ())),
        uploaded_at=moment_of(content.get("uploadTime")),
        size_bytes=int(content.get("imageSizeBytes") or 0),
    )
