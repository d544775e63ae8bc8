"""Real PostgreSQL servers behind simulated instances, each restorable to any moment of its life."""

import base64
import hashlib
import logging
import re
import secrets as randomness
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import AccessDeniedError, RecoveryError
from domain.recovery import Target, TargetKind
from domain.values import UtcDatetime, Value
from providers.local.binaries import reachable
from providers.local.config import Account
from providers.local.layout import held, read_record, write_record, write_text
from providers.local.records import Desired
from providers.secrets.references import Secrets
from simulators.backends import Backends, Master
from simulators.clusters import Shape
from simulators.keeping import Keeping
from simulators.live import Live
from simulators.units import Ground, State, Unit, UnitRecord

_LOG = logging.getLogger("simulators.postgresql")
_AT_ONCE = 8  # servers that are started or stopped at once


class KeptSnapshot(Value):
    """One snapshot: a named point in the log of a unit, whose archive stays as long."""

    id: str
    server: str
    mark: str
    taken_at: UtcDatetime


class PostgresqlBackends(Backends):
    """Servers of PostgreSQL over the local engine, one unit each, under one root.

    The master user is a superuser here, which no cloud grants; the login `simulator` is the
    cloud's own. A snapshot is a mark in the log, exact to the microseconds of commits that run at
    the same instant. A new object on the same root goes on with what is there.
    """

    def __init__(
        self, root: Path, *, wal_level: str = "replica", track_commit_timestamp: bool = True
    ) -> None:
        root = root.resolve()
        (root / "units").mkdir(parents=True, exist_ok=True, mode=0o755)
        account = Account.choose(None)
        if account.uid is not None and not reachable(root / "units", account.uid):
            raise AccessDeniedError(
                f"the account {account.name}, which runs the servers, cannot reach {root}; choose "
                "a root all of whose folders others may pass through (chmod o+x)"
            )
        shape = Shape(wal_level, track_commit_timestamp)
        self._ground = Ground(root, account, Secrets(root), shape)
        self._snapshots: dict[str, KeptSnapshot] = {}
        self._units: dict[str, Unit] = {}
        self._lock = threading.Lock()
        self._keeping = Keeping(lambda: list(self._units.values()), self._tidy)
        with ExitStack() as stack:
            stack.enter_context(held(root / "backends.lock", f"the servers under {root}"))
            _make_secrets(root)
            self._adopt()
            self._keeping.start()
            self._held = stack.pop_all()

    def _adopt(self) -> None:
        """Go on with what an earlier process made; remove what it did not finish."""
        for path in (self._ground.root / "snapshots").glob("[!.]*.json"):
            snapshot = read_record(path, KeptSnapshot)
            if snapshot is not None:
                self._snapshots[snapshot.id] = snapshot
        nothing = UnitRecord(server="", major=0)
        for folder in (self._ground.root / "units").iterdir():
            unit = Unit(
                self._ground, folder, read_record(folder / "unit.json", UnitRecord) or nothing
            )
            if unit.record.state is State.MAKING:
                unit.erase()
            else:
                self._units[unit.record.server] = unit
        self._each(_resume)
        for unit in list(self._units.values()):
            self._tidy(unit)
        self._each(_await_service)

    def _each(self, act: Callable[[Unit], None]) -> None:
        """Do one thing to every unit, several at once; one that fails is told and left alone."""

        def acted(unit: Unit) -> None:
            try:
                act(unit)
            except (RecoveryError, OSError):
                _LOG.exception("server %s", unit.record.server)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(acted, list(self._units.values())))

    def create(self, server: str, *, version: str, master: Master) -> None:
        """Make an empty server of the major of `version`, or of the preferred one installed."""
        with self._making(server, self._ground.major_of(version)) as unit:
            unit.make(master)

    def restore(self, source: str, server: str, moment: datetime | None) -> None:
        """Make `server` from `source` as of `moment`, once the archive reaches it."""
        if moment is not None and moment > datetime.now(UTC):
            raise LookupError(f"{moment.isoformat()} is in the future")
        kind = TargetKind.LATEST if moment is None else TargetKind.TIME
        self._restore(self._origin(source), server, Target(kind=kind, time=moment))

    def _restore(self, origin: Unit, server: str, target: Target) -> None:
        with origin.reading():
            point = origin.resolve(target)
            with self._making(server, origin.record.major) as unit:
                unit.restore(origin, point)
        self._tidy(origin)

    @contextmanager
    def _making(self, server: str, major: int) -> Iterator[Unit]:
        """Hold a unit to be made; it is gone again when the block fails.

        Whoever acts on the server meanwhile waits for the end of the block.
        """
        folder = self._ground.root / "units" / _folder_of(server)
        unit = Unit(self._ground, folder, UnitRecord(server=server, major=major))
        with unit.lock:
            with self._lock:
                if server in self._units:
                    raise FileExistsError(f"there is a server {server} already")
                self._units[server] = unit
            try:
                unit.write(state=State.MAKING)
                yield unit
                unit.write(state=State.READY)
            except BaseException:
                unit.erase()
                self._units.pop(server)
                raise

    def _origin(self, source: str) -> Unit:
        """Return the unit to restore from.

        Raises:
            LookupError: there is none, or it was removed for good.
        """
        unit = self._units.get(source)
        if unit is None or not unit.restorable:
            raise LookupError(f"there is no server {source} to restore from")
        return unit

    def take(self, source: str, snapshot: str) -> datetime:
        """Keep the state of now; an earlier snapshot of this id stays as it is."""
        known = self._snapshots.get(snapshot)
        if known is not None:
            return known.taken_at
        mark = f"snapshot-{randomness.token_hex(8)}"
        with self._existing(source) as live:
            kept = KeptSnapshot(id=snapshot, server=source, mark=mark, taken_at=live.mark(mark))
            write_record(self._file_of(snapshot), kept)
            self._snapshots[snapshot] = kept
        return kept.taken_at

    def restore_snapshot(self, snapshot: str, server: str) -> None:
        """Make `server` from a snapshot, whether its source is still there or not."""
        kept = self._snapshots.get(snapshot)
        if kept is None:
            raise LookupError(f"there is no snapshot {snapshot}")
        target = Target(kind=TargetKind.RESTORE_POINT, name=kept.mark)
        self._restore(self._units[kept.server], server, target)

    def forget(self, snapshot: str) -> None:
        """Delete a snapshot, and the archive of a removed server that was kept for it."""
        kept = self._snapshots.pop(snapshot, None)
        if kept is not None:
            self._file_of(snapshot).unlink(missing_ok=True)
            self._tidy(self._units[kept.server])

    def window(self, server: str) -> tuple[datetime, datetime] | None:
        """Return from when to when the archive of a server reaches, one second before now at most."""
        unit = self._units.get(server)
        return unit.window() if unit is not None and unit.restorable else None

    def address(self, server: str) -> tuple[str, int] | None:
        """Return where a running server listens."""
        unit = self._units.get(server)
        live = unit.live if unit is not None and unit.ready else None
        return (live.record.host, live.record.port) if live is not None and live.runs else None

    def stop(self, server: str) -> None:
        """Stop a server; it stays stopped over a restart of the simulator."""
        with self._existing(server) as live:
            live.stop()

    def start(self, server: str) -> None:
        """Start a server; its port changes when somebody took it meanwhile."""
        with self._existing(server) as live:
            live.begin()
            live.await_service()

    @contextmanager
    def _existing(self, server: str) -> Iterator[Live]:
        """Hold a server that nobody else acts on.

        Raises:
            LookupError: there is none.
        """
        unit = self._units.get(server)
        if unit is None:
            raise LookupError(f"there is no server {server}")
        with unit.lock:
            if unit.live is None or not unit.ready:
                raise LookupError(f"there is no server {server} any more")
            yield unit.live

    def remove(self, server: str, *, retain: bool) -> None:
        """Remove a server, or what was retained of it."""
        unit = self._units.get(server)
        if unit is not None:
            unit.retire(retained=retain)
            self._tidy(unit)

    def close(self) -> None:
        """Stop every server; the next object on this root starts those that ran."""
        self._keeping.stop()
        self._each(_end)
        self._held.close()

    def _tidy(self, unit: Unit) -> None:
        """Remove what is left of a removed server when nobody needs it any more."""
        if unit.record.state is not State.REMOVED or unit.record.retained:
            return
        with self._lock, unit.lock:
            kept_for = any(one.server == unit.record.server for one in self._snapshots.values())
            if not kept_for and not unit.readers:
                unit.erase()
                self._units.pop(unit.record.server, None)

    def _file_of(self, snapshot: str) -> Path:
        return self._ground.root / "snapshots" / f"{_folder_of(snapshot)}.json"


def _make_secrets(root: Path) -> None:
    """Make the password of the cloud's own login and the key of the archives, once for a root."""
    for name, content in (
        ("password", randomness.token_urlsafe(16)),
        ("backup.key", base64.b64encode(randomness.token_bytes(32)).decode()),
    ):
        if not (root / name).exists():
            write_text(root / name, content, 0o600)


def _folder_of(name: str) -> str:
    """Return a short folder name for an id of any form: paths of sockets have a limit."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower())[:16].strip("-")
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _resume(unit: Unit) -> None:
    """Begin a server again, or finish its removal."""
    if unit.record.state is State.REMOVED:
        unit.retire(retained=unit.record.retained)
    else:
        unit.adopt()


def _await_service(unit: Unit) -> None:
    with unit.lock:
        if unit.live is not None and unit.live.record.desired is Desired.RUNNING:
            unit.live.await_service()


def _end(unit: Unit) -> None:
    with unit.lock:
        if unit.live is not None:
            unit.live.end()
