"""What a lifecycle policy of Amazon ECR will do to one image, evaluated as ECR documents it.

Rules act by priority, and an image that a rule selects is left alone by the later ones. ECR's own
preview would need the right to start one, and takes its time.
"""

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.checks import Finding, Verdict
from domain.values import show_time
from providers.oci.knowledge import kept

_ADVICE = (
    "rules act within a day; add a rule of a lower priority that selects only its tag and keeps "
    "many, or take it out of this one's selection"
)
_SINCE = {
    "sinceImagePushed": "pushed_at",
    "sinceImagePulled": "pulled_at",
    "sinceImageTransitioned": "archived_at",
}


@dataclass(frozen=True)
class Held:
    """One image with what the rules look at."""

    digest: str
    tags: tuple[str, ...]
    pushed_at: datetime
    pulled_at: datetime | None = None
    archived_at: datetime | None = None
    archived: bool = False

    def since(self, count_type: str) -> datetime | None:
        """Return the moment that a rule counts from; what was never pulled counts from its push."""
        moment: datetime | None = getattr(self, _SINCE.get(count_type, ""), None)
        return moment or (self.pushed_at if count_type == "sinceImagePulled" else None)


def judge_lifecycle(policy: str, held: Sequence[Held], digest: str) -> Finding:
    """Return whether the policy of a repository will delete or archive an image of it."""
    remaining = sorted(held, key=lambda one: one.pushed_at, reverse=True)
    for rule in sorted(_rules(policy), key=lambda one: int(one.get("rulePriority", 0))):
        selected = [one for one in remaining if _selects(rule, one)]
        found = next((place for place, one in enumerate(selected) if one.digest == digest), None)
        if found is not None:
            return _judged(rule, selected, found)
        remaining = [one for one in remaining if one not in selected]
    return kept("no rule of the repository's lifecycle policy selects it", Verdict.PASSED)


def _rules(policy: str) -> list[Mapping[str, Any]]:
    try:
        content = json.loads(policy)
    except ValueError:
        return []
    rules = content.get("rules") if isinstance(content, dict) else None
    return [rule for rule in rules or () if isinstance(rule, dict)]


def _selects(rule: Mapping[str, Any], image: Held) -> bool:
    wanted = rule.get("selection", {})
    if (wanted.get("storageClass", "standard") == "archive") is not image.archived:
        return False
    if wanted.get("tagStatus") == "any":
        return True
    if wanted.get("tagStatus") == "untagged":
        return not image.tags
    patterns = [
        *wanted.get("tagPatternList", ()),
        *(f"{one}*" for one in wanted.get("tagPrefixList", ())),
    ]
    return bool(image.tags) and all(
        any(fnmatch.fnmatchcase(tag, pattern) for tag in image.tags) for pattern in patterns
    )


def _judged(rule: Mapping[str, Any], selected: Sequence[Held], place: int) -> Finding:
    wanted, action = rule.get("selection", {}), rule.get("action", {}).get("type", "expire")
    does = "deletes" if str(action).lower() == "expire" else "archives"
    told, count = f"rule {rule.get('rulePriority')}", int(wanted.get("countNumber", 0))
    if wanted.get("countType") == "imageCountMoreThan":
        position = f"it is number {place + 1} of the {count} newest that {told} keeps"
        if place < count:
            return kept(position, Verdict.PASSED)
        late = f"{told} keeps the {count} newest, it is number {place + 1}: the rule {does} it"
        return kept(late, Verdict.UNPROVEN, _ADVICE)
    since = selected[place].since(str(wanted.get("countType")))
    if since is None:
        return kept(
            f"{told} selects it, and counts from what is not told", Verdict.UNPROVEN, _ADVICE
        )
    until = since + timedelta(days=count)
    when = "now" if until <= datetime.now(UTC) else f"at {show_time(until)}"
    return kept(f"{told} {does} it {when}, {count} days after it came", Verdict.UNPROVEN, _ADVICE)
