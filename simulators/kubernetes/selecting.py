"""Selectors: by labels, in a query or in an object, and by fields."""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from simulators.kubernetes.kinds import EVENT, POD, Kind
from simulators.kubernetes.refusals import bad_request
from simulators.kubernetes.values import Json, at, labels_of

Test: TypeAlias = Callable[[Json], bool]
_TERM = re.compile(
    r"\s*(?:(?P<not>!)\s*(?P<absent>[^\s=!,()]+)"
    r"|(?P<set>[^\s=!,()]+)\s+(?P<how>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|(?P<key>[^\s=!,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s=!,()]*)"
    r"|(?P<present>[^\s=!,()]+))\s*(?:,|$)"
)
_FIELD = re.compile(r"([^=!]+)(==|=|!=)(.*)")
_FIELDS: dict[Kind, frozenset[str]] = {
    POD: frozenset(("spec.nodeName", "spec.restartPolicy", "status.phase", "status.podIP")),
    EVENT: frozenset(
        (
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        )
    ),
}
_OTHERS: dict[str, frozenset[str]] = {
    "secrets": frozenset(("type",)),
    "namespaces": frozenset(("status.phase",)),
    "replicasets": frozenset(("status.replicas",)),
    "jobs": frozenset(("status.successful",)),
    "nodes": frozenset(("spec.unschedulable",)),
}


def by_labels(text: str) -> Test:
    """Return the test that a label selector of a query stands for.

    Raises:
        ApiError: it cannot be read.
    """
    tests, place = [], 0
    while place < len(text):
        term = _TERM.match(text, place)
        if term is None or term.end() == place:
            raise bad_request(f"unable to parse requirement: found '{text[place:]}'")
        tests.append(_of_term(term))
        place = term.end()
    return lambda thing: all(test(labels_of(thing)) for test in tests)


def _of_term(term: re.Match[str]) -> Callable[[Mapping[str, str]], bool]:
    said = term.groupdict()
    if said["not"]:
        return lambda labels: said["absent"] not in labels
    if said["set"]:
        values = {value.strip() for value in said["values"].split(",")}
        if said["how"] == "in":
            return lambda labels: labels.get(said["set"]) in values
        return lambda labels: labels.get(said["set"]) not in values
    if said["key"]:
        if said["op"] == "!=":
            return lambda labels: labels.get(said["key"]) != said["value"]
        return lambda labels: labels.get(said["key"]) == said["value"]
    return lambda labels: said["present"] in labels


def by_fields(text: str, kind: Kind) -> Test:
    """Return the test that a field selector of a query stands for.

    Raises:
        ApiError: it cannot be read, or names a field that the kind is not selected by.
    """
    known = _FIELDS.get(kind) or _OTHERS.get(kind.plural, frozenset())
    terms: list[tuple[str, bool, str]] = []
    for part in filter(None, text.split(",")):
        term = _FIELD.fullmatch(part.strip())
        if term is None:
            raise bad_request(f"invalid field selector: {part}")
        path, how, value = term.groups()
        if path not in known and path not in ("metadata.name", "metadata.namespace"):
            raise bad_request(f"field label not supported: {path}")
        terms.append((path, how == "!=", value))

    def holds(thing: Json) -> bool:
        return all(
            (str(at(thing, *path.split("."), default="")) == value) != negated
            for path, negated, value in terms
        )

    return holds


def selects(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Return whether a selector of a workload takes an object with some labels."""
    if not selector:
        return False
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_meets(one, labels) for one in selector.get("matchExpressions", []))


def _meets(expression: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", [])
    operators = {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }
    return operators.get(expression["operator"], False)
