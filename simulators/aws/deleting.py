"""DeleteDBInstance, and what it leaves behind."""

from simulators.aws.automated import retain
from simulators.aws.calls import Fields
from simulators.aws.course import Stage
from simulators.aws.endpoints import disconnect, forget
from simulators.aws.instances import view
from simulators.aws.records import InstanceRecord, RetainedBackup, SnapshotRecord
from simulators.aws.refusals import bad_combination, wrong_state
from simulators.aws.region import Region
from simulators.aws.snapshots import drop_automated, noted

_NO_SNAPSHOT = frozenset({"creating", "failed", "incompatible-restore", "incompatible-network"})


def delete(region: Region, asked: Fields) -> Fields:
    """Answer DeleteDBInstance; automated backups go at once unless they are to stay."""
    record = region.instance(asked["DBInstanceIdentifier"])
    before = view(region, record)
    _check(before, asked)
    name = asked.get("FinalDBSnapshotIdentifier")
    final, take = noted(region, record, name, before) if name else (None, None)
    left = None if asked.get("DeleteAutomatedBackups", True) else retain(region, record)
    disconnect(region, record)

    def work() -> None:
        with record.work:
            if take is not None:
                take()
            region.backends(record.engine).remove(record.id, retain=left is not None)

    def gone() -> None:
        _let_go(region, record, final, left)

    record.course.go(Stage("deleting", region.estate.durations.delete, work, gone))
    return {"DBInstance": view(region, record)}


def _check(before: Fields, asked: Fields) -> None:
    name, status = before["DBInstanceIdentifier"], before["DBInstanceStatus"]
    if status == "deleting":
        raise wrong_state(name, status)
    if before["DeletionProtection"]:
        raise bad_combination(
            "Cannot delete protected DB Instance, please disable deletion protection and try again."
        )
    final, skip = asked.get("FinalDBSnapshotIdentifier"), asked.get("SkipFinalSnapshot", False)
    if not skip and not final:
        raise bad_combination(
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
        )
    if skip and final:
        raise bad_combination(
            "FinalDBSnapshotIdentifier cannot be specified when SkipFinalSnapshot is."
        )
    if final and status in _NO_SNAPSHOT:
        raise wrong_state(name, status)


def _let_go(
    region: Region,
    record: InstanceRecord,
    final: SnapshotRecord | None,
    left: RetainedBackup | None,
) -> None:
    """Let an instance be gone, and what stays of it stay."""
    region.call(
        "DeleteDBInstance",
        DBInstanceIdentifier=record.identifier,
        SkipFinalSnapshot=True,
        DeleteAutomatedBackups=False,  # moto would delete those of earlier ones of the name as well
    )
    del region.instances[record.identifier]
    region.forced.pop(record.identifier, None)
    if left is not None:
        region.retained[record.id] = left
    else:
        drop_automated(region, record.id)
    if final is not None:
        final.course.halt("available")
    forget(region, record)
