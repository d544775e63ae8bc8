"""The two kinds of flexible servers: what differs between PostgreSQL and MySQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]


@dataclass(frozen=True)
class Parameter:
    """One server parameter: its value by default, and how it may be changed."""

    default: str
    kind: str = "Integer"
    allowed: str = ""
    """A range such as `25-5000`, or words separated by commas; anything when empty."""
    dynamic: bool = True
    fixed: bool = False


@dataclass(frozen=True)
class Family:
    """One resource provider and its rules."""

    engine: Literal["postgresql", "mysql"]
    namespace: str
    api_versions: tuple[str, ...]
    moment: str
    """The property that names the moment of a restore."""
    versions: tuple[str, ...]
    retention: tuple[int, int]
    on_demand: int
    """Most backups that people may take of one server."""
    database: str
    own_databases: tuple[str, ...]
    defaults: Mapping[str, Any]
    parameters: Mapping[str, Parameter]

    @property
    def kind(self) -> str:
        """The resource type, such as `Microsoft.DBforMySQL/flexibleServers`."""
        return f"{self.namespace}/flexibleServers"


_WINDOW = {"customWindow": "Disabled", "startHour": 0, "startMinute": 0, "dayOfWeek": 0}
_OF_BOTH = {
    "backup": {"backupRetentionDays": 7, "geoRedundantBackup": "Disabled"},
    "network": {"publicNetworkAccess": "Enabled"},
    "highAvailability": {"mode": "Disabled"},
    "maintenanceWindow": _WINDOW,
    "dataEncryption": {"type": "SystemManaged"},
    "availabilityZone": "1",
}

POSTGRESQL = Family(
    engine="postgresql",
    namespace="Microsoft.DBforPostgreSQL",
    api_versions=("2021-06-01", "2022-12-01", "2024-08-01", "2025-08-01", "2026-10-01"),
    moment="pointInTimeUTC",
    versions=("11", "12", "13", "14", "15", "16", "17", "18"),
    retention=(7, 35),
    on_demand=7,
    database="postgres",
    own_databases=("azure_maintenance", "azure_sys", "postgres"),
    defaults={
        **_OF_BOTH,
        "storage": {"storageSizeGB": 32, "autoGrow": "Disabled", "tier": "P4", "iops": 120},
        "authConfig": {"activeDirectoryAuth": "Disabled", "passwordAuth": "Enabled"},
    },
    parameters={
        "autovacuum_vacuum_scale_factor": Parameter("0.2", "Numeric", "0-100"),
        "azure.extensions": Parameter("", "Set"),
        "idle_in_transaction_session_timeout": Parameter("0", allowed="0-2147483647"),
        "log_min_duration_statement": Parameter("-1", allowed="-1-2147483647"),
        "max_connections": Parameter("859", allowed="25-5000", dynamic=False),
        "server_version_num": Parameter("150000", fixed=True),
        "shared_buffers": Parameter("524288", allowed="16-1073741823", dynamic=False),
        "track_commit_timestamp": Parameter("off", "Boolean", "on,off", dynamic=False),
        "wal_level": Parameter("replica", "Enumeration", "replica,logical", dynamic=False),
        "work_mem": Parameter("4096", allowed="4096-2097151"),
    },
)
MYSQL = Family(
    engine="mysql",
    namespace="Microsoft.DBforMySQL",
    api_versions=("2021-05-01", "2023-12-30", "2024-12-30"),
    moment="restorePointInTime",
    versions=("5.7", "8.0.21", "8.4"),
    retention=(1, 35),
    on_demand=50,
    database="flexibleserverdb",
    own_databases=("information_schema", "mysql", "performance_schema", "sys"),
    defaults={
        **_OF_BOTH,
        "storage": {
            "storageSizeGB": 32,
            "iops": 396,
            "autoGrow": "Enabled",
            "autoIoScaling": "Disabled",
            "storageSku": "Premium_LRS",
        },
    },
    parameters={
        "event_scheduler": Parameter("OFF", "Enumeration", "ON,OFF"),
        "innodb_buffer_pool_size": Parameter("8589934592", allowed="134217728-17179869184"),
        "innodb_log_file_size": Parameter("268435456", "Enumeration", dynamic=False),
        "long_query_time": Parameter("10", "Numeric", "0-31536000"),
        "max_connections": Parameter("1365", allowed="10-10922"),
        "require_secure_transport": Parameter("ON", "Enumeration", "ON,OFF"),
        "slow_query_log": Parameter("OFF", "Enumeration", "ON,OFF"),
        "sql_mode": Parameter("STRICT_TRANS_TABLES", "Set"),
        "time_zone": Parameter("SYSTEM", "String"),
        "version_comment": Parameter("MySQL Community Server", "String", fixed=True),
    },
)
FAMILIES = (POSTGRESQL, MYSQL)


def family_of(namespace: str) -> Family | None:
    """Return the family of a resource provider, however it is spelled."""
    return next((one for one in FAMILIES if one.namespace.lower() == namespace.lower()), None)
