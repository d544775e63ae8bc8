"""What the cleanup policies of Google Artifact Registry will do to one image.

A policy that keeps wins over one that deletes; both act within about a day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.checks import Finding, Verdict
from domain.values import show_time
from providers.oci.knowledge import kept

_ADVICE = (
    "policies act within a day; add one that keeps its digest (KEEP, versionNamePrefixes) or its "
    "tag (KEEP, tagPrefixes)"
)


@dataclass(frozen=True)
class Version:
    """One image with what the policies look at."""

    digest: str
    tags: tuple[str, ...] = ()
    uploaded_at: datetime | None = None
    size_bytes: int = 0


def judge_cleanup(
    settings: Mapping[str, Any], package: str, versions: Sequence[Version], digest: str
) -> Sequence[Finding]:
    """Return whether a repository's policies will delete an image, nothing where it has none."""
    newest = sorted(
        versions, key=lambda one: one.uploaded_at or datetime.min.replace(tzinfo=UTC), reverse=True
    )
    place = next((number for number, one in enumerate(newest) if one.digest == digest), None)
    if place is None:
        return []
    policies = (settings.get("cleanupPolicies") or {}).items()
    if settings.get("cleanupPolicyDryRun") or not policies:
        return [kept("no cleanup policy of the repository acts", Verdict.PASSED)]
    image = newest[place]
    for name, policy in policies:
        if policy.get("action") == "KEEP" and _keeps(policy, package, image, place):
            return [kept(f"the policy {name} keeps it", Verdict.PASSED)]
    found = [
        (_due(policy, image), str(name))
        for name, policy in policies
        if policy.get("action") == "DELETE" and _fits(_condition(policy), package, image)
    ]
    if not found:
        return [kept("no cleanup policy of the repository selects it", Verdict.PASSED)]
    due, name = min(found)
    when = "now" if due <= datetime.now(UTC) else f"at {show_time(due)}"
    return [kept(f"the policy {name} deletes it {when}", Verdict.UNPROVEN, _ADVICE)]


def moment_of(text: object) -> datetime | None:
    """Return a time as Google writes it."""
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _condition(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    found = policy.get("condition")
    return found if isinstance(found, dict) else {}


def _keeps(policy: Mapping[str, Any], package: str, image: Version, place: int) -> bool:
    recent = policy.get("mostRecentVersions")
    if isinstance(recent, dict):
        prefixes = recent.get("packageNamePrefixes") or [""]
        return package.startswith(tuple(prefixes)) and place < int(recent.get("keepCount", 0))
    condition = _condition(policy)
    older = _span(condition.get("olderThan"))
    if older is not None and _age(image) < older:
        return False
    return _fits(condition, package, image)


def _fits(condition: Mapping[str, Any], package: str, image: Version) -> bool:
    """Return whether a condition selects an image, now or when it is old enough."""
    state, newer = condition.get("tagState", "ANY"), _span(condition.get("newerThan"))
    tagged = {"TAGGED": bool(image.tags), "UNTAGGED": not image.tags}.get(str(state), True)
    begins = {
        "tagPrefixes": image.tags,
        "versionNamePrefixes": (image.digest,),
        "packageNamePrefixes": (package,),
    }
    named = all(
        any(one.startswith(tuple(condition[key])) for one in names)
        for key, names in begins.items()
        if condition.get(key)
    )
    return tagged and named and (newer is None or _age(image) < newer)


def _age(image: Version) -> timedelta:
    return datetime.now(UTC) - image.uploaded_at if image.uploaded_at else timedelta()


def _due(policy: Mapping[str, Any], image: Version) -> datetime:
    older = _span(_condition(policy).get("olderThan")) or timedelta()
    return (image.uploaded_at or datetime.now(UTC)) + older


def _span(text: object) -> timedelta | None:
    """Return a duration as Google writes it in JSON, such as 2592000s."""
    try:
        return timedelta(seconds=float(str(text).removesuffix("s"))) if text else None
    except ValueError:
        return None
