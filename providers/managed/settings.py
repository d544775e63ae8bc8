"""Brings over the settings that a restore does not carry, and reports every one that differed."""

from collections.abc import Mapping, Sequence

from domain.errors import BusyError, ServerFailedError
from domain.provider import Memory, Settings
from domain.recovery import RestoredResource, SettingDifference
from domain.resources import Mode, ProtectedResource
from providers.managed.account import Account
from providers.managed.model import Instance, Setting, State

_SHOWN = 120


class ManagedSettings(Settings):
    """Compares copy and source row by row of the provider's table."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def carry_over(
        self,
        resource: ProtectedResource,
        restored: RestoredResource,
        mode: Mode,
        memory: Memory,
    ) -> Sequence[SettingDifference]:
        """Change what differs, wait until it is in force, and tell what was found at first."""
        source = self.account.current(resource)
        copy = self.account.instances.find(restored.handle.server, restored.handle.id)
        if copy is None:
            raise ServerFailedError(f"{restored.handle.server}: it is gone")
        if source is None or source.id == copy.id:
            return [_NOTHING_TO_COMPARE]
        found = [SettingDifference.model_validate_json(told) for told in memory.recall()]
        now = self._differences(source, copy, mode)
        known = {one.name for one in found}
        found += [one for one in now if one.name not in known]
        memory.note([one.model_dump_json() for one in found])
        self._repair(source, copy, now)
        open_ones = {one.name for one in now}
        return [
            one.model_copy(update={"outcome": "fixed"}) if one.name not in open_ones else one
            for one in found
        ]

    def _differences(self, source: Instance, copy: Instance, mode: Mode) -> list[SettingDifference]:
        return [
            SettingDifference(
                name=row.name,
                source=_shown(source.settings, row.name),
                restored=_shown(copy.settings, row.name),
                outcome="left",
                why=self._left(row, source, copy, mode),
            )
            for row in self.account.settings.table
            if source.settings.get(row.name) != copy.settings.get(row.name)
        ]

    def _left(self, row: Setting, source: Instance, copy: Instance, mode: Mode) -> str:
        """Return why a difference is not repaired, or nothing where it is."""
        if row.left:
            return row.left
        if not row.essential and mode is Mode.DRILL:
            return _IN_A_DRILL
        return self.account.settings.left(row.name, source, copy)

    def _repair(self, source: Instance, copy: Instance, now: Sequence[SettingDifference]) -> None:
        """Begin the next change and say what it waits for; return when nothing is left to do."""
        rows = {row.name: row for row in self.account.settings.table}
        open_rows = [rows[one.name] for one in now if not one.why]
        urgent = [row for row in open_rows if row.first]
        if not open_rows and copy.state is State.READY and not copy.pending:
            return
        doing = ", ".join(row.name for row in urgent or open_rows)
        if copy.state is State.BUSY:
            raise self.account.wait(f"{copy.name} to take its settings, now {copy.told}")
        if copy.state is not State.READY:
            raise ServerFailedError(
                f"{copy.name}: {copy.told} after a change of {doing}; look at it in the provider's "
                "console"
            )
        wanted = {row.name: source.settings.get(row.name, "") for row in urgent or open_rows}
        try:
            self.account.settings.change(copy, wanted, source)
        except BusyError as error:
            raise self.account.wait(f"{copy.name} to take its settings: {error}") from None
        raise self.account.wait(f"{copy.name} to take {doing or ', '.join(copy.pending)}")


_IN_A_DRILL = "a drill's copy is short-lived: only what decides who can reach it is repaired"
_NOTHING_TO_COMPARE = SettingDifference(
    name="all",
    source="the source is deleted",
    restored="as the provider restored it",
    outcome="left",
    why="nothing to compare with: look yourself at who can reach it, its parameters and protection",
)


def _shown(settings: Mapping[str, str], name: str) -> str:
    told = settings.get(name) or "none"
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN]} …"
