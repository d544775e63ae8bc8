"""What a control plane needs of the real servers behind its instances."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Master:
    """The first login of a new server, and its first database."""

    user: str
    password: str
    database: str


class Backends(Protocol):
    """Real database servers of one engine, each under an id that never changes.

    Every call blocks until it is done; control planes call from background work. Moments are
    aware UTC. Data outlives a restart of the simulator when its root is kept.
    """

    def create(self, server: str, *, version: str, master: Master) -> None:
        """Make an empty server that runs and is protected: log and base backup complete."""
        ...

    def restore(self, source: str, server: str, moment: datetime | None) -> None:
        """Make `server` from `source` as of `moment`, or as late as can be; it runs, protected.

        Every commit at or before the moment is in it, none after. The source may be removed
        already, where its log was retained. Raises `LookupError` when the moment is out of reach.
        """
        ...

    def take(self, source: str, snapshot: str) -> datetime:
        """Keep the state of now under an id; return the moment that it holds."""
        ...

    def restore_snapshot(self, snapshot: str, server: str) -> None:
        """Make `server` from a snapshot; it runs, protected."""
        ...

    def forget(self, snapshot: str) -> None:
        """Delete a snapshot; fine when there is none."""
        ...

    def window(self, server: str) -> tuple[datetime, datetime] | None:
        """Return from when to when the server can be restored, or None while it cannot."""
        ...

    def address(self, server: str) -> tuple[str, int] | None:
        """Return where a running server listens on loopback, without TLS; None when it does not run."""
        ...

    def stop(self, server: str) -> None:
        """Stop a server; its data stays."""
        ...

    def start(self, server: str) -> None:
        """Start a stopped server and return when it answers."""
        ...

    def remove(self, server: str, *, retain: bool) -> None:
        """Remove a server; with `retain` it can still be restored from. Fine when there is none."""
        ...

    def close(self) -> None:
        """Stop every server and end what keeps them."""
        ...
