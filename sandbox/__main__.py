"""The sandbox's own program, started by `refloat sandbox`."""

import argparse
import os
import sys
from pathlib import Path

from client.connection import TemporalUnreachableError
from domain.errors import RecoveryError
from sandbox.demo import demo
from sandbox.environment import down, psql, status, up
from sandbox.layout import SandboxLayout, choose_root
from sandbox.programs import keep


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="refloat sandbox")
    parser.add_argument("act", choices=("up", "down", "status", "keep", "psql", "demo"))
    parser.add_argument("--root", type=Path, default=Path(".refloat"))
    parser.add_argument(
        "--disaster",
        choices=("drop-table", "disk", "bad-update"),
        default="drop-table",
        help="with demo: what goes wrong",
    )
    parser.add_argument("--purge", action="store_true", help="with down: remove the folder too")
    asked, rest = parser.parse_known_args()
    asked.rest = rest
    if rest and asked.act != "psql":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    return asked


def _run(asked: argparse.Namespace) -> int:
    link = asked.root.absolute()
    if asked.act in {"up", "keep", "demo"}:
        root, note = choose_root(asked.root)
        if note:
            print(note)  # noqa: T201 - the command's output
    else:
        root = link.resolve()
    layout = SandboxLayout(root)
    if asked.act == "up":
        up(layout)
    elif asked.act == "keep":
        keep(layout)
    elif asked.act == "demo":
        return demo(layout, asked.disaster)
    elif asked.act == "status":
        return status(layout)
    elif asked.act == "psql":
        psql(layout, asked.rest)
    else:
        down(layout, purge=asked.purge)
        if asked.purge and link.is_symlink():
            link.unlink()
    return 0


def main() -> None:
    """Run one act."""
    try:
        code = _run(_parse())
    except TemporalUnreachableError as error:
        print(f"refloat: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        code = 4
    except RecoveryError as error:
        print(f"refloat: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the SDK's core may crash when the interpreter ends; the work is done by now


if __name__ == "__main__":
    main()
