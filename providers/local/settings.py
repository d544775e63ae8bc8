"""Settings that a restored server has otherwise than its source."""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from domain.errors import RecoveryError
from domain.provider import Memory, Settings
from domain.recovery import RestoredResource, SettingDifference
from domain.resources import Mode, ProtectedResource
from providers.local.config import LocalConfig
from providers.local.layout import Layout
from providers.local.records import ServerRecord
from providers.local.servers import Servers
from providers.local.sql import Session, connect, describe_settings, shown
from providers.secrets.references import Secrets


class LocalSettings(Settings):
    """Compares with the live source where it answers, else with what the backup carried."""

    def __init__(self, config: LocalConfig, secrets: Secrets) -> None:
        self.config, self.secrets = config, secrets

    def carry_over(
        self,
        resource: ProtectedResource,
        restored: RestoredResource,
        mode: Mode,
        memory: Memory,
    ) -> Sequence[SettingDifference]:
        """Set on the copy what somebody set on the source since the backup, and report each."""
        del memory  # over in one attempt, and what was set before is still different from the file
        servers = Servers(Layout(self.config, resource.instance))
        record = servers.record(restored.handle.server)
        source = servers.current()
        if record is None:
            return []
        try:
            with connect(source, resource.connection, self.secrets, timeout=3) as session:
                wanted = describe_settings(session).settings
        except RecoveryError:
            return [
                SettingDifference(
                    name="all",
                    source="the source does not answer",
                    restored="as of the base backup",
                    outcome="left",
                    why="nothing to compare with; the backup's own settings are in force",
                )
            ]
        with connect(record, resource.connection, self.secrets) as session:
            return self._repair(session, wanted, record, mode)

    @staticmethod
    def _repair(
        session: Session, wanted: dict[str, str], record: ServerRecord, mode: Mode
    ) -> list[SettingDifference]:
        own = describe_settings(session).settings
        differences = []
        for name in sorted(wanted):
            if own.get(name) == wanted[name] or name in record.settings:
                continue
            own_value = own.get(name, "default")
            difference = SettingDifference(
                name=name, source=wanted[name], restored=own_value, outcome="left"
            )
            outcome = _set(session, difference, mode)
            masked = {"source": shown(name, wanted[name]), "restored": shown(name, own_value)}
            differences.append(outcome.model_copy(update=masked))
        if any(difference.outcome == "fixed" for difference in differences):
            session.execute("select pg_reload_conf()")
        return differences


def _set(session: Session, difference: SettingDifference, mode: Mode) -> SettingDifference:
    if mode is Mode.DRILL:
        return difference.model_copy(update={"why": "a drill changes no settings"})
    try:
        session.execute(
            sql.SQL("alter system set {} = {}").format(
                sql.Identifier(difference.name), sql.Literal(difference.source)
            )
        )
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        return difference.model_copy(update={"why": reason})
    return difference.model_copy(
        update={"outcome": "fixed", "why": "in force now, or at the restart before cutover"}
    )
