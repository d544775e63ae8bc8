"""Snapshots with proof, and the proof that a restore is what it should be."""

from collections.abc import Mapping

from activities.errors import memory, progress, step
from activities.steps import (
    AskPresent,
    CopySnapshot,
    DeleteSnapshot,
    MarkedPoint,
    OnRestored,
    TakeSnapshot,
)
from domain.checks import Finding, SqlAnswer, compare_content, compare_counts, judge_sql
from domain.errors import UnsupportedResourceError
from domain.provider import DatabaseProvider, Questions, ReportProgress
from domain.recovery import Snapshot


class VerificationActivities:
    """Takes proof points and holds restored data against them."""

    def __init__(self, providers: Mapping[str, DatabaseProvider], questions: Questions) -> None:
        self._providers, self._questions = providers, questions

    @step("snapshot.create")
    def create_snapshot(self, take: TakeSnapshot) -> Snapshot:
        """Take a snapshot and, where the server allows it, its proof."""
        provider, tell = self._providers[take.resource.provider], progress()
        snapshot = provider.snapshots.create(
            take.resource, key=take.key, name=take.name, progress=tell
        )
        if snapshot.proven:
            return snapshot
        handle = provider.points.describe(take.resource).handle
        try:
            proof = self._questions.take_proof(handle, take.resource.connection, tell)
        except UnsupportedResourceError as error:
            return snapshot.model_copy(update={"unproven_because": str(error)})
        provider.snapshots.attach_proof(take.resource, snapshot.id, proof)
        return snapshot.model_copy(update={"proven": True, "lsn": proof.lsn})

    @step("snapshot.copy")
    def copy_snapshot(self, copy: CopySnapshot) -> str:
        """Begin a copy in another region and return its name there."""
        provider = self._providers[copy.resource.provider]
        return provider.snapshots.copy(copy.resource, copy.snapshot_id, copy.region)

    @step("snapshot.delete")
    def delete_snapshot(self, delete: DeleteSnapshot) -> None:
        """Delete a snapshot."""
        provider = self._providers[delete.resource.provider]
        provider.snapshots.remove(delete.resource, delete.snapshot_id, memory())

    @step("snapshot.mark")
    def mark(self, take: TakeSnapshot) -> MarkedPoint:
        """Mark the present moment of what is left, if it still answers."""
        provider = self._providers[take.resource.provider]
        return MarkedPoint(
            snapshot=provider.snapshots.mark(take.resource, key=take.key, name=take.name)
        )

    @step("verify.ask")
    def ask(self, asked: AskPresent) -> SqlAnswer:
        """Return what the server that the path means now answers to one read-only statement."""
        server = self._providers[asked.resource.provider].points.describe(asked.resource).handle
        return self._questions.ask(server, asked.resource.connection, asked.check)

    @step("verify.restored")
    def verify(self, on: OnRestored) -> list[Finding]:
        """Return every finding on what was restored: the point, the content, the pages, the checks."""
        connection, server = on.resource.connection, on.restored.handle
        findings = list(
            self._questions.point_reached(
                on.restored, on.point, connection, on.resource.heartbeat_table
            )
        )
        findings.append(self._content(on, progress()))
        findings += self._questions.integrity(server, connection, progress())
        for check in on.resource.checks:
            answer = self._questions.ask(server, connection, check)
            findings.append(judge_sql(check, answer, on.point.time))
        return findings

    def _content(self, on: OnRestored, tell: ReportProgress) -> Finding:
        snapshots = self._providers[on.resource.provider].snapshots
        connection, server = on.resource.connection, on.restored.handle
        proof = snapshots.proof(on.resource, on.point)
        if proof is not None:
            seen = self._questions.content(server, connection, on.point.lsn, tell, hashed=True)
            return compare_content(proof, seen)
        seen = self._questions.content(server, connection, on.point.lsn, tell, hashed=False)
        return compare_counts(snapshots.last_proof(on.resource, on.point), seen)
