"""The three patches that change an object by what they say: JSON, merge and strategic merge."""

from collections.abc import Sequence

from simulators.kubernetes.refusals import bad_request, unprocessable
from simulators.kubernetes.schema import Node
from simulators.kubernetes.values import Json, Value, copied

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
FORMATS = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
_DIRECTIVE, _RETAIN = "$patch", "$retainKeys"
_DELETE, _ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"


def patched(live: Json, patch: Value, how: str, node: Node) -> Json:
    """Return an object changed by a patch in one of the three formats.

    Raises:
        ApiError: the patch makes no sense, or not on this object.
    """
    if how == JSON_PATCH:
        if not isinstance(patch, list):
            raise bad_request("error decoding patch: a JSON patch is a list of operations")
        found = json_patched(copied(live), patch)
    elif not isinstance(patch, dict):
        raise bad_request("error decoding patch: a merge patch is an object")
    elif how == MERGE_PATCH:
        found = merge_patched(live, patch)
    else:
        found = strategic(live, patch, node)
    if not isinstance(found, dict):
        raise bad_request("a patch leaves an object an object")
    return found


def merge_patched(live: Value, patch: Value) -> Value:
    """Return a value with a JSON merge patch (RFC 7386) applied."""
    if not isinstance(patch, dict):
        return patch
    found = dict(live) if isinstance(live, dict) else {}
    for name, item in patch.items():
        if item is None:
            found.pop(name, None)
        else:
            found[name] = merge_patched(found.get(name), item)
    return found


def json_patched(thing: Value, operations: Sequence[Json]) -> Value:
    """Return a value with the operations of a JSON patch (RFC 6902) applied, in place."""
    holder = {"": thing}
    for operation in operations:
        what, path = operation.get("op"), _pointer(operation.get("path", ""))
        if what == "test":
            if _read(holder, path) != operation.get("value"):
                raise unprocessable(f"testing value {operation['path']} failed: test failed")
        elif what == "remove":
            _remove(holder, path)
        elif what == "replace":
            _read(holder, path)
            _put(holder, path, copied(operation.get("value")), replace=True)
        elif what == "add":
            _put(holder, path, copied(operation.get("value")))
        elif what in ("move", "copy"):
            source = _pointer(operation.get("from", ""))
            value = copied(_read(holder, source))
            if what == "move":
                _remove(holder, source)
            _put(holder, path, value)
        else:
            raise bad_request(f"Unexpected kind: {what}")
    return holder[""]


def _pointer(text: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")]


def _read(holder: Value, path: list[str]) -> Value:
    here = holder
    for part in path:
        try:
            here = here[int(part)] if isinstance(here, list) else here[part]
        except (KeyError, IndexError, ValueError, TypeError):
            pointer = "/".join(path)
            raise unprocessable(f"{pointer}: missing path: missing value") from None
    return here


def _remove(holder: Value, path: list[str]) -> None:
    _read(holder, path)
    parent = _read(holder, path[:-1])
    del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]


def _put(holder: Value, path: list[str], value: Value, *, replace: bool = False) -> None:
    parent, last = _read(holder, path[:-1]) if path[:-1] else holder, path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif not isinstance(parent, list):
        raise unprocessable(f"add operation does not apply: doc is missing path: {'/'.join(path)}")
    elif last == "-":
        parent.append(value)
    elif replace:
        parent[int(last)] = value
    else:
        parent.insert(int(last), value)


def strategic(live: Value, patch: Json, node: Node) -> Value:
    """Return a map with a strategic merge patch applied."""
    directive = patch.get(_DIRECTIVE)
    if directive == "delete":
        return {}
    said = {name: item for name, item in patch.items() if not name.startswith("$")}
    if directive == "replace" or not isinstance(live, dict):
        return _plain(said)
    found = dict(live)
    if _RETAIN in patch:
        found = {name: item for name, item in found.items() if name in patch[_RETAIN]}
    for name, item in said.items():
        below = node.of(name)
        if item is None:
            found.pop(name, None)
        elif isinstance(item, dict):
            if item.get(_DIRECTIVE) == "delete":
                found.pop(name, None)
            else:
                found[name] = strategic(found.get(name), item, below)
        elif below.merges(item):
            order = patch.get(f"{_ORDER}{name}", [])
            found[name] = _strategic_list(found.get(name) or [], item, below, order)
        else:
            found[name] = copied(item)
    return _lists_apart(found, patch, node)


def _lists_apart(found: Json, patch: Json, node: Node) -> Json:
    """Carry out what a patch says of lists beside them: members to delete, an order alone."""
    for name, item in patch.items():
        if name.startswith(_DELETE):
            field = name.removeprefix(_DELETE)
            found[field] = [one for one in found.get(field, []) if one not in item]
        elif name.startswith(_ORDER):
            field = name.removeprefix(_ORDER)
            if field in found and field not in patch:
                found[field] = _ordered(found[field], item, node.of(field))
    return found


def _strategic_list(
    live: list[Value], patch: list[Value], node: Node, order: list[Value]
) -> list[Value]:
    if node.unique:
        return _ordered(live + [one for one in patch if one not in live], order, node)
    if any(item.get(_DIRECTIVE) == "replace" for item in patch):
        return [_plain(item) for item in patch if item.get(_DIRECTIVE) != "replace"]
    key = node.keys[0]
    found = list(live)
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        places = [place for place, one in enumerate(found) if one.get(key) == item[key]]
        if item.get(_DIRECTIVE) == "delete":
            found = [one for one in found if one.get(key) != item[key]]
        elif places:
            found[places[0]] = strategic(found[places[0]], item, node.each())
        else:
            found.append(_plain(item))
    return _ordered(found, order, node)


def _ordered(found: list[Value], order: list[Value], node: Node) -> list[Value]:
    """Return items in the order that a patch gives; those it does not name stay behind it."""
    key = node.keys[0] if node.keys else ""
    names = [one.get(key) if isinstance(one, dict) else one for one in order]

    def place(item: Value) -> int:
        name = item.get(key) if isinstance(item, dict) else item
        return names.index(name) if name in names else len(names)

    return sorted(found, key=place)


def _plain(value: Value) -> Value:
    """Return what a patch says without its directives."""
    if isinstance(value, dict):
        return {
            name: _plain(item)
            for name, item in value.items()
            if not name.startswith("$") and item is not None
        }
    return [_plain(item) for item in value] if isinstance(value, list) else value
