"""How far the archive of a running server reaches, asked when somebody wants to know."""

import contextlib
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta

import psycopg

from domain.errors import ProviderUnavailableError, RecoveryError
from domain.resources import ProtectedResource
from providers.local.archive import Archive
from providers.local.layout import write_record
from providers.local.receiver import slot_of
from providers.local.records import ArchiveStatus, ServerRecord
from providers.local.sql import Session, connect, one
from providers.local.wal import parse_lsn
from providers.secrets.references import Secrets

SAFE = timedelta(seconds=1)  # at most, from a commit's stamp to its record in the log
_MEASURE = (
    "select clock_timestamp(), pg_current_wal_flush_lsn()::text, (select flush_lsn::text "
    "from pg_stat_replication where application_name = %s limit 1)"
)
# the transaction id makes the statement end in a commit, which brings the mark to disk as well
_MARK = "select clock_timestamp(), pg_create_restore_point(%s)::text, txid_current()"


class Reach:
    """Compares a server's log with what its archive has received, in one session that stays open."""

    def __init__(self, archive: Archive, resource: ProtectedResource, secrets: Secrets) -> None:
        self.complete_to: datetime | None = None
        """Every commit stamped up to this moment is in the archive."""
        self._archive, self._resource, self._secrets = archive, resource, secrets
        self._held: tuple[ExitStack, Session] | None = None
        self._marks: list[tuple[datetime, str]] = []
        known = archive.status()
        if known is not None:
            self.complete_to = known.complete_to

    def session(self, server: ServerRecord) -> AbstractContextManager[Session]:
        """Hold a session of its own with the server."""
        return connect(server, self._resource.connection, self._secrets)

    def ask(self, server: ServerRecord, query: str, *values: object) -> tuple[object, ...]:
        """Return the only row of `query`.

        Raises:
            RecoveryError: the server does not answer.
        """
        try:
            if self._held is None:
                stack = ExitStack()
                self._held = stack, stack.enter_context(self.session(server))
            return one(self._held[1], query, values)
        except psycopg.Error as error:
            self.let_go()
            raise ProviderUnavailableError(f"{server.name}: {error}") from None

    def let_go(self) -> None:
        """End the session; the next question begins one."""
        held, self._held = self._held, None
        if held is not None:
            with contextlib.suppress(psycopg.Error):
                held[0].close()

    def measure(self, server: ServerRecord) -> str | None:
        """Return how far the log has been received, or None while nobody receives it."""
        try:
            row = self.ask(server, _MEASURE, slot_of(server))
        except RecoveryError:
            return None
        now, reached, received = _utc(row[0]), str(row[1]), row[2]
        if received is None:
            return None
        self._marks.append((now, reached))
        while self._marks and parse_lsn(self._marks[0][1]) <= parse_lsn(str(received)):
            self.complete_to = self._marks.pop(0)[0] - SAFE
        return str(received)

    def holds(self, server: ServerRecord, moment: datetime) -> bool:
        """Return whether the archive has every commit up to a moment."""
        self.measure(server)
        return self.complete_to is not None and self.complete_to >= moment

    def has(self, server: ServerRecord, lsn: str) -> bool:
        """Return whether the archive has the log before a position."""
        received = self.measure(server)
        return received is not None and parse_lsn(received) >= parse_lsn(lsn)

    def mark(self, server: ServerRecord, name: str) -> tuple[datetime, str]:
        """Write a named point into the log; return its moment and position.

        Raises:
            RecoveryError: the server does not answer.
        """
        row = self.ask(server, _MARK, name)
        return _utc(row[0]), str(row[1])

    def note(self, complete_to: datetime | None = None) -> None:
        """Write down up to when the archive is complete, for whoever reads it."""
        self.complete_to = complete_to or self.complete_to
        status = ArchiveStatus(measured_at=datetime.now(UTC), complete_to=self.complete_to)
        write_record(self._archive.folder / "status.json", status)


def _utc(value: object) -> datetime:
    assert isinstance(value, datetime)
    return value.astimezone(UTC)
