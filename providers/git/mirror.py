"""A copy of a repository's history on this machine: a cache, gone and made again without loss."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

from dulwich.objects import Commit, ObjectID, ShaFile
from dulwich.pack import Pack
from dulwich.refs import Ref
from dulwich.repo import Repo

from domain.errors import BusyError, ProviderUnavailableError, ResourceMissingError
from providers.git.config import Way
from providers.git.errors import DAMAGE, git_errors
from providers.git.transport import Transport

PROPOSALS = "refs/heads/refloat/"
"""Branches of our own, for pull requests."""
_NEWEST = Ref(b"refs/heads/newest")
_PATIENCE = timedelta(minutes=2)
_ASK_AGAIN = 0.05
_SMALL_PACK = 500
"""A fetch of at most so many objects leaves no pack: thousands of packs would slow every reading."""


class Mirror:
    """The mirror of one remote; threads and processes share it under a lock of its own."""

    def __init__(self, state: Path, transport: Transport, branch: str) -> None:
        self._transport, self._url = transport, transport.remote.url
        self._branches = (f"refs/heads/{branch}", PROPOSALS)
        self._folder = state / transport.remote.id
        self._lock = state / f"{transport.remote.id}.lock"

    @contextmanager
    def holding(self, *ids: str) -> Iterator[Repo]:
        """Return a repository that has these commits and all before them; it is only read.

        Raises:
            ProviderUnavailableError: the copy was damaged and is thrown away; ask again.
            ResourceMissingError: a commit is in none of the branches that are looked at.
        """
        with git_errors(f"read the history of {self._url}"):
            if self._transport.remote.way is Way.LOCAL:  # it is on this machine already
                with closing(Repo(self._transport.remote.path)) as repo:
                    yield repo
                return
            fetched = self._fetch(ids)
            with self._locked(LOCK_SH), closing(Repo(str(self._folder))) as repo:
                try:
                    yield repo
                except DAMAGE as error:
                    if fetched:
                        raise
                    (self._folder / "HEAD").unlink(missing_ok=True)
                    raise ProviderUnavailableError(
                        f"the copy of {self._url} on this machine is damaged and is fetched anew; "
                        f"Refloat asks again ({type(error).__name__}: {error})"
                    ) from None

    def remember(self, objects: Sequence[ShaFile]) -> None:
        """Keep what was pushed, so that it is read without a fetch."""
        if self._transport.remote.way is not Way.LOCAL:
            with self.holding() as repo:
                for made in objects:
                    repo.object_store.add_object(made)

    def _holds(self, ids: Sequence[str]) -> bool:
        if not (self._folder / "HEAD").exists():
            return False
        try:
            with closing(Repo(str(self._folder))) as repo:
                return all(_object_id(one) in repo.object_store for one in ids)
        except DAMAGE:
            return False

    def _fetch(self, ids: Sequence[str]) -> bool:
        """Fetch what is not here yet, and return whether that was anything."""
        with self._locked(LOCK_SH):
            if self._holds(ids):
                return False
        with self._locked(LOCK_EX):
            if self._holds(ids):  # somebody else fetched it meanwhile
                return True
            if not self._holds(()):
                self._make()
            try:
                self._bring(ids)
            except ResourceMissingError:  # perhaps the copy is damaged, and not the original
                self._make()
                self._bring(ids)
            if not self._holds(ids):
                branches = ", ".join(one.removeprefix("refs/heads/") for one in self._branches)
                raise ResourceMissingError(
                    f"{self._url}: {', '.join(one[:12] for one in ids)}: no such commit in the "
                    f"history of {branches}…"
                )
        return True

    def _make(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True)
        Repo.init_bare(str(self._folder), default_branch=b"none").close()

    def _bring(self, ids: Sequence[str]) -> None:
        packs = self._folder / "objects" / "pack"
        before = set(packs.glob("*.pack"))
        with closing(Repo(str(self._folder))) as repo:
            self._transport.fetch(repo, ids, self._branches)
        with closing(Repo(str(self._folder))) as repo:
            for pack in set(packs.glob("*.pack")) - before:
                _spread(repo, pack)
        with closing(Repo(str(self._folder))) as repo:
            for one in map(_object_id, ids):
                if one in repo.object_store and isinstance(repo.object_store[one], Commit):
                    repo.refs[_NEWEST] = one  # what the next fetch says that it has

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + _PATIENCE.total_seconds()
        with self._lock.open("a") as held:
            while True:
                try:
                    flock(held, kind | LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise BusyError(
                            f"{self._url}: another fetch of it is still running"
                        ) from None
                    time.sleep(_ASK_AGAIN)
                else:
                    break
            yield


def _object_id(id_: str) -> ObjectID:
    return ObjectID(id_.encode())


def _spread(repo: Repo, path: Path) -> None:
    """Write the objects of a small pack one by one, then remove the pack."""
    with closing(Pack(str(path.with_suffix("")), object_format=repo.object_format)) as pack:
        if len(pack) > _SMALL_PACK:
            return
        for found in pack.iterobjects():
            repo.object_store.add_object(found)
    for suffix in (".idx", ".rev", ".bitmap", ".pack"):
        path.with_suffix(suffix).unlink(missing_ok=True)
