"""What was seen of a revision while it ran, kept on the revision itself for when its pods are gone."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from domain.errors import RecoveryError
from providers.kubernetes.client import OBSERVER, Json
from providers.kubernetes.explaining import failing, ready_since
from providers.kubernetes.images import told_digests
from providers.kubernetes.workloads import Kept, Workload

IMAGES = "refloat.dev/images"
CURRENT_SINCE = "refloat.dev/current-since"
HEALTHY_SINCE = "refloat.dev/healthy-since"
HEALTHY_UNTIL = "refloat.dev/healthy-until"
FAILED_AT = "refloat.dev/failed-at"
OBSERVED = "refloat.dev/observed"
_OFTEN_ENOUGH = timedelta(minutes=1)


@dataclass(frozen=True)
class Seen:
    """What is known of a revision by having looked: digests, when it was current, healthy, failing."""

    digests: Mapping[str, str] = field(default_factory=dict)
    current_since: datetime | None = None
    healthy_since: datetime | None = None
    healthy_until: datetime | None = None
    failed_at: datetime | None = None

    @property
    def healthy(self) -> bool | None:
        """Whether it was seen to work, or only ever to fail; None where nobody looked."""
        return True if self.healthy_until else False if self.failed_at else None

    def annotations(self, mark: str) -> dict[str, str]:
        """Return it as annotations."""
        times = {
            CURRENT_SINCE: self.current_since,
            HEALTHY_SINCE: self.healthy_since,
            HEALTHY_UNTIL: self.healthy_until,
            FAILED_AT: self.failed_at,
        }
        written = {name: one.astimezone(UTC).isoformat() for name, one in times.items() if one}
        images = json.dumps(dict(self.digests), sort_keys=True)
        return {OBSERVED: mark, **({IMAGES: images} if self.digests else {}), **written}


def recorded(kept: Kept) -> Seen:
    """Return what was noted on a revision earlier.

    Notes of another object are none: `kubectl rollout undo` copies a ReplicaSet's annotations to
    the Deployment, and from there they come to every later ReplicaSet. Notes of an earlier time as
    current keep their digests, but not since when it is current.
    """
    notes = kept.annotations
    uid, _, number = notes.get(OBSERVED, "").partition("/")
    if uid != kept.uid:
        return Seen()
    try:
        digests = json.loads(notes.get(IMAGES, "{}"))
    except ValueError:
        digests = {}
    same_time = number == str(kept.number)
    return Seen(
        digests=digests if isinstance(digests, dict) else {},
        current_since=_time(notes.get(CURRENT_SINCE)) if same_time else None,
        healthy_since=_time(notes.get(HEALTHY_SINCE)),
        healthy_until=_time(notes.get(HEALTHY_UNTIL)),
        failed_at=_time(notes.get(FAILED_AT)),
    )


def looked_at(
    kept: Kept, pods: Sequence[Json], since: datetime | None, *, healthy: bool, now: datetime
) -> Seen:
    """Return what is known of a revision now; `since` is when it became current, if it is."""
    before = recorded(kept)
    ready_at = [found for found in map(ready_since, pods) if found]
    fails = bool(pods) and not healthy and any(failing(pod) for pod in pods)
    first = before.healthy_since
    if healthy and (first is None or (since is not None and first < since)):
        first = min(ready_at, default=now)
    return Seen(
        digests={**before.digests, **told_digests(pods)},
        current_since=since or before.current_since,
        healthy_since=first,
        healthy_until=now if healthy else before.healthy_until,
        failed_at=before.failed_at or (now if fails else None),
    )


def note(workload: Workload, kept: Kept, seen: Seen) -> None:
    """Keep what was seen on the revision, unless that would say nothing new.

    Not being allowed to is no error: the history is then what the cluster itself keeps.
    """
    before = recorded(kept)
    mark = f"{kept.uid}/{kept.number}"
    lately = (
        before.healthy_until is not None
        and seen.healthy_until is not None
        and seen.healthy_until - before.healthy_until < _OFTEN_ENOUGH
    )
    same = (before.digests, before.current_since, before.healthy_since, before.failed_at) == (
        seen.digests, seen.current_since, seen.healthy_since, seen.failed_at,
    )  # fmt: skip
    if same and (lately or seen.healthy_until == before.healthy_until):
        return
    body = {"metadata": {"annotations": seen.annotations(mark)}}
    place = (workload.namespace, kept.name)
    with contextlib.suppress(RecoveryError):
        workload.cluster.patch(workload.revisions_kind, place, body, "merge", manager=OBSERVER)


def _time(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
