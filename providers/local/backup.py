"""Base backups: streamed, compressed and sealed on the way out, unpacked and verified on the way in."""

import contextlib
import fcntl
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from domain.errors import (
    BackupDamagedError,
    ServerFailedError,
    UnsupportedResourceError,
)
from domain.provider import ReportProgress
from domain.recovery import CommitMark, Progress
from domain.resources import Connection
from providers.local.archive import Archive
from providers.local.binaries import Binaries
from providers.local.config import Account
from providers.local.crypto import key_id, seal, unseal
from providers.local.layout import held, put_in_place, write_record
from providers.local.processes import own_mark, sweep
from providers.local.programs import address, disk_named, login, named_failure
from providers.local.records import BackupRecord, ServerRecord
from providers.local.sql import Session, as_moment, connect, describe_settings, one
from providers.local.wal import tidy_lsn
from providers.secrets.references import Secrets

UNFINISHED = ".unfinished-"
_READ = 1 << 20
_POINT = re.compile(
    r"write-ahead log (start|end) point: ([0-9A-F]+/[0-9A-F]+)(?: on timeline (\d+))?"
)


@dataclass(frozen=True)
class BackupTaker:
    """Takes base backups of one server into its archive."""

    server: ServerRecord
    archive: Archive
    binaries: Binaries
    connection: Connection
    secrets: Secrets
    master: bytes

    def take(self, backup_id: str, progress: ReportProgress) -> BackupRecord:
        """Take one base backup; return the earlier one of this id if it was completed.

        Raises:
            UnsupportedResourceError: the cluster has tablespaces of its own.
            RecoveryError: named from what pg_basebackup said.
        """
        with held(self.archive.folder / "backup.lock", f"the base backup of {self.server.name}"):
            done = [backup for backup in self.archive.backups() if backup.id == backup_id]
            return done[0] if done else self._take(backup_id, progress)

    def _take(self, backup_id: str, progress: ReportProgress) -> BackupRecord:
        with connect(self.server, self.connection, self.secrets) as session:
            total, tablespaces, version = _survey(session)
            configuration = describe_settings(session)
            newest = _last_commit(session)
        if tablespaces:
            raise UnsupportedResourceError(
                f"{self.server.name}: has tablespaces of its own, which a streamed backup cannot "
                "carry; move their tables to pg_default"
            )
        started = datetime.now(UTC)
        target = self.archive.backup_file(backup_id)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep(target.parent, UNFINISHED)
        unfinished = target.with_name(f"{UNFINISHED}{own_mark()}-{target.name}")
        try:
            with (
                disk_named(f"write the base backup {target}"),
                unfinished.open("wb") as sink,
                login(self.secrets, self.connection) as environment,
                self._keeping_log(),
            ):
                sealed, told = self._stream(sink, environment, total, progress)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        put_in_place(unfinished, target)
        self.archive.store_configuration(backup_id, configuration, self.master)
        points = {found[1]: found for found in _POINT.finditer(told)}
        record = BackupRecord(
            id=backup_id,
            server=self.server.name,
            started_at=started,
            completed_at=datetime.now(UTC),
            start_lsn=tidy_lsn(points["start"][2]),
            stop_lsn=tidy_lsn(points["end"][2]),
            timeline=int(points["start"][3]),
            plain_bytes=sealed.plain_bytes,
            stored_bytes=sealed.stored_bytes,
            sha256=sealed.sha256,
            key_id=key_id(self.master),
            major=self.binaries.major,
            version=version,
            last_commit=newest,
        )
        write_record(self.archive.folder / "backups" / f"{backup_id}.json", record)
        return record

    @contextmanager
    def _keeping_log(self) -> Iterator[None]:
        """Keep the server from recycling the log that the backup fetches at its end.

        The archive's own slot moves on with what it has received, so it does not do this.
        """
        with connect(self.server, self.connection, self.secrets) as session:
            session.execute(
                "select pg_create_physical_replication_slot('refloat_backup_' || pg_backend_pid(), "
                "true, true)"
            )
            yield

    def _stream(
        self, sink: BinaryIO, environment: dict[str, str], total: int, progress: ReportProgress
    ) -> "tuple[_Sizes, str]":
        process = subprocess.Popen(
            [
                self.binaries["pg_basebackup"],
                "-d",
                address(self.server, self.connection, "refloat-backup"),
                "-D",
                "-",
                "-Ft",
                "-X",
                "fetch",
                "-c",
                "fast",
                "--no-password",
                "-v",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            bufsize=0,  # compression takes whatever has come; a buffer would only copy it
        )
        assert process.stdout is not None
        assert process.stderr is not None
        said: list[bytes] = []
        listener = threading.Thread(target=lambda: said.append(process.stderr.read()))  # type: ignore[union-attr]
        listener.start()
        counted = _Counted(process.stdout, total, "back up", progress)
        try:
            packed = zstandard.ZstdCompressor(
                level=1, threads=2
            ).read_to_iter(  # the library only calls read
                cast("IO[bytes]", counted), read_size=_READ, write_size=_READ
            )
            sealed = seal(packed, sink, self.master)
            sink.flush()
            os.fsync(sink.fileno())
        finally:
            process.stdout.close()
            if process.poll() is None and counted.broken:
                process.terminate()
            code = process.wait()
            listener.join()
            process.stderr.close()
        told = b"".join(said).decode(errors="replace")
        if code != 0:
            raise named_failure(f"base backup of {self.server.name}", told)
        return _Sizes(counted.count, sealed.stored_bytes, sealed.sha256), told


@dataclass(frozen=True)
class _Sizes:
    plain_bytes: int
    stored_bytes: int
    sha256: str


class _Counted:
    """A reader that tells how much went through it."""

    def __init__(
        self, source: "IO[bytes] | _Reader", total: int, what: str, progress: ReportProgress
    ) -> None:
        self._source, self._total, self._what, self._progress = source, total, what, progress
        self.count = 0
        self.broken = False
        self._told = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, and tell the progress every 8 MiB."""
        part = self._source.read(size)
        self.count += len(part)
        if self.count - self._told >= 8 * _READ:
            self._told = self.count
            try:
                self._progress(
                    Progress(what=self._what, done_bytes=self.count, total_bytes=self._total)
                )
            except BaseException:
                self.broken = True
                raise
        return part


class _Reader:
    """Reads from an iterator of pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        if not self._left:
            self._left = next(self._pieces, b"")
        part, self._left = self._left[:size], self._left[size:]
        return part


def _survey(session: Session) -> tuple[int, int, str]:
    row = one(
        session,
        "select (select sum(pg_database_size(oid)) from pg_database)::bigint,"
        " (select count(*) from pg_tablespace where spcname not in ('pg_default', 'pg_global')),"
        " current_setting('server_version')",
    )
    return int(str(row[0])), int(str(row[1])), str(row[2])


def _last_commit(session: Session) -> CommitMark | None:
    """Return the newest commit that the backup holds for certain, where commits are stamped."""
    if one(session, "select current_setting('track_commit_timestamp')")[0] != "on":
        return None
    row = one(
        session,
        "select xid::text, timestamp, pg_current_wal_lsn()::text from pg_last_committed_xact()",
    )
    at = as_moment(row[1])
    if at is None:
        return None
    return CommitMark(lsn=tidy_lsn(str(row[2])), at=at, xid=int(str(row[0])))


def _in_thread(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield `pieces`, which another thread makes ahead of us: both cores work."""
    ready: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=16)
    stop = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for piece in pieces:
                if not put(piece):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            put(error)

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        maker.join()


def unpack(
    archive: Archive,
    backup: BackupRecord,
    target: Path,
    master: bytes,
    account: Account,
    progress: ReportProgress,
) -> None:
    """Unpack a base backup into the empty folder `target`, owned by the servers' account.

    Decryption, decompression and writing overlap.

    Raises:
        BackupDamagedError: the file is missing, or a chunk does not unseal.
        DiskFullError: the file system ran full.
    """
    tar = shutil.which("tar")
    if tar is None:
        raise ServerFailedError("no program `tar` on this machine; install it to restore")
    stored = archive.backup_file(backup.id)
    try:
        source = stored.open("rb")
    except FileNotFoundError:
        raise BackupDamagedError(
            f"base backup {backup.id} is listed but its file {stored} is missing; "
            "choose a point after another backup"
        ) from None
    with source:
        counted = _Counted(
            _Reader(_in_thread(unseal(source, master, stored.name))),
            backup.stored_bytes,
            "unpack the base backup",
            progress,
        )
        plain = zstandard.ZstdDecompressor().read_to_iter(  # the library only calls read
            cast("IO[bytes]", counted), read_size=_READ, write_size=_READ
        )
        _feed_tar(tar, plain, target, account)


def _feed_tar(tar: str, plain: Iterable[bytes], target: Path, account: Account) -> None:
    process = subprocess.Popen(
        # in records as large as the pipe: by tar's own 10 KiB it takes nearly twice as long
        [tar, "-b", "512", "-xf", "-", "-C", str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    _widen(process.stdin.fileno())
    try:
        for piece in plain:
            process.stdin.write(piece)
        process.stdin.close()
        told = process.stderr.read().decode(errors="replace")
        code = process.wait()
    except BrokenPipeError:
        told = process.stderr.read().decode(errors="replace")
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        process.stderr.close()
        _close_quietly(process.stdin.close)
    if code != 0:
        raise named_failure("unpack the base backup", told)


def _widen(pipe: int) -> None:
    """Make a pipe hold more than 64 KiB where the system lets us: fewer changes of process."""
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _READ)


def _close_quietly(close: Callable[[], None]) -> None:
    try:
        close()
    except BrokenPipeError:
        return  # tar ended first and told why on its error output


def verify(binaries: Binaries, data: Path) -> None:
    """Hold every unpacked file against the backup's manifest, before recovery touches them.

    Raises:
        BackupDamagedError: naming the file that differs.
    """
    done = subprocess.run(
        [binaries["pg_verifybackup"], "-n", "-q", str(data)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode < 0:
        raise ServerFailedError(
            f"{binaries['pg_verifybackup']} crashed (signal {-done.returncode}), so the unpacked base "
            "backup is not verified; name another installation as `binaries` of the provider"
        )
    if done.returncode != 0:
        first = next(iter((done.stderr or done.stdout).strip().splitlines()), "no word")
        raise BackupDamagedError(
            f"the unpacked base backup does not match its manifest: {first}; restore from another backup"
        )
