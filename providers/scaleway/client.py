"""The way to Scaleway's API: whose credentials, which region and project, and never without an end."""

import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from scaleway import Client
from scaleway.rdb.v1 import RdbV1API

from domain.entries import ScalewayProviderEntry
from providers.managed.limiter import Gate
from providers.scaleway.errors import scaleway_errors

CONNECT = timedelta(seconds=10)
ANSWER = timedelta(seconds=60)
PAGE = 100
"""The largest page: a list that fits is one request."""
_SOON_ENOUGH = timedelta(seconds=30)
_WRITING = frozenset(("POST", "PUT", "PATCH"))


class Credentials(Client):
    """The SDK's settings without its keys in what is logged."""

    def __repr__(self) -> str:
        """Return the settings that are no secret."""
        return f"Credentials({self.api_url}, {self.default_region}, {self.default_project_id})"


class BoundedRdb(RdbV1API):
    """The database API; each call ends, where the SDK's own would wait for ever.

    The SDK sends through `requests.request` without a timeout and offers no way to give one, so
    its one method that sends is replaced. Unlike that one it follows no redirection, which would
    carry the secret key to another host, and logs no bodies, which hold passwords.
    """

    def __init__(self, client: Client, answer: timedelta, turn: Callable[[], None]) -> None:
        super().__init__(client)
        self._timeout = (CONNECT.total_seconds(), answer.total_seconds())
        self._turn = turn

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,  # noqa: ANN401 - the SDK's own signature
    ) -> requests.Response:
        """Send one call and return its answer."""
        self._turn()
        told = {"accept": "application/json", "user-agent": self.client.user_agent}
        if method.upper() in _WRITING:
            told["content-type"] = "application/json; charset=utf-8"
        return requests.request(
            method.upper(),
            f"{self.client.api_url}{path}",
            params=dict(params or {}),
            data=body if isinstance(body, bytes) else json.dumps({} if body is None else body),
            headers={**told, **(headers or {}), "x-auth-token": self.client.secret_key or ""},
            timeout=self._timeout,
            verify=not self.client.api_allow_insecure,
            allow_redirects=False,
        )


def no_turn() -> None:
    """Let a call go out at once."""


def connect(
    entry: ScalewayProviderEntry,
    *,
    answer: timedelta = ANSWER,
    turn: Callable[[], None] = no_turn,
) -> BoundedRdb:
    """Return the database API of a catalog entry's region and project.

    Keys come from the environment or the SDK's configuration file, the former first, as does
    `SCW_API_URL`; lists are of the entry's project alone. `answer` is how long the API may take
    to answer, `turn` is called before each call and may make it wait.

    Raises:
        CredentialsRefusedError: keys are missing or malformed.
        ConfigurationRefusedError: the region, the project or the address is malformed.
    """
    client = _client()
    client.api_url = client.api_url.rstrip("/")
    client.default_region = entry.region
    client.default_project_id = entry.project
    # of another organization than the project's, it would empty every list without a word
    client.default_organization_id = None
    client.default_zone = None
    with scaleway_errors(f"connecting to Scaleway in {entry.region}"):
        return BoundedRdb(client, answer, turn)


def _client() -> Client:
    """Return the SDK's settings.

    The SDK looks `SCW_PROFILE` up when it is imported, and complains in the log of a configuration
    file that need not exist: it is given the one and spared the other.
    """
    profile = os.environ.get("SCW_PROFILE", "default")
    if not Path(Credentials.get_default_config_file_path()).exists():
        return Credentials.from_env()
    return Credentials.from_config_file_and_env(profile_name=profile)


class ScalewayClient:
    """The database API of one project and region; each request at its pace, each error named."""

    def __init__(self, entry: ScalewayProviderEntry, scale: float) -> None:
        self.entry = entry
        self._gate = Gate(entry.calls_per_second, scale, scaleway_errors)
        self.call = self._gate.translating  # a list is several requests, and each waits its turn

    @cached_property
    def rdb(self) -> BoundedRdb:
        """The database API; its first use may find that keys are missing."""
        return connect(self.entry, answer=_SOON_ENOUGH, turn=self._gate.wait)
