"""What is asked of a remote repository: its refs, objects that are missing here, one ref moved."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from pathlib import Path

from dulwich.client import GitClient, LocalGitClient
from dulwich.objects import ObjectID, ShaFile
from dulwich.pack import UnpackedObject, pack_objects_to_data
from dulwich.refs import Ref
from dulwich.repo import Repo

from domain.errors import ConflictError, UnsupportedResourceError
from providers.git.config import Remote, Way
from providers.git.errors import git_errors, without
from providers.git.programs import ProgramClient, in_folder, over_ssh
from providers.git.web import web_client

ZERO = b"0" * 40
PEELED = "^{}"
_HOOKS = ("pre-receive", "update", "post-receive", "post-update", "reference-transaction")


class PushRefusedError(Exception):
    """The remote did not move the ref; the words are its own."""


class Transport:
    """One remote repository; every call asks it anew, and ends."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def refs(self, *prefixes: str) -> Mapping[str, str]:
        """Return the refs under the prefixes, by full name; a tag of a tag or commit with `^{}`, too."""
        with self._asking("read the refs of"), self._client() as client:
            told = client.get_refs(self._path, ref_prefix=[one.encode() for one in prefixes])
        if told.object_format not in {None, "sha1"}:
            raise UnsupportedResourceError(
                f"{self.remote.url}: its ids are of {told.object_format}; only SHA-1 is supported"
            )
        found = {
            name.decode(errors="replace"): id_.decode()
            for name, id_ in told.refs.items()
            if id_ is not None
        }
        chosen = {name: id_ for name, id_ in found.items() if name.startswith(prefixes)}
        return {**chosen, **(self._peeled(chosen) if self.remote.way is Way.LOCAL else {})}

    def _peeled(self, refs: Mapping[str, str]) -> dict[str, str]:
        """Return what a server tells by itself: the object behind each annotated tag."""
        tags = {name: id_ for name, id_ in refs.items() if name.startswith("refs/tags/")}
        with self._asking("read the tags of"), closing(Repo(self.remote.path)) as repo:
            peeled = {
                name: repo.object_store.peel(ObjectID(id_.encode()))[1].id.decode()
                for name, id_ in tags.items()
            }
        return {f"{name}{PEELED}": id_ for name, id_ in peeled.items() if id_ != tags[name]}

    def fetch(self, into: Repo, wanted: Sequence[str], branches: Sequence[str]) -> None:
        """Bring commits, with everything before them, into a repository.

        What no branch is at any more is not given by every server: then the branches are brought,
        which have it in their history, unless somebody rewrote that.
        """
        wants = {ObjectID(one.encode()) for one in wanted}

        def choose(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            del depth
            offered = set(refs.values())
            return sorted(wants if wants.issubset(offered) else offered)

        prefixes = [one.encode() for one in branches]
        with self._asking("fetch from"), self._client() as client:
            client.fetch(self._path, into, determine_wants=choose, ref_prefix=prefixes)

    def push(self, ref: str, old: str, new: str, objects: Sequence[ShaFile]) -> None:
        """Move `ref` from `old`, empty for none, to `new`; nothing else is touched.

        Raises:
            ConflictError: the ref is no more at `old`.
            PushRefusedError: the remote does not want it.
        """
        name, before = Ref(ref.encode()), old.encode() or ZERO
        words: list[bytes] = []

        def update(found: Mapping[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            if found.get(name, ObjectID(ZERO)) != before:
                raise ConflictError(f"{self.remote.url}: {ref} is no more where it was")
            return {name: ObjectID(new.encode())}

        with self._asking("push to"), self._writer() as client:
            told = client.send_pack(self._path, update, _exactly(objects), progress=words.append)
        if told.ref_status is None and self.refs(ref).get(ref) != new:
            raise PushRefusedError("it tells no reason")
        refusal = (told.ref_status or {}).get(name)
        if refusal:
            hints = b"".join(words).decode(errors="replace")
            said = " ".join(f"{refusal}; {hints}".split()).removesuffix(";")
            raise PushRefusedError(without(said, self.remote.token))

    def probe(self) -> str:
        """Open the way to a push, push nothing, and return what shows that it is open."""
        with self._asking("ask whether a push is allowed to"), self._writer() as client:
            if isinstance(client, LocalGitClient) or self.remote.way is Way.LOCAL:
                return self._writable()
            client.send_pack(self._path, lambda _found: {}, _exactly(()))
        return "the server opens git-receive-pack to these credentials"

    def _writable(self) -> str:
        with closing(Repo(self.remote.path)) as repo:
            places = [Path(repo.commondir()), Path(repo.commondir()) / "objects"]
        refused = [str(place) for place in places if not os.access(place, os.W_OK)]
        if refused:
            raise PermissionError(f"not writable: {', '.join(refused)}")
        return "its folder is writable"

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        with git_errors(f"{doing} {self.remote.url}", self.remote.token):
            yield

    @contextmanager
    def _client(self) -> Iterator[GitClient]:
        client: GitClient
        match self.remote.way:
            case Way.LOCAL:
                client = LocalGitClient(quiet=True)
            case Way.SSH:
                client = ProgramClient(over_ssh(self.remote))
            case Way.HTTPS:
                client = web_client(self.remote)
        try:
            yield client
        finally:
            client.close()

    @contextmanager
    def _writer(self) -> Iterator[GitClient]:
        """Return a client for a push: into a folder with git itself, which runs the hooks there."""
        if self.remote.way is not Way.LOCAL:
            with self._client() as client:
                yield client
            return
        with closing(Repo(self.remote.path)) as repo:
            if shutil.which("git") is None:
                _require_plain(repo)
        if shutil.which("git") is None:
            yield LocalGitClient(quiet=True)
            return
        program = ProgramClient(in_folder(self.remote.path))
        try:
            yield program
        finally:
            program.close()

    @property
    def _path(self) -> bytes:
        return b"" if self.remote.way is Way.HTTPS else self.remote.path.encode()


def _exactly(
    objects: Sequence[ShaFile],
) -> Callable[..., tuple[int, Iterator[UnpackedObject]]]:
    """Return how a pack is made of exactly these: the remote has the rest, as they lead to its own."""

    def generate(
        have: AbstractSet[ObjectID], want: AbstractSet[ObjectID], **_settings: object
    ) -> tuple[int, Iterator[UnpackedObject]]:
        del have, want
        return pack_objects_to_data(list(objects))

    return generate


def _require_plain(repo: Repo) -> None:
    """Refuse a folder that only git itself can be pushed into.

    Raises:
        UnsupportedResourceError: it has hooks, or a branch checked out.
    """
    try:
        told = repo.get_config().get((b"core",), b"hooksPath").decode()
    except KeyError:
        told = "hooks"
    folder = Path(repo.commondir()) / told
    hooks = [name for name in _HOOKS if os.access(folder / name, os.X_OK)]
    reason = f"it has hooks ({', '.join(hooks)})" if hooks else ""
    if not repo.bare:
        reason = "it has a working tree"
    if reason:
        raise UnsupportedResourceError(
            f"{repo.path}: {reason}, so git itself has to take the push, and there is no git program "
            "where the worker runs; install git"
        )
