"""Who owns which fields of an object: `managedFields`, kept as the server keeps it."""

from dataclasses import dataclass, field

from simulators.kubernetes.kinds import Kind
from simulators.kubernetes.paths import Path, difference, from_fields, leaves, to_fields
from simulators.kubernetes.schema import root_of
from simulators.kubernetes.values import Json, moment

UPDATE, APPLY = "Update", "Apply"
_NOBODYS = frozenset(
    ("f:metadata", f"f:{name}")
    for name in (
        "name",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
    )
)


@dataclass(frozen=True)
class Manager:
    """Who writes, and by which door."""

    name: str
    operation: str = UPDATE
    subresource: str = ""


@dataclass
class Owner:
    """One entry of `managedFields`."""

    manager: Manager
    api_version: str
    time: str
    paths: set[Path] = field(default_factory=set)

    def entry(self) -> Json:
        """Return it as the object carries it."""
        told = {
            "manager": self.manager.name,
            "operation": self.manager.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields(self.paths),
        }
        subresource = self.manager.subresource
        return {**told, "subresource": subresource} if subresource else told


def owners_of(thing: Json) -> list[Owner]:
    """Return the owners of an object's fields."""
    return [
        Owner(
            Manager(entry["manager"], entry["operation"], entry.get("subresource", "")),
            entry["apiVersion"],
            entry.get("time", ""),
            from_fields(entry.get("fieldsV1", {})),
        )
        for entry in thing["metadata"].get("managedFields", [])
    ]


def record(thing: Json, owners: list[Owner]) -> None:
    """Write owners into an object, appliers first and the oldest first; those of nothing drop out."""
    held = [owner for owner in owners if owner.paths]
    held.sort(key=lambda owner: (owner.manager.operation, owner.time, owner.manager.name))
    thing["metadata"].pop("managedFields", None)
    if held:
        thing["metadata"]["managedFields"] = [owner.entry() for owner in held]


def ownable(paths: set[Path], kind: Kind, subresource: str) -> set[Path]:
    """Return those of some paths that can be owned by who writes by a door."""
    return {path for path in paths if _is_ownable(path, kind, subresource)}


def _is_ownable(path: Path, kind: Kind, subresource: str) -> bool:
    if path[0] in ("f:apiVersion", "f:kind") or path == ("f:metadata",) or path[:2] in _NOBODYS:
        return False
    if subresource == "status":
        return path[0] != "f:spec" and path[:2] != ("f:metadata", "f:labels")
    return path[0] != "f:status" or not kind.has_status


def owned_by(config: Json, kind: Kind, subresource: str = "") -> set[Path]:
    """Return the fields that who applies a configuration owns by it."""
    return ownable(leaves(config, root_of(kind)), kind, subresource)


def take_over(live: Json | None, new: Json, kind: Kind, manager: Manager) -> None:
    """Note in a new state who changed what by an update: it becomes the fields' only owner."""
    if live is not None and not live["metadata"].get("managedFields"):
        new["metadata"].pop("managedFields", None)  # somebody cleared them: not tracked any more
        return
    owners = owners_of(live) if live else []
    found = difference(_bare(live) if live else {}, _bare(new), root_of(kind))
    changed = ownable(found.changed, kind, manager.subresource)
    if not changed and not found.removed:
        record(new, owners)
        return
    own = next((one for one in owners if one.manager == manager), None)
    for owner in owners:
        owner.paths -= found.removed
        if owner is not own:
            owner.paths -= changed
    if own is None:
        own = Owner(manager, kind.api_version, moment())
        owners.append(own)
    if not changed <= own.paths:
        own.time = moment()
        own.paths |= changed
    record(new, owners)


def before_first_apply(live: Json, kind: Kind) -> Owner:
    """Return the owner of what was there before anybody's fields were tracked."""
    paths = ownable(leaves(_bare(live), root_of(kind)), kind, "")
    return Owner(Manager("before-first-apply"), kind.api_version, moment(), paths)


def _bare(thing: Json) -> Json:
    metadata = {k: v for k, v in thing["metadata"].items() if k != "managedFields"}
    return {**thing, "metadata": metadata}


def same_but_for_times(one: Json, other: Json) -> bool:
    """Return whether two states differ in nothing but the times of `managedFields`."""
    if _bare(one) != _bare(other):
        return False
    owners = [
        {(owner.manager, frozenset(owner.paths)) for owner in owners_of(thing)}
        for thing in (one, other)
    ]
    return owners[0] == owners[1]
