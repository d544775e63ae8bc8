"""Servers come back as they were, whatever a power cut left in their folder."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from providers.local.config import Account
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
