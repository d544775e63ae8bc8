"""What of an RDS instance is taken for a setting that its copy must have."""

import json
from typing import TYPE_CHECKING, cast

from providers.aws.describing import settings_of

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import DBInstanceTypeDef


def _settings(**told: object) -> dict[str, str]:
    return settings_of(cast("DBInstanceTypeDef", {"DBInstanceIdentifier": "orders", **told}))


def test_the_iops_of_a_volume_that_sets_them_itself_are_not_asked_for() -> None:
    assert _settings(StorageType="gp3", Iops=3000)["IOPS"] == ""
    assert _settings(StorageType="io1", Iops=4000)["IOPS"] == "4000"


def test_tags_of_amazon_and_of_refloat_are_not_carried_over() -> None:
    tags = {"team": "shop", "aws:cloudformation:stack-name": "shop", "refloat-run": "a1"}
    told = [{"Key": key, "Value": value} for key, value in tags.items()]

    assert json.loads(_settings(TagList=told)["tags"]) == {"team": "shop"}
