"""What going back changes, file by file, as a person may read it."""

import stat
from collections.abc import Iterator, Sequence
from difflib import unified_diff
from typing import Literal, TypeAlias

from dulwich.diff_tree import TreeChange, tree_changes
from dulwich.object_store import BaseObjectStore
from dulwich.objects import S_ISGITLINK, TreeEntry

from domain.configuration import Difference, FileDifference
from providers.git.masking import Masker
from providers.git.trees import Folder, content

MOST_FILES = 100
MOST_LINES = 200
_LONGEST_LINE = 400
_LARGEST = 300_000
_SNIFFED = 8000
_CONTEXT = 3
Change: TypeAlias = Literal["added", "changed", "removed"]
_CHANGES: dict[str, Change] = {"add": "added", "delete": "removed"}


def difference(
    store: BaseObjectStore, now: Folder, then: Folder, secret_keys: Sequence[str]
) -> Difference:
    """Return what changes when the folder `then` takes the place of `now`."""
    masker = Masker(secret_keys)
    files: list[FileDifference] = []
    left_out = 0
    for change in tree_changes(store, now, then):
        if len(files) < MOST_FILES:
            files.append(_file(store, change, masker))
        else:
            left_out += 1
    return Difference(files=tuple(files), left_out=left_out)


def _file(store: BaseObjectStore, change: TreeChange, masker: Masker) -> FileDifference:
    entry = change.new or change.old
    path = (entry.path or b"").decode(errors="backslashreplace") if entry else ""
    lines = list(_lines(store, change, path, masker))
    if len(lines) > MOST_LINES:
        more = len(lines) - MOST_LINES
        lines = [*lines[:MOST_LINES], f"(and {more} more lines)"]
    return FileDifference(
        path=_plain(path),
        change=_CHANGES.get(change.type, "changed"),
        lines=tuple(_plain(line) for line in lines),
    )


def _lines(store: BaseObjectStore, change: TreeChange, path: str, masker: Masker) -> Iterator[str]:
    old_mode, new_mode = _mode(change.old), _mode(change.new)
    if old_mode and new_mode and old_mode != new_mode:
        yield f"mode {old_mode:o} becomes {new_mode:o}"
    before, after = _raw(store, change.old), _raw(store, change.new)
    if before == after and old_mode and new_mode:
        return
    if any(raw is not None and not _is_text(raw) for raw in (before, after)):
        yield f"binary, or too large to show: {_size(before)} becomes {_size(after)}"
        return
    old, new = (_masked(masker, path, raw) for raw in (before, after))
    shown = list(unified_diff(old, new, n=_CONTEXT, lineterm=""))[2:]
    yield from shown
    if not shown and before is not None and after is not None:
        yield "only line ends or the end of the file change"


def _mode(entry: TreeEntry | None) -> int:
    return (entry.mode or 0) if entry else 0


def _raw(store: BaseObjectStore, entry: TreeEntry | None) -> bytes | None:
    """Return what one side holds: a file's bytes, or what stands for a link or a submodule."""
    if entry is None or entry.sha is None:
        return None
    id_, mode = entry.sha, _mode(entry)
    if S_ISGITLINK(mode):
        return b"submodule at " + id_
    raw = content(store, id_)
    return b"link to " + raw if stat.S_ISLNK(mode) else raw


def _is_text(raw: bytes) -> bool:
    if len(raw) > _LARGEST or b"\0" in raw[:_SNIFFED]:
        return False
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _size(raw: bytes | None) -> str:
    return "nothing" if raw is None else f"{len(raw)} bytes"


def _masked(masker: Masker, path: str, raw: bytes | None) -> list[str]:
    if not raw:
        return []
    lines = masker.file(path, raw.decode().replace("\r\n", "\n"))
    return lines[:-1] if lines[-1] == "" else lines


def _plain(line: str) -> str:
    """Return a line that a terminal shows as it is, not too long."""
    shown = "".join(
        one if one.isprintable() or one == "\t" else one.encode("unicode_escape").decode()
        for one in line
    )
    return shown if len(shown) <= _LONGEST_LINE else f"{shown[:_LONGEST_LINE]}…"
