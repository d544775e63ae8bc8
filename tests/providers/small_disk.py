"""Scenarios on a small file system of their own, run as a program in a mount namespace.

`python small_disk.py SCENARIO PORT` prints one JSON document; `run` starts it as root or as anybody.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from domain.checks import Verdict
from domain.errors import RecoveryError
from domain.recovery import RecoveryPoint
from domain.resources import Mode
from providers.local.binaries import installed
from tests.providers.own_server import installations
from tests.station import Station, free_ports, give_ports_from, no_progress, now, station, wait_for

MIB = 2**20
_AS_ROOT = ("unshare", "--mount")
_AS_ANYBODY = ("unshare", "--user", "--mount", "--map-current-user", "--keep-caps")


def namespace() -> tuple[str, ...]:
    """Return how this account gets a mount namespace."""
    return _AS_ROOT if os.geteuid() == 0 else _AS_ANYBODY


def possible() -> bool:
    """Return whether this machine lets this account have a mount namespace."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*namespace(), "true"], capture_output=True, check=False).returncode == 0


def run(scenario: str) -> dict[str, Any]:
    """Run a scenario in a mount namespace and return what it told."""
    project = Path(__file__).parents[2]
    done = subprocess.run(
        [*namespace(), sys.executable, __file__, scenario, str(free_ports(24))],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(project), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


@contextmanager
def small(folder: Path, size: int) -> Iterator[None]:
    """Mount a small file system at a folder while the block runs."""
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


def _takes(ballast: Path, leave: int) -> bool:
    """Return whether the ballast got all the room but `leave`; others write there meanwhile."""
    try:
        with ballast.open("wb") as sink:
            os.posix_fallocate(sink.fileno(), 0, shutil.disk_usage(ballast.parent).free - leave)
    except OSError:
        return False
    return True


@contextmanager
def filled(folder: Path, leave: int) -> Iterator[None]:
    """Fill a file system but for `leave` bytes while the block runs."""
    ballast = folder / "ballast"
    wait_for("the disk to be full", lambda: _takes(ballast, leave))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def a_station(size: int, *parts: str) -> Iterator[tuple[Station, Path]]:
    """Hold a protected database, all of it or only `parts` of it on a small file system."""
    root = Path(tempfile.mkdtemp(prefix="refloat-test-"))
    root.chmod(0o755)
    disk = root / "disk" if parts else root
    disk.mkdir(exist_ok=True)
    try:
        with small(disk, size):
            made = Station(root, {})
            try:
                for part in parts:
                    (disk / part).mkdir()
                    (made.layout.folder / part).symlink_to(disk / part)
                made.start()
                made.wait_protected()
                yield made, disk
            finally:
                made.stop()
    finally:
        shutil.rmtree(root)


def refusal(act: Callable[[], object]) -> list[str]:
    """Return the name and the sentence of the error that `act` ends with."""
    try:
        act()
    except (RecoveryError, OSError) as error:
        return [type(error).__name__, str(error)]
    return ["nothing", "it went well"]


def left_over(made: Station) -> list[str]:
    """Return what stays behind, once nothing more goes away by itself."""
    try:
        wait_for("nothing to be left over", lambda: not made.leftovers(), within=10)
    except AssertionError:
        return made.leftovers()
    return []


def room_finding(made: Station, point: RecoveryPoint) -> dict[str, Any]:
    """Return what the pre-flight says of the room, and what else it finds wrong."""
    findings = made.provider.preflight.examine(made.resource, point, Mode.INCIDENT)
    [room] = [one for one in findings if one.name == "room on the disk"]
    others = [one.name for one in findings if one.verdict is not Verdict.PASSED and one != room]
    return {**room.model_dump(mode="json"), "others": others}


def full_while_unpacking() -> dict[str, Any]:
    """Restore to a disk that holds less than the base backup, and again when it has room."""
    with a_station(400 * MIB) as (made, disk):
        made.sql("create table kept (id int); insert into kept values (1)")
        made.wait_archived()
        point, told = made.latest(), dict[str, Any]()
        with filled(disk, leave=0):
            told["reserved"] = refusal(lambda: made.begin(point))
            told["left over at once"] = left_over(made)
        with filled(disk, leave=20 * MIB):
            told["room"] = room_finding(made, point)
            told["servers before"] = [one.name for one in made.servers.all()]
            handle = made.begin(point)
            told["error"] = refusal(lambda: made.transfer(point, handle))
            made.discard(handle)
            told["left over"] = left_over(made)
            told["source"] = made.answers()
        restored = made.restore(point)
        told["restored"] = made.sql("select id from kept", restored.handle.server)
        return told


def full_while_replaying() -> dict[str, Any]:
    """Restore to a disk with room for the backup and its log, but not for what the log makes."""
    with a_station(900 * MIB) as (made, disk):
        made.sql(
            "create table grown as select g as id, repeat(md5(g::text), 30) as filler "
            "from generate_series(1, 90000) g"
        )
        made.wait_archived()
        point, told = made.latest(), dict[str, Any]()
        with filled(disk, leave=point.restored_bytes + point.log_bytes + 32 * MIB):
            told["room"] = room_finding(made, point)
            handle = made.begin(point)
            told["transfer"] = refusal(lambda: made.transfer(point, handle))
            told["error"] = refusal(lambda: made.poll(handle))
            made.discard(handle)
            told["left over"] = left_over(made)
            told["source"] = made.answers()
        restored = made.restore(point)
        told["restored"] = made.sql("select count(*) from grown", restored.handle.server)
        return told


def full_archive() -> dict[str, Any]:
    """Fill the disk of the archive under a server that goes on, then make room."""
    with a_station(200 * MIB, "archive", "spool") as (made, disk):
        made.sql("create table kept (id int); insert into kept values (1)")
        made.wait_archived()
        told: dict[str, Any] = {}
        with filled(disk, leave=2 * MIB):
            for number in (2, 3):
                made.sql("select pg_switch_wal()")
                made.sql(f"insert into kept values ({number})")
            told["problems"] = wait_problems(made)
            told["read"] = refusal(made.latest)
            told["snapshot"] = refusal(lambda: snapshot(made))
            told["rows"] = made.sql("select count(*) from kept")
        after = now()
        wait_for("the archive to heal", lambda: problems(made) == [], within=30)
        wait_for("the window to go on", lambda: closes_after(made, after), within=30)
        restored = made.restore(made.latest(), Mode.DRILL)
        told["restored"] = made.sql("select count(*) from kept", restored.handle.server)
        told["windows"] = len(made.provider.points.windows(made.resource))
        made.discard(restored.handle)
        told["left over"] = left_over(made)
        return told


def snapshot(made: Station) -> None:
    """Take a snapshot."""
    made.provider.snapshots.create(made.resource, key="k" * 16, name="", progress=no_progress)


@contextmanager
def hidden(folders: Iterable[Path]) -> Iterator[None]:
    """Put an empty folder over each of `folders` while the block runs."""
    with ExitStack() as mounted:
        for folder in folders:
            mounted.enter_context(small(folder, MIB))
        yield


def programs_gone() -> dict[str, Any]:
    """Take the programs of the backup's major version away from the machine."""
    oldest = installations()[0]
    folders = {each.folder.resolve() for each in installed() if each.major == oldest.major}
    with station(binaries=str(oldest.folder)) as made:
        point = made.latest()
        told: dict[str, Any] = {"major": oldest.major}
        with hidden(folders):
            told["resolve"] = refusal(made.latest)
            told["findings"] = [
                one.model_dump(mode="json")
                for one in made.provider.preflight.examine(made.resource, point, Mode.INCIDENT)
                if one.verdict is not Verdict.PASSED
            ]
            handle = made.begin(point)
            told["error"] = refusal(lambda: made.transfer(point, handle))
            made.discard(handle)
            told["left over"] = left_over(made)
        return told


def problems(made: Station) -> list[str]:
    """Return what archive health complains about."""
    health = made.provider.points.describe(made.resource).archive
    return list(health.problems) if health else []


def wait_problems(made: Station) -> list[str]:
    """Return the first complaint of archive health that names the room."""

    def named() -> list[str]:
        return [one for one in problems(made) if "No space left" in one or "no room" in one]

    try:
        return list(wait_for("the full disk to be told", named, within=15))
    except AssertionError:
        return ["not named: ", *problems(made)]


def closes_after(made: Station, moment: datetime) -> bool:
    """Return whether the newest window reaches a moment."""
    return any(one.closes_at > moment for one in made.provider.points.windows(made.resource))


SCENARIOS = {
    one.__name__: one
    for one in (full_while_unpacking, full_while_replaying, full_archive, programs_gone)
}

if __name__ == "__main__":
    give_ports_from(int(sys.argv[2]))
    print(json.dumps(SCENARIOS[sys.argv[1]](), default=str))
