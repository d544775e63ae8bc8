"""Filters and pages of Cloud SQL's lists."""

import base64
import operator
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from simulators.gcp import refusals, stamps

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def chosen(resources: Iterable[dict[str, Any]], expression: str) -> list[dict[str, Any]]:
    """Return the resources that fit an expression such as `state:RUNNABLE settings.tier:db-*`.

    Terms are joined by AND where nothing stands between them; OR binds more weakly.
    """
    groups: list[list[str]] = [[]]
    for word in _words(expression):
        if word == "OR":
            groups.append([])
        elif word != "AND":
            groups[-1].append(word)
    return [
        resource
        for resource in resources
        if any(all(_fits(resource, term) for term in terms) for terms in groups)
    ]


def page(
    resources: list[dict[str, Any]], size: int, token: str
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return one page, and the token of the next where there is one."""
    start = _start(token)
    after = start + size
    if after >= len(resources):
        return resources[start:], {}
    following = base64.urlsafe_b64encode(str(after).encode()).decode()
    return resources[start:after], {"nextPageToken": following}


def _words(expression: str) -> list[str]:
    try:
        return shlex.split(expression)
    except ValueError as error:
        raise refusals.invalid(f"the filter {expression!r} cannot be read") from error


def _fits(resource: Mapping[str, Any], term: str) -> bool:
    match = re.fullmatch(r"([\w.-]+)(>=|<=|>|<|:|=)(.*)", term)
    if match is None:
        raise refusals.invalid(f"the filter term {term!r} cannot be read")
    path, comparison, wanted = match.groups()
    found = _at(resource, path)
    if found is None:
        return False
    if comparison in COMPARISONS:
        return COMPARISONS[comparison](_comparable(found), _comparable(wanted))
    return _equal(str(found), wanted)


def _at(resource: Mapping[str, Any], path: str) -> object:
    """Return the value at a dotted path, or None."""
    found: object = resource
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _equal(found: str, wanted: str) -> bool:
    if wanted.endswith("*"):
        return found.startswith(wanted[:-1])
    return found == wanted or (found in {"True", "False"} and found.lower() == wanted)


def _comparable(value: object) -> object:
    text = str(value)
    return stamps.read(text) if stamps.is_moment(text) else text


def _start(token: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(token.encode())) if token else 0
    except ValueError as error:
        raise refusals.invalid(f"the page token {token!r} cannot be read") from error
