"""RebootDBInstance, StopDBInstance and StartDBInstance."""

from simulators.aws.calls import Fields
from simulators.aws.course import Stage
from simulators.aws.endpoints import connect, disconnect
from simulators.aws.instances import view
from simulators.aws.records import InstanceRecord
from simulators.aws.refusals import bad_combination, wrong_state
from simulators.aws.region import RESTING, Region


def reboot(region: Region, asked: Fields) -> Fields:
    """Answer RebootDBInstance; a new parameter group is in force afterwards."""
    record = region.instance(asked["DBInstanceIdentifier"])
    before = _in_state(region, record, RESTING | {"incompatible-parameters"})
    if asked.get("ForceFailover") and not before["MultiAZ"]:
        raise bad_combination("ForceFailover cannot be specified since this is not Multi-AZ.")
    backends = region.backends(record.engine)

    def work() -> None:
        with record.work:
            backends.stop(record.id)
            backends.start(record.id)

    def back() -> None:
        record.parameters = "in-sync"
        connect(region, record)

    disconnect(region, record)
    record.course.go(Stage("rebooting", region.estate.durations.change, work, back))
    return {"DBInstance": view(region, record)}


def stop(region: Region, asked: Fields) -> Fields:
    """Answer StopDBInstance."""
    record = region.instance(asked["DBInstanceIdentifier"])
    _in_state(region, record, RESTING)
    backends = region.backends(record.engine)

    def work() -> None:
        with record.work:
            backends.stop(record.id)

    disconnect(region, record)
    stopping = Stage("stopping", region.estate.durations.change, work)
    record.course.go(stopping, rest="stopped")
    return {"DBInstance": view(region, record)}


def start(region: Region, asked: Fields) -> Fields:
    """Answer StartDBInstance."""
    record = region.instance(asked["DBInstanceIdentifier"])
    _in_state(region, record, frozenset({"stopped"}))
    backends = region.backends(record.engine)

    def work() -> None:
        with record.work:
            backends.start(record.id)

    lasts = region.estate.durations.change
    record.course.go(Stage("starting", lasts, work, lambda: connect(region, record)))
    return {"DBInstance": view(region, record)}


def _in_state(region: Region, record: InstanceRecord, states: frozenset[str]) -> Fields:
    before = view(region, record)
    if before["DBInstanceStatus"] not in states:
        raise wrong_state(record.identifier, before["DBInstanceStatus"])
    return before
