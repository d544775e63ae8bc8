"""Tags: moto keeps them; what is corrected is things that do not exist, and lists that lag."""

from simulators.aws.calls import Fields
from simulators.aws.records import InstanceRecord, SnapshotRecord
from simulators.aws.refusals import bad_value
from simulators.aws.region import Region


def add(region: Region, asked: Fields) -> Fields:
    """Answer AddTagsToResource."""
    _note(region, asked["ResourceName"])
    return region.call("AddTagsToResource", **asked)


def remove(region: Region, asked: Fields) -> Fields:
    """Answer RemoveTagsFromResource."""
    _note(region, asked["ResourceName"])
    return region.call("RemoveTagsFromResource", **asked)


def list_tags(region: Region, asked: Fields) -> Fields:
    """Answer ListTagsForResource, which never lags."""
    _tagged(region, asked["ResourceName"])
    return region.call("ListTagsForResource", **asked)


def _note(region: Region, arn: str) -> None:
    """Remember the tags that lists go on to show for a while."""
    record = _tagged(region, arn)
    if record is not None:
        current = region.call("ListTagsForResource", ResourceName=arn)["TagList"]
        now, lag = region.estate.clock.elapsed(), region.estate.faults.lag
        record.tags.note(record.tags.seen(current, now, lag), now)


def _tagged(region: Region, arn: str) -> InstanceRecord | SnapshotRecord | None:
    """Return the thing that an ARN names; None for a kind that only moto knows."""
    parts = arn.split(":", 6)
    here = ["arn", "aws", "rds", region.name, region.moto.account]
    if parts[:5] != here or len(parts) != len(here) + 2:
        raise bad_value(f"The specified resource name does not match an RDS resource: {arn}")
    kind, name = parts[5:]
    if kind == "db":
        return region.instance(name)
    return region.snapshot(name) if kind == "snapshot" else None
