"""The control plane: takes calls apart, carries them out, answers as Azure Resource Manager does."""

import json
import uuid

from werkzeug.wrappers import Request, Response

from simulators.azure.account import Account, Call
from simulators.azure.addresses import HOST, port_of, route
from simulators.azure.families import POSTGRESQL, Json, family_of
from simulators.azure.making import back_up
from simulators.azure.operations import Answer, accepted
from simulators.azure.refusals import ApiError, denied, locked, rendered, unauthenticated
from simulators.azure.routes import Route, matched
from simulators.azure.seeding import seeded
from simulators.azure.shapes import INACCESSIBLE, Backup, Server, Task
from simulators.estate import Estate, Seed
from simulators.faults import Refusal
from simulators.wire import ControlPlane

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUPS = {"sandbox": "francecentral", "recovery": "francesouth"}
"""Resource groups, and where each is."""
UNKNOWN = "Unknown"


class ArmPlane(ControlPlane):
    """One simulated Azure subscription with flexible servers of PostgreSQL and MySQL.

    Whoever tests may reach into `account`: `failures` by kind of operation (accepted, then
    failed: `restore`, `create`, `update`, `backup`, …), `keeps_failed`, `accepts_again` (a
    repeated restore is no conflict), `no_room` by size, `quota`, `occupied` names, `denied`
    actions, `authenticated`, `page`, `reserved_for`, `recoverable_for`, and `retry_after` in
    seconds of simulated time.
    """

    def __init__(self, estate: Estate, subscription: str = SUBSCRIPTION) -> None:
        self.estate = estate
        self.account = Account(estate, subscription, dict(GROUPS))

    def operation_of(self, request: Request) -> str:
        """Return the name of the call, such as `Servers_Create`."""
        found = matched(request.method, request.path)
        return found[0].operation if found else UNKNOWN

    def answer(self, request: Request) -> Response:
        """Carry out a call and answer as the provider does, its errors included."""
        try:
            found = matched(request.method, request.path)
            if found is None:
                raise _unknown(request)
            call = self._call(request, *found)
            with self.account.lock:
                self.account.settle()
                self._allow(call, found[0])
                answer = _as_response(self.account, call, found[0].does(self.account, call))
        except ApiError as error:
            answer = error.response(self.account.retry_after)
        answer.headers["x-ms-request-id"] = str(uuid.uuid4())
        return answer

    def render(self, request: Request, refusal: Refusal) -> Response:
        """Return an error in the provider's own form; an empty code gives a proxy's page."""
        found = matched(request.method, request.path)
        namespace = found[1].get("namespace") if found else None
        action = f"{namespace or POSTGRESQL.namespace}/{found[0].right if found else 'read'}"
        return rendered(refusal, action, request.path, self.account.retry_after)

    def throttled(self) -> Refusal:
        """Return the error by which the provider refuses too many calls."""
        message = (
            f"Number of requests for subscription '{self.account.subscription}' exceeded the limit."
            f" Please try again after '{self.account.retry_after}' seconds."
        )
        return Refusal(429, "SubscriptionRequestsThrottled", message)

    def seed(self, seed: Seed) -> tuple[str, int]:
        """Make a server that has existed for long; return its own address, not a virtual endpoint's."""
        return HOST, port_of(self.account, seeded(self.account, seed))

    def back_up(self, name: str) -> Backup:
        """Take the automatic backup of a server now, as Azure does once a day."""
        server = self.server(name)
        with self.account.lock:
            return back_up(self.account, server, self.estate.clock.now())

    def server(self, name: str) -> Server:
        """Return the record of a server."""
        with self.account.lock:
            self.account.settle()
            for server in self.account.servers:
                if server.name == name:
                    return server
        raise LookupError(f"no server {name}")

    def lock(self, name: str, level: str = "CanNotDelete") -> None:
        """Put a management lock on a server, or on a resource group; an empty level removes it."""
        with self.account.lock:
            groups = f"/subscriptions/{self.account.subscription}/resourceGroups"
            of_group = f"{groups}/{name}" if name in self.account.groups else ""
            scope = of_group or self.account.id_of(self.server(name))
            self.account.locks.pop(scope, None)
            if level:
                self.account.locks[scope] = level

    def allow(self, instances: int) -> None:
        """Set how many instances the account may have, as its provider does on request."""
        self.account.quota = instances

    def force(self, name: str, state: str) -> None:
        """Hold a server in a raw state; an empty one lets it go on. `Inaccessible`: its key is lost."""
        server = self.server(name)
        with self.account.lock:
            server.held = state
            route(self.account, server)

    def disable_key(self) -> None:
        """Disable the customer's key: what it encrypts can no longer be reached."""
        for server in [*self.account.servers]:
            if server.properties["dataEncryption"]["type"] == "AzureKeyVault":
                self.force(server.name, INACCESSIBLE)

    def _call(self, request: Request, route: Route, named: dict[str, str]) -> Call:
        family = family_of(named.get("namespace") or POSTGRESQL.namespace)
        if family is None:
            raise _unknown(request)
        if named["scope"].split("/")[2] != self.account.subscription:
            message = f"The subscription '{named['scope'].split('/')[2]}' could not be found."
            raise ApiError(404, "SubscriptionNotFound", message)
        call = Call(
            host=request.host_url.rstrip("/"),
            scope=named["scope"],
            family=family,
            api_version=request.args.get("api-version", ""),
            kind=_kind(route),
            group=named.get("group") or "",
            name=named.get("name") or "",
            child=named.get("child") or "",
            location=named.get("location") or "",
            body=_body(request),
            query=request.args.to_dict(),
        )
        _require_version(call, route, of_databases="namespace" in named)
        return call

    def _allow(self, call: Call, route: Route) -> None:
        """Refuse what the caller, its roles or a lock do not allow."""
        if not self.account.authenticated:
            raise unauthenticated()
        action = f"{call.family.namespace}/{route.right}"
        if action.lower() in {one.lower() for one in self.account.denied}:
            raise denied(action, call.scope)
        for scope, level in self.account.locks.items():
            held = route.verb == "DELETE" or (level == "ReadOnly" and route.verb != "GET")
            if held and call.scope.lower().startswith(scope.lower()):
                raise locked("delete" if route.verb == "DELETE" else "write", call.scope, scope)


def _kind(route: Route) -> str:
    """Return the type that a call is about; an action is about the server itself."""
    kind, _, act = route.right.rpartition("/")
    return kind if act != "action" else kind.partition("/")[0]


def _require_version(call: Call, route: Route, *, of_databases: bool) -> None:
    """Refuse an API version that the provider does not have, or that lacks the call."""
    if not call.api_version:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise ApiError(400, "MissingApiVersionParameter", message)
    known = call.family.api_versions
    if of_databases and (call.api_version not in known or call.api_version < route.since):
        raise ApiError(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for API version '{call.api_version}' for this"
            f" type. The supported api-versions are '{', '.join(known)}'.",
        )


def _as_response(account: Account, call: Call, answer: Answer) -> Response:
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, Task):
        return accepted(account, call, answer)
    if answer is None:
        return Response(status=204)
    return Response(json.dumps(answer), mimetype="application/json")


def _unknown(request: Request) -> ApiError:
    message = f"The resource type of {request.method} '{request.path}' could not be found."
    return ApiError(404, "InvalidResourceType", message)


def _body(request: Request) -> Json:
    try:
        body = json.loads(request.get_data() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(400, "InvalidRequestContent", "The request content was invalid: no object.")
    return body
