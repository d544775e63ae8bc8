"""Servers come back as they were, whatever a power cut left in their folder."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from providers.local import keeper
from providers.local.config import Account
from providers.local.records import ServerStatus
from providers.local.starting import socket_of
from tests.station import Station, wait_for


@contextmanager
def _somebody_of(account: Account) -> Iterator[int]:
    """Hold the pid of a living process of the servers' account."""
    asleep = subprocess.Popen(["/bin/sleep", "60"], user=account.uid)
    try:
        yield asleep.pid
    finally:
        asleep.kill()
        asleep.wait()


def test_the_shared_memory_of_a_server_that_lost_its_disk_is_removed(fresh: Station) -> None:
    record = fresh.servers.current()
    data = fresh.servers.data(record.name)

    def noted() -> tuple[str, ...]:
        status = fresh.servers.status(record.name)
        return status.shared_memory if status else ()

    made = [keeper._SHARED_MEMORY / name for name in wait_for("its shared memory", noted)]
    assert all(path.exists() for path in made)

    pid = keeper.postmaster_of(data)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    shutil.rmtree(data, ignore_errors=True)

    def gone() -> bool:
        shutil.rmtree(data, ignore_errors=True)  # its last processes may still write
        return not any(path.exists() for path in made)

    wait_for("the shared memory to be gone", gone)


def test_the_shared_memory_of_a_killed_server_is_known_until_the_next_one_runs(
    fresh: Station,
) -> None:
    record = fresh.servers.current()
    wait_for("its shared memory", lambda: _status(fresh).shared_memory)
    fresh.stop()
    kept = keeper.ServerKeeper(fresh.servers, record.name)
    before = _status(fresh).shared_memory

    kept._tell("running", 1, record.generation)  # begun again, and killed before it made its own

    assert _status(fresh).shared_memory == before


def _status(made: Station) -> ServerStatus:
    found = made.servers.status(made.servers.current().name)
    assert found is not None
    return found


def test_a_server_starts_though_the_pid_in_its_socket_s_lock_is_somebody_s_now(
    fresh: Station,
) -> None:
    record = fresh.servers.current()
    fresh.stop()
    socket = socket_of(fresh.layout.server(record.name), record.port)
    assert socket is not None
    lock = socket.with_name(f"{socket.name}.lock")
    with _somebody_of(fresh.config.account) as pid:
        lock.write_text(
            f"{pid}\n{fresh.servers.data(record.name)}\n1\n{record.port}\n{socket.parent}\n"
        )
        fresh.config.account.own(lock)

        fresh.start()

        wait_for("the server", fresh.answers)
