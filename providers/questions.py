"""Sends each question to the engine of the database that is asked."""

import importlib
from collections.abc import Sequence
from functools import cached_property
from typing import cast

from domain.checks import Finding, ProofPoint, SqlAnswer
from domain.errors import CatalogError
from domain.provider import Questions, ReportProgress
from domain.recovery import RecoveryPoint, RestoredResource, RestoreHandle
from domain.resources import Connection, SqlCheck
from providers.postgresql.questions import PostgresqlQuestions
from providers.secrets.references import Secrets


class EngineQuestions(Questions):
    """Asks PostgreSQL and MySQL; the MySQL driver is imported on first need."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._postgresql = PostgresqlQuestions(secrets)

    @cached_property
    def _mysql(self) -> Questions:
        try:
            module = importlib.import_module("providers.mysql.questions")
        except ModuleNotFoundError as error:
            raise CatalogError(
                f"the MySQL driver is not installed (no module {error.name}); install it with: "
                "pip install 'refloat[mysql]'"
            ) from None
        return cast("Questions", module.MysqlQuestions(self._secrets))

    def _of(self, server: RestoreHandle) -> Questions:
        return self._mysql if server.engine == "mysql" else self._postgresql

    def ask(self, server: RestoreHandle, connection: Connection, check: SqlCheck) -> SqlAnswer:
        """Return the answer to one read-only statement."""
        return self._of(server).ask(server, connection, check)

    def take_proof(
        self, server: RestoreHandle, connection: Connection, progress: ReportProgress
    ) -> ProofPoint:
        """Hash every table at one instant."""
        return self._of(server).take_proof(server, connection, progress)

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
        return self._of(server).content(server, connection, lsn, progress, hashed=hashed)

    def integrity(
        self, server: RestoreHandle, connection: Connection, progress: ReportProgress
    ) -> Sequence[Finding]:
        """Read every page and index."""
        return self._of(server).integrity(server, connection, progress)

    def point_reached(
        self,
        restored: RestoredResource,
        point: RecoveryPoint,
        connection: Connection,
        table: str | None,
    ) -> Sequence[Finding]:
        """Prove that the point was reached and not passed."""
        return self._of(restored.handle).point_reached(restored, point, connection, table)
