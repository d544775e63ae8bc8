"""Scaleway's Container Registry: push times; it has no rules that delete, and no locks.

Its API is three calls and the secret key, so the SDK, which sets no timeouts, is not needed.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from domain.checks import Finding
from domain.errors import AccessDeniedError
from providers.oci.client import OciClient
from providers.oci.credentials import Credentials, Keyring
from providers.oci.knowledge import Knowledge, Listed, by_tags
from providers.oci.rest import Rest

_HOST = re.compile(r"rg\.([a-z0-9-]+)\.scw\.cloud")
_API = "https://api.scaleway.com"
_USER = "nologin"  # the registry looks at the password alone
_PAGE, _MOST_PAGES = 100, 50


def knowledge(host: str, named: Keyring) -> Knowledge:
    """Return what the registry of a host knows; another host is one of the region of the SDK."""
    found = _HOST.fullmatch(host)
    return Scaleway(found[1] if found else os.environ.get("SCW_DEFAULT_REGION", "fr-par"), named)


class Scaleway(Knowledge):
    """The registry of one region; the key is the catalog's password or the environment's."""

    def __init__(self, region: str, named: Keyring) -> None:
        self._region, self._named = region, named
        self._rest = Rest()

    def credentials(self) -> Credentials | None:
        """Return the secret key of the environment as a password, where there is one."""
        key = os.environ.get("SCW_SECRET_KEY")
        return Credentials(_USER, key) if key else None

    def listed(self, client: OciClient) -> Sequence[Listed] | None:
        """Return what the tags name, or None where no key is known; untagged images are not told."""
        named = self._named() or self.credentials()
        if named is None:
            return None
        pushed: dict[str, datetime] = {}
        tags: dict[str, list[str]] = {}
        for tag in self._tags(client, named.password):
            digest, moment = str(tag.get("digest", "")), _moment(tag.get("updated_at"))
            tags.setdefault(digest, []).append(str(tag.get("name", "")))
            if moment is not None:
                pushed[digest] = max(moment, pushed.get(digest, moment))
        return [
            Listed(digest, tuple(sorted(names)), pushed.get(digest))
            for digest, names in tags.items()
        ]

    def examine(
        self, client: OciClient, digest: str, tags: Sequence[str] | None
    ) -> Sequence[Finding]:
        """Return whether a tag names the image: nothing else keeps one in sight."""
        del client, digest
        if tags is None:
            return []
        told = "Scaleway deletes nothing by itself and locks nothing: who may delete is by IAM"
        return [by_tags(tags, told)]

    def protect(self, client: OciClient, digest: str) -> str:
        """Return that Scaleway locks no image; a tag keeps it in sight."""
        del client, digest
        return ""

    def _tags(self, client: OciClient, key: str) -> Iterator[Mapping[str, Any]]:
        namespace, _, image = client.place.path.partition("/")
        for space in self._all("namespaces", key, name=namespace):
            if space.get("name") != namespace:
                continue
            for one in self._all("images", key, name=image, namespace_id=str(space["id"])):
                if one.get("name") == image:
                    yield from self._all(f"images/{one['id']}/tags", key, of="tags")

    def _all(self, path: str, key: str, of: str = "", **query: str) -> Iterator[Mapping[str, Any]]:
        api = os.environ.get("SCW_API_URL", _API).rstrip("/")
        doing = f"list {path.partition('/')[0]} of the registry in {self._region}"
        if not key:
            raise AccessDeniedError(f"{doing}: there is no secret key; set SCW_SECRET_KEY")
        for page in range(1, _MOST_PAGES + 1):
            asked = urlencode({**query, "page": page, "page_size": _PAGE})
            url = f"{api}/registry/v1/regions/{self._region}/{path}?{asked}"
            found = self._rest.get(url, doing, headers={"X-Auth-Token": key})
            some = found.get(of or path) or ()
            yield from some
            if len(some) < _PAGE:
                return


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
