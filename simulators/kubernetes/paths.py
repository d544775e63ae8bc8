"""Sets of fields: what a manager owns, what a change touches, in the form of `fieldsV1`.

A path is a tuple of elements as `fieldsV1` spells them: `f:<member>`, `k:<keys as JSON>` for an
item of a list that merges by keys, `v:<value as JSON>` for a member of a set.
"""

import json
from dataclasses import dataclass, field
from typing import TypeAlias

from simulators.kubernetes.schema import Node
from simulators.kubernetes.values import Json, Value

Path: TypeAlias = tuple[str, ...]
_ALWAYS_THERE = frozenset(
    f"f:{name}"
    for name in (
        "metadata",
        "spec",
        "status",
        "template",
        "strategy",
        "updateStrategy",
        "containers",
        "source",
        "involvedObject",
    )
)
"""Members that the server's types always hold: they never count as added themselves."""
_ABSENT = object()


def children(value: Value, node: Node) -> dict[str, tuple[Value, Node]]:
    """Return the parts of a value that are owned apart from each other; none if it is one value."""
    if node.atomic:
        return {}
    if isinstance(value, dict):
        return {f"f:{name}": (item, node.of(name)) for name, item in value.items()}
    if not node.merges(value):
        return {}
    if node.unique:
        return {f"v:{_json(item)}": (item, node.each()) for item in value}
    return {f"k:{_json(node.key_of(item))}": (item, node.each()) for item in value}


def leaves(value: Value, node: Node, path: Path = ()) -> set[Path]:
    """Return the fields that somebody who applies a value owns by it."""
    parts = children(value, node)
    found: set[Path] = set()
    for element, (item, below) in parts.items():
        found |= leaves(item, below, (*path, element))
    if path and (not parts or not path[-1].startswith("f:")):
        found.add(path)
    return found


@dataclass
class Difference:
    """The fields by which two states of an object differ."""

    changed: set[Path] = field(default_factory=set)
    """Added or modified."""
    removed: set[Path] = field(default_factory=set)


def difference(old: Value, new: Value, node: Node) -> Difference:
    """Return how two states of an object differ."""
    found = Difference()
    _compare(old, new, node, (), found)
    return found


def _compare(old: Value, new: Value, node: Node, path: Path, found: Difference) -> None:
    if old == new:
        return
    if new is _ABSENT:
        found.removed |= _whole(old, node, path)
        return
    if old is _ABSENT:
        found.changed |= _whole(new, node, path)
        return
    before, after = children(old, node), children(new, node)
    if not before and not after:
        found.changed.add(path)
        return
    for element in before.keys() | after.keys():
        was, below = before.get(element, (_ABSENT, node))
        becomes, below = after.get(element, (_ABSENT, below))
        _compare(was, becomes, below, (*path, element), found)


def _whole(value: Value, node: Node, path: Path) -> set[Path]:
    """Return the fields of a value that is new or gone, what holds them included."""
    parts = children(value, node)
    found = set() if path[-1] in _ALWAYS_THERE else {path}
    for element, (item, below) in parts.items():
        found |= _whole(item, below, (*path, element))
    return found


def with_ancestors(paths: set[Path]) -> set[Path]:
    """Return the paths and the members of structures that lead to them."""
    found = set(paths)
    for path in paths:
        found |= {path[:end] for end in range(1, len(path)) if path[end - 1].startswith("f:")}
    return found


def without(value: Value, node: Node, gone: set[Path], path: Path = ()) -> Value:
    """Return a value less the fields at some paths, each with everything below it."""
    if not any(one[: len(path)] == path for one in gone):
        return value
    kept = {
        element: without(item, below, gone, (*path, element))
        for element, (item, below) in children(value, node).items()
        if (*path, element) not in gone
    }
    if isinstance(value, dict):
        return {element[2:]: item for element, item in kept.items()}
    return list(kept.values())


def to_fields(paths: set[Path]) -> Json:
    """Return paths as `fieldsV1`."""
    root: Json = {}
    for path in sorted(paths):
        here = root
        for element in path:
            here = here.setdefault(element, {})
        here["."] = {}
    return _tidy(root)


def _tidy(fields: Json) -> Json:
    """Leave a mere `.` out: an empty member says the same."""
    found = {name: _tidy(below) for name, below in sorted(fields.items())}
    return {} if found.keys() == {"."} else found


def from_fields(fields: Json, path: Path = ()) -> set[Path]:
    """Return the paths of `fieldsV1`."""
    found: set[Path] = set()
    for element, below in fields.items():
        if element == ".":
            found.add(path)
        elif below:
            found |= from_fields(below, (*path, element))
        else:
            found.add((*path, element))
    return found


def told(path: Path) -> str:
    """Return a path as messages tell it, such as `.spec.containers[name="shop"].image`."""
    return "".join(_told(element) for element in path)


def _told(element: str) -> str:
    what, _, rest = element.partition(":")
    if what == "f":
        return f".{rest}"
    if what == "v":
        return f"[={rest}]"
    return f"[{','.join(f'{name}={_json(value)}' for name, value in json.loads(rest).items())}]"


def _json(value: Value) -> str:
    return json.dumps(value, separators=(",", ":"))
