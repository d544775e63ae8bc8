"""How readers see the account: as late as the lag says, a page at a time."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TypeVar

from simulators.scaleway.account import Account, Call
from simulators.scaleway.answers import instance_json
from simulators.scaleway.refusals import invalid
from simulators.scaleway.shapes import Instance, Json, Thing

T = TypeVar("T", bound=Thing)
PAGE = 20
LARGEST_PAGE = 100


def told(account: Account, instance: Instance, *, fresh: bool = False) -> Json:
    """Return an instance as a reader sees it; `fresh` with the tags just written."""
    tags = instance.tags.seen(seen_until(account, fresh=fresh))
    return instance_json(instance, account.status(instance), tags, account.addresses(instance))


def seen_until(account: Account, *, fresh: bool = False) -> timedelta:
    """Return up to when writes are seen."""
    elapsed = account.estate.clock.elapsed()
    return elapsed if fresh else elapsed - account.estate.faults.lag


def listed(account: Account, things: Iterable[T], call: Call) -> list[T]:
    """Return the things of a region that lists know already, in the order that a call asks for.

    A name in the query is a part of the names to find.
    """
    until, pattern = seen_until(account), call.query.get("name", "")
    found = [
        each
        for each in things
        if each.region == call.region and each.made_at <= until and pattern in each.name
    ]
    column, _, direction = call.query.get("order_by", "created_at_asc").rpartition("_")
    found.sort(key=lambda each: each.name if column == "name" else each.created_at.isoformat())
    return found[::-1] if direction == "desc" else found


def page_of(key: str, items: list[Json], call: Call) -> Json:
    """Return the page of a list that a call asks for; pages count from 1."""
    size, page = _number(call, "page_size", PAGE), _number(call, "page", 1)
    if size > LARGEST_PAGE:
        raise invalid("page_size", "constraint", f"must be {LARGEST_PAGE} at most")
    first = (page - 1) * size
    return {key: items[first : first + size], "total_count": len(items)}


def _number(call: Call, name: str, default: int) -> int:
    given = call.query.get(name, str(default))
    if not given.isdigit() or int(given) < 1:
        raise invalid(name, "format", "must be a number above 0")
    return int(given)
