"""What a workload ran before: its revisions, by what the cluster keeps and what was seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.rollback import ProtectedApplication, Revision
from providers.kubernetes.client import Json
from providers.kubernetes.explaining import SURELY, works
from providers.kubernetes.images import images_of, main_container
from providers.kubernetes.observing import Seen, looked_at, note, recorded
from providers.kubernetes.rollout import patience
from providers.kubernetes.workloads import (
    CAUSE,
    DEPLOYMENT,
    Kept,
    Workload,
    given_up,
    last_change,
)

_RAN_BEFORE = "deployment.kubernetes.io/revision-history"


@dataclass(frozen=True)
class _Look:
    """A workload as one look found it."""

    workload: Workload
    live: Json
    kept: Sequence[Kept]
    pods: Sequence[Json]
    current: Kept | None
    now: datetime

    def pods_of(self, kept: Kept) -> list[Json]:
        return self.workload.pods_of(kept, self.pods)

    def serves(self, kept: Kept) -> bool:
        """Return whether replicas of a revision are available now, and not between two crashes."""
        surely = self.workload.cluster.pacing.short(SURELY)
        steady = any(works(pod, surely) for pod in self.pods_of(kept))
        if self.workload.kind is DEPLOYMENT:
            return steady and bool((kept.object.get("status") or {}).get("availableReplicas"))
        return steady


def history(workload: Workload, application: ProtectedApplication) -> list[Revision]:
    """Return what ran, newest first, and keep on the revisions what is seen of them now."""
    live = workload.live()
    kept = workload.revisions(live)
    current = workload.current(live, kept) or (kept[0] if kept else None)
    if current is not None and kept[0] is not current:  # the controller has not renumbered it yet
        kept = [current, *(one for one in kept if one is not current)]
    look = _Look(workload, live, kept, workload.pods(live), current, datetime.now(UTC))
    starts = _starts(look)
    found: list[Revision] = []
    ended: datetime | None = None
    known = dict(_seen(look, starts))
    main = main_container(application, live["spec"]["template"])
    healths = _healths(look, known)
    for one in kept:
        seen, healthy = known[one.uid], healths[one.uid]
        images = images_of(one.template, seen.digests)
        if not images:
            continue
        long = (seen.healthy_until, seen.healthy_since)
        found.append(
            Revision(
                id=one.name,
                number=one.number,
                images=images,
                container=_container(main, one),
                cause=one.annotations.get(CAUSE, ""),
                started_at=starts[one.uid],
                ended_at=ended,
                healthy=healthy,
                healthy_for=long[0] - long[1] if long[0] and long[1] and healthy else None,
                current=one is current,
            )
        )
        ended = starts[one.uid]
    return found


def digests_of(workload: Workload, live: Json, kept: Kept) -> Mapping[str, str]:
    """Return the digest of each container of a revision, as far as anything shows it."""
    now = datetime.now(UTC)
    pods = workload.pods_of(kept, workload.pods(live))
    seen = looked_at(kept, pods, None, healthy=False, now=now).digests
    return {one.container: one.digest for one in images_of(kept.template, seen) if one.digest}


def _seen(look: _Look, starts: Mapping[str, datetime]) -> Iterator[tuple[str, Seen]]:
    """Yield what is known of each revision, noting what is new."""
    for one in look.kept:
        pods = look.pods_of(one)
        serves = look.serves(one)
        if not pods and not serves:
            yield one.uid, recorded(one)
            continue
        since = starts[one.uid] if one is look.current else None
        seen = looked_at(one, pods, since, healthy=serves, now=look.now)
        note(look.workload, one, seen)
        yield one.uid, seen


def _healths(look: _Look, known: Mapping[str, Seen]) -> dict[str, bool | None]:
    """Return of each revision whether it was healthy; None where nobody looked.

    An older one that still has replicas tells of those after it: none of them ever took over, or
    it would have none. However long they were what the cluster was told to run, they did not serve.
    """
    serving = [one.uid for one in look.kept if one is not look.current and look.serves(one)]
    found: dict[str, bool | None] = {}
    never_took_over = bool(serving)
    for one in look.kept:
        never_took_over = never_took_over and one.uid not in serving[:1]
        found[one.uid] = known[one.uid].healthy
        if found[one.uid] is None and (
            never_took_over
            if one is not look.current
            else given_up(look.live, patience(look.workload, look.live))
        ):
            found[one.uid] = False
    return found


def _starts(look: _Look) -> dict[str, datetime]:
    """Return when each revision became current the last time, as far as that is known.

    One that was gone back to is older than its time as current. Where nothing noted that time it
    counts from when the revision it replaced began: how long that one lasted nobody knows, and of
    the two, the one that was gone back to is the better answer.
    """
    found: dict[str, datetime] = {}
    before: datetime | None = None
    for one in reversed(look.kept):
        start = recorded(one).current_since
        if start is None and _is_back(one, before):
            changed = last_change(look.live) if one is look.current else None
            start = changed[1] if changed and before and changed[1] > before else before
        start = start or one.created_at
        before = start if before is None else max(before, start)
        found[one.uid] = before
    return found


def _is_back(kept: Kept, before: datetime | None) -> bool:
    """Return whether a revision was gone back to: it is older than the one it followed."""
    if kept.annotations.get(_RAN_BEFORE):
        return before is not None
    return before is not None and kept.created_at < before


def _container(main: str, kept: Kept) -> str:
    """Return the main container in a revision, where it had it; a single one may have been renamed."""
    names = {one["name"] for one in (kept.template.get("spec") or {}).get("containers") or ()}
    return main if main in names else ""
