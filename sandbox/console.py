"""What the sandbox says: to stdout, or to stderr when stdout is for one JSON document."""

import sys
from typing import TextIO


class _Console:
    out: TextIO = sys.stdout


def say(what: str) -> None:
    """Print a line for people."""
    print(what, file=_Console.out, flush=True)


def keep_stdout_for_json() -> None:
    """Say everything on stderr from now on."""
    _Console.out = sys.stderr
