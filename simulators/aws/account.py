"""The account itself: its quotas, its identity, and its parameter groups."""

from simulators.aws.calls import Fields
from simulators.aws.opening import storage_of
from simulators.aws.region import Region


def attributes(region: Region, asked: Fields) -> Fields:
    """Answer DescribeAccountAttributes, which moto does not have."""
    del asked
    limits = region.limits
    manual = sum(not one.automated for one in region.snapshots.values())
    quotas = {
        "DBInstances": (len(region.instances), limits.instances),
        "ManualSnapshots": (manual, limits.snapshots),
        "AllocatedStorage": (storage_of(region), limits.storage),
    }
    return {
        "AccountQuotas": [
            {"AccountQuotaName": name, "Used": used, "Max": most}
            for name, (used, most) in quotas.items()
        ]
    }


def identity(region: Region, asked: Fields) -> Fields:
    """Answer GetCallerIdentity with a user of IAM; moto names one of STS, which has none."""
    told = region.ask("sts", "GetCallerIdentity", **asked)
    return {**told, "Arn": f"arn:aws:iam::{region.moto.account}:user/refloat"}


def parameters(region: Region, asked: Fields) -> Fields:
    """Answer DescribeDBParameters; moto knows those that a user set, and does not say so."""
    name = asked["DBParameterGroupName"]
    told = region.call("DescribeDBParameters", DBParameterGroupName=name)
    wanted = asked.get("Source", "user")
    found = [{**one, "Source": "user"} for one in told["Parameters"]]
    return {"Parameters": found if wanted == "user" else []}
