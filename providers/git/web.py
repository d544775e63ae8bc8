"""Git's protocol over HTTPS: with a deadline, a token in one header, and the server's own words."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any

import urllib3
from dulwich.client import HttpGitClient, default_urllib3_manager

from providers.git.config import Remote
from providers.git.errors import HttpRefusedError

_CONNECT, _ANSWER = 10.0, 60.0
_RETRIES = urllib3.Retry(
    total=4, connect=1, read=0, redirect=3, status=0, other=0, respect_retry_after_header=False
)
_SHOWN = 300


class _Bounded(urllib3.PoolManager):
    """Gives each request its end, and raises on every answer that is none of Git's."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - urllib3's own
        settings["timeout"] = urllib3.Timeout(connect=_CONNECT, read=_ANSWER)
        super().__init__(retries=_RETRIES, **settings)

    def request(self, *arguments: Any, **settings: Any) -> urllib3.BaseHTTPResponse:  # noqa: ANN401 - as above
        """Send one request and return its answer.

        Raises:
            HttpRefusedError: the answer is a refusal.
        """
        answer = super().request(*arguments, **settings)
        kind = answer.headers.get("Content-Type", "")
        if answer.status != HTTPStatus.OK or not kind.startswith("application/x-git-"):
            raise _refusal(answer)
        return answer


class _BoundedProxy(_Bounded, urllib3.ProxyManager):
    """The same through a proxy."""


def _refusal(answer: urllib3.BaseHTTPResponse) -> HttpRefusedError:
    said = ""
    if answer.headers.get("Content-Type", "").startswith("text/plain"):
        said = " ".join(answer.read(_SHOWN).decode(errors="replace").split())
    wait = answer.headers.get("Retry-After", "")
    answer.close()
    pace = timedelta(seconds=int(wait)) if wait.isdigit() else None
    return HttpRefusedError(answer.status, said, pace)


def web_client(remote: Remote) -> HttpGitClient:
    """Return a client for an address; the token is sent to its own host alone."""
    pool = default_urllib3_manager(
        None, pool_manager_cls=_Bounded, proxy_manager_cls=_BoundedProxy, base_url=remote.url
    )
    if remote.ca:
        pool.connection_pool_kw["ca_certs"] = remote.ca
    return HttpGitClient(
        remote.url,
        pool_manager=pool,
        username=remote.user if remote.token else None,
        password=remote.token or None,
        quiet=True,
    )
