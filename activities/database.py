"""The steps of a database recovery, over the provider's protocols."""

import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from activities.errors import first_scheduled_at, memory, progress, step
from activities.steps import (
    Examination,
    Examine,
    OnRestored,
    OnServer,
    StartRestore,
    SuspectSearch,
    TransferRestore,
    newest,
)
from domain.errors import CatalogError
from domain.provider import DatabaseProvider
from domain.recovery import (
    RecoveryPoint,
    RecoveryWindow,
    RestoredResource,
    RestoreHandle,
    RestoreRequest,
    ServerDescription,
    SettingDifference,
    Snapshot,
    Superseded,
    Suspect,
)
from domain.resources import ProtectedResource

Activity = Callable[..., Any]


class _OverProviders:
    """Finds the provider that a resource names."""

    def __init__(self, providers: Mapping[str, DatabaseProvider]) -> None:
        self._providers = providers

    def _of(self, resource: ProtectedResource) -> DatabaseProvider:
        if resource.provider not in self._providers:
            known = ", ".join(self._providers)
            raise CatalogError(
                f"{resource.path}: this worker knows no provider {resource.provider!r} (it knows "
                f"{known}); start a worker with the catalog that has it"
            )
        return self._providers[resource.provider]


class PointActivities(_OverProviders):
    """Reads what a database can be restored to."""

    @step("points.describe")
    def describe(self, resource: ProtectedResource) -> ServerDescription:
        """Return the server that the path means now."""
        return self._of(resource).points.describe(resource)

    @step("points.windows")
    def list_windows(self, resource: ProtectedResource) -> list[RecoveryWindow]:
        """Return the recovery windows."""
        return list(self._of(resource).points.windows(resource))

    @step("points.snapshots")
    def list_snapshots(self, resource: ProtectedResource) -> list[Snapshot]:
        """Return the kept points."""
        return list(self._of(resource).points.snapshots(resource))

    @step("points.suspects")
    def find_suspects(self, search: SuspectSearch) -> list[Suspect]:
        """Return the commits that removed or replaced relations."""
        return list(self._of(search.resource).points.suspects(search.resource, search.since))

    @step("points.choose")
    def choose_recovery_point(self, request: RestoreRequest) -> RecoveryPoint:
        """Return the exact point asked for, or refuse with offers."""
        return self._of(request.resource).points.resolve(request.resource, request.target)

    @step("preflight.examine")
    def examine(self, asked: Examine) -> Examination:
        """Return the preconditions, and up to when everything could be recovered now."""
        provider = self._of(asked.resource)
        findings = provider.preflight.examine(asked.resource, asked.point, asked.mode)
        examined_at = datetime.now(UTC)
        return Examination(
            findings=tuple(findings),
            recoverable_to=newest(provider.points.windows(asked.resource)),
            examined_at=examined_at,
            versions=_versions(),
        )


def _versions() -> dict[str, str]:
    """Return the versions of what carries a run out on this worker."""
    return {
        "refloat": metadata.version("refloat"),
        "temporalio": metadata.version("temporalio"),
        "python": platform.python_version(),
    }


class RestoreActivities(_OverProviders):
    """Makes and removes the copy."""

    @step("restore.start")
    def start_restore(self, start: StartRestore) -> RestoreHandle:
        """Begin, or find what this run began before."""
        handle = self._of(start.resource).recovery.start_restore(
            start.resource, start.point, run_id=start.run_id, mode=start.mode
        )
        timing = {"requested_at": start.requested_at, "expected": start.expected}
        return handle.model_copy(update=timing | {"began_at": first_scheduled_at()})

    @step("restore.transfer")
    def transfer(self, transfer: TransferRestore) -> None:
        """Do this process's own part, with progress."""
        self._of(transfer.resource).recovery.transfer(
            transfer.resource, transfer.point, transfer.handle, progress()
        )

    @step("restore.await")
    def await_restore(self, on: OnServer) -> RestoredResource:
        """Return what was restored; not yet is a failure that Temporal repeats."""
        return self._of(on.resource).recovery.poll_restore(on.resource, on.handle)

    @step("restore.settings")
    def carry_over_settings(self, on: OnRestored) -> list[SettingDifference]:
        """Repair and report the settings that a restore does not carry."""
        provider = self._of(on.resource)
        return list(provider.settings.carry_over(on.resource, on.restored, on.mode, memory()))

    @step("restore.discard")
    def discard(self, on: OnServer) -> None:
        """Remove what the run made and nothing else."""
        self._of(on.resource).recovery.discard(on.resource, on.handle)

    @step("restore.keep")
    def keep(self, on: OnServer) -> None:
        """Note that the copy stays until it is released."""
        self._of(on.resource).cutover.keep(on.resource, on.handle)


class CutoverActivities(_OverProviders):
    """Makes the copy the one that the path means."""

    @step("cutover.protect")
    def protect(self, on: OnServer) -> None:
        """Give the new server its own archive and base backup."""
        self._of(on.resource).cutover.protect(on.resource, on.handle, progress())

    @step("cutover.promote")
    def promote(self, on: OnServer) -> Superseded:
        """Make the new server what the path means."""
        return self._of(on.resource).cutover.promote(on.resource, on.handle)

    @step("cutover.demote")
    def demote(self, on: OnServer) -> None:
        """Make the old server what the path means again."""
        self._of(on.resource).cutover.demote(on.resource, on.handle)

    @step("cutover.release")
    def release(self, resource: ProtectedResource) -> list[str]:
        """Delete what is superseded."""
        return list(self._of(resource).cutover.release(resource, memory()))


def all_steps(*groups: object) -> Sequence[Activity]:
    """Return every activity method of the groups."""
    found = []
    for group in groups:
        for name in dir(type(group)):
            method = getattr(group, name)
            if hasattr(method, "__temporal_activity_definition"):
                found.append(method)
    return found
