"""The shop's configuration in a real Git repository: one good commit, and a bad one on demand."""

import time
from collections.abc import Sequence
from pathlib import Path

from dulwich.objects import Blob, Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from client.catalog_file import load_catalog
from domain.configuration import GOOD_TAGS, ConfigurationFile, ProtectedConfiguration
from providers.local.folders import LocalFolders
from sandbox.layout import SandboxLayout

SETTINGS = "shop/production/settings"
GOOD = b'{\n  "orders_per_second": 5,\n  "currency": "EUR"\n}\n'
BAD = b'{\n  "orders_per_second": "as many as they come",\n  "currency": "EUR"\n}\n'
_BRANCH = Ref(b"refs/heads/main")
_FOLDER, _FILE = b"shop", b"shop.json"


def make(layout: SandboxLayout) -> None:
    """Make the repository with its first, good commit, and put it into effect, once."""
    bare = layout.root / "settings.git"
    if not bare.exists():
        unfinished = bare.with_name("settings.git.new")
        with Repo.init_bare(str(unfinished), mkdir=True) as made:
            made.refs.set_symbolic_ref(Ref(b"HEAD"), _BRANCH)
            first = _commit(made, GOOD, b"The shop's settings")
            made.refs[Ref(b"refs/tags/" + GOOD_TAGS.encode() + b"first")] = first
            made.refs[Ref(b"refs/tags/v1")] = _tagged(made, first)
        unfinished.rename(bare)
    _apply(layout, GOOD if not (layout.root / "config").exists() else None)


def break_it(layout: SandboxLayout) -> str:
    """Commit a bad configuration and put it into effect, as a hasty person would; return its id."""
    with Repo(str(layout.root / "settings.git")) as repository:
        made = _commit(repository, BAD, b"Take orders as they come")
    _apply(layout, BAD)
    return made.decode()


def _commit(repository: Repo, content: bytes, subject: bytes) -> ObjectID:
    blob, folder, root = Blob.from_string(content), Tree(), Tree()
    folder.add(_FILE, 0o100644, blob.id)
    root.add(_FOLDER, 0o040000, folder.id)
    commit, now = Commit(), int(time.time())
    commit.tree, commit.message = root.id, subject + b"\n"
    commit.author = commit.committer = b"Sandbox <sandbox@localhost>"
    commit.author_time = commit.commit_time = now
    commit.author_timezone = commit.commit_timezone = 0
    known = repository.refs.as_dict().get(_BRANCH)
    commit.parents = [known] if known else []
    for one in (blob, folder, root, commit):
        repository.object_store.add_object(one)
    repository.refs[_BRANCH] = commit.id
    return commit.id


def _tagged(repository: Repo, commit: ObjectID) -> ObjectID:
    tag = Tag()
    tag.name, tag.message, tag.object = b"v1", b"The first settings\n", (Commit, commit)
    tag.tagger, tag.tag_time, tag.tag_timezone = b"Sandbox <sandbox@localhost>", int(time.time()), 0
    repository.object_store.add_object(tag)
    return tag.id


def _apply(layout: SandboxLayout, content: bytes | None) -> None:
    if content is None:
        return
    files: Sequence[ConfigurationFile] = [ConfigurationFile(path=_FILE.decode(), content=content)]
    found = load_catalog(layout.catalog).find(SETTINGS)
    assert isinstance(found, ProtectedConfiguration)
    folders = LocalFolders(Path(layout.root), layout.root)
    folders.apply(found, files, key=f"pipeline {time.time()}")
