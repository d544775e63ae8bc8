"""KMS: what moto says of keys, corrected."""

from collections.abc import Callable
from datetime import timedelta

from simulators.aws.calls import Fields
from simulators.aws.refusals import ApiError, key_unusable
from simulators.aws.region import Region

_YEAR = 365
_MANAGED = "alias/aws/rds"


def usable(region: Region, name: str) -> str:
    """Return the ARN of a key that can be used now.

    Raises:
        ApiError: it is disabled, deleted or unknown in this region.
    """
    try:
        told = region.ask("kms", "DescribeKey", KeyId=name)["KeyMetadata"]
    except ApiError:
        raise key_unusable(name) from None
    if told["KeyState"] != "Enabled":
        raise key_unusable(name)
    return str(told["Arn"])


def describe(region: Region, asked: Fields) -> Fields:
    """Answer DescribeKey; moto takes the keys that AWS manages for the customer's."""
    told = region.ask("kms", "DescribeKey", **asked)["KeyMetadata"]
    if told["KeyId"] == _managed(region):
        told = {**told, "KeyManager": "AWS"}
    return {"KeyMetadata": told}


def rotation(region: Region, asked: Fields) -> Fields:
    """Answer GetKeyRotationStatus with its period and the next date, which moto lacks."""
    key = describe(region, asked)["KeyMetadata"]
    if key["KeySpec"] != "SYMMETRIC_DEFAULT" or key["Origin"] != "AWS_KMS":
        raise ApiError("UnsupportedOperationException", f"{key['Arn']} cannot be rotated.")
    told = region.ask("kms", "GetKeyRotationStatus", KeyId=key["KeyId"])
    if not told["KeyRotationEnabled"] and key["KeyManager"] != "AWS":
        return {**told, "KeyId": key["Arn"]}
    days = region.rotations.get(key["KeyId"], _YEAR)
    return {
        "KeyId": key["Arn"],
        "KeyRotationEnabled": True,
        "RotationPeriodInDays": days,
        "NextRotationDate": key["CreationDate"] + timedelta(days=days),
    }


def enable_rotation(region: Region, asked: Fields) -> Fields:
    """Answer EnableKeyRotation, and remember the period."""
    key = describe(region, {"KeyId": asked["KeyId"]})["KeyMetadata"]
    region.ask("kms", "EnableKeyRotation", KeyId=key["KeyId"])
    region.rotations[key["KeyId"]] = asked.get("RotationPeriodInDays", _YEAR)
    return {}


def by_id(operation: str) -> Callable[[Region, Fields], Fields]:
    """Return what answers a call about a key, for which moto takes plain ids only."""

    def answer(region: Region, asked: Fields) -> Fields:
        key = describe(region, {"KeyId": asked["KeyId"]})["KeyMetadata"]
        return region.ask("kms", operation, **{**asked, "KeyId": key["KeyId"]})

    return answer


def _managed(region: Region) -> str:
    return str(region.ask("kms", "DescribeKey", KeyId=_MANAGED)["KeyMetadata"]["KeyId"])
