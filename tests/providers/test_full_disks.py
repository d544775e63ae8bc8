"""A disk that fills and a program that is missing or crashes are told by name, and leave nothing."""

import pytest

from domain.entries import LocalProviderEntry
from domain.errors import (
    ServerFailedError,
)
from providers.local.provider import databases
from tests.providers import small_disk
from tests.providers.own_server import installations, require_nothing_left
from tests.station import Station, no_progress

needs_namespace = pytest.mark.skipif(
    not small_disk.possible(), reason="this machine gives this account no mount namespace"
)


@needs_namespace
def test_a_disk_that_fills_while_unpacking_is_named_and_refused_beforehand() -> None:
    told = small_disk.run("full_while_unpacking")

    assert told["room"]["verdict"] == "failed"
    assert "free room on the disk of" in told["room"]["advice"]
    assert (told["servers before"], told["room"]["others"]) == (["orders-1"], [])
    for name in ("reserved", "error"):
        assert told[name][0] == "DiskFullError", told
        assert "no room on the file system; free some" in told[name][1]
    assert (told["left over at once"], told["left over"], told["source"]) == ([], [], True)
    assert told["restored"] == [[1]]


@needs_namespace
def test_a_disk_that_fills_while_the_log_is_replayed_is_named_and_refused_beforehand() -> None:
    told = small_disk.run("full_while_replaying")

    assert told["transfer"] == ["nothing", "it went well"]
    assert told["error"][0] == "DiskFullError"
    assert "free room and restore again" in told["error"][1]
    assert (told["left over"], told["source"], told["restored"]) == ([], True, [[90000]])
    assert told["room"]["verdict"] == "failed", told["room"]


@needs_namespace
def test_a_full_archive_stops_no_server_is_named_and_heals() -> None:
    told = small_disk.run("full_archive")

    assert "free some" in told["problems"][0], told["problems"]
    assert told["snapshot"][0] == "DiskFullError", told["snapshot"]
    assert told["read"][0] in {"DiskFullError", "nothing"}, told["read"]
    assert (told["rows"], told["restored"], told["windows"]) == ([[3]], [[3]], 1)
    assert told["left over"] == []


@needs_namespace
def test_a_backup_without_programs_of_its_version_is_refused() -> None:
    told = small_disk.run("programs_gone")

    named = f"no programs of PostgreSQL {told['major']} on this machine"
    for name in ("resolve", "error"):
        assert told[name][0] == "VersionMismatchError"
        assert named in told[name][1]
        assert "install that version" in told[name][1]
    [finding] = told["findings"]
    assert (finding["name"], finding["verdict"]) == ("programs", "failed")
    assert finding["advice"] == f"install PostgreSQL {told['major']}"
    assert told["left over"] == []


def test_a_program_that_crashes_is_not_taken_for_a_damaged_backup(shared: Station) -> None:
    newest, folder = installations()[-1], shared.root / "crashing" / "bin"
    folder.mkdir(parents=True)
    for program in newest.folder.iterdir():
        (folder / program.name).symlink_to(program)
    (folder / "pg_verifybackup").unlink()
    (folder / "pg_verifybackup").write_text("#!/bin/sh\nkill -SEGV $$\n")
    (folder / "pg_verifybackup").chmod(0o755)
    entry = shared.catalog.providers["here"].model_copy(update={"binaries": str(folder)})
    assert isinstance(entry, LocalProviderEntry)
    crashing = databases("here", entry, shared.root, shared.secrets).recovery
    point = shared.latest()
    handle = shared.begin(point)

    with pytest.raises(ServerFailedError, match=r"pg_verifybackup.*signal 11.*`binaries`"):
        crashing.transfer(shared.resource, point, handle, no_progress)

    shared.discard(handle)
    require_nothing_left(shared)
