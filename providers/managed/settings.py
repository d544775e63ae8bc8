"""Brings over the settings that a restore does not carry, and reports every one that differed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from domain.errors import (
    AccessDeniedError,
    BusyError,
    CapacityMissingError,
    ConfigurationRefusedError,
    KeyUnavailableError,
    NameTakenError,
    QuotaReachedError,
    RecoveryError,
    ServerFailedError,
    UnsupportedResourceError,
)
from domain.provider import Memory, Settings
from domain.recovery import RestoredResource, SettingDifference
from domain.resources import Mode, ProtectedResource
from providers.managed.account import Account
from providers.managed.model import Instance, Setting, State

_SHOWN = 120


class _Notes(BaseModel):
    """What earlier attempts of the step found and were told."""

    model_config = ConfigDict(frozen=True)

    found: tuple[SettingDifference, ...] = ()
    refused: dict[str, str] = {}
    """Why the provider does not change a setting, by its name."""
    alone: bool = False
    """Whether settings are changed one at a time, since something among them was refused."""
    asked: int = 0
    seen: str = ""
    """What the open settings were when they were asked for last."""


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
        """Change what differs, wait until it is in force, and tell what was found at first.

        What the provider refuses is left and told, so that one setting does not cost a recovery;
        but nobody goes on with a copy whose `essential` settings are wrong.
        """
        source = self.account.current(resource)
        copy = self.account.instances.find(restored.handle.server, restored.handle.id)
        if copy is None:
            raise ServerFailedError(f"{restored.handle.server}: it is gone")
        if source is None or source.id == copy.id:
            return [_NOTHING_TO_COMPARE]
        notes = next((_Notes.model_validate_json(told) for told in memory.recall()), _Notes())
        now = {one.name: one for one in self._differences(source, copy, mode, notes.refused)}
        known = {one.name for one in notes.found}
        more = [one for name, one in now.items() if name not in known]
        notes = notes.model_copy(update={"found": (*notes.found, *more)})
        memory.note([notes.model_dump_json()])
        _Repair(self.account, source, copy, memory, notes).go_on([*now.values()])
        return [
            now.get(one.name, one.model_copy(update={"outcome": "fixed"})) for one in notes.found
        ]

    def _differences(
        self, source: Instance, copy: Instance, mode: Mode, refused: Mapping[str, str]
    ) -> list[SettingDifference]:
        return [
            SettingDifference(
                name=row.name,
                source=_shown(source.settings, row.name),
                restored=_shown(copy.settings, row.name),
                outcome="left",
                why=refused.get(row.name) or self._left(row, source, copy, mode),
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


@dataclass(frozen=True)
class _Repair:
    """One attempt to bring a copy's settings to those of its source."""

    account: Account
    source: Instance
    copy: Instance
    memory: Memory
    notes: _Notes

    def go_on(self, now: Sequence[SettingDifference]) -> None:
        """Begin the next change and say what it waits for; return when nothing is left to do."""
        account, copy = self.account, self.copy
        rows = {row.name: row for row in account.settings.table}
        open_rows = [rows[one.name] for one in now if not one.why]
        open_rows = [row for row in open_rows if row.first] or open_rows
        if not open_rows and copy.state is State.READY and not copy.pending:
            return
        doing = ", ".join(row.name for row in open_rows)
        if copy.state is State.BUSY:
            raise account.wait(f"{copy.name} to take its settings, now {copy.told}")
        if copy.state is not State.READY:
            raise ServerFailedError(
                f"{copy.name}: {copy.told} after a change of {doing}; look at it in the provider's "
                "console"
            )
        self._change(open_rows[:1] if self.notes.alone else open_rows)
        raise account.wait(f"{copy.name} to take {doing or ', '.join(copy.pending)}")

    def _change(self, rows: Sequence[Setting]) -> None:
        wanted = {row.name: self.source.settings.get(row.name, "") for row in rows}
        if rows and self._asked_often_enough(rows):
            self._refuse(rows, ServerFailedError(f"{self.copy.name}: {_IGNORED}"))
            return
        try:
            self.account.settings.change(self.copy, wanted, self.source)
        except BusyError as error:
            raise self.account.wait(f"{self.copy.name} to take its settings: {error}") from None
        except _REFUSALS as error:
            self._refuse(rows, error)

    def _asked_often_enough(self, rows: Sequence[Setting]) -> bool:
        """Count that these are asked for; return whether that has changed nothing time and again."""
        seen = json.dumps({row.name: self.copy.settings.get(row.name) for row in rows})
        asked = self.notes.asked + 1 if seen == self.notes.seen else 1
        self._note(asked=asked, seen=seen)
        return asked > _ASKED

    def _refuse(self, rows: Sequence[Setting], error: RecoveryError) -> None:
        """Find out which one it is; leave it then, unless it decides who can get in."""
        if len(rows) > 1:
            self._note(alone=True, asked=0, seen="")
            return
        if not rows or rows[0].essential:
            raise error
        refused = {**self.notes.refused, rows[0].name: f"refused: {error}"}
        self._note(refused=refused, asked=0, seen="")

    def _note(self, **change: object) -> None:
        before = [_Notes.model_validate_json(told) for told in self.memory.recall()]
        self.memory.note([before[0].model_copy(update=change).model_dump_json()])


_ASKED = 10
_IGNORED = "the provider accepts the change time and again, and does not make it"
_REFUSALS = (
    AccessDeniedError,
    CapacityMissingError,
    ConfigurationRefusedError,
    KeyUnavailableError,
    NameTakenError,
    QuotaReachedError,
    UnsupportedResourceError,
)
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
