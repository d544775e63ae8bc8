"""Measures backup and restore against a plain copy and against the engine by hand.

    python -m bench.restore --scale 50 --scale 200 --rounds 5 --json figures.json

Every contender runs once per round on the same data, the order turned by one each round. The exit
code is 0 when the targets are met, 3 when one is missed, 1 when nothing could be measured.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.contenders import (
    CloneTier,
    Contender,
    Measure,
    Round,
    clone_tier,
    contenders,
    copied_bytes,
    warm_up,
)
from bench.figures import Figures, table
from bench.machine import BenchError, can_clone, describe, file_system, sync
from bench.stage import Stage, stage
from domain.errors import RecoveryError
from domain.values import show_bytes


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.restore", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--scale", type=int, action="append", help="of pgbench; default: 50, 200")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the raw rounds and the machine")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("/var/tmp"),  # noqa: S108 - on a disk, unlike /tmp; the folder made in it has a random name
        help="where to work, on the disk to measure",
    )
    parser.add_argument(
        "--clone-on", type=Path, help="folder on a file system that can clone, for that tier"
    )
    parser.add_argument("--binaries", type=Path, help="bin folder of a PostgreSQL installation")
    asked = parser.parse_args()
    asked.scale = asked.scale or [50, 200]
    if asked.rounds < 1 or min(asked.scale) < 1:
        parser.error("rounds and scale count from 1")
    for folder in (asked.folder, asked.clone_on):
        if folder is not None and not folder.is_dir():
            parser.error(f"{folder} is no folder")
    return asked


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _measure(made: Stage, runs: Mapping[str, Contender], rounds: int, folder: Path) -> list[Round]:
    """Run every contender once per round, on a disk that has nothing else left to write."""
    found: list[Round] = []
    for number in range(rounds):
        turn = number % len(runs)
        measured: dict[Measure, float] = {}
        for name in [*list(runs)[turn:], *list(runs)[:turn]]:
            for place in (made.root, folder):
                sync(place)
            took = runs[name]()
            measured |= took
            told = ", ".join(f"{measure} {seconds:.2f} s" for measure, seconds in took.items())
            _tell(f"round {number + 1} of {rounds}: {told}")
        found.append(measured)
    return found


def _note(tier: CloneTier | None, made: Stage) -> str:
    if tier is not None:
        return f"cloned on {file_system(tier.folder)}, in {tier.folder.parent}"
    return (
        f"no clone tier: {file_system(made.root)} cannot share blocks (FICLONE refused); name a "
        "folder on XFS or btrfs with --clone-on"
    )


def _figures(made: Stage, asked: argparse.Namespace, scale: int) -> Figures:
    warm_up(made)
    with clone_tier(made, asked.clone_on) as tier:
        folder = tier.folder if tier else made.root
        rounds = _measure(made, contenders(made, tier), asked.rounds, folder)
        return Figures(
            scale=scale,
            copied_bytes=copied_bytes(made),
            backup=made.source.backup,
            log_bytes=made.point.log_bytes,
            rounds=rounds,
            clone_note=_note(tier, made),
        )


def _bench(asked: argparse.Namespace) -> bool:
    """Measure every scale; return whether all targets were met."""
    if asked.clone_on is not None and not can_clone(asked.clone_on):
        raise BenchError(f"{asked.clone_on}: {file_system(asked.clone_on)} cannot share blocks")
    machine: dict[str, str | int] = {}
    done: list[Figures] = []
    for scale in asked.scale:
        _tell(f"scale {scale}: create, fill and protect a database under {asked.folder}")
        with stage(asked.folder, scale, asked.binaries) as made:
            machine = machine or describe(asked.folder, made.engine.binaries.version)
            if not done:
                print(_heading(machine), flush=True)
            done.append(_figures(made, asked, scale))
        print("", *table(done[-1]), sep="\n", flush=True)
        if asked.json is not None:
            _write(asked.json, machine, done)
    return all(target.met for figures in done for target in figures.targets())


def _heading(machine: Mapping[str, str | int]) -> str:
    memory = show_bytes(int(machine["memory_bytes"]))
    return (
        f"PostgreSQL {machine['postgresql']}, {machine['cores']} cores, {memory} of memory, "
        f"Linux {machine['kernel']}, {machine['file_system']}"
    )


def _write(target: Path, machine: Mapping[str, str | int], done: list[Figures]) -> None:
    content: dict[str, Any] = {"machine": machine, "scales": [one.as_json() for one in done]}
    target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _own_temporal() -> None:
    """Forget the addresses of anybody else's Temporal; the children inherit what is left."""
    for name in [name for name in os.environ if name.startswith(("REFLOAT_", "TEMPORAL_"))]:
        del os.environ[name]


def main() -> None:
    """Measure, print, and leave nothing behind."""
    asked = _parse()
    _own_temporal()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = 0 if _bench(asked) else 3
    except RecoveryError as error:
        _tell(f"bench: {error}")
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the SDK's core may crash when the interpreter ends; the work is done by now


if __name__ == "__main__":
    main()
