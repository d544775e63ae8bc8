"""Short stories: reading, planning, snapshots and releases, as the same activities."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.database import CutoverActivities, PointActivities
    from activities.evidence import EvidenceActivities
    from activities.steps import CopySnapshot, DeleteSnapshot, SuspectSearch, TakeSnapshot
    from activities.verification import VerificationActivities
    from domain.recovery import (
        RecoveryPointList,
        RestoreRequest,
        Snapshot,
        Suspect,
    )
    from domain.report import (
        FindReport,
        FoundReport,
        LastRun,
        ResourceDescription,
        RestorePlan,
    )
    from domain.resources import Protected, ProtectedResource
    from workflows.calls import long, patient, short
    from workflows.planning import prepare
    from workflows.requests import CreateSnapshot, FindSuspects


@workflow.defn
class PlanRestoreWorkflow:
    """What a restore would do; changes nothing."""

    @workflow.run
    async def run(self, request: RestoreRequest) -> RestorePlan:
        """Return the plan, its failed preconditions included."""
        return (await prepare(request)).plan


@workflow.defn
class DescribeResourceWorkflow:
    """What a path means now, and how its last runs went."""

    @workflow.run
    async def run(self, resource: ProtectedResource) -> ResourceDescription:
        """Return the server with the health of its archive, and the last proofs."""
        server = await workflow.execute_activity_method(
            PointActivities.describe, resource, **short(resource, "Describe the server")
        )
        last = await workflow.execute_activity_method(
            EvidenceActivities.last_runs, resource, **short(resource, "Read the kept reports")
        )
        return ResourceDescription(resource=resource, server=server, last=tuple(last))


@workflow.defn
class LastRunsWorkflow:
    """How the last incident and the last drill of a resource went."""

    @workflow.run
    async def run(self, resource: Protected) -> list[LastRun]:
        """Return them, where there are any."""
        return await workflow.execute_activity_method(
            EvidenceActivities.last_runs, resource, **short(resource, "Read the kept reports")
        )


@workflow.defn
class FindReportWorkflow:
    """A report that outlives what Temporal remembers."""

    @workflow.run
    async def run(self, asked: FindReport) -> FoundReport:
        """Return it, where it is kept."""
        return await workflow.execute_activity_method(
            EvidenceActivities.find_report, asked, **short(asked.resource, "Look for the report")
        )


@workflow.defn
class ListRecoveryPointsWorkflow:
    """What a database can be restored to."""

    @workflow.run
    async def run(self, resource: ProtectedResource) -> RecoveryPointList:
        """Return windows and snapshots."""
        windows = await workflow.execute_activity_method(
            PointActivities.list_windows, resource, **short(resource, "Read the recovery windows")
        )
        snapshots = await workflow.execute_activity_method(
            PointActivities.list_snapshots, resource, **short(resource, "List the snapshots")
        )
        return RecoveryPointList(windows=tuple(windows), snapshots=tuple(snapshots))


@workflow.defn
class FindSuspectsWorkflow:
    """Commits that removed or replaced relations."""

    @workflow.run
    async def run(self, asked: FindSuspects) -> list[Suspect]:
        """Return them, newest first."""
        return await workflow.execute_activity_method(
            PointActivities.find_suspects,
            SuspectSearch(resource=asked.resource, since=asked.since),
            **short(asked.resource, "Read the log for commits that removed something"),
        )


@workflow.defn
class CreateSnapshotWorkflow:
    """A snapshot with its proof."""

    @workflow.run
    async def run(self, asked: CreateSnapshot) -> Snapshot:
        """Return the snapshot once it is complete."""
        return await workflow.execute_activity_method(
            VerificationActivities.create_snapshot,
            TakeSnapshot(resource=asked.resource, key=asked.key, name=asked.name),
            **long(asked.resource, "Take a base backup and hash every table"),
        )


@workflow.defn
class CopySnapshotWorkflow:
    """A snapshot in another region, where its provider can."""

    @workflow.run
    async def run(self, asked: CopySnapshot) -> str:
        """Return the name of the copy there, once it has begun."""
        return await workflow.execute_activity_method(
            VerificationActivities.copy_snapshot,
            asked,
            **patient(asked.resource, f"Copy {asked.snapshot_id} to {asked.region}"),
        )


@workflow.defn
class DeleteSnapshotWorkflow:
    """The end of a snapshot that somebody took."""

    @workflow.run
    async def run(self, asked: DeleteSnapshot) -> None:
        """Return when the provider has taken the order."""
        await workflow.execute_activity_method(
            VerificationActivities.delete_snapshot,
            asked,
            **short(asked.resource, f"Delete {asked.snapshot_id}"),
        )


@workflow.defn
class ReleaseWorkflow:
    """The end of what a cutover superseded."""

    @workflow.run
    async def run(self, resource: ProtectedResource) -> list[str]:
        """Return the names of what was deleted."""
        return await workflow.execute_activity_method(
            CutoverActivities.release,
            resource,
            **patient(resource, "Delete what is superseded")
            | {"start_to_close_timeout": timedelta(minutes=5)},
        )
