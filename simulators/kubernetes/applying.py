"""Server-side apply: who applies a configuration owns its fields, and meets the other owners."""

import json
from collections import defaultdict

from simulators.kubernetes.kinds import Kind
from simulators.kubernetes.managed import (
    APPLY,
    UPDATE,
    Manager,
    Owner,
    before_first_apply,
    ownable,
    owned_by,
    owners_of,
    record,
)
from simulators.kubernetes.paths import Path, children, difference, told, with_ancestors, without
from simulators.kubernetes.refusals import ApiError
from simulators.kubernetes.schema import Node, root_of
from simulators.kubernetes.values import Json, Value, copied, moment


def applied(live: Json, config: Json, kind: Kind, manager: Manager, *, force: bool) -> Json:
    """Return an object with a configuration applied; `live` may be all but empty, for a new one.

    Raises:
        ApiError: somebody else owns a field and wants another value, and `force` is not given.
    """
    node = root_of(kind)
    owners = owners_of(live)
    if not owners and "uid" in live["metadata"]:
        owners = [before_first_apply(live, kind)]
    own = next((owner for owner in owners if owner.manager == manager), None)
    last = own.paths if own else set()
    if own is None:
        own = Owner(manager, kind.api_version, moment())
        owners.append(own)
    wanted = owned_by(config, kind, manager.subresource)
    own.api_version = kind.api_version
    if own.paths != wanted:
        own.paths, own.time = wanted, moment()
    held = with_ancestors(set().union(*(owner.paths for owner in owners)))
    new: Json = without(merged(live, config, node), node, with_ancestors(last) - held)
    _settle(live, new, kind, own, owners, force=force)
    new = copied(new)
    record(new, owners)
    return new


def _settle(
    live: Json, new: Json, kind: Kind, own: Owner, owners: list[Owner], *, force: bool
) -> None:
    """Take what the new state changes from its other owners, who refuse it unless forced."""
    found = difference(live, new, root_of(kind))
    changed = ownable(found.changed, kind, own.manager.subresource)
    others = [owner for owner in owners if owner is not own]
    lost = [(owner, path) for owner in others for path in sorted(owner.paths & changed)]
    if lost and not force:
        raise _conflict(lost)
    for owner in others:
        owner.paths -= changed | found.removed


def _conflict(lost: list[tuple[Owner, Path]]) -> ApiError:
    """Return the refusal to overwrite what others own."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_named(owner)}",
            "field": told(path),
        }
        for owner, path in lost
    ]
    return ApiError(409, "Conflict", _message(lost), {"causes": causes})


def _message(lost: list[tuple[Owner, Path]]) -> str:
    if len(lost) == 1:
        owner, path = lost[0]
        return f"Apply failed with 1 conflict: conflict with {_named(owner)}: {told(path)}"
    by_owner: dict[str, list[str]] = defaultdict(list)
    for owner, path in lost:
        by_owner[_named(owner)].append(f"- {told(path)}")
    lines = []
    for name in sorted(by_owner):
        lines += [f"conflicts with {name}:", *by_owner[name]]
    listed = "\n".join(lines)
    return f"Apply failed with {len(lost)} conflicts: {listed}"


def _named(owner: Owner) -> str:
    told_name = json.dumps(owner.manager.name)
    if owner.manager.subresource:
        told_name += f' with subresource "{owner.manager.subresource}"'
    return (
        f"{told_name} using {owner.api_version}" if owner.manager.operation == UPDATE else told_name
    )


def merged(live: Value, config: Value, node: Node) -> Value:
    """Return a value with another laid over it, lists merged as the schema says."""
    if isinstance(live, dict) and isinstance(config, dict) and not node.atomic:
        over = {
            name: merged(live[name], item, node.of(name)) if name in live else item
            for name, item in config.items()
        }
        return {**live, **over}
    if not (node.merges(live) and node.merges(config)):
        return config
    return _merged_items(live, config, node)


def _merged_items(live: Value, config: Value, node: Node) -> Value:
    """Return a list in the order of the applied items, the others where they stood between them."""
    here, there = children(live, node), children(config, node)
    found: list[Value] = []
    waiting = list(here)
    for element, (item, below) in there.items():
        if element in here:
            while waiting and waiting[0] != element and waiting[0] not in there:
                found.append(here[waiting.pop(0)][0])
            if element in waiting:
                waiting.remove(element)
            found.append(merged(here[element][0], item, below))
        else:
            found.append(item)
    return found + [here[element][0] for element in waiting]


def applier(name: str, subresource: str = "") -> Manager:
    """Return the manager that applies under a name."""
    return Manager(name, APPLY, subresource)
