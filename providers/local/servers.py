"""Servers on this machine: records, creation, start arguments, and what their logs say went wrong."""

import contextlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import (
    CatalogError,
    DiskFullError,
    NotOursError,
    PortTakenError,
)
from domain.resources import ProtectedResource
from providers.local.config import LocalConfig
from providers.local.layout import Layout, locked, read_record, write_record
from providers.local.programs import disk_named
from providers.local.records import (
    CurrentRecord,
    Desired,
    ServerRecord,
    ServerStatus,
    Tenure,
)


class Servers:
    """The servers of one instance."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def record(self, name: str) -> ServerRecord | None:
        """Return what is written of a server, or None."""
        return read_record(self.layout.server(name) / "server.json", ServerRecord)

    def write(self, record: ServerRecord) -> ServerRecord:
        """Write a record for the supervisor to act on."""
        folder = self.layout.server(record.name)
        try:
            with disk_named(f"write the record of {record.name}"):
                write_record(folder / "server.json", record)
        except DiskFullError:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only an empty one goes
            raise
        return record

    def status(self, name: str) -> ServerStatus | None:
        """Return what the supervisor saw last of a server, or None."""
        return read_record(self.layout.server(name) / "status.json", ServerStatus)

    def all(self) -> list[ServerRecord]:
        """Return every server, oldest first."""
        folder = self.layout.folder / "servers"
        found = (self.record(path.parent.name) for path in folder.glob("[!.]*/server.json"))
        return sorted((record for record in found if record), key=lambda record: record.made_at)

    def data(self, name: str) -> Path:
        """Return the data directory of a managed server."""
        return self.layout.server(name) / "data"

    def tenures(self) -> CurrentRecord | None:
        """Return which server the path means now and meant before, or None."""
        return read_record(self.layout.current, CurrentRecord)

    def current(self) -> ServerRecord:
        """Return the server that the path means.

        Raises:
            CatalogError: none is known yet.
        """
        tenures = self.tenures()
        record = self.record(tenures.server) if tenures else None
        if record is None:
            raise CatalogError(
                f"no server is known for instance {self.layout.instance!r} under "
                f"{self.layout.folder}; start `refloat-supervisor`, or give the database a `server` "
                "in the catalog"
            )
        return record

    def superseded(self) -> list[str]:
        """Return the servers that the path meant before, and the copies that runs kept."""
        tenures = self.tenures()
        if tenures is None:
            return []
        before = [
            tenure.server
            for tenure in tenures.tenures
            if tenure.until and not tenure.released and tenure.server != tenures.server
        ]
        kept = [one.name for one in self.all() if one.kept and one.name != tenures.server]
        return list(dict.fromkeys([*before, *kept]))

    def was_current(self, name: str) -> bool:
        """Return whether the path ever meant a server, but for a cutover that was taken back."""
        tenures = self.tenures()
        return tenures is not None and any(one.server == name for one in tenures.tenures)

    def install(self, record: ServerRecord, run_id: str = "") -> None:
        """Make `record` what the path means, from now on."""
        now = datetime.now(UTC)
        before = self.tenures()
        if before and before.server == record.name:
            return
        closed = tuple(
            tenure if tenure.until else tenure.model_copy(update={"until": now})
            for tenure in (before.tenures if before else ())
        )
        opened = Tenure(server=record.name, since=now, run_id=run_id)
        write_record(
            self.layout.current, CurrentRecord(server=record.name, tenures=(*closed, opened))
        )

    def reinstall(self, name: str) -> str | None:
        """Undo `install` of server `name`; return the server that the path means again."""
        now = self.tenures()
        if now is None or now.server != name or len(now.tenures) < 2:  # noqa: PLR2004 - one before
            return None
        *kept, last, _ = now.tenures
        reopened = last.model_copy(update={"until": None})
        write_record(
            self.layout.current,
            CurrentRecord(server=reopened.server, tenures=(*kept, reopened)),
        )
        return reopened.server

    def adopt(self, resource: ProtectedResource, major: int) -> ServerRecord:
        """Return the record of the server that the catalog names, written on first sight."""
        if resource.server is None:
            return self.current()
        name = f"{resource.instance}-origin"
        known = self.record(name)
        if known is None:
            known = self.write(
                ServerRecord(
                    name=name,
                    instance=resource.instance,
                    host=resource.server.host,
                    port=resource.server.port,
                    managed=False,
                    major=major,
                    desired=Desired.RUNNING,
                    receiving=True,
                    made_at=datetime.now(UTC),
                )
            )
        if self.tenures() is None:
            self.install(known)
        return known

    def reserve(self, name: str, run_id: str, major: int, *, listen: str) -> ServerRecord:
        """Return the record of a run's new server, with a port of its own, made on first call.

        Raises:
            NotOursError: another run made a server of that name.
            PortTakenError: the whole port range is in use.
        """
        with locked(self.layout.config.root / "ports.lock"):
            known = self.record(name)
            if known is not None:
                if known.run_id != run_id:
                    raise NotOursError(
                        f"server {name} exists and belongs to run {known.run_id or 'of nobody'}, not "
                        f"to {run_id}; it is left alone"
                    )
                return known
            return self.write(
                ServerRecord(
                    name=name,
                    instance=self.layout.instance,
                    host=_reached_at(listen),
                    port=free_port(self.layout.config),
                    managed=True,
                    major=major,
                    run_id=run_id,
                    listen=listen,
                    made_at=datetime.now(UTC),
                )
            )


def _reached_at(listen: str) -> str:
    """Return the address of this machine at which a server that listens so is reached from here."""
    addresses = [one.strip() for one in listen.split(",")]
    loopback = {"127.0.0.1", "localhost", "*", "0.0.0.0"}  # noqa: S104 - compared, not bound
    return "127.0.0.1" if loopback & set(addresses) else addresses[0]


def _reserved(config: LocalConfig) -> Iterator[int]:
    for path in config.root.glob("databases/*/servers/[!.]*/server.json"):
        record = read_record(path, ServerRecord)
        if record is not None:
            yield record.port


def free_port(config: LocalConfig) -> int:
    """Return the first port of the provider's range that nobody has.

    Raises:
        PortTakenError: naming the range.
    """
    taken = set(_reserved(config))
    for port in range(config.first_port, config.last_port + 1):
        if port not in taken and not port_in_use(port):
            return port
    raise PortTakenError(
        f"every port from {config.first_port} to {config.last_port} is in use; end what listens "
        "there, or widen first_port and last_port of the provider in the catalog"
    )


def port_in_use(port: int) -> bool:
    """Return whether somebody listens on `port` of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
