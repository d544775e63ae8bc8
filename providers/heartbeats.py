"""Beats once a second in every managed database, so that a restore can prove the point it reached.

A managed service lets nobody read its log. A row a second, stamped by the server itself, shows in
any copy up to when it holds everything. It is a process of its own, so that a dead worker takes no
proof away; one a catalog is enough, and a second one does no harm.
"""

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import yaml

from domain.catalog import Catalog
from domain.entries import LocalProviderEntry
from domain.errors import CatalogError, RecoveryError
from domain.parsing import parse_catalog
from domain.provider import DatabaseProvider
from domain.recovery import RestoreHandle
from domain.resources import ProtectedResource
from providers import registry
from providers.secrets.references import Secrets

_EVERY = 1.0
_LOOK_AGAIN = 60.0
_PAUSE = 5.0
_LOG = logging.getLogger("refloat.heartbeat")


class Heart(threading.Thread):
    """Beats in one database, wherever its path leads now."""

    def __init__(
        self,
        resource: ProtectedResource,
        provider: DatabaseProvider,
        secrets: Secrets,
        stop: threading.Event,
    ) -> None:
        super().__init__(daemon=True, name=f"heart-{resource.path}")
        self.resource, self.provider, self.secrets, self.stop = resource, provider, secrets, stop
        self.beats = 0
        self._told = ""

    def run(self) -> None:
        """Beat until told to stop; what goes wrong is told once and tried again."""
        while not self.stop.is_set():
            try:
                self._beat_at(self.provider.points.describe(self.resource).handle)
            except RecoveryError as error:
                if str(error) != self._told:
                    _LOG.warning("%s: %s", self.resource.path, error)
                self._told = str(error)
                self.stop.wait(_PAUSE)
            except Exception:  # noqa: BLE001 - a thread that ended would end the proof without a word
                _LOG.exception("beating in %s", self.resource.path)
                self.stop.wait(_PAUSE)

    def _beat_at(self, server: RestoreHandle) -> None:
        """Beat at one address for a minute, then look where the path leads."""
        if not server.host:
            self.stop.wait(_PAUSE)
            return
        beat = importlib.import_module(f"providers.{server.engine}.heartbeat").beat
        until = time.monotonic() + _LOOK_AGAIN
        while time.monotonic() < until and not self.stop.is_set():
            began = time.monotonic()
            beat(server, self.resource.connection, self.secrets)
            self.beats, self._told = self.beats + 1, ""
            self.stop.wait(max(0.05, _EVERY - (time.monotonic() - began)))


def hearts(catalog: Catalog, base: Path, stop: threading.Event) -> list[Heart]:
    """Return a heart for each managed database that wants one."""
    secrets = Secrets(base)
    managed = {
        name: registry.databases(name, entry, base, secrets)
        for name, entry in catalog.providers.items()
        if not isinstance(entry, LocalProviderEntry)
    }
    return [
        Heart(resource, managed[resource.provider], secrets, stop)
        for resource in catalog.resources()
        if resource.heartbeat and resource.provider in managed
    ]


def _load(path: Path) -> Catalog:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise CatalogError(f"{path}: not YAML: {error}") from None
    return parse_catalog(content, str(path))


def main() -> None:
    """Beat in every managed database of a catalog until a signal comes."""
    parser = argparse.ArgumentParser(
        prog="refloat-heartbeat",
        description="Writes a row a second into every managed database, the proof of a restore.",
    )
    parser.add_argument("--catalog", default=os.environ.get("REFLOAT_CATALOG", "refloat.yaml"))
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    path, stop = Path(asked.catalog).resolve(), threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    try:
        beating = hearts(_load(path), path.parent, stop)
    except RecoveryError as error:
        sys.exit(f"refloat-heartbeat: {error}")
    if not beating:
        sys.exit("refloat-heartbeat: the catalog has no managed database that wants a heartbeat")
    for heart in beating:
        heart.start()
    while any(heart.is_alive() for heart in beating):
        time.sleep(0.2)


if __name__ == "__main__":
    main()
