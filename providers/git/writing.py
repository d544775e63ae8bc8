"""The commit that restores: made on top of the head, and pushed only if the head is still there."""

import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from dulwich.objects import Commit as GitCommit
from dulwich.objects import ShaFile

from domain.configuration import (
    GOOD_TAGS,
    Commit,
    ConfigurationPoint,
    Delivery,
    ProtectedConfiguration,
)
from domain.errors import AccessDeniedError, ConflictError, NotOursError, ResourceMissingError
from providers.git.config import author, folder
from providers.git.history import History, told
from providers.git.mirror import PROPOSALS, Mirror
from providers.git.signing import Signer
from providers.git.transport import PEELED, PushRefusedError, Transport
from providers.git.trees import with_folder

RUN, RESTORES = "Refloat-Run", "Refloat-Restores"
_LOOKED_BACK = 50
_KEY_SHOWN = 8


class Writer:
    """Writes to one configuration's repository, once for each key."""

    def __init__(
        self,
        configuration: ProtectedConfiguration,
        transport: Transport,
        mirror: Mirror,
        base: Path,
    ) -> None:
        self._configuration, self._repository = configuration, configuration.repository
        self._transport, self._mirror, self._base = transport, mirror, base
        self._branch = f"refs/heads/{self._repository.branch}"
        self._proposes = self._repository.delivery is Delivery.PULL_REQUEST

    def restore(self, point: ConfigurationPoint, key: str, message: str) -> Commit:
        """Return the commit of this key, made and pushed unless an earlier call did."""
        proposal = _proposal(key)
        seen = self._refs(proposal)
        if self._branch not in seen:
            raise ResourceMissingError(
                f"{self._transport.remote.url}: there is no branch {self._repository.branch} any more"
            )
        with self._mirror.holding(*seen.values(), point.target.id) as repo:
            history = History(repo, folder(self._repository))
            made = _pushed(history, seen, key)
            if made is not None:
                return told(made)
            if proposal in seen and self._proposes:
                raise NotOursError(
                    f"{self._transport.remote.url}: branch {proposal.removeprefix('refs/heads/')} "
                    "exists and is not of this run: "
                    f"{told(history.commit(seen[proposal])).told}; remove it, then ask again"
                )
            if seen[self._branch] != point.head.id:
                raise self._moved(history, seen[self._branch], point)
            commit, objects = self._commit(history, point, key, message)
        self._push(proposal, point, commit, objects)
        self._mirror.remember(objects)
        return told(commit)

    def made(self, key: str) -> Commit | None:
        """Return what an earlier call with this key pushed, though nobody may have heard of it."""
        seen = self._refs(_proposal(key))
        if not seen:
            return None
        with self._mirror.holding(*seen.values()) as repo:
            found = _pushed(History(repo, folder(self._repository)), seen, key)
            return None if found is None else told(found)

    def _refs(self, proposal: str) -> dict[str, str]:
        refs = self._transport.refs(self._branch, proposal)
        return {name: id_ for name, id_ in refs.items() if name in {self._branch, proposal}}

    def _commit(
        self, history: History, point: ConfigurationPoint, key: str, message: str
    ) -> tuple[GitCommit, list[ShaFile]]:
        head, target = history.commit(point.head.id), history.commit(point.target.id)
        restored = history.folder(target)
        if restored is None:
            raise ResourceMissingError(
                f"{self._configuration.path}: at {point.target.id[:12]} there is no folder "
                f"{self._repository.path}"
            )
        root, trees = with_folder(history.store, head.tree, history.path, restored)
        commit = GitCommit()
        commit.tree, commit.parents = root, [head.id]
        commit.author = commit.committer = author(self._repository)
        # never before its parent, or the branch's state at a time could not be told
        commit.author_time = commit.commit_time = max(int(time.time()), head.commit_time)
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        commit.message = _message(message, key, point.target.id)
        if self._repository.signing is not None:
            signer = Signer(self._repository.signing, self._base)
            commit.gpgsig = signer.sign(commit.as_raw_string()).rstrip(b"\n")
        return commit, [*trees, commit]

    def _push(
        self, proposal: str, point: ConfigurationPoint, commit: GitCommit, objects: list[ShaFile]
    ) -> None:
        ref, old = (proposal, "") if self._proposes else (self._branch, point.head.id)
        try:
            self._transport.push(ref, old, commit.id.decode(), objects)
        except (ConflictError, PushRefusedError) as error:
            now = self._transport.refs(ref).get(ref, "")
            if now == commit.id.decode():
                return
            if self._proposes and now:
                raise NotOursError(
                    f"{self._transport.remote.url}: branch {proposal.removeprefix('refs/heads/')} "
                    "was made by somebody else meanwhile; remove it, then ask again"
                ) from None
            if now != old:
                raise self._moved_to(now, point) from None
            raise self._refused(str(error)) from None

    def _moved_to(self, now: str, point: ConfigurationPoint) -> ConflictError:
        if not now:
            return ConflictError(
                f"{self._configuration.path}: branch {self._repository.branch} was removed meanwhile"
            )
        with self._mirror.holding(now) as repo:
            return self._moved(History(repo, folder(self._repository)), now, point)

    def _moved(self, history: History, now: str, point: ConfigurationPoint) -> ConflictError:
        return ConflictError(
            f"{self._configuration.path}: {self._repository.branch} was moved since it was looked "
            f"at, from {point.head.id[:12]} to {told(history.commit(now)).told}; nothing was "
            f"overwritten. Ask again, which plans from there: `refloat rollback "
            f"{self._configuration.path}`"
        )

    def _refused(self, words: str) -> AccessDeniedError:
        advice = (
            "let the worker's account make branches refloat/…"
            if self._proposes
            else "if the branch is protected, write `delivery: pull-request` in the catalog"
        )
        return AccessDeniedError(
            f"{self._configuration.path}: the remote refuses the push, and nothing was changed: "
            f"{words}; {advice}"
        )

    def mark_good(self, commit_id: str, key: str) -> str:
        """Return the tag that marks a commit good, made unless an earlier call did."""
        tag = f"{GOOD_TAGS}{key[:_KEY_SHOWN]}"
        ref = f"refs/tags/{tag}"
        if self._tagged(ref) != commit_id:
            try:
                self._transport.push(ref, "", commit_id, ())
            except (ConflictError, PushRefusedError) as error:
                found = self._tagged(ref)
                if not found:
                    raise self._refused(str(error)) from None
                if found != commit_id:
                    raise NotOursError(
                        f"{self._transport.remote.url}: tag {tag} exists and marks {found[:12]}"
                    ) from None
        return tag

    def _tagged(self, ref: str) -> str:
        refs = self._transport.refs(ref)
        return refs.get(f"{ref}{PEELED}") or refs.get(ref, "")


def _proposal(key: str) -> str:
    return f"{PROPOSALS}{key[:_KEY_SHOWN]}"


def _pushed(history: History, refs: Mapping[str, str], key: str) -> GitCommit | None:
    """Return the commit with this key among the newest of each branch, None where there is none."""
    for id_ in refs.values():
        newest = islice(history.everything(history.commit(id_)), _LOOKED_BACK)
        found = next((one for one in newest if trailer(one, RUN) == key), None)
        if found is not None:
            return found
    return None


def _message(message: str, key: str, restores: str) -> bytes:
    return f"{message.strip()}\n\n{RUN}: {key}\n{RESTORES}: {restores}\n".encode()


def trailer(commit: GitCommit, name: str) -> str:
    """Return the value of a line `Name: value` in the last paragraph of a commit's message."""
    return next(_values(commit.message.decode(errors="replace"), name), "")


def _values(message: str, name: str) -> Iterator[str]:
    for line in message.strip().rpartition("\n\n")[2].split("\n"):
        said, _, value = line.partition(": ")
        if said == name:
            yield value.strip()
