"""PostgreSQL by hand: started as a child, polled, stopped; a restore and a clone without Refloat."""

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import copy
from domain.errors import ProviderUnavailableError, WalMissingError
from domain.recovery import Progress, RecoveryPoint
from domain.resources import Connection
from providers.local.archive import Archive
from providers.local.binaries import Binaries
from providers.local.config import Account
from providers.local.records import BackupRecord, RecoveryAim, ServerRecord
from providers.local.server_log import failure_of, log_of, recent_log
from providers.local.sql import connect, one
from providers.local.starting import start_arguments
from providers.local.unpacking import unpack, verify
from providers.secrets.references import Secrets

_POLL = 0.02
_STOP_WITHIN = 120.0
_LEFT_OUT = {"pg_wal", "pg_replslot", "postmaster.pid", "postmaster.opts"}


@dataclass(frozen=True)
class Engine:
    """PostgreSQL's programs, the account that runs its servers, and the login to them."""

    binaries: Binaries
    account: Account
    connection: Connection
    secrets: Secrets

    def record(self, name: str, port: int, aim: RecoveryAim | None = None) -> ServerRecord:
        """Return what `start_arguments` wants to know of a server."""
        return ServerRecord(
            name=name,
            instance=name,
            host="127.0.0.1",
            port=port,
            managed=True,
            major=self.binaries.major,
            aim=aim,
            made_at=datetime.now(UTC),
        )

    @contextmanager
    def serving(self, record: ServerRecord, folder: Path, *more: str) -> Iterator[None]:
        """Start the server whose data are in `folder`, hold it once it accepts writes, stop it."""
        with log_of(folder).open("ab") as log:
            process = subprocess.Popen(
                [
                    self.binaries["postgres"],
                    "-D",
                    str(folder / "data"),
                    *start_arguments(record, folder),
                    *(part for setting in more for part in ("-c", setting)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TZ": "UTC"},
                start_new_session=True,  # an interrupt at the terminal is for the bench alone
                user=self.account.uid,
                group=self.account.gid,
                extra_groups=[] if self.account.uid is not None else None,
            )
        try:
            self._await_writes(process, record, folder)
            yield
        finally:
            _stop(process)

    def _await_writes(
        self, process: "subprocess.Popen[bytes]", record: ServerRecord, folder: Path
    ) -> None:
        while True:
            if process.poll() is not None:
                raise failure_of(record.name, recent_log(folder))
            with (
                suppress(ProviderUnavailableError),
                connect(record, self.connection, self.secrets) as session,
            ):
                if not one(session, "select pg_is_in_recovery()")[0]:
                    return
            time.sleep(_POLL)

    def answer(self, record: ServerRecord, query: str) -> str:
        """Return the one value of a query."""
        with connect(record, self.connection, self.secrets) as session:
            return str(one(session, query)[0])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait()


@dataclass(frozen=True)
class Source:
    """What a restore by hand reads."""

    archive: Archive
    backup: BackupRecord
    point: RecoveryPoint
    master: bytes


@contextmanager
def restored(engine: Engine, source: Source, folder: Path, port: int) -> Iterator[ServerRecord]:
    """Restore into `folder` and hold the server: the engine's steps with nobody around them."""
    data, staged = folder / "data", folder / "wal"
    for path in (data, staged):
        path.mkdir(mode=0o700)
    engine.account.own(data, staged)
    with ThreadPoolExecutor(1) as beside:
        staging = beside.submit(_stage_log, source, staged)
        unpack(source.archive, source.backup, data, source.master, engine.account, _tell_nobody)
        staging.result()
    engine.account.own(*staged.iterdir())
    verify(engine.binaries, data)
    (data / "recovery.signal").touch()
    engine.account.own(data / "recovery.signal")
    aim = RecoveryAim(
        lsn=source.point.lsn,
        inclusive=source.point.inclusive,
        timeline=source.archive.segments.timeline,
    )
    record = engine.record("by-hand", port, aim)
    with engine.serving(record, folder):
        yield record


def _stage_log(source: Source, staged: Path) -> None:
    archive, segments = source.archive, source.archive.segments
    last = segments.number(source.point.lsn)
    for number in range(segments.number(source.backup.start_lsn), last + 1):
        archive.log.unpack(number, staged, source.master)
    with suppress(WalMissingError):  # where a record may go on
        archive.log.unpack(last + 1, staged, source.master)


def _tell_nobody(_progress: Progress) -> None:
    return


def copied(data: Path, target: Path, *how: str) -> None:
    """Copy the files of a server in backup mode, all but its log and what belongs to its process."""
    copy([path for path in sorted(data.iterdir()) if path.name not in _LEFT_OUT], target, *how)


@contextmanager
def backup_mode(engine: Engine, record: ServerRecord) -> Iterator[list[str]]:
    """Hold backup mode; at its end the list holds backup_label, first and last segment."""
    told: list[str] = []
    with connect(record, engine.connection, engine.secrets) as session:
        first = one(session, "select pg_walfile_name(pg_backup_start('bench', true))")[0]
        yield told
        row = one(
            session,
            "select labelfile, pg_walfile_name(lsn) from pg_backup_stop(wait_for_archive => false)",
        )
        told += [str(row[0]), str(first), str(row[1])]


def cloned(engine: Engine, record: ServerRecord, data: Path, target: Path) -> None:
    """Make `target` a data directory that shares its blocks with those of a running server."""
    with backup_mode(engine, record) as told:
        copied(data, target, "--reflink=always")
    label, first, last = told
    log = target / "pg_wal"
    for path in (log, target / "pg_replslot"):
        path.mkdir(mode=0o700)
        engine.account.own(path)
    held = [path for path in (data / "pg_wal").iterdir() if _needed(path.name, first, last)]
    copy(held, log, "--reflink=always")
    (target / "backup_label").write_text(label)
    engine.account.own(target / "backup_label")


def _needed(name: str, first: str, last: str) -> bool:
    return name.endswith(".history") or (len(name) == len(first) and first <= name <= last)
