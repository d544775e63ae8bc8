"""Sends each question to the engine of the database that is asked, with the secrets it needs."""

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from domain.checks import Finding, ProofPoint, SqlAnswer
from domain.errors import CatalogError
from domain.provider import Questions, ReportProgress
from domain.recovery import RecoveryPoint, RestoredResource, RestoreHandle
from domain.resources import Connection, SqlCheck
from providers.postgresql import checks, proof
from providers.secrets.references import Secrets


class Engine(NamedTuple):
    """The two modules of one engine; those of every engine have the same functions."""

    checks: Any
    proof: Any


POSTGRESQL = Engine(checks, proof)


class EngineQuestions(Questions):
    """Asks any PostgreSQL and MySQL, wherever it runs; the MySQL driver is imported on first need."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def ask(self, server: RestoreHandle, connection: Connection, check: SqlCheck) -> SqlAnswer:
        """Return the answer to one read-only statement."""
        answer: SqlAnswer = _of(server).checks.ask(server, connection, self._secrets, check)
        return answer

    def take_proof(
        self, server: RestoreHandle, connection: Connection, progress: ReportProgress
    ) -> ProofPoint:
        """Hash every table at one instant; of MySQL those of the connection's database."""
        taken: ProofPoint = _of(server).proof.take_proof(
            server, connection, self._secrets, progress
        )
        return taken

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
        proof = _of(server).proof
        with proof.open_content(server, connection, self._secrets) as held:
            counted: ProofPoint = proof.content(
                held, connection.database, lsn, progress, hashed=hashed
            )
            return counted

    def integrity(
        self, server: RestoreHandle, connection: Connection, progress: ReportProgress
    ) -> Sequence[Finding]:
        """Read every page and index."""
        found: Sequence[Finding] = _of(server).checks.integrity(
            server, connection, self._secrets, progress
        )
        return found

    def point_reached(
        self,
        restored: RestoredResource,
        point: RecoveryPoint,
        connection: Connection,
        table: str | None,
    ) -> Sequence[Finding]:
        """Prove that the point was reached and not passed."""
        proven: Sequence[Finding] = _of(restored.handle).proof.point_reached(
            restored, point, connection, table, self._secrets
        )
        return proven


def _of(server: RestoreHandle) -> Engine:
    return _mysql() if server.engine == "mysql" else POSTGRESQL


def _mysql() -> Engine:
    """Return MySQL's modules; whoever has no MySQL needs no driver of it."""
    try:
        return Engine(
            importlib.import_module("providers.mysql.checks"),
            importlib.import_module("providers.mysql.proof"),
        )
    except ModuleNotFoundError as error:
        raise CatalogError(
            f"the MySQL driver is not installed (no module {error.name}); install it with: "
            "pip install 'refloat[mysql]'"
        ) from None
