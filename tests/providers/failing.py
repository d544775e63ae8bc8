"""What the tests of failures share: a restore that must fail by name, and archives to tamper with."""

import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from domain.checks import Verdict
from domain.errors import (
    RecoveryError,
    RecoveryPointUnreachableError,
)
from domain.recovery import RecoveryPoint, RecoveryWindow, RestoreHandle
from domain.resources import Mode, ProtectedResource
from providers.local.crypto import seal, unseal
from providers.local.receiver import Receiver
from tests.providers.own_server import require_nothing_left
from tests.station import Station, wait_for


def require_failure(
    made: Station,
    point: RecoveryPoint,
    error: type[RecoveryError] | tuple[type[RecoveryError], ...],
    told: str,
) -> None:
    """Restore to a point, hear the named error, discard, and find nothing left behind."""
    handle = made.begin(point)
    with pytest.raises(error, match=told):
        _complete(made, point, handle)
    made.discard(handle)
    require_nothing_left(made)


def _complete(made: Station, point: RecoveryPoint, handle: RestoreHandle) -> None:
    made.transfer(point, handle)
    made.poll(handle)


def preflight(
    made: Station, point: RecoveryPoint, resource: ProtectedResource | None = None
) -> dict[str, str]:
    """Return what the pre-flight finds wrong: name and what was observed."""
    findings = made.provider.preflight.examine(resource or made.resource, point, Mode.INCIDENT)
    return {
        one.name: f"{one.observed}; {one.advice}"
        for one in findings
        if one.verdict is not Verdict.PASSED
    }


def grow(made: Station, segments: int) -> None:
    """Write and finish segments, each with a row of its own, and wait until they are sealed."""
    made.sql("create table if not exists grown (id int)")
    before = len(made.archive.log.sealed_numbers())
    for number in range(segments):
        made.sql(f"insert into grown values ({number})")
        made.sql("select pg_switch_wal()")
    made.sql("insert into grown values (-1)")
    wait_for("the segments", lambda: len(made.archive.log.sealed_numbers()) >= before + segments)
    made.wait_archived()


@contextmanager
def replaced(path: Path, content: bytes | None) -> Iterator[None]:
    """Hold another content of a file, or none, while the block runs."""
    kept = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(kept)


def opened(path: Path, key: bytes) -> bytes:
    """Return what a sealed file holds."""
    with path.open("rb") as source:
        packed = b"".join(unseal(source, key, path.name))
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


def sealed(content: bytes, key: bytes) -> bytes:
    """Return a content as the archive keeps it."""
    target = io.BytesIO()
    seal([zstandard.ZstdCompressor(level=1).compress(content)], target, key)
    return target.getvalue()


def require_a_new_window_after_the_gap(made: Station) -> RecoveryWindow:
    """Wait for the base backup that opens a window after a gap; return the window before it."""

    def windows() -> list[RecoveryWindow]:
        found = made.provider.points.windows(made.resource)
        return sorted(found, key=lambda one: one.opens_at) if len(found) > 1 else []

    before: RecoveryWindow
    after: RecoveryWindow
    before, after = wait_for("a new window", windows)
    with pytest.raises(RecoveryPointUnreachableError, match="in a gap of the archive"):
        made.at(before.closes_at + (after.opens_at - before.closes_at) / 2)
    return before


def require_restorable(made: Station, early: RecoveryPoint) -> None:
    """Restore to a point before a gap, and to the latest one after it."""
    made.sql("insert into grown values (9)")
    made.wait_archived()
    for point, expected in ((early, []), (made.latest(), [(9,)])):
        restored = made.restore(point, Mode.DRILL)
        found = made.sql("select id from grown where id = 9", restored.handle.server)
        made.discard(restored.handle)
        assert found == expected


def receiver_of(made: Station) -> Receiver:
    assert made.supervisor is not None
    return made.supervisor.instances[0].followers[made.servers.current().name].receiver


@contextmanager
def frozen(receiver: Receiver) -> Iterator[None]:
    receiver.daemon.tell(signal.SIGSTOP)
    try:
        yield
    finally:
        receiver.daemon.tell(signal.SIGCONT)
