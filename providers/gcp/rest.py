"""The transport that the Cloud SQL SDK lacks: its v1 clients over REST, as the public endpoint speaks.

The SDK ships gRPC transports for v1 only, and the endpoint serves REST only. A client takes any
class derived from its transport's base, so this module makes one from a table of calls.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

import requests
from google.api_core import exceptions, path_template
from google.api_core.gapic_v1.client_info import ClientInfo
from google.api_core.rest_helpers import flatten_query_params
from google.auth.transport.requests import AuthorizedSession
from google.protobuf import json_format
from google.protobuf.message import Message

Plus: TypeAlias = Any
"""A message of the SDK; the library that makes its classes has no types."""
Stub: TypeAlias = Callable[..., Plus]
PASSED_ON = (
    "credentials_file",
    "scopes",
    "quota_project_id",
    "always_use_jwt_access",
    "api_audience",
)
NO_CALLS = frozenset({"kind", "host"})
"""Properties of a transport that are no calls."""


@dataclass(frozen=True)
class Rpc:
    """How one call of the SDK is written in HTTP."""

    verb: str
    path: str
    answer: Plus
    """The class of the answer."""
    body: str = ""
    """The field that travels as the body; the others are in the path or the query."""


class RestCalls:
    """What a REST transport adds to the SDK's base class; used in front of it."""

    rpcs: Mapping[str, Rpc]
    seconds: float
    DEFAULT_HOST: str
    _host: str
    _credentials: Any
    _prep_wrapped_messages: Callable[[ClientInfo], None]

    def __init__(self, *, host: str, client_info: ClientInfo | None = None, **given: Plus) -> None:
        """Accept what the SDK's clients hand to any transport; `host` may begin with a scheme."""
        scheme, _, address = host.rpartition("://")
        passed = {name: given[name] for name in PASSED_ON if name in given}
        super().__init__(host=address, credentials=given.get("credentials"), **passed)  # type: ignore[call-arg] # the SDK's base comes next
        self._url = f"{scheme or 'https'}://{self._host}"
        session = AuthorizedSession(self._credentials, default_host=self.DEFAULT_HOST)  # type: ignore[no-untyped-call] # google-auth
        if given.get("client_cert_source_for_mtls"):
            session.configure_mtls_channel(given["client_cert_source_for_mtls"])  # type: ignore[no-untyped-call] # google-auth
        self._http: requests.Session = session
        self._stubs: dict[str, Stub] = {}
        self._prep_wrapped_messages(client_info or ClientInfo())  # type: ignore[no-untyped-call] # api-core

    @property
    def kind(self) -> str:
        """Return the name of the transport, as the SDK asks for it."""
        return "rest"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def stub(self, name: str) -> Stub:
        """Return the function behind a call: the same object each time, the SDK looks it up by it."""
        if name not in self._stubs:
            self._stubs[name] = self._bound(name)
        return self._stubs[name]

    def _bound(self, name: str) -> Stub:
        rpc = self.rpcs.get(name)

        def call(
            request: Plus,
            *,
            timeout: float | None = None,
            metadata: Sequence[tuple[str, str]] = (),
            **_: object,
        ) -> Plus:
            if rpc is None:
                raise NotImplementedError(f"{name} has no row in the table of REST calls")
            return self._send(rpc, request, timeout or self.seconds, dict(metadata))

        return call

    def _send(self, rpc: Rpc, request: Plus, seconds: float, headers: dict[str, str]) -> Plus:
        written = _transcoded(rpc, type(request).pb(request))
        sent = {"params": _query(written.get("query_params")), "data": _body(written.get("body"))}
        return self._exchange(rpc, written["uri"], sent, seconds, headers)

    def literal(self, name: str, at: Mapping[str, str], body: Mapping[str, object]) -> Plus:
        """Make a call whose body is JSON as given: messages leave out every no, none and nothing."""
        rpc = self.rpcs[name]
        path = rpc.path.format(**{key: quote(value, safe="") for key, value in at.items()})
        return self._exchange(rpc, path, {"data": json.dumps(body)}, self.seconds, {})

    def _exchange(
        self, rpc: Rpc, path: str, sent: Mapping[str, Any], seconds: float, headers: dict[str, str]
    ) -> Plus:
        response = self._http.request(
            rpc.verb.upper(),
            f"{self._url}{path}",
            headers={"Content-Type": "application/json", **headers},
            timeout=seconds,
            **sent,
        )
        if response.status_code >= requests.codes.bad_request:
            raise refusal_of(response)
        return rpc.answer.from_json(response.content, ignore_unknown_fields=True)


def rest_transport(base: type[Any], rpcs: Mapping[str, Rpc], seconds: float) -> type[Any]:
    """Return a transport class for the SDK's client of `base`.

    Every call of the base gets a stub, because the base wraps them all when it is made; those
    without a row in `rpcs` raise `NotImplementedError` when called. A call without a timeout of
    its own ends after `seconds`; nothing is retried.
    """
    calls = {
        name: _call(name)
        for name, member in vars(base).items()
        if isinstance(member, property) and not name.startswith("_") and name not in NO_CALLS
    }
    return type(
        f"Rest{base.__name__}", (RestCalls, base), {**calls, "rpcs": rpcs, "seconds": seconds}
    )


def _call(name: str) -> property:
    def stub(transport: RestCalls) -> Stub:
        return transport.stub(name)

    return property(stub)


def refusal_of(response: requests.Response) -> exceptions.GoogleAPICallError:
    """Return an answer of 400 and above as the SDK's exception."""
    try:
        return exceptions.from_http_response(response)  # type: ignore[no-any-return,no-untyped-call] # api-core
    except (AttributeError, TypeError):
        # JSON that is no error of Google's, such as a proxy's: api-core only expects objects.
        return exceptions.from_http_status(response.status_code, response.text, response=response)  # type: ignore[no-any-return,no-untyped-call] # api-core


def _transcoded(rpc: Rpc, message: Message) -> dict[str, Any]:
    option = {"method": rpc.verb, "uri": rpc.path, **({"body": rpc.body} if rpc.body else {})}
    return path_template.transcode([option], message)  # type: ignore[no-any-return,no-untyped-call] # api-core


def _query(message: Message | None) -> list[tuple[str, str]]:
    fields = json.loads(_body(message) or "{}")
    return flatten_query_params(fields, strict=True)  # type: ignore[no-any-return,no-untyped-call] # api-core


def _body(message: Message | None) -> str | None:
    """Return a message as Google's JSON: camel case, 64-bit numbers as text, UTC with a Z."""
    return json_format.MessageToJson(message) if message is not None else None
