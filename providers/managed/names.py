"""What Refloat calls things at providers, and how it proves that they are its own."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from providers.managed.model import Instance

RUN = "refloat-run"
SERVES = "refloat-serves"
SUPERSEDED = "refloat-superseded"
SERVED = "refloat-served"
"""Stays where an undo takes the path away again: who served may hold commits of its own."""
SINCE = "refloat-since"
BY = "refloat-by"
FENCED = "refloat-fenced"
KEPT = "refloat-kept"
SELF = "refloat-self"
_OURS = "refloat-"
_ID = 32
_CLOCKS_APART = timedelta(minutes=2)
_TAGS_SHOW = timedelta(minutes=15)


def name_of(run_id: str, instance: str) -> str:
    """Return what a run's new instance is called."""
    return f"refloat-{run_id[:8]}-{instance}"


def old_name_of(run_id: str, instance: str) -> str:
    """Return what the instance that a run superseded is called, where it can be renamed."""
    return f"refloat-{run_id[:8]}-was-{instance}"


def run_tag(run_id: str) -> str:
    """Return the value of the tag that proves a run's ownership."""
    return run_id[:_ID]


class Ownership(StrEnum):
    """Whether an instance is provably of a run."""

    OURS = "ours"
    STRANGE = "somebody else's"
    UNKNOWN = "not shown yet"


def ownership(
    found: Instance,
    name: str,
    run_id: str,
    since: datetime | None,
    *,
    now: datetime,
    tags_at_restore: bool,
) -> Ownership:
    """Return whose an instance is.

    Where a provider takes tags with the restore, only the tag counts, and it may show late. Where
    it does not, a copy may even carry its source's tags: then name and creation since the run was
    asked for must match, until the tag is set.
    """
    tag = found.tags.get(RUN)
    if tag == run_tag(run_id):
        return Ownership.OURS
    young = since is not None and (
        found.created_at is None or found.created_at >= since - _CLOCKS_APART
    )
    if tags_at_restore:
        fresh = found.created_at is None or now - found.created_at < _TAGS_SHOW
        late = tag is None and young and fresh
        return Ownership.UNKNOWN if late else Ownership.STRANGE
    known = found.name == name and young and found.created_at is not None
    return Ownership.OURS if known else Ownership.STRANGE


def own_tags(name: str, tags: Mapping[str, str]) -> Mapping[str, str]:
    """Return the tags that an instance did not inherit from what it was restored from.

    Some providers copy tags with the data. Ours count only on the instance that they name.
    """
    if tags.get(SELF) == name:
        return tags
    return {key: value for key, value in tags.items() if not key.startswith(_OURS)}


def serving(tagged: Iterable[Instance], named: Instance | None, instance: str) -> Instance | None:
    """Return what a path means where instances cannot be renamed: the last one cut over to.

    Without any cutover it is the instance that the catalog names.
    """
    served = [one for one in tagged if one.tags.get(SERVES) == instance]
    ordered = sorted(served, key=lambda one: one.tags.get(SINCE, ""), reverse=True)
    candidates = [*ordered, *([named] if named is not None else [])]
    free = [one for one in candidates if SUPERSEDED not in one.tags]
    return next(iter(free or candidates), None)
