"""The control plane: takes calls apart, carries them out, answers in the provider's form."""

import json
import uuid

from werkzeug.wrappers import Request, Response

from simulators.estate import Estate, Seed
from simulators.faults import Refusal
from simulators.scaleway.account import Account, Call
from simulators.scaleway.answers import LOOPBACK
from simulators.scaleway.refusals import ApiError, denied, invalid, not_found, rendered
from simulators.scaleway.routes import HANDLERS, UNKNOWN, matched, subject
from simulators.scaleway.seeding import back_up, seeded
from simulators.scaleway.shapes import Instance, Json, Snapshot
from simulators.wire import ControlPlane

REGIONS = ("fr-par", "nl-ams", "pl-waw")


class ScalewayPlane(ControlPlane):
    """One simulated Scaleway account.

    Whoever tests may reach into `account`: `key_enabled` (False locks what is encrypted), `stock`
    by node type, `tags_restored` (copies carry the tags of their source). `secret_key` is the
    only one accepted; None accepts every one of the right form.
    """

    def __init__(self, estate: Estate, *, secret_key: str | None = None) -> None:
        self.estate, self.secret_key = estate, secret_key
        self.account = Account(estate)

    def operation_of(self, request: Request) -> str:
        """Return the name of the call, such as `CreateInstanceFromSnapshot`."""
        return matched(request)[0]

    def answer(self, request: Request) -> Response:
        """Carry out a call and answer as the provider does, its errors included."""
        try:
            self._authenticate(request)
            call = _call(request)
            with self.account.lock:
                self.account.settle()
                body = HANDLERS[matched(request)[0]](self.account, call)
        except ApiError as error:
            return error.response()
        if body is None:
            return Response(status=204, mimetype="application/json")
        return Response(json.dumps(body), mimetype="application/json")

    def render(self, request: Request, refusal: Refusal) -> Response:
        """Return an error in the provider's own form; an empty code gives a proxy's page."""
        return rendered(refusal, subject(request))

    def throttled(self) -> Refusal:
        """Return the error by which the provider refuses too many calls."""
        return Refusal(429, "too_many_requests", "too many requests")

    def seed(self, seed: Seed) -> tuple[str, int]:
        """Make an instance that has existed for long; return its address once it runs protected."""
        instance = seeded(self.account, seed)
        with self.account.lock:
            ports = [endpoint.port for endpoint in self.account.addresses(instance)]
        return LOOPBACK, next(iter(ports), 0)

    def back_up(self, name: str) -> Snapshot:
        """Take the automatic snapshot of an instance now, as its schedule does; it is ready."""
        return back_up(self.account, self.instance(name))

    def instance(self, name: str) -> Instance:
        """Return the record of the oldest instance of a name, or of an id."""
        with self.account.lock:
            self.account.settle()
            for instance in self.account.instances.values():
                if name in (instance.id, instance.name):
                    return instance
        raise LookupError(f"no instance {name}")

    def allow(self, instances: int) -> None:
        """Set how many instances the account may have, as its provider does on request."""
        self.account.quota = instances

    def force(self, name: str, state: str) -> None:
        """Hold the instances or snapshots of a name or id in a state; an empty one lets them go on."""
        with self.account.lock:
            everything = [*self.account.instances.values(), *self.account.snapshots.values()]
            found = [thing for thing in everything if name in (thing.id, thing.name)]
            for thing in found:
                thing.held = state
        if not found:
            raise LookupError(f"nothing is called {name}")

    def _authenticate(self, request: Request) -> None:
        token = request.headers.get("X-Auth-Token", "")
        try:
            uuid.UUID(token)
        except ValueError:
            raise denied("invalid_argument") from None
        if self.secret_key not in (None, token):
            raise denied("not_found")


def _call(request: Request) -> Call:
    name, ids = matched(request)
    if name == UNKNOWN:
        raise not_found("simulated_call", f"{request.method} {request.path}")
    region = ids.pop("region")
    if region not in REGIONS:
        raise not_found("region", region)
    tags = tuple(request.args.getlist("tags"))
    return Call(region, ids, _body(request), request.args.to_dict(), tags)


def _body(request: Request) -> Json:
    try:
        body = json.loads(request.get_data() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise invalid("body", "format", "not a JSON object")
    return body
