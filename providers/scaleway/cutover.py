"""The endpoints change hands with address and port, then the names do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scaleway.rdb.v1.types import Endpoint
from scaleway.rdb.v1.types import Instance as Told

from domain.errors import NameTakenError, ResourceMissingError, ServerFailedError
from domain.resources import ProtectedResource
from providers.managed.driver import Traffic
from providers.managed.model import Instance, Moved, State
from providers.managed.names import (
    BY,
    RUN,
    SERVES,
    SINCE,
    SUPERSEDED,
    name_of,
    old_name_of,
    run_tag,
)
from providers.managed.pacing import soon
from providers.scaleway.client import ScalewayClient
from providers.scaleway.databases import BROKEN, STUCK, ScalewayInstances, oldest_first
from providers.scaleway.describing import (
    HAD,
    PUBLIC,
    address_of,
    kind_of,
    kinds_of,
    networks_of,
    own_of,
    state_of,
    tags_with,
)
from providers.scaleway.settings import PUBLICLY, privately

OLD = "refloat-old"
"""Id of the old instance, written with the name: nothing else tells one that nobody could mark."""
NOBODY = "none"
_MOVED = (
    "the endpoints moved with their addresses and ports; a client that verifies the server's "
    "certificate needs the one of the new instance (`scw rdb instance get-certificate`)"
)
_GONE = "the old instance has no address any more: consumers are pointed to the new one"
_KEPT = "its endpoints stay with it, so consumers are pointed to the new address"


@dataclass(frozen=True)
class Pair:
    """The two instances of a cutover as they are now; `old` is None where nothing is left of it."""

    name: str
    run_id: str
    new: Told
    old: Told | None


def _ready(found: Told) -> bool:
    return state_of(str(found.status)) is State.READY


def _busy(*found: Told) -> bool:
    return any(state_of(str(one.status)) is State.BUSY for one in found)


class ScalewayTraffic(Traffic):
    """Every step is known from names, tags and where the endpoints are, so any crash goes on.

    The old instance gets its other name first, and with it the note of what it had. Then, kind by
    kind, the new one gives up what it got for itself and takes the old one's. Last it takes the
    name. What is broken takes no change: then the new one's own endpoint is the address.
    """

    def __init__(self, client: ScalewayClient, instances: ScalewayInstances, scale: float) -> None:
        self._client, self._instances, self._scale = client, instances, scale

    def current(self, resource: ProtectedResource) -> Instance | None:
        """Return the instance of the catalog's name, the last one cut over to before others."""
        everything, name = self._instances.everything(), resource.instance
        held = [one for one in everything if one.name == name or _serves(one, name)]
        chosen = min(held, key=_rank, default=None) or _between(everything, name)
        return self._instances.described(chosen) if chosen is not None else None

    def move(self, resource: ProtectedResource, old: Instance | None, new: Instance) -> Moved:
        """Hand over the endpoints, then the name."""
        pair = self._pair(resource, old, new)
        was, steps = pair.old, list[str]()
        if was is None or state_of(str(was.status)) in BROKEN:
            steps = [*self._own_endpoint(pair)]
        elif pair.new.name != pair.name or HAD in own_of(was):
            steps = [*self._handed_over(pair, was)]
        if not steps and not pair.new.endpoints:
            steps = [*self._own_endpoint(pair)]
        if not steps and pair.new.name != pair.name:
            steps = [*self._named(pair)]
        if not steps and not _ready(pair.new):
            steps = [f"{pair.new.name} to be ready, now {pair.new.status}"]
        if steps:
            raise soon("; ".join(steps), self._scale)
        host, port = address_of(pair.new)
        return Moved(f"{host}:{port}", _notes(pair))

    def _pair(self, resource: ProtectedResource, old: Instance | None, new: Instance) -> Pair:
        copy = self._instances.told(new.id)
        if copy is None:
            raise ServerFailedError(f"{new.name}: it is gone")
        own, name = own_of(copy), resource.instance
        if RUN not in own or (copy.name == name and OLD not in own):
            raise soon(f"the tags of {copy.name} to show", self._scale)
        known = old.id if old is not None else own.get(OLD, "")
        was = self._instances.told(known) if known not in {"", NOBODY} else None
        was = was or self._set_aside(own[RUN], name)
        if was is not None and state_of(str(was.status)) is State.GOING:
            was = None
        return Pair(name, own[RUN], copy, was)

    def _set_aside(self, run: str, name: str) -> Told | None:
        """Return the instance that gave its name up for a run."""
        return next(iter(self._instances.named(old_name_of(run, name))), None)

    def _handed_over(self, pair: Pair, was: Told) -> Iterator[str]:
        """Do what can be done now, and yield what is waited for; nothing when all is over."""
        aside, own = old_name_of(pair.run_id, pair.name), own_of(was)
        had = own.get(HAD, "").split("+") if was.name == aside else kinds_of(was)
        surplus = _surplus(pair.new, kinds_of(was), had)
        if was.name == aside and HAD not in own:
            yield f"the tag {HAD} of {was.name} to show"
            return
        if was.name != aside and own.get(BY) == run_tag(pair.run_id):
            yield from self._renamed(was, aside, {HAD: _told(kinds_of(was))})
        elif was.name != aside:
            yield f"the tags of {was.name} to show"
        if surplus and _ready(was):  # what breaks meanwhile can give none
            yield from self._removed(pair.new, surplus[0])
        elif surplus:
            yield f"{was.name} to be ready, now {was.status}"
        elif was.name == aside and was.endpoints:
            yield from self._migrated(was.endpoints[0], was, pair.new)

    def _named(self, pair: Pair) -> Iterator[str]:
        """Give the new instance the name; one that is taken stays, and its tag tells then.

        Nothing says that names are unique, and nothing says that they are not.
        """
        try:
            old = pair.old.id if pair.old is not None else NOBODY
            yield from self._renamed(pair.new, pair.name, {OLD: old})
        except NameTakenError:
            if pair.old is None or pair.old.name != pair.name:
                raise

    def _renamed(self, found: Told, name: str, tags: Mapping[str, str]) -> Sequence[str]:
        """Change name and tags at once, so that neither is ever without the other."""
        if _ready(found):
            with self._client.call(f"rename {found.name} to {name}"):
                self._client.rdb.update_instance(
                    instance_id=found.id, name=name, tags=tags_with(found, tags)
                )
        return [f"{found.name} to be called {name}, now {found.status}"]

    def _removed(self, found: Told, endpoint: Endpoint) -> Iterator[str]:
        kind = kind_of(endpoint)
        yield f"{found.name} to give up its own {kind} endpoint, now {found.status}"
        if _ready(found):
            with self._client.call(f"delete the {kind} endpoint of {found.name}"):
                self._client.rdb.delete_endpoint(endpoint_id=endpoint.id)

    def _migrated(self, endpoint: Endpoint, giver: Told, taker: Told) -> Iterator[str]:
        kind = kind_of(endpoint)
        yield (
            f"the {kind} endpoint to move from {giver.name} ({giver.status}) to {taker.name} "
            f"({taker.status})"
        )
        passable = _ready(giver) or state_of(str(giver.status)) in BROKEN  # else it never ends
        if passable and _ready(taker):
            with self._client.call(f"move the {kind} endpoint of {giver.name} to {taker.name}"):
                self._client.rdb.migrate_endpoint(endpoint_id=endpoint.id, instance_id=taker.id)

    def _own_endpoint(self, pair: Pair) -> Iterator[str]:
        """See to an endpoint of the new one's own, where the old one can give none.

        It gave its own up already when the old one broke or went in the middle of the cutover.
        """
        if pair.old is not None and pair.old.name == pair.name:
            self._try_to_set_aside(pair.old, pair)
        if pair.new.endpoints:
            return
        networks = networks_of(pair.old) if pair.old is not None else []
        public = pair.old is not None and PUBLIC in kinds_of(pair.old)
        coming = pair.old is not None and own_of(pair.old).get(HAD, NOBODY) != NOBODY
        if not networks and not public and not coming:
            raise ServerFailedError(
                f"{pair.new.name} has no endpoint, and the old instance is gone with its own; make "
                "one with `scw rdb endpoint create`, then go on"
            )
        yield f"an endpoint of {pair.new.name}, now {pair.new.status}"
        if _ready(pair.new) and (networks or public):
            spec = privately(networks[0]) if networks else PUBLICLY
            with self._client.call(f"make an endpoint of {pair.new.name}"):
                self._client.rdb.create_endpoint(instance_id=pair.new.id, endpoint_spec=spec)

    def _try_to_set_aside(self, was: Told, pair: Pair) -> None:
        """Rename what is broken, where Scaleway lets anybody; two of a name are told apart."""
        aside = old_name_of(pair.run_id, pair.name)
        marks = {SUPERSEDED: pair.name, BY: run_tag(pair.run_id), HAD: _told(kinds_of(was))}
        try:
            with self._client.call(f"rename {was.name} to {aside}"):
                self._client.rdb.update_instance(
                    instance_id=was.id, name=aside, tags=tags_with(was, marks)
                )
        except (*STUCK, ResourceMissingError):
            return

    def move_back(self, resource: ProtectedResource, run_id: str) -> None:
        """Give the old instance its endpoints and its name back."""
        run, name = run_tag(run_id), resource.instance
        new = self._made_by(run, name)
        was = self._set_aside(run, name)
        steps = [*self._given_back(was, new)] if was is not None else []
        if not steps and new is not None and (new.name == name or SERVES in own_of(new)):
            steps = [*self._renamed(new, name_of(run, name), {SERVES: "", SINCE: "", OLD: ""})]
        if not steps and was is not None:
            steps = [*self._renamed(was, name, {HAD: ""})]
        if steps:
            raise soon("; ".join(steps), self._scale)

    def _made_by(self, run: str, name: str) -> Told | None:
        """Return what a run made, under the name it had or has."""
        named = [*self._instances.named(name), *self._instances.named(name_of(run, name))]
        return next((one for one in named if own_of(one).get(RUN) == run), None)

    def _given_back(self, was: Told, new: Told | None) -> Iterator[str]:
        """Move back each kind of endpoint that the old one had and has no more."""
        had = own_of(was).get(HAD)
        if had is None:
            yield f"the tag {HAD} of {was.name} to show"
            return
        lost = set(had.split("+")) - set(kinds_of(was))
        back = [one for one in new.endpoints if kind_of(one) in lost] if new is not None else []
        if back and new is not None:
            yield from self._migrated(back[0], new, was)
        elif lost - {NOBODY} and new is not None and _busy(was, new):
            yield f"the {' and the '.join(sorted(lost))} endpoint to be somewhere"


def _notes(pair: Pair) -> tuple[str, ...]:
    was, own = pair.old, own_of(pair.old) if pair.old is not None else {}
    if was is None or own.get(HAD) == NOBODY:
        return (_GONE,)
    if HAD in own and not was.endpoints:
        return (_MOVED,)
    notes = [f"{was.name} is {was.status}: {_KEPT}"]
    if pair.new.name != pair.name:
        notes.append(f"{pair.new.name} keeps its name, because Scaleway gives none twice")
    if SUPERSEDED not in own:
        notes.append(
            f"Scaleway let nobody mark {was.name} ({was.id}), so `release` does not know it: delete "
            "it yourself once you need nothing of it"
        )
    return tuple(notes)


def _surplus(new: Told, coming: Sequence[str], had: Sequence[str]) -> Sequence[Endpoint]:
    """Return what stands in the way of the old one's endpoints, and what would be public anew."""
    anew = PUBLIC if PUBLIC not in had else ""
    return [one for one in new.endpoints if kind_of(one) in {*coming, anew}]


def _told(kinds: Sequence[str]) -> str:
    return "+".join(kinds) or NOBODY


def _serves(found: Told, name: str) -> bool:
    own = own_of(found)
    return own.get(SERVES) == name and SUPERSEDED not in own


def _rank(found: Told) -> tuple[bool, bool, float]:
    """Order instances of one name: not superseded, then cut over to last, then there first."""
    own = own_of(found)
    at = oldest_first(found).timestamp()
    return SUPERSEDED in own, RUN not in own, -at if RUN in own else at


def _between(everything: Sequence[Told], name: str) -> Told | None:
    """Return the old instance of a cutover that is on its way: nobody has the name then."""
    runs = [(one, own_of(one).get(RUN, "")) for one in everything]
    aside = {old_name_of(run, name) for one, run in runs if run and one.name == name_of(run, name)}
    return next((one for one in everything if one.name in aside), None)
