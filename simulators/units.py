"""One simulated server with all that is its own: a folder with its cluster and its log's archive."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from domain.errors import RecoveryPointUnreachableError
from domain.recovery import RecoveryPoint, Target, TargetKind
from domain.resources import BackupPolicy, Connection, Mode, Objectives, ProtectedResource
from domain.values import Value
from providers.local.binaries import installed, locate
from providers.local.config import Account, LocalConfig
from providers.local.databases import LocalRecovery, remove_folder, stop_server
from providers.local.layout import Layout, remove_tree, write_record
from providers.local.points import LocalPoints
from providers.local.records import Desired, ServerRecord
from providers.local.servers import Servers
from providers.secrets.references import Secrets
from simulators.backends import Master
from simulators.clusters import ADMIN, Shape, admit, make_cluster, new_port
from simulators.live import Live
from simulators.reach import SAFE
from simulators.safekeeping import tell_nobody

_INSTANCE = "db"  # of every unit: a restore reads one unit's archive into another's folder
_PASSWORD = "file:password"  # noqa: S105 - where it is, not what it is
_LOOKS = 0.2  # seconds that a question waits for an act on the same server
Window = tuple[datetime, datetime]


class State(StrEnum):
    """How far a unit is; one that is being made when the process dies is removed by the next."""

    MAKING = "making"
    READY = "ready"
    REMOVED = "removed"


class UnitRecord(Value):
    """What is written of a unit; `retained` tells whether a removed one can be restored from."""

    server: str
    major: int
    state: State = State.MAKING
    retained: bool = True


@dataclass(frozen=True)
class Ground:
    """What all units of one root have in common."""

    root: Path
    account: Account
    secrets: Secrets
    shape: Shape

    def config(self, folder: Path, major: int | None) -> LocalConfig:
        """Return the settings of the local engine for a unit, with programs its account can reach."""
        port = new_port()
        of = LocalConfig(
            name="simulated",
            root=self.root,  # where programs are copied to, once for all units
            archive=folder,
            listen="127.0.0.1",
            first_port=port,
            last_port=port,
            account=self.account,
            binaries=None,
        )
        return replace(of, root=folder, binaries=locate(of, major).folder)

    def major_of(self, version: str) -> int:
        """Return the major of a version, or the preferred one where its programs are not installed."""
        found = [one.major for one in installed()]
        asked = version.partition(".")[0]
        fitting = [major for major in found if str(major) == asked]
        return (fitting or found or [locate(self.config(self.root, None)).major])[0]


def resource_of(server: str) -> ProtectedResource:
    """Return a server as the local engine knows it."""
    return ProtectedResource(
        path=f"simulated/servers/{server}",
        provider="simulated",
        provider_kind="local",
        engine="postgresql",
        instance=_INSTANCE,
        objectives=Objectives(),
        backups=BackupPolicy(key="file:backup.key"),
        connection=Connection(database="postgres", user=ADMIN, password=_PASSWORD),
        heartbeat=False,
    )


class Unit:
    """One server: made, kept, restored from, removed."""

    def __init__(self, ground: Ground, folder: Path, record: UnitRecord) -> None:
        self.folder, self.record = folder, record
        self.live: Live | None = None
        self.readers = 0
        self.lock = threading.RLock()
        self._ground, self._resource = ground, resource_of(folder.name)
        self._config = ground.config(folder, record.major or None)
        self._servers = Servers(Layout(self._config, _INSTANCE))
        self._points = LocalPoints(self._config, ground.secrets)
        self._opens: datetime | None = None
        self._read: tuple[datetime | None, Window | None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the server was made and not removed."""
        return self.record.state is State.READY

    @property
    def restorable(self) -> bool:
        """Whether there is an archive to restore from, of a server that may be gone."""
        return self.record.retained and self.record.state is not State.MAKING

    def write(self, **changes: object) -> None:
        """Change the unit's record."""
        self.record = self.record.model_copy(update=changes)
        write_record(self.folder / "unit.json", self.record)

    def make(self, master: Master) -> None:
        """Make an empty server that runs and is protected."""
        ground, major = self._ground, self.record.major
        record = ServerRecord(
            name=_INSTANCE,
            instance=_INSTANCE,
            host="127.0.0.1",
            port=self._config.first_port,
            managed=True,
            major=major,
            desired=Desired.RUNNING,
            receiving=True,
            made_at=datetime.now(UTC),
        )
        data, password = self._servers.data(_INSTANCE), ground.secrets.read(_PASSWORD)
        programs = locate(self._config, major)
        make_cluster(programs, ground.account, data, password, ground.shape)
        live = self._installed(self._servers.write(record))
        live.await_service()
        with live.reach.session(live.record) as session:
            admit(session, master)
        live.catch_up(live.protect())

    def restore(self, origin: "Unit", point: RecoveryPoint) -> None:
        """Make a server from a point of another unit's archive; it runs and is protected."""
        config = replace(self._config, archive=origin.folder)
        recovery = LocalRecovery(config, self._ground.secrets)
        handle = recovery.start_restore(
            self._resource, point, run_id=uuid.uuid4().hex, mode=Mode.INCIDENT
        )
        recovery.transfer(self._resource, point, handle, tell_nobody)
        record = self._servers.record(handle.server)
        assert record is not None
        live = self._installed(record)
        live.recover(lambda: recovery.poll_restore(self._resource, handle))
        remove_tree(self._servers.layout.server(record.name) / "wal")
        live.protect()

    def _installed(self, record: ServerRecord) -> Live:
        self._servers.install(record)
        self.live = Live(self._servers, record, self._resource, self._ground.secrets)
        return self.live

    def adopt(self) -> None:
        """Begin the server that an earlier process made, unless it was stopped."""
        live = self._installed(self._servers.current())
        if live.record.desired is Desired.RUNNING:
            live.begin()

    def tick(self) -> None:
        """Keep the server and its receiver going, unless somebody acts on them at this moment."""
        if self.live is not None and self.lock.acquire(blocking=False):
            try:
                if self.live is not None:
                    self.live.tick()
            finally:
                self.lock.release()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the archive while the block runs, even when the server is removed meanwhile.

        Raises:
            LookupError: it was removed already.
        """
        with self.lock:
            if not self.folder.exists():
                raise LookupError(f"there is no server {self.record.server} to restore from")
            self.readers += 1
        try:
            yield
        finally:
            with self.lock:
                self.readers -= 1

    def resolve(self, target: Target) -> RecoveryPoint:
        """Return the exact point that `target` names, once the log up to there has arrived.

        Raises:
            LookupError: it is out of reach.
        """
        with self.lock:
            live, marked = self.live, target.kind is TargetKind.RESTORE_POINT
            if live is not None and live.record.desired is Desired.RUNNING and not marked:
                # for the latest point, what the server has on its disk by now is enough
                live.catch_up(target.time or datetime.now(UTC) - SAFE)
        try:
            return self._points.resolve(self._resource, target)
        except RecoveryPointUnreachableError as error:
            raise LookupError(str(error)) from None

    def window(self) -> Window | None:
        """Return from when to when the server can be restored, as its archive reaches."""
        live = self.live
        if live is None or not live.runs:
            return self._window_of_archive(live.reach.complete_to if live is not None else None)
        if self.lock.acquire(timeout=_LOOKS):
            try:
                live.reach.measure(live.record)
            finally:
                self.lock.release()
        self._opens = self._opens or live.archive.backups.all()[0].completed_at
        closes = live.reach.complete_to
        return (self._opens, closes) if closes and closes >= self._opens else None

    def _window_of_archive(self, until: datetime | None) -> Window | None:
        """Return what the log of a server that does not run reaches; it is read once an end."""
        if self._read is None or self._read[0] != until:
            found = self._points.windows(self._resource)
            newest = max(found, key=lambda one: one.closes_at, default=None)
            self._read = until, ((newest.opens_at, newest.closes_at) if newest else None)
        return self._read[1]

    def retire(self, *, retained: bool) -> None:
        """Remove the server; its archive stays."""
        with self.lock:
            if not self.folder.exists():  # its making failed, or somebody else was first
                return
            kept = retained and self.record.retained
            self.write(state=State.REMOVED, retained=kept)
            live, self.live = self.live, None
            if live is not None:
                live.end()
            self._remove_servers()

    def erase(self) -> None:
        """Remove all of the unit, whatever runs of it."""
        with self.lock:
            live, self.live = self.live, None
            if live is not None:
                live.reach.let_go()
            self._remove_servers()
            remove_tree(self.folder)

    def _remove_servers(self) -> None:
        for record in self._servers.all():
            stop_server(self._servers, record)
            remove_folder(self._servers.layout, record.name)
