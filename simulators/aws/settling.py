"""Time passes: everything comes to where it is by now."""

from simulators.aws.endpoints import disconnect
from simulators.aws.keys import usable
from simulators.aws.records import InstanceRecord
from simulators.aws.refusals import ApiError
from simulators.aws.region import RESTING, Region

NO_ACCESS = "inaccessible-encryption-credentials"


def settle(region: Region) -> None:
    """Let instances and snapshots go on; an instance whose key is of no use stops for good."""
    for instance in list(region.instances.values()):
        instance.course.settle()
    for snapshot in list(region.snapshots.values()):
        snapshot.course.settle()
    for instance in region.instances.values() if region.keys_doubtful else ():
        if instance.course.status in RESTING and _lost_its_key(region, instance):
            instance.course.halt(NO_ACCESS)
            disconnect(region, instance)


def _lost_its_key(region: Region, record: InstanceRecord) -> bool:
    key = record.fields.get("KmsKeyId")
    try:
        return key is not None and not usable(region, key)
    except ApiError:
        return True
