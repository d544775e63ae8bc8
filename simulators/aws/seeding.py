"""An instance that has existed for long, none of whose settings is what a restore falls back to."""

import secrets
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from simulators.aws.calls import Fields
from simulators.aws.endpoints import connect
from simulators.aws.keys import usable
from simulators.aws.opening import back_up, recorded
from simulators.aws.records import InstanceRecord
from simulators.aws.region import Region
from simulators.aws.settings import ENGINES, full_version
from simulators.backends import Master
from simulators.estate import Seed

_LONG = timedelta(days=365)
_ENGINES = {"postgresql": "postgres", "mysql": "mysql"}
_PORTS = {"postgres": 5432, "mysql": 3306, "mariadb": 3306}
PRODUCTION: Mapping[str, Any] = {
    "DBInstanceClass": "db.m6g.large",
    "AllocatedStorage": 400,
    "MaxAllocatedStorage": 1000,
    "StorageType": "io1",
    "Iops": 4000,
    "MultiAZ": True,
    "DeletionProtection": True,
    "AutoMinorVersionUpgrade": False,
    "CopyTagsToSnapshot": True,
    "EnableIAMDatabaseAuthentication": True,
    "EnablePerformanceInsights": True,
    "PerformanceInsightsRetentionPeriod": 31,
    "MonitoringInterval": 60,
    "BackupRetentionPeriod": 14,
    "PreferredBackupWindow": "01:10-01:40",
    "PreferredMaintenanceWindow": "tue:03:00-tue:03:30",
    "CACertificateIdentifier": "rds-ca-ecc384-g1",
    "StorageEncrypted": True,
    "Tags": [
        {"Key": "environment", "Value": "production"},
        {"Key": "team", "Value": "shop"},
    ],
}
_LOGS = {"postgres": ["postgresql", "upgrade"], "mysql": ["error", "slowquery"]}
_PARAMETERS = {
    "postgres": {"work_mem": "65536", "log_min_duration_statement": "500"},
    "mysql": {"long_query_time": "1", "max_allowed_packet": "67108864"},
}


def chosen(region: Region, seed: Seed) -> Fields:
    """Return all settings of a seed, its key, groups and subnets made; None means left out."""
    settings = _settings(region, seed)
    return {
        name: value for name, value in settings.items() if value is not None and name != "Region"
    }


def made(region: Region, seed: Seed, settings: Fields, resource_id: str) -> None:
    """Make the real server of a seed; returns when it runs and can be restored."""
    master = Master(seed.user, settings["MasterUserPassword"], seed.database)
    backends = region.backends(ENGINES[settings["Engine"]])
    backends.create(resource_id, version=settings["EngineVersion"], master=master)


def seeded(region: Region, seed: Seed, settings: Fields, resource_id: str) -> InstanceRecord:
    """Write the instance of a seed down, with an automated backup of now."""
    record, _ = recorded(region, seed.name.lower(), settings, resource_id)
    record.born = record.tags.written_at = -_LONG
    record.fields["InstanceCreateTime"] = region.estate.clock.now() - _LONG
    for snapshot in region.snapshots.values():
        if snapshot.instance_id == resource_id:
            snapshot.born = -_LONG
    back_up(region, record)
    region.lasting.add(record.identifier)
    connect(region, record)
    return record


def _settings(region: Region, seed: Seed) -> Fields:
    """Return production-like settings with those of the seed; one that is None is left out."""
    engine = str(seed.settings.get("Engine", _ENGINES.get(seed.engine, seed.engine)))
    version = full_version(engine, seed.version)
    kind = "postgres" if engine == "postgres" else "mysql"
    settings: Fields = {
        **PRODUCTION,
        "Engine": engine,
        "EngineVersion": version,
        "Port": _PORTS[engine],
        "DBName": seed.database,
        "MasterUsername": seed.user,
        "MasterUserPassword": seed.password or secrets.token_urlsafe(),
        "MonitoringRoleArn": f"arn:aws:iam::{region.moto.account}:role/rds-monitoring-role",
        "EnableCloudwatchLogsExports": _LOGS[kind],
        **seed.settings,
    }
    makers = {
        "KmsKeyId": _key,
        "VpcSecurityGroupIds": _security_groups,
        "DBSubnetGroupName": _subnet_group,
        "DBParameterGroupName": _parameter_group,
    }
    made = {
        name: make(region, seed.name, settings)
        for name, make in makers.items()
        if name not in settings
    }
    return {**settings, **made}


def _key(region: Region, name: str, settings: Fields) -> str | None:
    """Make a key of the customer that rotates each half year."""
    if not settings["StorageEncrypted"]:
        return None
    key = str(region.ask("kms", "CreateKey", Description=f"data of {name}")["KeyMetadata"]["KeyId"])
    region.ask("kms", "CreateAlias", AliasName=f"alias/{name}", TargetKeyId=key)
    region.ask("kms", "EnableKeyRotation", KeyId=key)
    region.rotations[key] = 180
    return usable(region, key)


def _security_groups(region: Region, name: str, settings: Fields) -> list[str]:
    del settings
    return [
        str(
            region.ask(
                "ec2",
                "CreateSecurityGroup",
                GroupName=f"{name}-{part}-{uuid.uuid4().hex[:8]}",
                Description=f"{part} of {name}",
                VpcId=_subnets(region)[0]["VpcId"],
            )["GroupId"]
        )
        for part in ("applications", "operators")
    ]


def _subnets(region: Region) -> list[Fields]:
    found: list[Fields] = region.ask("ec2", "DescribeSubnets")["Subnets"]
    return found


def subnet_group(region: Region, name: str, description: str, count: int) -> str:
    """Make a subnet group over some subnets of the default VPC."""
    region.call(
        "CreateDBSubnetGroup",
        DBSubnetGroupName=name,
        DBSubnetGroupDescription=description,
        SubnetIds=[one["SubnetId"] for one in _subnets(region)[:count]],
    )
    return name


def _subnet_group(region: Region, name: str, settings: Fields) -> str:
    del settings
    return subnet_group(region, f"{name}-private", f"subnets of {name}", 2)


def _parameter_group(region: Region, name: str, settings: Fields) -> str:
    engine, version = settings["Engine"], settings["EngineVersion"]
    group = f"{name}-tuned"
    region.call(
        "CreateDBParameterGroup",
        DBParameterGroupName=group,
        DBParameterGroupFamily=f"{engine}{version.rpartition('.')[0]}",
        Description=f"parameters of {name}",
    )
    wanted = _PARAMETERS["postgres" if engine == "postgres" else "mysql"]
    region.call(
        "ModifyDBParameterGroup",
        DBParameterGroupName=group,
        Parameters=[
            {"ParameterName": key, "ParameterValue": value, "ApplyMethod": "immediate"}
            for key, value in wanted.items()
        ],
    )
    return group
