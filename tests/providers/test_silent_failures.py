"""What PostgreSQL would pass over in silence is made loud; what is in the way is named."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from domain.errors import (
    NotOursError,
    PermanentError,
    PointNotReachedError,
    PortTakenError,
    WalDamagedError,
    WalMissingError,
)
from domain.recovery import RestoreHandle
from tests.providers.failing import grow
from tests.station import Station, wait_for

Spoil = Callable[[Station, RestoreHandle], Any]


def _drop_staged(station: Station, handle: RestoreHandle) -> None:
    sorted((station.layout.server(handle.server) / "wal").iterdir())[-2].unlink()


def _damage_staged(station: Station, handle: RestoreHandle) -> None:
    path = sorted((station.layout.server(handle.server) / "wal").iterdir())[-2]
    content = bytearray(path.read_bytes())
    content[40:400] = bytes(360)
    path.write_bytes(content)


def _drop_all_staged(station: Station, handle: RestoreHandle) -> None:
    import shutil

    shutil.rmtree(station.layout.server(handle.server) / "wal")


def _forget_signal(station: Station, handle: RestoreHandle) -> None:
    (station.servers.data(handle.server) / "recovery.signal").unlink()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (_drop_staged, (PointNotReachedError, WalMissingError)),
        (_damage_staged, (PointNotReachedError, WalDamagedError)),
        (_drop_all_staged, WalMissingError),
        (_forget_signal, PointNotReachedError),
    ],
)
def test_what_postgresql_would_pass_over_in_silence_is_made_loud(
    fresh: Station, spoil: Spoil, error: type[PermanentError] | tuple[type[PermanentError], ...]
) -> None:
    grow(fresh, 4)
    point = fresh.latest()
    handle = fresh.begin(point)
    fresh.stop(15)  # nobody starts the server until its files were spoilt
    fresh.transfer(point, handle)
    spoil(fresh, handle)
    fresh.start()

    with pytest.raises(error):
        fresh.poll(handle)

    fresh.discard(handle)
    assert [record.name for record in fresh.servers.all()] == ["orders-1"]


def test_a_full_port_range_and_a_taken_port_are_named(fresh: Station) -> None:
    point = fresh.latest()
    handle = fresh.begin(point)
    with socket.create_server(("127.0.0.1", handle.port)):
        fresh.transfer(point, handle)
        with pytest.raises(PortTakenError, match="port"):
            fresh.poll(handle)
    fresh.discard(handle)
    held = [
        socket.create_server(("127.0.0.1", port))
        for port in range(fresh.config.first_port, fresh.config.last_port + 1)
    ]
    try:
        with pytest.raises(PortTakenError, match="widen"):
            fresh.begin(point)
    finally:
        for one in held:
            one.close()


def test_a_strangers_server_of_the_same_name_is_never_adopted(fresh: Station) -> None:
    point = fresh.latest()
    first = fresh.begin(point, run_id="aaaaaaaa1")

    assert fresh.begin(point, run_id="aaaaaaaa1") == first
    with pytest.raises(NotOursError, match="left alone"):
        fresh.begin(point, run_id="aaaaaaaa2")


def test_a_stalled_archiver_is_seen_and_named(fresh: Station) -> None:
    import signal

    follower = fresh.supervisor.instances[0].followers["orders-1"] if fresh.supervisor else None
    assert follower is not None
    fresh.sql("alter system set archive_command = 'true'")
    follower.receiver.daemon.tell(signal.SIGSTOP)
    try:
        found = wait_for("the lag to be told", lambda: _stalled(fresh), within=40)
    finally:
        follower.receiver.daemon.tell(signal.SIGCONT)

    assert "behind the server" in found or "receiver" in found


def _stalled(station: Station) -> str:
    health = station.provider.points.describe(station.resource).archive
    return (
        next(
            (
                problem
                for problem in health.problems
                if "stalled" in problem or "receiver" in problem
            ),
            "",
        )
        if health
        else ""
    )
