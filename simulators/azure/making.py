"""New servers: created empty, or restored from others."""

import copy
import re
import uuid
from collections.abc import Callable
from datetime import datetime

from simulators.azure.account import Account, Call, is_free
from simulators.azure.addresses import forget, port_of, route
from simulators.azure.changes import merged, said
from simulators.azure.families import Json
from simulators.azure.operations import Answer
from simulators.azure.refusals import ApiError, invalid, missing, taken
from simulators.azure.restoring import Origin, carried, origin_of
from simulators.azure.servers import shown, update_server
from simulators.azure.shapes import DISABLED, PROVISIONING, Backup, Server, Tags
from simulators.backends import Master

RESTORES = ("PointInTimeRestore", "GeoRestore", "ReviveDropped")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def put_server(account: Account, call: Call) -> Answer:
    """Begin a new server, or a change of one that exists."""
    account.require_group(call.group)
    existing = account.find(call.family, call.group, call.name)
    mode = call.properties.get("createMode") or "Default"
    if existing is not None:
        return _again(account, call, existing, mode)
    if mode == "Update":
        raise missing(call.family.kind, call.name, call.group)
    _require_name(account, call)
    if mode in RESTORES:
        return _restore(account, call, origin_of(account, call, mode))
    if mode not in ("Default", "Create"):
        raise invalid("createMode", f"The stand-in knows no {mode}.")
    return _create(account, call)


def _again(account: Account, call: Call, existing: Server, mode: str) -> Answer:
    """Answer to a name that exists; what Azure answers to a repeated restore nobody verified."""
    if mode not in RESTORES and mode != "Create":
        return update_server(account, call)
    if not account.accepts_again:
        raise taken(call.name)
    return existing.doing or account.begin(existing, "update", account.estate.durations.change)


def _require_name(account: Account, call: Call) -> None:
    if not NAME.fullmatch(call.name):
        raise invalid("serverName", "It must be 3 to 63 small letters, digits and hyphens.")
    if not is_free(account, call.family, call.name):
        raise taken(call.name)


def _require_room(account: Account, call: Call, sku: str, location: str) -> None:
    """Refuse what the region has no room for, or the subscription no right to."""
    if sku in account.no_room:
        raise ApiError(
            409,
            "SkuNotAvailable",
            f"The requested size '{sku}' is currently not available in location '{location}'."
            " Please try another size or deploy to a different location or zone.",
        )
    used = sum(one.family is call.family and one.location == location for one in account.servers)
    if used >= account.quota:
        raise ApiError(
            409,
            "QuotaExceeded",
            f"The subscription's limit of {account.quota} servers in '{location}' is reached.",
        )


def _restore(account: Account, call: Call, origin: Origin) -> Answer:
    source = origin.server
    location = place(call.body.get("location")) or source.location
    _require_room(account, call, source.sku["name"], location)
    server = carried(account, call, origin, described(account, call, location))
    backends, internal = account.backends(source), source.internal

    def restore() -> None:
        backends.restore(internal, server.internal, origin.moment)

    return _begin(account, server, "restore", restore)


def _create(account: Account, call: Call) -> Answer:
    sent, sku = call.properties, said(call.body.get("sku"))
    location = place(call.body.get("location"))
    if location not in account.groups.values():
        raise invalid("location", f"There are no such servers in '{location}'.")
    for name, value in (
        ("sku", sku.get("name")),
        ("version", sent.get("version")),
        ("administratorLogin", sent.get("administratorLogin")),
        ("administratorLoginPassword", sent.get("administratorLoginPassword")),
    ):
        if not value:
            raise invalid(name, "It is required.")
    _require_room(account, call, sku["name"], location)
    server = described(account, call, location)
    server.sku = sku
    for name in call.family.defaults:
        if isinstance(sent.get(name), dict):
            server.properties[name] = merged(server.properties[name], sent[name])
    server.properties |= {name: sent[name] for name in ("version", "administratorLogin")}
    server.databases.append(call.family.database)
    return _begin(account, server, "create", _creating(account, server, sent))


def _creating(account: Account, server: Server, sent: Json) -> Callable[[], None]:
    backends, version = account.backends(server), server.properties["version"]
    login, password = sent["administratorLogin"], sent["administratorLoginPassword"]
    master = Master(login, password, server.family.database)
    return lambda: backends.create(server.internal, version=version, master=master)


def _begin(account: Account, server: Server, kind: str, make: Callable[[], None]) -> Answer:
    """Begin a new server, which readers see at once; a failed one goes, unless it is to stay."""
    durations, backends = account.estate.durations, account.backends(server)

    def work() -> None:
        try:
            make()
        except Exception:
            backends.remove(server.internal, retain=False)
            raise

    account.servers.append(server)
    port_of(account, server)
    return account.begin(
        server,
        kind,
        durations.create if kind == "create" else durations.restore,
        state=PROVISIONING,
        work=work,
        then=lambda: finish(account, server),
        undo=lambda: _give_up(account, server),
        result=shown(account, server),
    )


def finish(account: Account, server: Server) -> None:
    """Open a new server, with its own first backup: those of its source stay with that."""
    route(account, server)
    back_up(account, server, account.estate.clock.now())


def _give_up(account: Account, server: Server) -> None:
    if account.keeps_failed:
        server.state = DISABLED
        return
    account.servers.remove(server)
    forget(account, server)


def back_up(account: Account, server: Server, at: datetime) -> Backup:
    """Note an automatic backup, which holds the state of `at`, or of when the window opened."""
    window = account.backends(server).window(server.internal)
    at = max(at, window[0]) if window else at
    backup = Backup(f"backup_{int(at.timestamp() * 10_000_000)}", at)
    server.backups[backup.name] = backup
    return backup


def described(account: Account, call: Call, location: str) -> Server:
    """Return the record of a new server with the provider's defaults and what a call may say."""
    clock = account.estate.clock
    properties = copy.deepcopy(dict(call.family.defaults))
    properties["availabilityZone"] = call.properties.get("availabilityZone") or "1"
    return Server(
        family=call.family,
        internal=str(uuid.uuid4()),
        group=next(one for one in account.groups if one.lower() == call.group.lower()),
        name=call.name.lower(),
        location=location,
        created_at=clock.now(),
        made_at=clock.elapsed(),
        tags=Tags([(clock.elapsed(), dict(call.body.get("tags") or {}))]),
        sku={},
        identity=call.body.get("identity"),
        properties=properties,
        databases=list(call.family.own_databases),
    )


def place(location: object) -> str:
    """Return a region's name, also from the way in which people write it."""
    return str(location or "").replace(" ", "").lower()
