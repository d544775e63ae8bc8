"""JSON values as the API carries them, and small things that are done with them everywhere."""

import hashlib
import json
import secrets
from datetime import UTC, datetime
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Value: TypeAlias = Any
"""Any JSON value: who reads one knows its shape, as the server does by its schema."""

_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of generated names: no vowels, so that no word comes out."""


def copied(value: Value) -> Value:
    """Return a deep copy."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def without_nulls(value: Value) -> Value:
    """Return a deep copy without the members of objects that are null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def at(value: Value, *path: str, default: Value = None) -> Value:
    """Return what lies at a path of member names; the default where it ends early or is null."""
    for name in path:
        if not isinstance(value, dict) or value.get(name) is None:
            return default
        value = value[name]
    return value


def moment(when: datetime | None = None) -> str:
    """Return a time as the API writes it, in whole seconds."""
    return (when or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def short_hash(value: Value, salt: int = 0) -> str:
    """Return ten safe characters that stand for a value, as `pod-template-hash` does."""
    text = json.dumps(value, sort_keys=True) + (str(salt) if salt else "")
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    letters = []
    for _ in range(10):
        number, rest = divmod(number, len(_SAFE))
        letters.append(_SAFE[rest])
    return "".join(letters)


def random_suffix() -> str:
    """Return five safe characters, as `generateName` appends them."""
    return "".join(secrets.choice(_SAFE) for _ in range(5))


def name_of(thing: Json) -> str:
    """Return an object's name."""
    return str(thing["metadata"]["name"])


def namespace_of(thing: Json) -> str:
    """Return an object's namespace, empty at the scope of the cluster."""
    return str(thing["metadata"].get("namespace", ""))


def labels_of(thing: Json) -> dict[str, str]:
    """Return an object's labels."""
    return at(thing, "metadata", "labels", default={}) or {}


def annotations_of(thing: Json) -> dict[str, str]:
    """Return an object's annotations."""
    return at(thing, "metadata", "annotations", default={}) or {}


def terminating(thing: Json) -> bool:
    """Return whether an object's deletion has begun."""
    return "deletionTimestamp" in thing["metadata"]
