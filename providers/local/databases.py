"""Restores a local database into a new data directory and a new port."""

import contextlib
import shutil
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.errors import (
    AccessDeniedError,
    NotYetError,
    PointNotReachedError,
    ProviderUnavailableError,
    RecoveryError,
    WalMissingError,
)
from domain.provider import ReportProgress, ResourceRecovery
from domain.recovery import Progress, RecoveryPoint, RestoredResource, RestoreHandle
from domain.resources import Mode, ProtectedResource
from domain.values import Value
from providers.local.archive import Archive
from providers.local.binaries import locate
from providers.local.config import LocalConfig
from providers.local.keeper import ServerKeeper
from providers.local.keys import backup_key
from providers.local.layout import (
    GONE,
    Layout,
    bring_to_disk,
    held,
    read_record,
    remove_tree,
    write_record,
)
from providers.local.processes import Daemon
from providers.local.programs import disk_named, named_failure
from providers.local.records import (
    BackupRecord,
    Configuration,
    Desired,
    RecoveryAim,
    ServerRecord,
)
from providers.local.server_log import failure_of, recent_log
from providers.local.servers import Servers
from providers.local.sql import as_moment, connect, one
from providers.local.supervisor import supervisor_alive
from providers.local.unpacking import unpack, verify
from providers.local.wal import tidy_lsn
from providers.secrets.references import Secrets

LOCK = "busy.lock"
_PACE = timedelta(milliseconds=200)
_NOT_CARRIED = {"synchronous_standby_names", "default_transaction_read_only"}


class Transferred(Value):
    """Written when the files of a restore are complete."""

    backup_id: str
    lsn: str


def name_of(run_id: str, instance: str) -> str:
    """Return what a run's new server is called."""
    return f"refloat-{run_id[:8]}-{instance}"


class LocalRecovery(ResourceRecovery):
    """The copy of a database as of a point, beside the original."""

    def __init__(self, config: LocalConfig, secrets: Secrets) -> None:
        self.config, self.secrets = config, secrets

    def start_restore(
        self, resource: ProtectedResource, point: RecoveryPoint, *, run_id: str, mode: Mode
    ) -> RestoreHandle:
        """Reserve name, folder and port; the same ones for the same run."""
        layout = Layout(self.config, resource.instance)
        backup = _backup(Archive(layout, point.source), point.backup_id)
        record = Servers(layout).reserve(
            name_of(run_id, resource.instance),
            run_id,
            backup.major,
            listen="127.0.0.1" if mode is Mode.DRILL else self.config.listen,
        )
        return RestoreHandle(server=record.name, host=record.host, port=record.port, run_id=run_id)

    def transfer(
        self,
        resource: ProtectedResource,
        point: RecoveryPoint,
        handle: RestoreHandle,
        progress: ReportProgress,
    ) -> None:
        """Unpack, verify and stage the log, then let the supervisor start the server."""
        layout = Layout(self.config, resource.instance)
        folder = layout.server(handle.server)
        if not folder.exists():
            raise PointNotReachedError(f"{handle.server}: its record is gone; start a new restore")
        with held(folder / LOCK, handle.server):
            self._transfer(resource, point, handle, progress)

    def _transfer(
        self,
        resource: ProtectedResource,
        point: RecoveryPoint,
        handle: RestoreHandle,
        progress: ReportProgress,
    ) -> None:
        layout = Layout(self.config, resource.instance)
        servers, folder = Servers(layout), layout.server(handle.server)
        record = servers.record(handle.server)
        if record is None or record.run_id != handle.run_id:
            raise PointNotReachedError(f"{handle.server}: its record is gone; start a new restore")
        if record.desired is not Desired.PREPARING:
            return  # an earlier attempt finished; this one must not touch what has been started
        done = read_record(folder / "transferred.json", Transferred)
        if done is None:
            self._fetch(resource, point, folder, progress)
            with disk_named("bring the restored files to disk"):
                bring_to_disk(folder)
            write_record(
                folder / "transferred.json", Transferred(backup_id=point.backup_id, lsn=point.lsn)
            )
        timeline = Archive(layout, point.source).segments.timeline
        aim = RecoveryAim(lsn=point.lsn, inclusive=point.inclusive, timeline=timeline)
        servers.write(record.model_copy(update={"desired": Desired.RUNNING, "aim": aim}))

    def _fetch(
        self,
        resource: ProtectedResource,
        point: RecoveryPoint,
        folder: Path,
        progress: ReportProgress,
    ) -> None:
        archive = Archive(Layout(self.config, resource.instance), point.source)
        backup, master = _backup(archive, point.backup_id), backup_key(resource, self.secrets)
        data, staged = folder / "data", folder / "wal"
        account = self.config.account
        account.withhold(folder)  # until all is there
        for path in (data, staged):
            remove_tree(path)  # what an attempt that was killed left
            path.mkdir(mode=0o700)
        staging = _Staging(archive, backup, point, staged, master)
        staging.start()
        try:
            unpack(archive, backup, data, master, account, progress)
        finally:
            staging.finish()
        staging.reraise()
        account.own(*staged.iterdir(), staged)
        progress(Progress(what="verify the unpacked files"))
        verify(locate(self.config, backup.major), data)
        _complete_configuration(data, archive.backups.configuration(backup.id, master))
        (data / "recovery.signal").touch()
        account.own(*(path for path in data.iterdir() if path.is_file()), data, folder)

    def poll_restore(self, resource: ProtectedResource, handle: RestoreHandle) -> RestoredResource:
        """Return the server once it accepts writes at its point, or the reason why it never will."""
        layout = Layout(self.config, resource.instance)
        servers = Servers(layout)
        record, status = servers.record(handle.server), servers.status(handle.server)
        if record is None:
            raise PointNotReachedError(f"{handle.server}: its record is gone; start a new restore")
        if status is None or status.generation != record.generation:
            if not supervisor_alive(self.config.root):
                raise ProviderUnavailableError(
                    "no supervisor runs to start the new server; start `refloat-supervisor`"
                )
            raise NotYetError(f"the supervisor to start {handle.server}", _PACE)
        log = recent_log(layout.server(handle.server))
        if status.state in {"failed", "lost"}:
            raise failure_of(handle.server, f"{log}\n{status.problem}")
        try:
            return self._facts(resource, record, handle, log)
        except ProviderUnavailableError:
            raise NotYetError(f"{handle.server} to replay the log", _PACE) from None
        except AccessDeniedError as error:
            raise AccessDeniedError(
                f"{error}; the restored data has the logins of its own time: if the password was "
                "changed since, name the one of then in `connection.password` and restore again"
            ) from None

    def _facts(
        self, resource: ProtectedResource, record: ServerRecord, handle: RestoreHandle, log: str
    ) -> RestoredResource:
        with connect(record, resource.connection, self.secrets, timeout=3) as session:
            row = one(
                session,
                "select pg_is_in_recovery(), pg_last_wal_replay_lsn()::text,"
                " pg_last_xact_replay_timestamp(), current_setting('server_version')",
            )
            if row[0]:
                raise NotYetError(f"{handle.server} to end recovery, now at {row[1]}", _PACE)
            timeline = int(
                str(one(session, "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")[0]),
                16,
            )
        stopped = [line for line in log.splitlines() if "recovery stopping" in line]
        data = layout_data(self.config, resource, handle)
        switch = _switch_point(data, timeline)
        if switch is None or (record.aim is not None and timeline <= record.aim.timeline):
            raise PointNotReachedError(
                f"{handle.server}: it started without recovery, as if its signal file had been "
                "missing, so it holds the base backup and not the point; it is not used"
            )
        return RestoredResource(
            handle=handle,
            ready_at=datetime.now(UTC),
            replayed_to=tidy_lsn(switch[0]),
            last_replayed_commit_at=as_moment(row[2]),
            timeline=timeline,
            stopped_because=stopped[-1].partition("LOG:")[2].strip()
            if stopped
            else f"the timeline begins {switch[1]}",
            version=str(row[3]),
        )

    def discard(self, resource: ProtectedResource, handle: RestoreHandle) -> None:
        """Stop and remove the run's server, its archive and spool; nothing that is not the run's."""
        layout = Layout(self.config, resource.instance)
        servers = Servers(layout)
        record = servers.record(handle.server)
        if record is None:
            remove_tree(gone(layout, handle.server))  # what a call that was killed left
            return
        if record.run_id != handle.run_id:
            return
        tenures = servers.tenures()
        if tenures is not None and tenures.server == record.name:
            raise PointNotReachedError(
                f"{record.name} is what {resource.path} means now; it is not removed"
            )
        with held(layout.server(record.name) / LOCK, record.name):
            stop_server(servers, record)
            for folder in (layout.archive(record.name), layout.spool(record.name)):
                remove_tree(folder)
            remove_folder(layout, record.name)  # last: its record is what the next call finds


def stop_server(servers: Servers, record: ServerRecord) -> None:
    """Stop a managed server and its receiver for good.

    Raises:
        NotYetError: it still stops.
    """
    layout = servers.layout
    if record.desired is not Desired.PREPARING:
        absent = record.model_copy(update={"desired": Desired.ABSENT})
        if record.desired is not Desired.ABSENT:
            servers.write(absent)
        if not supervisor_alive(layout.config.root):
            ServerKeeper(servers, record.name).tick(absent)
        deadline = time.monotonic() + 8
        while not _stopped(servers, record.name):
            if time.monotonic() > deadline:
                raise NotYetError(f"{record.name} to stop", timedelta(seconds=1))
            time.sleep(0.05)
    spool = layout.spool(record.name)
    if spool.exists():
        Daemon(spool / "receiver.pid", spool / "receiver.log").stop(signal.SIGINT, within=5.0)


def gone(layout: Layout, name: str) -> Path:
    """Return what the folder of a server is called while it is removed."""
    folder = layout.server(name)
    return folder.with_name(f"{GONE}{name}")


def remove_folder(layout: Layout, name: str) -> None:
    """Remove the folder of a server that does not run; at once, so that nothing starts half of it."""
    remove_tree(gone(layout, name))
    with contextlib.suppress(FileNotFoundError):
        layout.server(name).rename(gone(layout, name))
    remove_tree(gone(layout, name))


def _stopped(servers: Servers, name: str) -> bool:
    status = servers.status(name)
    running = ServerKeeper(servers, name)
    return (status is None or status.state != "running") and (running.daemon.pid is None)


class _Staging(threading.Thread):
    """Unseals the log that a restore needs, while the base backup is being unpacked."""

    def __init__(
        self,
        archive: Archive,
        backup: BackupRecord,
        point: RecoveryPoint,
        target: Path,
        master: bytes,
    ) -> None:
        super().__init__(daemon=True)
        self.archive, self.target, self.master = archive, target, master
        segments = archive.segments
        self.first, self.last = segments.number(backup.start_lsn), segments.number(point.lsn)
        self.stop = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        """Unseal from the first to the last segment, and the one after where a record goes on."""
        try:
            for number in range(self.first, self.last + 1):
                if self.stop.is_set():
                    return
                self.archive.log.unpack(number, self.target, self.master)
            with contextlib.suppress(WalMissingError):
                self.archive.log.unpack(self.last + 1, self.target, self.master)
        except (RecoveryError, OSError) as error:
            self.error = error

    def finish(self) -> None:
        """Wait for the end; an unpacking that failed makes it come soon."""
        if sys.exc_info()[0] is not None:
            self.stop.set()
        self.join()

    def reraise(self) -> None:
        """Raise what went wrong in the thread."""
        if isinstance(self.error, OSError):
            raise named_failure("stage the log", f"{self.error.strerror}: {self.error.filename}")
        if self.error is not None:
            raise self.error


def layout_data(config: LocalConfig, resource: ProtectedResource, handle: RestoreHandle) -> Path:
    """Return the data directory of a run's server."""
    return Servers(Layout(config, resource.instance)).data(handle.server)


def _switch_point(data: Path, timeline: int) -> tuple[str, str] | None:
    """Return where and why a timeline begins, as recovery itself noted; None where none ended here.

    The note outlives a crash after the promotion, which what the server remembers does not.
    """
    try:
        noted = (data / "pg_wal" / f"{timeline:08X}.history").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    lines = [line.split("\t") for line in noted.splitlines() if line.strip() and line[0] != "#"]
    return (lines[-1][1], lines[-1][-1]) if lines else None


def _backup(archive: Archive, backup_id: str) -> BackupRecord:
    for backup in archive.backups.all():
        if backup.id == backup_id:
            return backup
    raise WalMissingError(
        f"base backup {backup_id} is gone from the archive of {archive.server}; plan again"
    )


def _complete_configuration(data: Path, known: Configuration) -> None:
    """Write the configuration files that some systems keep outside of the data directory."""
    conf = data / "postgresql.conf"
    if not conf.exists() or "config_file" in known.outside:
        lines = [
            f"{name} = '{value.replace(chr(39), chr(39) * 2)}'"
            for name, value in sorted(known.settings.items())
            if name not in {"stats_temp_directory", "data_sync_retry"}
        ]
        conf.write_text("# from the settings noted with the backup\n" + "\n".join(lines) + "\n")
    hba = data / "pg_hba.conf"
    if not hba.exists() or "hba_file" in known.outside:
        hba.write_text((known.hba or "host all all 127.0.0.1/32 scram-sha-256") + "\n")
    ident = data / "pg_ident.conf"
    if not ident.exists():
        ident.write_text("")
    auto = data / "postgresql.auto.conf"
    lines = auto.read_text().splitlines() if auto.exists() else []
    kept = [line for line in lines if line.partition("=")[0].strip() not in _NOT_CARRIED]
    # a standby of the source does not follow the copy: commits would wait for it for ever
    auto.write_text("\n".join([*kept, "synchronous_standby_names = ''"]) + "\n")
    for path in (conf, hba, ident, auto):
        path.chmod(0o600)


def room(config: LocalConfig) -> int:
    """Return the free bytes where new servers are made."""
    folder = config.root
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
