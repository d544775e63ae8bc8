"""Flexible servers of both engines: found, restored, tagged, deleted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from domain.errors import (
    BusyError,
    KeyUnavailableError,
    NameTakenError,
    PointRefusedError,
    RecoveryError,
    ResourceMissingError,
    ServerFailedError,
    TransientError,
)
from domain.recovery import Tls
from domain.resources import Engine
from domain.values import show_time
from providers.azure.activity import ActivityLog
from providers.azure.client import AzureClient, body
from providers.azure.comparing import ToldSettings, waits_for_restart
from providers.azure.describing import (
    OURS,
    Told,
    engine_of,
    instance_of,
    moment,
    state_of,
    tags_of,
    users_tags_of,
)
from providers.azure.errors import Quirk, failure_of
from providers.azure.restoring import needs_newer, restored, revived
from providers.azure.servers import ADVICE, STUCK, Servers
from providers.managed.driver import Instances
from providers.managed.model import Instance, Order, State
from providers.managed.names import RUN, SELF, SERVES

_EDGE = timedelta(minutes=15)
"""How near the ends of the window Azure's own error may mean that a moment is out of it."""


@dataclass(frozen=True)
class _Begun:
    """A restore that this process began: where Azure tells of it, and what its own error may mean."""

    url: str
    quirk: Quirk | None


class AzureInstances(Instances):
    """A name is unique in the world for each engine; which engine has a name is remembered."""

    def __init__(self, client: AzureClient, servers: Servers, log: ActivityLog, tls: Tls) -> None:
        self._client, self._servers, self._log, self._tls = client, servers, log, tls
        self._engines: dict[str, Engine] = {}
        self._begun: dict[str, _Begun] = {}

    def find(self, name: str, id: str = "") -> Instance | None:  # noqa: A002 - the protocol's word
        """Return the server of the id, else of the name, of whichever engine has it."""
        if id:
            return self._of(id.rpartition("/")[2], engine_of(id))
        found = (self._of(name, engine) for engine in self.engines(name))
        return next((one for one in found if one is not None), None)

    def engines(self, name: str, first: Engine = Engine.POSTGRESQL) -> Sequence[Engine]:
        """Return the engines, the one first that had the name when it was asked for last."""
        likely = self._engines.get(name, first)
        return sorted(Engine, key=lambda engine: engine is not likely)

    def expect(self, name: str, engine: Engine) -> None:
        """Ask this engine first for a name, which the other one may have too."""
        self._engines[name] = engine

    def _of(self, name: str, engine: Engine) -> Instance | None:
        """Return a server; of a copy in the making also whether it waits for a restart."""
        found = self._servers.described(name, engine)
        if found is None:
            return None
        self._engines[name] = engine
        own, told = tags_of(found), found["properties"].get("state") or ""
        if RUN not in own or SERVES in own or state_of(told) is not State.READY:
            return self._instance(found, engine)
        return self._instance(found, engine, self._servers.configurations(name, engine))

    def all(self) -> Sequence[Instance]:
        """Return every server of the resource group."""
        found = ((one, engine) for engine in Engine for one in self._servers.listed(engine))
        return [self._instance(one, engine) for one, engine in found]

    def _instance(
        self, found: Told, engine: Engine, configurations: Sequence[Told] | None = None
    ) -> Instance:
        name, server_id = found["name"], self._client.id_of(found["name"], engine)
        settings = ToldSettings(partial(self._servers.settings, name, engine, configurations))
        # once is enough: what still waits afterwards, a restart does not put in force
        done = server_id in self._servers.restarted
        waits = not done and waits_for_restart(configurations or ())
        return instance_of(found, server_id, self._tls, settings, ("restart",) if waits else ())

    def restore(self, order: Order) -> Instance | None:
        """Begin a restore: to a time, or of a deleted server; a backup is a name for a time."""
        if order.point.source_id:
            engine = engine_of(order.point.source_id)
            self._create(order, engine, revived(order, self._client.entry.region), None)
            return None
        engine, whole = self._source(order)
        near = _near_an_end(order, whole, datetime.now(UTC))
        quirk = Quirk.MOMENT if near and engine is Engine.POSTGRESQL else None
        sent = restored(order, whole, self._client.id_of(order.source, engine))
        self._create(order, engine, sent, quirk)
        return None

    def _source(self, order: Order) -> tuple[Engine, Told]:
        first = order.like.engine if order.like else Engine.POSTGRESQL
        for engine in self.engines(order.source, first):
            try:
                return engine, self._servers.whole(order.source, engine)
            except ResourceMissingError:
                continue
        raise ResourceMissingError(f"{order.source}: it is gone; plan again")

    def _create(
        self, order: Order, engine: Engine, sent: Mapping[str, Any], quirk: Quirk | None
    ) -> None:
        doing = f"restore {order.source} as {order.name}"
        act = self._creation(engine, newer=needs_newer(sent, engine))
        self._engines[order.name] = engine
        try:
            url = self._client.begin(doing, act, order.name, body(sent), quirk=quirk)
        except NameTakenError as error:
            if self.find(order.name) is not None:
                raise
            raise BusyError(
                f"{error}: nothing of the name is in {self._client.group}. An attempt may not show "
                "yet; else somebody else has the name, or a deleted server keeps it for a while: "
                "then a new restore, which has another name, helps"
            ) from None
        self._begun[order.name] = _Begun(url, quirk)

    def _creation(self, engine: Engine, *, newer: bool) -> Callable[..., object]:
        sdk = self._client.sdk
        if engine is Engine.MYSQL:
            return sdk.mysql.whole.begin_create if newer else sdk.mysql.servers.begin_create
        whole = sdk.postgresql.whole.begin_create_or_update
        return whole if newer else sdk.postgresql.servers.begin_create

    def failure(self, name: str, id: str = "") -> RecoveryError | None:  # noqa: A002 - as above
        """Return why a server was not made or is broken, by its operation, the log or its state."""
        found = self.find(name, id)
        if found is None:
            return self._unmade(name, self.engines(name)[0])
        if found.state not in STUCK:
            return None
        sentence = f"{found.name}: Azure says {found.told!r}; {ADVICE[found.told]}"
        if found.told == "Inaccessible":
            return KeyUnavailableError(sentence)
        why = self._unmade(name, found.engine) if found.state is State.FAILED else None
        return why or ServerFailedError(sentence)

    def _unmade(self, name: str, engine: Engine) -> RecoveryError | None:
        """Return why a server was not made: its operation tells at once, the log some minutes late.

        The operation's address is known only to the process that began it.
        """
        server_id = self._client.id_of(name, engine)
        error = self._operation_of(name) or self._log.failure(server_id, f"make {name}")
        if isinstance(error, TransientError):
            return ServerFailedError(f"{error}; it was given up, so start a new restore")
        return error

    def _operation_of(self, name: str) -> RecoveryError | None:
        begun = self._begun.get(name)
        if begun is None or not begun.url:
            return None
        operation = self._servers.operation(begun.url, f"make {name}")
        return failure_of(operation, f"make {name}", begun.quirk) if operation else None

    def tag(self, instance: Instance, tags: Mapping[str, str]) -> None:
        """Set our tags and leave everybody's; all of a server's tags are written at once.

        What is broken may take no change at all: it stays as it is then, and its name tells.
        """
        found = self._servers.described(instance.name, instance.engine)
        if found is None:
            raise ResourceMissingError(f"{instance.name}: it is gone")
        before: Mapping[str, str] = found.get("tags") or {}
        after = users_tags_of(before) | written_tags(instance.name, {**tags_of(found), **tags})
        if after == before:
            return
        try:
            self._servers.change(instance, f"tag {instance.name}", {"tags": after})
        except ServerFailedError:
            if instance.state not in STUCK:
                raise

    def delete(self, instance: Instance, final_backup: str) -> None:
        """Begin the deletion; Azure takes no last backup, but keeps those there are for five days.

        Raises:
            ConfigurationRefusedError: a management lock forbids it; its sentence names the lock.
        """
        del final_backup
        act = self._client.of(instance.engine).servers.begin_delete
        self._client.begin(f"delete {instance.name}", act, instance.name)

    def drop_doubles(self, instance: Instance) -> None:
        """Do nothing: a name is unique."""


def written_tags(name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return those of our tags that say something, with whom they are about."""
    ours = {key: value for key, value in tags.items() if key.startswith(OURS) and value}
    ours.pop(SELF, None)
    return {**ours, SELF: name} if ours else {}


def _near_an_end(order: Order, whole: Told, now: datetime) -> bool:
    """Return whether a moment is near an end of the window as it is now; refuse one before it."""
    at, backup = order.point.at, whole["properties"].get("backup") or {}
    opens_at = moment(backup.get("earliestRestoreDate"))
    assert at is not None
    if opens_at is None:
        return True
    if at < opens_at:
        raise PointRefusedError(
            f"{order.source}: the window opens at {show_time(opens_at)} now, after {show_time(at)}; "
            "plan again"
        )
    return at - opens_at < _EDGE or now - at < _EDGE
