"""Serves one simulated cloud until a signal comes: a stand-in to rehearse against, no cloud at all."""

import argparse
import importlib
import os
import signal
import threading
from pathlib import Path
from typing import cast

from simulators.ground import make_estate
from simulators.wire import ControlPlane, Wire

CLOUDS = {
    "aws": "RdsPlane",
    "gcp": "CloudSqlPlane",
    "azure": "ArmPlane",
    "scaleway": "ScalewayPlane",
}
_RATE = 50.0


def plane_of(cloud: str) -> type[ControlPlane]:
    """Return the control plane of a cloud; its module is imported when it is asked for."""
    module = importlib.import_module(f"simulators.{cloud}.plane")
    return cast("type[ControlPlane]", getattr(module, CLOUDS[cloud]))


def main() -> None:
    """Serve on loopback."""
    parser = argparse.ArgumentParser(prog="simulators", description=__doc__)
    parser.add_argument("cloud", choices=tuple(CLOUDS))
    parser.add_argument("--root", type=Path, required=True, help="folder of the servers behind it")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first-port", type=int, required=True, help="first port for endpoints")
    parser.add_argument("--last-port", type=int, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="simulated seconds in a second")
    asked = parser.parse_args()
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    os.umask(0o022)  # servers' accounts pass through our folders
    estate = make_estate(
        asked.root, scale=asked.scale, first_port=asked.first_port, last_port=asked.last_port
    )
    wire = Wire(plane_of(asked.cloud)(estate), asked.port, rate=_RATE)  # type: ignore[call-arg]
    try:
        stop.wait()
    finally:
        wire.close()
        estate.close()


if __name__ == "__main__":
    main()
