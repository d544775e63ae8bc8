"""A base backup comes over the replication protocol, whole or not at all, and is unpacked as it was."""

import io
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from domain.errors import (
    BackupDamagedError,
    ProviderUnavailableError,
    RecoveryError,
    ServerFailedError,
    StoppedError,
)
from domain.recovery import Progress
from domain.resources import Mode
from providers.local.config import Account
from providers.local.crypto import unseal
from providers.local.extraction import extract
from providers.local.sql import connect
from providers.local.starting import socket_of
from providers.local.stream import BackupStream, without_trailer
from providers.local.unpacking import unpack
from tests.providers.own_server import require_nothing_left
from tests.station import Station, station

OURSELVES = Account(uid=None, gid=None, name="")


@pytest.fixture(scope="module")
def filled() -> Iterator[Station]:
    with station() as made:
        made.sql(
            "create table filled as select id, md5(id::text) from generate_series(1, 200000) id"
        )
        made.sql("checkpoint")
        yield made


def _snapshot(made: Station, key: str, progress: Callable[[Progress], None]) -> None:
    made.provider.snapshots.create(made.resource, key=key, name="", progress=progress)


def _require_failed_backup(
    made: Station, error: type[RecoveryError], told: str, progress: Callable[[Progress], None]
) -> None:
    """Take a base backup, hear the named error, and find nothing left of it."""
    before = made.archive.backups.all()
    with pytest.raises(error, match=told):
        _snapshot(made, "f" * 16, progress)
    assert made.archive.backups.all() == before
    assert not made.sql("select from pg_stat_replication where application_name = 'refloat'")
    require_nothing_left(made)


def _nothing(_progress: Progress) -> None:
    return


def test_a_backup_is_a_tar_archive_that_ends_with_its_manifest(filled: Station) -> None:
    heard: list[Progress] = []
    _snapshot(filled, "a" * 16, heard.append)
    backup = filled.archive.backups.all()[-1]

    with filled.archive.backups.file(backup.id).open("rb") as source:
        packed = b"".join(unseal(source, filled.key, "it"))
    plain = zstandard.ZstdDecompressor().stream_reader(packed).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        names = archive.getnames()

    assert names[-1] == "backup_manifest"
    assert {"backup_label", "global/pg_control", "PG_VERSION"} <= set(names)
    assert len([one for one in heard if one.what == "back up" and one.done_bytes]) > 2


def test_progress_is_told_by_the_thread_that_unpacks(filled: Station, tmp_path: Path) -> None:
    _snapshot(filled, "b" * 16, _nothing)
    backup, heard = filled.archive.backups.all()[-1], []
    target = tmp_path / "data"
    target.mkdir(mode=0o700)

    def hear(progress: Progress) -> None:
        heard.append((threading.current_thread(), progress.done_bytes or 0))

    unpack(filled.archive, backup, target, filled.key, OURSELVES, hear)

    assert {thread for thread, _ in heard} == {threading.current_thread()}
    done = [count for _, count in heard]
    assert done == sorted(done)
    assert len(done) > 2
    assert done[-1] <= backup.plain_bytes + 4096
    assert (target / "backup_manifest").stat().st_mode & 0o777 == 0o600


def test_a_damaged_page_of_the_server_is_named_by_its_backup(filled: Station) -> None:
    path = filled.sql("select pg_relation_filepath('filled')")[0][0]
    whole = filled.servers.data(filled.servers.current().name) / path
    with whole.open("r+b") as file:
        file.seek(20 * 8192 + 6000)
        kept = file.read(1)
        file.seek(-1, io.SEEK_CUR)
        file.write(bytes([kept[0] ^ 1]))
    try:
        _require_failed_backup(
            filled, ServerFailedError, f'page.*is damaged.*"[./]*{path}", block 20', _nothing
        )
    finally:
        with whole.open("r+b") as file:
            file.seek(20 * 8192 + 6000)
            file.write(kept)


def _at_half(act: Callable[[], Any]) -> Callable[[Progress], None]:
    """Return a listener that acts once, in the middle of a backup."""
    done = threading.Event()

    def hear(progress: Progress) -> None:
        if progress.done_bytes and not done.is_set():
            done.set()
            act()

    return hear


def test_a_connection_that_breaks_is_named_and_leaves_nothing(filled: Station) -> None:
    cut = _at_half(
        lambda: filled.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender' "
            "and query like 'BASE_BACKUP%'"
        ),
    )
    _require_failed_backup(filled, ProviderUnavailableError, "terminat|closed", cut)


def _read_over_an_ended_session(made: Station) -> None:
    server, login = made.servers.current(), made.resource.connection
    with connect(server, login, made.secrets, replication=True) as session:
        made.sql(f"select pg_terminate_backend({session.info.backend_pid}, 5000)")
        list(BackupStream(session, server.name, lambda _: None).pieces())


def test_a_server_that_ends_the_session_between_two_answers_is_asked_again(
    filled: Station,
) -> None:
    with pytest.raises(ProviderUnavailableError, match="terminating connection"):
        _read_over_an_ended_session(filled)


def test_a_cancelled_backup_ends_at_once_and_leaves_nothing(filled: Station) -> None:
    def cancel() -> None:
        raise StoppedError("the run was cancelled")

    _require_failed_backup(filled, StoppedError, "cancelled", _at_half(cancel))


def _backup_comes_from(made: Station, key: str) -> list[tuple[Any, ...]]:
    """Take a base backup; return the address that its connection comes from, None for a socket."""
    seen: list[tuple[Any, ...]] = []

    def look() -> None:
        seen.extend(
            made.sql(
                "select host(client_addr) from pg_stat_activity where backend_type = 'walsender' "
                "and query like 'BASE_BACKUP%'"
            )
        )

    _snapshot(made, key, _at_half(look))
    return seen


def test_a_backup_comes_through_the_socket_and_where_that_is_barred_over_tcp(
    filled: Station,
) -> None:
    rules = filled.servers.data(filled.servers.current().name) / "pg_hba.conf"
    before = rules.read_text(encoding="utf-8")

    assert _backup_comes_from(filled, "c" * 16) == [(None,)]
    rules.write_text(f"local all all reject\nlocal replication all reject\n{before}")
    filled.sql("select pg_reload_conf()")
    try:
        assert _backup_comes_from(filled, "d" * 16) == [("127.0.0.1",)]
    finally:
        rules.write_text(before)
        filled.sql("select pg_reload_conf()")


def test_a_socket_is_only_asked_for_where_the_system_can_name_it(tmp_path: Path) -> None:
    assert socket_of(Path("/var/lib/refloat/one"), 5432) == Path(
        "/var/lib/refloat/one/.s.PGSQL.5432"
    )
    assert socket_of(tmp_path / ("long" * 30), 5432) is None
    assert socket_of(Path("/srv/with, comma"), 5432) is None


def _archive(*members: tuple[str, bytes, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.mode = kind, len(content), 0o600
            member.linkname = "elsewhere" if kind == tarfile.SYMTYPE else ""
            archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()


@pytest.mark.parametrize("size", [1, 511, 512, 513, 70_000])
def test_files_come_back_whatever_the_pieces(tmp_path: Path, size: int) -> None:
    wanted = {"PG_VERSION": b"18\n", "empty": b"", "block": b"b" * 512, "large": b"l" * 100_000}
    packed = _archive(*((name, tarfile.REGTYPE, content) for name, content in wanted.items()))

    extract((packed[at : at + size] for at in range(0, len(packed), size)), tmp_path, OURSELVES)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == wanted


def test_twenty_thousand_empty_files_take_no_time() -> None:
    headers = [memoryview(bytes([1]) * 512)] * 20_000
    began = time.monotonic()

    kept = b"".join(without_trailer("it", iter([*headers, memoryview(bytes(1024))])))

    assert kept == bytes([1]) * 512 * 20_000
    assert time.monotonic() - began < 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for another account")
def test_the_servers_account_cannot_move_a_folder_that_is_being_filled(filled: Station) -> None:
    point = filled.latest()
    handle = filled.begin(point, Mode.DRILL)
    folder = filled.layout.server(handle.server)
    owners: set[int] = set()

    def look(_progress: Progress) -> None:
        owners.update({folder.stat().st_uid, (folder / "data").stat().st_uid})

    filled.provider.recovery.transfer(filled.resource, point, handle, look)

    assert owners == {0}
    assert folder.stat().st_uid == filled.config.account.uid
    filled.poll(handle)
    filled.discard(handle)


@pytest.mark.parametrize(
    ("packed", "told"),
    [
        (_archive(("../outside", tarfile.REGTYPE, b"x")), "'../outside', which no base backup"),
        (_archive(("/etc/outside", tarfile.REGTYPE, b"x")), "which no base backup"),
        (_archive(("pg_tblspc/1", tarfile.SYMTYPE, b"")), "which no base backup"),
        (_archive(("PG_VERSION", tarfile.REGTYPE, b"18\n" * 1000))[:2000], "ends early"),
        (b"", "ends early"),
        (b"x" * 2048, "cannot be read"),
    ],
)
def test_what_no_backup_holds_is_refused_and_written_nowhere(
    tmp_path: Path, packed: bytes, told: str
) -> None:
    target = tmp_path / "data"
    target.mkdir()

    with pytest.raises(BackupDamagedError, match=told):
        extract([packed], target, OURSELVES)

    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert all(path.name == "PG_VERSION" for path in target.iterdir())
