"""The questions to a MySQL or MariaDB, with the secrets they need."""

from collections.abc import Sequence

from domain.checks import Finding, ProofPoint, SqlAnswer
from domain.provider import Questions, ReportProgress
from domain.recovery import RecoveryPoint, RestoredResource, RestoreHandle
from domain.resources import Connection, SqlCheck
from providers.mysql import checks, proof
from providers.secrets.references import Secrets


class MysqlQuestions(Questions):
    """Asks any MySQL or MariaDB, wherever it runs."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def ask(self, server: RestoreHandle, connection: Connection, check: SqlCheck) -> SqlAnswer:
        """Return the answer to one read-only statement."""
        return checks.ask(server, connection, self._secrets, check)

    def take_proof(
        self, server: RestoreHandle, connection: Connection, progress: ReportProgress
    ) -> ProofPoint:
        """Hash every table of the connection's database at one instant."""
        return proof.take_proof(server, connection, self._secrets, progress)

    def content(
        self,
        server: RestoreHandle,
        connection: Connection,
        lsn: str,
        progress: ReportProgress,
        *,
        hashed: bool,
    ) -> ProofPoint:
        """Count, and when `hashed` also hash, every table of a server that nobody writes to."""
        with proof.open_content(server, connection, self._secrets) as held:
            return proof.content(held, connection.database, lsn, progress, hashed=hashed)

    def integrity(
        self, server: RestoreHandle, connection: Connection, progress: ReportProgress
    ) -> Sequence[Finding]:
        """Read every page and index."""
        return checks.integrity(server, connection, self._secrets, progress)

    def point_reached(
        self,
        restored: RestoredResource,
        point: RecoveryPoint,
        connection: Connection,
        table: str | None,
    ) -> Sequence[Finding]:
        """Prove that the point was reached and not passed."""
        return proof.point_reached(restored, point, connection, table, self._secrets)
