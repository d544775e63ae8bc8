"""Makes a restored server the one that its path means, protected like the one before."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.errors import (
    NothingToReleaseError,
    NotYetError,
    ProviderUnavailableError,
    RecoveryError,
    ServerFailedError,
)
from domain.provider import Cutover, Memory, ReportProgress
from domain.recovery import Progress, RestoreHandle, Superseded
from domain.resources import Durability, ProtectedResource
from providers.local.archive import Archive
from providers.local.backup import BackupTaker
from providers.local.binaries import locate
from providers.local.config import LocalConfig
from providers.local.databases import LOCK, remove_folder, stop_server
from providers.local.keys import backup_key
from providers.local.layout import Layout, held, remove_tree, write_record
from providers.local.reader import LogReader
from providers.local.receiver import seal_what_arrived, slot_of
from providers.local.records import Desired, ServerRecord
from providers.local.servers import Servers
from providers.local.sql import connect, last_commit, one, require_synchronous, set_fence
from providers.secrets.references import Secrets

_ACTIVE = "select exists (select from pg_replication_slots where slot_name = %s and active)"
_UNFENCED = "{server} does not answer, so it is not fenced: if it comes back it is set to read only"


class LocalCutover(Cutover):
    """Own slot, own archive, own base backup; then the path means the new server."""

    def __init__(self, config: LocalConfig, secrets: Secrets) -> None:
        self.config, self.secrets = config, secrets

    def _servers(self, resource: ProtectedResource) -> Servers:
        return Servers(Layout(self.config, resource.instance))

    def protect(
        self, resource: ProtectedResource, handle: RestoreHandle, progress: ReportProgress
    ) -> None:
        """Restart into service, follow the log, take a base backup."""
        servers = self._servers(resource)
        _require(servers, handle)
        with held(servers.layout.server(handle.server) / LOCK, handle.server):
            self._protect(servers, resource, handle, progress)

    def _protect(
        self,
        servers: Servers,
        resource: ProtectedResource,
        handle: RestoreHandle,
        progress: ReportProgress,
    ) -> None:
        record = _require(servers, handle)
        if record.aim is not None or not record.receiving:
            record = servers.write(
                record.model_copy(
                    update={"aim": None, "receiving": True, "generation": record.generation + 1}
                )
            )
        progress(Progress(what="restart the new server into service"))
        self._await_service(servers, resource, record, progress)
        archive = Archive(servers.layout, record.name)
        progress(Progress(what="archive the new server's log"))
        self._await_stream(archive, record, progress)
        if resource.durability is Durability.ZERO_LOSS:
            self._await_synchronous(resource, record, progress)
        taker = BackupTaker(
            server=record,
            archive=archive,
            connection=resource.connection,
            secrets=self.secrets,
            master=backup_key(resource, self.secrets),
        )
        taker.take(f"base-{handle.run_id[:12]}", progress)
        self._await_covered(archive, progress)
        remove_tree(servers.layout.server(record.name) / "wal")

    def _await_service(
        self,
        servers: Servers,
        resource: ProtectedResource,
        record: ServerRecord,
        progress: ReportProgress,
    ) -> None:
        deadline = time.monotonic() + 60
        while True:
            status = servers.status(record.name)
            if status and status.generation == record.generation and status.state == "running":
                try:
                    with connect(record, resource.connection, self.secrets, timeout=2) as session:
                        one(session, "select 1")
                except RecoveryError:
                    status = None
                else:
                    return
            _pause(deadline, progress, f"{record.name} to start into service")

    @staticmethod
    def _await_stream(archive: Archive, record: ServerRecord, progress: ReportProgress) -> None:
        deadline = time.monotonic() + 30
        while True:
            status = archive.status()
            if archive.record is not None and status and status.received_lsn:
                return
            _pause(deadline, progress, f"the log of {record.name} to arrive in its archive")

    def _await_synchronous(
        self, resource: ProtectedResource, record: ServerRecord, progress: ReportProgress
    ) -> None:
        """Return when a commit waits for the archive, before anybody commits here."""
        deadline = time.monotonic() + 30
        with connect(record, resource.connection, self.secrets) as session:
            while not require_synchronous(session, slot_of(record)):
                _pause(deadline, progress, f"the receiver of {record.name} to stream")

    @staticmethod
    def _await_covered(archive: Archive, progress: ReportProgress) -> None:
        """Return when the archive holds the log that the base backup needs."""
        deadline = time.monotonic() + 30
        while not archive.stretches():
            _pause(deadline, progress, "the log of the new base backup to arrive")

    def keep(self, resource: ProtectedResource, handle: RestoreHandle) -> None:
        """Mark the server of a finished run, so that `release` may take it."""
        servers = self._servers(resource)
        record = _require(servers, handle)
        remove_tree(servers.layout.server(record.name) / "wal")
        servers.write(record.model_copy(update={"kept": True, "aim": None}))

    def promote(self, resource: ProtectedResource, handle: RestoreHandle) -> Superseded:
        """Fence the old server and make the new one what the path means."""
        servers = self._servers(resource)
        record, now = _require(servers, handle), servers.current()
        before: ServerRecord | None = now
        if now.name == record.name:  # an earlier call got as far
            tenures = servers.tenures()
            earlier = tenures.tenures[-2].server if tenures and len(tenures.tenures) > 1 else None
            before = servers.record(earlier) if earlier else None
        if before is None:
            return Superseded(server=None, address=f"{record.host}:{record.port}")
        before = servers.write(before.model_copy(update={"fenced": True}))
        fenced = self._fence(resource, before)
        servers.install(record, handle.run_id)
        last = self._last_commit_at(resource, before) if fenced else None
        notes = () if fenced else (_UNFENCED.format(server=before.name),)
        return Superseded(
            server=before.name,
            fenced=fenced,
            last_commit_at=last,
            address=f"{record.host}:{record.port}",
            notes=notes,
        )

    def _last_commit_at(self, resource: ProtectedResource, server: ServerRecord) -> datetime | None:
        """Return when a server committed last, if it still answers and stamps its commits."""
        try:
            with connect(server, resource.connection, self.secrets, timeout=3) as session:
                newest = last_commit(session)
        except RecoveryError:  # it was there a moment ago; the fence is what matters
            return None
        return newest.at if newest else None

    def _fence(self, resource: ProtectedResource, server: ServerRecord) -> bool:
        """Set a server to what its record says; return whether it answered.

        The supervisor does the same whenever the server answers again.
        """
        try:
            with connect(server, resource.connection, self.secrets, timeout=3) as session:
                set_fence(session, fenced=server.fenced)
        except ProviderUnavailableError:
            return False
        return True

    def demote(self, resource: ProtectedResource, handle: RestoreHandle) -> None:
        """Make the old server what the path means, taking writes again."""
        servers = self._servers(resource)
        name = servers.reinstall(handle.server)
        record = servers.record(name) if name else servers.current()
        if record is not None:
            self._fence(resource, servers.write(record.model_copy(update={"fenced": False})))

    def superseded(self, resource: ProtectedResource) -> Sequence[str]:
        """Return the servers that the path meant before, and the copies that runs kept."""
        return self._servers(resource).superseded()

    def release(self, resource: ProtectedResource, memory: Memory) -> Sequence[str]:
        """Delete what the path meant before; its archives stay until the retention ends.

        A copy that a run kept goes with its archive: the path never means what is in there.
        """
        del memory  # over in one attempt
        names = self.superseded(resource)
        if not names:
            raise NothingToReleaseError(
                f"{resource.path}: no superseded server waits for its release"
            )
        servers = self._servers(resource)
        for name in names:
            record = servers.record(name)
            if record is not None and record.managed:
                with held(servers.layout.server(name) / LOCK, name):
                    stop_server(servers, record)
                    if servers.was_current(name):
                        self._seal_rest(servers, resource, record)
                    else:
                        for folder in (servers.layout.archive(name), servers.layout.spool(name)):
                            remove_tree(folder)
                    remove_folder(servers.layout, name)
            elif record is not None:
                self._let_go(servers, resource, record)
                self._seal_rest(servers, resource, record)
            self._note_released(servers, name)
        return names

    def _seal_rest(
        self, servers: Servers, resource: ProtectedResource, record: ServerRecord
    ) -> None:
        """Seal the open end of a server's log, which no receiver will go on with."""
        archive = Archive(servers.layout, record.name)
        if archive.record is not None:
            binaries = locate(self.config, record.major)
            master = backup_key(resource, self.secrets)
            seal_what_arrived(LogReader(archive, binaries, master))

    def _let_go(self, servers: Servers, resource: ProtectedResource, record: ServerRecord) -> None:
        """Stop following a server that is not ours; its files are never touched.

        A server that does not answer keeps its slot: it is gone, or its owner drops it.

        Raises:
            NotYetError: the receiver still holds the slot.
        """
        if record.receiving:
            servers.write(
                record.model_copy(update={"receiving": False, "desired": Desired.STOPPED})
            )
        slot, deadline = slot_of(record), time.monotonic() + 8
        try:
            with connect(record, resource.connection, self.secrets, timeout=3) as session:
                while one(session, _ACTIVE, [slot])[0]:
                    if time.monotonic() > deadline:
                        raise NotYetError(f"the receiver of {record.name} to end")
                    time.sleep(0.1)
                session.execute(
                    "select pg_drop_replication_slot(slot_name) from pg_replication_slots "
                    "where slot_name = %s",
                    [slot],
                )
        except ProviderUnavailableError:
            return

    @staticmethod
    def _note_released(servers: Servers, name: str) -> None:
        tenures = servers.tenures()
        if tenures is None:
            return
        noted = tuple(
            tenure.model_copy(update={"released": True}) if tenure.server == name else tenure
            for tenure in tenures.tenures
        )
        write_record(servers.layout.current, tenures.model_copy(update={"tenures": noted}))


def _require(servers: Servers, handle: RestoreHandle) -> ServerRecord:
    record = servers.record(handle.server)
    if record is None:
        raise ServerFailedError(f"{handle.server}: its record is gone")
    return record


def _pause(deadline: float, progress: ReportProgress, what: str) -> None:
    progress(Progress(what=f"wait for {what}"))
    if time.monotonic() > deadline:
        raise NotYetError(what, timedelta(seconds=1))
    time.sleep(0.1)
