"""What a restore begins from, and which settings come along: fewer for PostgreSQL than for MySQL."""

import copy
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from simulators.azure.account import Account, Call
from simulators.azure.changes import merged, said
from simulators.azure.families import MYSQL, POSTGRESQL, Json
from simulators.azure.refusals import ApiError, internal, invalid, missing
from simulators.azure.shapes import INACCESSIBLE, PROVISIONING, Deleted, Server

SOURCE = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/(?P<group>[^/]+)/providers/[^/]+/flexibleServers/"
    r"(?P<name>[^/]+)",
    re.IGNORECASE,
)
REVIVES_SINCE = "2025-08-01"
NOT_RESTORED = {"5.7": ("time_zone", "event_scheduler")}
"""MySQL's parameters that a restore sets back, by version."""


@dataclass(frozen=True)
class Origin:
    """What a new server is made from; without a moment, as late as can be."""

    server: Server
    moment: datetime | None


def origin_of(account: Account, call: Call, mode: str) -> Origin:
    """Return what a call restores, and to when; refuse what cannot be."""
    if mode == "ReviveDropped":
        return _revived(account, call)
    server, gone = _source(account, call)
    if server.seen_state == PROVISIONING:
        raise ApiError(409, "ServerIsBusy", f"The source server '{server.name}' is not ready yet.")
    if server.seen_state == INACCESSIBLE:
        raise ApiError(
            400,
            "AzureKeyVaultKeyNotAccessible",
            f"The key that encrypts server '{server.name}' cannot be reached.",
        )
    location = str(call.body.get("location") or "").replace(" ", "").lower()
    if mode == "GeoRestore":
        return _elsewhere(server, location)
    if location != server.location:
        raise invalid("location", "A restore to a time stays in the region of its source.")
    moment = _moment(call)
    if gone is not None and moment >= gone.at:
        return Origin(server, None)
    _require_within(account, server, moment)
    return Origin(server, moment)


def _source(account: Account, call: Call) -> tuple[Server, Deleted | None]:
    """Return the server that a call restores; of MySQL also a deleted one."""
    named = SOURCE.fullmatch(str(call.properties.get("sourceServerResourceId") or ""))
    if named is None:
        raise invalid("sourceServerResourceId", "It must be the id of a flexible server.")
    server = account.find(call.family, named["group"], named["name"])
    if server is not None:
        return server, None
    gone = _gone(account, call, named["name"])
    if gone is None or call.family is not MYSQL:
        raise missing(call.family.kind, named["name"], named["group"])
    return gone.server, gone


def _gone(account: Account, call: Call, name: str) -> Deleted | None:
    known = [
        gone
        for gone in account.deleted
        if gone.server.family is call.family and gone.server.name == name.lower()
    ]
    return known[-1] if known else None


def _revived(account: Account, call: Call) -> Origin:
    """Return a deleted PostgreSQL server with its last data."""
    if call.family is not POSTGRESQL or call.api_version < REVIVES_SINCE:
        raise invalid("createMode", "ReviveDropped is not known in this API version.")
    named = SOURCE.fullmatch(str(call.properties.get("sourceServerResourceId") or ""))
    gone = _gone(account, call, named["name"]) if named else None
    if named is None or gone is None:
        raise missing(call.family.kind, named["name"] if named else "", call.group)
    moment = _moment(call)
    return Origin(gone.server, None if moment >= gone.at else moment)


def _elsewhere(server: Server, location: str) -> Origin:
    """Return the last data that reached the paired region."""
    if server.properties["backup"]["geoRedundantBackup"] != "Enabled":
        raise invalid("createMode", "The source server has no geo-redundant backup.")
    if location in ("", server.location):
        raise invalid("location", "A restore elsewhere needs the paired region.")
    return Origin(server, None)


def _moment(call: Call) -> datetime:
    told = str(call.properties.get(call.family.moment) or "")
    try:
        moment = datetime.fromisoformat(told)
    except ValueError:
        raise invalid(call.family.moment, f"'{told}' is no moment.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _require_within(account: Account, server: Server, moment: datetime) -> None:
    """Refuse a moment out of the window: PostgreSQL tells that as an error of its own."""
    now = account.estate.clock.now()
    window = account.backends(server).window(server.internal)
    if window is not None and window[0] <= moment <= now:
        return
    if server.family is POSTGRESQL:
        raise internal()
    raise ApiError(
        400,
        "InvalidRestorePointInTime",
        f"The restore point in time '{moment.isoformat()}' is not within the retention period.",
    )


def carried(account: Account, call: Call, origin: Origin, server: Server) -> Server:
    """Write into a new server what comes along from its source, and nothing else."""
    source = origin.server
    server.sku = dict(source.sku)
    server.identity = call.body.get("identity") or copy.deepcopy(source.identity)
    server.properties |= source.copied("administratorLogin", "version", "storage", "backup")
    server.properties["dataEncryption"] = merged(
        source.properties["dataEncryption"], said(call.properties.get("dataEncryption"))
    )
    server.properties["network"] = _network(call, source, server.properties["network"])
    server.databases = list(source.databases)
    if server.family is MYSQL:
        _carry_more(server, source)
        tags = {**source.tags.last, **(call.body.get("tags") or {})}
        server.tags.versions = [(account.estate.clock.elapsed(), tags)]
    return server


def _carry_more(server: Server, source: Server) -> None:
    """Write what only MySQL carries: parameters and firewall rules."""
    back = NOT_RESTORED.get(source.properties["version"], ("time_zone",))
    server.parameters = {
        name: value for name, value in source.parameters.items() if name not in back
    }
    server.rules = copy.deepcopy(source.rules)


def _network(call: Call, source: Server, default: Json) -> Json:
    """Return the network of a copy: it stays as public or as private as its source."""
    old, sent = source.properties["network"], said(call.properties.get("network"))
    if source.family is MYSQL:
        return merged(old, sent)
    private = "delegatedSubnetResourceId"
    if (private in old) != (private in sent):
        raise invalid("network", "A restore keeps the source's public or private access.")
    return merged(default, sent)
