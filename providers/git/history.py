"""Walks a branch's history, newest first, and no further than the question needs."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import count

from dulwich.objects import Commit as GitCommit
from dulwich.objects import ObjectID
from dulwich.repo import Repo

from domain.configuration import Commit
from providers.git.masking import masked_subject
from providers.git.trees import Folder, folder_id

_SLOP = 64
"""So many commits are looked at after the walk could end, should clocks have been wrong."""


class History:
    """The commits of one repository, and the configuration's folder at each."""

    def __init__(self, repo: Repo, path: bytes) -> None:
        self.store, self.path = repo.object_store, path
        self._ends = repo.get_shallow()

    def commit(self, id_: str | ObjectID) -> GitCommit:
        """Return one commit.

        Raises:
            KeyError: there is none.
        """
        found = self.store[ObjectID(id_.encode()) if isinstance(id_, str) else id_]
        if not isinstance(found, GitCommit):
            raise KeyError(id_)
        return found

    def folder(self, commit: GitCommit) -> Folder:
        """Return the configuration's folder at a commit, None where there was none."""
        return folder_id(self.store, commit.tree, self.path)

    def parents(self, commit: GitCommit) -> list[ObjectID]:
        """Return the commits before, none where a shallow repository ends."""
        return [] if commit.id in self._ends else commit.parents

    def mainline(self, head: GitCommit) -> Iterator[GitCommit]:
        """Yield what the branch held, newest first: of a merge only the side it was merged into."""
        found = head
        yield found
        while before := self.parents(found):
            found = self.commit(before[0])
            yield found

    def everything(self, head: GitCommit) -> Iterator[GitCommit]:
        """Yield head and all commits before it, those of merged branches included, newest first."""
        order = count()
        pending = [(-head.commit_time, next(order), head)]
        seen = {head.id}
        while pending:
            _, _, found = heappop(pending)
            yield found
            for id_ in self.parents(found):
                if id_ not in seen:
                    seen.add(id_)
                    before = self.commit(id_)
                    heappush(pending, (-before.commit_time, next(order), before))

    def newest_of(self, head: GitCommit, sought: Collection[ObjectID]) -> GitCommit | None:
        """Return the newest of some commits that is head or before it."""
        return next((found for found in self.everything(head) if found.id in sought), None)

    def after(self, target: GitCommit, head: GitCommit, most: int) -> list[GitCommit]:
        """Return at most so many commits that head has and the target has not, newest first."""
        order = count()
        pending = [(-head.commit_time, next(order), head)]
        heappush(pending, (-target.commit_time, next(order), target))
        old: dict[ObjectID, bool] = {head.id: False, target.id: True}
        found: list[GitCommit] = []
        slop = _SLOP
        while pending and slop and len(found) < most:
            _, _, commit = heappop(pending)
            if not old[commit.id]:
                found.append(commit)
            slop = slop - 1 if all(old[one.id] for _, _, one in pending) else _SLOP
            for id_ in self.parents(commit):
                known = old.get(id_)
                old[id_] = bool(known) or old[commit.id]
                if known is None or known != old[id_]:
                    before = self.commit(id_)
                    heappush(pending, (-before.commit_time, next(order), before))
        return [commit for commit in found if not old[commit.id]]

    def touched(self, commit: GitCommit) -> bool:
        """Return whether a commit changed the folder; a merge only where it took no side whole."""
        now = self.folder(commit)
        before = [self.folder(self.commit(id_)) for id_ in self.parents(commit)]
        return all(now != one for one in before) if before else now is not None


def told(commit: GitCommit) -> Commit:
    """Return a commit in the words of the domain; a secret in its subject is masked."""
    encoding = (commit.encoding or b"utf-8").decode(errors="replace")
    subject = _decoded(commit.message.lstrip().partition(b"\n")[0], encoding).strip()
    author = _decoded(commit.author, encoding)
    return Commit(
        id=commit.id.decode(),
        subject=masked_subject(subject),
        author=author.partition("<")[0].strip() or author,
        at=moment(commit),
    )


def moment(commit: GitCommit) -> datetime:
    """Return when a commit was committed, as the machine that made it told."""
    latest = int(datetime.max.replace(tzinfo=UTC).timestamp()) - 86400
    return datetime.fromtimestamp(min(max(commit.commit_time, 0), latest), UTC)


def _decoded(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding, errors="replace")
    except LookupError:  # an encoding that Python does not know
        return raw.decode(errors="replace")
