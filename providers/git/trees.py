"""A configuration's folder inside the trees of Git: found, listed, and put in another's place."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from posixpath import dirname, join, normpath
from typing import TypeAlias

from dulwich.object_store import BaseObjectStore
from dulwich.objects import S_ISGITLINK, Blob, ObjectID, Tree

Folder: TypeAlias = ObjectID | None
FOLDER = 0o40000
_LFS = b"version https://git-lfs.github.com/spec/"
_MOST_LINKS = 10


@dataclass(frozen=True)
class Entry:
    """One file of a folder; its path counts from the folder."""

    path: bytes
    mode: int
    id: ObjectID

    @property
    def name(self) -> str:
        """The path as text."""
        return self.path.decode(errors="backslashreplace")


class UnreadableError(Exception):
    """An entry of a folder is no file that could be read; which, and why."""


def tree(store: BaseObjectStore, id_: ObjectID) -> Tree:
    """Return a tree.

    Raises:
        KeyError: there is none.
    """
    found = store[id_]
    if not isinstance(found, Tree):
        raise KeyError(id_)
    return found


def folder_id(store: BaseObjectStore, root: ObjectID, path: bytes) -> Folder:
    """Return the tree at `path` of a root tree, None where no folder is."""
    found = root
    for part in path.split(b"/") if path else ():
        entries = tree(store, found)
        if part not in entries:
            return None
        mode, found = entries[part]
        if not stat.S_ISDIR(mode):
            return None
    return found


def obstacle(store: BaseObjectStore, root: ObjectID, path: bytes) -> str:
    """Return what stands where the folder or one above it belongs, and is none; else nothing."""
    parts = path.split(b"/") if path else []
    for length in range(1, len(parts) + 1):
        above = folder_id(store, root, b"/".join(parts[: length - 1]))
        if above is None:
            return ""
        entries = tree(store, above)
        part = parts[length - 1]
        if part in entries and not stat.S_ISDIR(entries[part][0]):
            return b"/".join(parts[:length]).decode(errors="replace")
    return ""


def with_folder(
    store: BaseObjectStore, root: ObjectID, path: bytes, folder: ObjectID
) -> tuple[ObjectID, list[Tree]]:
    """Return a root tree with the folder at `path`, all else as it was, and the trees that are new."""
    if not path:
        return folder, []
    parts = path.split(b"/")
    made: list[Tree] = []
    below = folder
    for length in range(len(parts) - 1, -1, -1):
        above = folder_id(store, root, b"/".join(parts[:length]))
        changed = Tree()
        for name, mode, id_ in tree(store, above).items() if above else ():
            changed.add(name, mode, id_)
        changed.add(parts[length], FOLDER, below)
        below = changed.id
        made.append(changed)
    return below, made


def entries(store: BaseObjectStore, folder: ObjectID, above: bytes = b"") -> Iterator[Entry]:
    """Yield everything below a folder that is no folder, in the order of the paths in Git."""
    for name, mode, id_ in tree(store, folder).items():
        path = above + name
        if stat.S_ISDIR(mode):
            yield from entries(store, id_, path + b"/")
        else:
            yield Entry(path, mode, id_)


def content(store: BaseObjectStore, id_: ObjectID) -> bytes:
    """Return a blob's bytes.

    Raises:
        KeyError: there is none.
    """
    found = store[id_]
    if not isinstance(found, Blob):
        raise KeyError(id_)
    return found.as_raw_string()


def read(store: BaseObjectStore, folder: ObjectID, entry: Entry) -> bytes:
    """Return the content of a file; of a symbolic link, that of the file it leads to.

    Raises:
        UnreadableError: the entry is a submodule, a link out of the folder, or kept elsewhere.
    """
    found = entry
    for _ in range(_MOST_LINKS):
        if S_ISGITLINK(found.mode):
            raise UnreadableError(
                f"{entry.name} is a submodule, which is another repository; protect that one"
            )
        raw = content(store, found.id)
        if not stat.S_ISLNK(found.mode):
            if raw.startswith(_LFS):
                raise UnreadableError(f"{entry.name} is kept in Git LFS, which is not read here")
            return raw
        found = _led_to(store, folder, entry, join(dirname(found.path), raw))
    raise UnreadableError(f"{entry.name} is a link that leads back to itself")


def _led_to(store: BaseObjectStore, folder: ObjectID, entry: Entry, path: bytes) -> Entry:
    place = normpath(path)
    above = folder_id(store, folder, dirname(place))
    if not place.startswith((b"/", b"..")) and above is not None:
        siblings = tree(store, above)
        name = place.rpartition(b"/")[2]
        if name in siblings and not stat.S_ISDIR(siblings[name][0]):
            return Entry(place, *siblings[name])
    shown = place.decode(errors="backslashreplace")
    raise UnreadableError(f"{entry.name} is a link to {shown}, which is no file of the folder")
