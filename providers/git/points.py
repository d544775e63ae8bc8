"""Which commit a person means: as of a time, by its name, or the last one marked good."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice

from dulwich.objects import Commit as GitCommit
from dulwich.objects import ObjectID
from dulwich.repo import Repo

from domain.configuration import (
    GOOD_TAGS,
    ConfigurationPoint,
    ConfigurationTarget,
    PointKind,
    ProtectedConfiguration,
)
from domain.errors import AlreadyThereError, RecoveryPointUnreachableError
from domain.values import show_time
from providers.git.config import folder
from providers.git.history import History, moment, told
from providers.git.transport import PEELED
from providers.git.trees import obstacle

TAGS = "refs/tags/"
_OFFERS, _OFFERS_AMONG = 5, 500
_UNDONE, _UNDONE_AMONG = 50, 2000
_LOOKED_BEYOND = 50
_ID = re.compile(r"[0-9a-fA-F]{7,40}")
_WHOLE = 40
CLOCKS = (
    "a commit tells when it was made, not when it was pushed: Git keeps no record of the latter"
)


class Points:
    """The choice of a commit of one branch, from its refs as they are at the remote now."""

    def __init__(
        self, configuration: ProtectedConfiguration, repo: Repo, refs: Mapping[str, str]
    ) -> None:
        self._configuration, self._refs = configuration, refs
        self._branch = configuration.repository.branch
        self._history = History(repo, folder(configuration.repository))
        self._head = self._history.commit(refs[f"refs/heads/{self._branch}"])
        self._notes: list[str] = []

    def choose(self, target: ConfigurationTarget) -> ConfigurationPoint:
        """Return the point of a target.

        Raises:
            RecoveryPointUnreachableError: no commit of the branch is meant, or it changes nothing.
        """
        if target.kind is PointKind.TIME and target.time is not None:
            chosen = self._as_of(target.time)
        elif target.kind is PointKind.PREVIOUS:
            chosen = self._last_good()
        else:
            chosen = self._named(target.reference)
        self._require_change(target, chosen)
        return ConfigurationPoint(
            target=told(chosen),
            head=told(self._head),
            undone=tuple(told(commit) for commit in self._undone(chosen)),
            notes=tuple(self._notes),
        )

    def _as_of(self, time: datetime) -> GitCommit:
        """Return the last commit of the branch that was made by then."""
        found, later, disorder = None, None, False
        walk = self._history.mainline(self._head)
        for commit in walk:
            disorder = disorder or (later is not None and commit.commit_time > later)
            later = commit.commit_time
            if moment(commit) <= time:
                found = commit
                break
        for commit in islice(walk, _LOOKED_BEYOND):
            disorder = disorder or (later is not None and commit.commit_time > later)
            later = commit.commit_time
        self._notes.append(CLOCKS)
        if disorder:
            self._notes.append(
                f"the times of {self._branch}'s commits do not only rise: a clock was wrong where "
                "one was made; compare the commit chosen with what you expect"
            )
        if found is None:
            raise self._refusal(f"no commit of {self._branch} is as old as {show_time(time)}")
        return found

    def _last_good(self) -> GitCommit:
        now = self._history.folder(self._head)
        marked: dict[ObjectID, list[str]] = {}
        for name, id_ in self._refs.items():
            if name.startswith(f"{TAGS}{GOOD_TAGS}"):
                tag = name.removeprefix(TAGS).removesuffix(PEELED)
                marked.setdefault(ObjectID(id_.encode()), []).append(tag)
        differing = {id_ for id_ in marked if self._may_come_back(id_, now)}
        found = self._history.newest_of(self._head, differing) if differing else None
        if found is None:
            raise self._refusal(
                f"no commit in the history of {self._branch} is marked good by a tag "
                f"{GOOD_TAGS}… and holds anything else than {self._branch} holds now"
            )
        self._notes.append(f"marked good by {', '.join(sorted(set(marked[found.id])))}")
        return found

    def _may_come_back(self, id_: ObjectID, now: ObjectID | None) -> bool:
        if id_ not in self._history.store:  # a tag of another branch, never fetched
            return False
        commit = self._history.store[id_]
        if not isinstance(commit, GitCommit):
            return False
        return self._history.folder(commit) not in {None, now}

    def _named(self, reference: str) -> GitCommit:
        tag = reference.removeprefix(TAGS)
        tagged = self._refs.get(f"{TAGS}{tag}{PEELED}") or self._refs.get(f"{TAGS}{tag}")
        known = self._begun_with(reference.lower()) if _ID.fullmatch(reference) else []
        meant = {*known, *([ObjectID(tagged.encode())] if tagged else [])}
        if len(meant) > 1:
            names = ", ".join(sorted(id_.decode() for id_ in meant))
            raise self._refusal(
                f"{reference} means more than one commit ({names}); write more of it"
            )
        found = self._history.newest_of(self._head, meant) if meant else None
        if found is not None:
            return found
        elsewhere = "what another branch holds is no earlier state of this one"
        if tagged:
            raise self._refusal(
                f"tag {tag} is {tagged[:12]}, which is no commit in the history of {self._branch}; "
                f"{elsewhere}"
            )
        raise self._refusal(
            f"{reference} is neither a tag nor, by 7 or more digits of its id, a commit in the "
            f"history of {self._branch}; {elsewhere}"
        )

    def _begun_with(self, digits: str) -> list[ObjectID]:
        """Return the commits of the branch whose ids begin so.

        What else a copy of the repository happens to hold does not count: it may be gone tomorrow.
        """
        store = self._history.store
        known = {
            id_ for id_ in store.iter_prefix(digits.encode()) if isinstance(store[id_], GitCommit)
        }
        if len(known) <= 1 or len(digits) == _WHOLE:
            return sorted(known)
        return [commit.id for commit in self._history.everything(self._head) if commit.id in known]

    def _require_change(self, target: ConfigurationTarget, chosen: GitCommit) -> None:
        now, then = self._history.folder(self._head), self._history.folder(chosen)
        path = self._configuration.repository.path
        which = f"commit {chosen.id[:12].decode()} ({show_time(moment(chosen))})"
        if then is None:
            raise self._refusal(f"at {which} there is no folder {path}")
        if chosen.id == self._head.id:
            raise self._already(f"{target} is {which}: that is what {self._branch} holds now")
        if now == then:
            held = f"the folder {path}" if path else "everything"
            raise self._already(
                f"{target} is {which}, where {held} is what {self._branch} holds now"
            )
        stands = obstacle(self._history.store, self._head.tree, self._history.path)
        if stands:
            raise self._refusal(f"at {self._branch} now {stands} is no folder; move it away first")

    def _undone(self, chosen: GitCommit) -> list[GitCommit]:
        after = self._history.after(chosen, self._head, _UNDONE_AMONG)
        touched = list(islice(filter(self._history.touched, after), _UNDONE + 1))
        if len(touched) > _UNDONE or len(after) == _UNDONE_AMONG:
            self._notes.append(f"more commits are undone than the {len(touched[:_UNDONE])} listed")
        return touched[:_UNDONE]

    def _refusal(self, reason: str) -> RecoveryPointUnreachableError:
        return RecoveryPointUnreachableError(
            self._configuration.path, reason, list(islice(self._offers(), _OFFERS))
        )

    def _already(self, reason: str) -> AlreadyThereError:
        offered = list(islice(self._offers(), _OFFERS))
        return AlreadyThereError(self._configuration.path, reason, offered)

    def _offers(self) -> Iterator[str]:
        """Yield commits that could come back: each the newest with what it holds."""
        seen = {self._history.folder(self._head), None}
        for commit in islice(self._history.mainline(self._head), _OFFERS_AMONG):
            held = self._history.folder(commit)
            if held not in seen:
                seen.add(held)
                yield told(commit).told
