"""What people declare in the catalog: provider accounts, registries, databases, applications."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from domain.configuration import ClusterTarget, FolderTarget, Repository
from domain.resources import (
    Approval,
    BackupPolicy,
    Connection,
    Durability,
    Engine,
    Health,
    Objectives,
    Platform,
    SecretReference,
    ServerAddress,
    SqlCheck,
)
from domain.values import Written


class LocalProviderEntry(Written):
    """PostgreSQL on this machine: state folder, ports for new servers, account that runs them."""

    kind: Literal["local"]
    root: str = ".refloat"
    archive: str | None = Field(default=None, description="folder on another disk; default: root")
    listen: str = "127.0.0.1"
    first_port: int = Field(default=15440, ge=1, le=65535)
    last_port: int = Field(default=15499, ge=1, le=65535)
    run_as: str | None = None
    binaries: str | None = None

    @model_validator(mode="after")
    def _has_ports(self) -> Self:
        if self.last_port < self.first_port:
            message = f"last_port {self.last_port} is below first_port {self.first_port}"
            raise ValueError(message)
        return self


class CloudEntry(Written):
    """What every cloud account needs beside its own keys; credentials are the SDK's own business."""

    region: str
    reports: str = Field(
        default=".refloat", description="folder of the worker that keeps reports and proofs"
    )
    ca: str | None = Field(
        default=None,
        description="file with the certificates that sign the databases' own; default: what the "
        "provider tells, else the system's",
    )
    calls_per_second: float = Field(
        default=5.0, gt=0, description="most calls of one worker to the account"
    )


class AwsProviderEntry(CloudEntry):
    """Amazon RDS in one account and region."""

    kind: Literal["aws"]
    account: str = Field(pattern=r"^\d{12}$")


class GcpProviderEntry(CloudEntry):
    """Google Cloud SQL in one project."""

    kind: Literal["gcp"]
    project: str


class AzureProviderEntry(CloudEntry):
    """Azure Database flexible servers in one resource group."""

    kind: Literal["azure"]
    subscription: str
    resource_group: str


class ScalewayProviderEntry(CloudEntry):
    """Scaleway Managed Databases in one project and region."""

    kind: Literal["scaleway"]
    project: str


ProviderEntry = Annotated[
    LocalProviderEntry
    | AwsProviderEntry
    | GcpProviderEntry
    | AzureProviderEntry
    | ScalewayProviderEntry,
    Field(discriminator="kind", description="one account at one provider"),
]


class DatabaseEntry(Written):
    """One database as people declare it."""

    provider: str
    engine: Engine
    instance: str = Field(pattern=r"^[a-z](?:-?[a-z0-9]){0,40}$")
    objectives: Objectives | None = None
    backups: BackupPolicy = BackupPolicy()
    checks: tuple[SqlCheck, ...] = ()
    connection: Connection
    consumers: tuple[str, ...] = ()
    approval: Approval | None = None
    durability: Durability = Durability.BOUNDED_LOSS
    heartbeat: bool = True
    server: ServerAddress | None = None


class RegistryEntry(Written):
    """One registry by its host, as images name it; without an entry it is asked anonymously."""

    kind: Literal["oci", "ecr", "artifact-registry", "acr", "scaleway"] = "oci"
    user: str = ""
    password: SecretReference | None = None
    ca: str = Field(default="", description="file with the certificates that sign the registry's")
    protect: bool = Field(
        default=True, description="whether the image gone back to is kept from deletion"
    )


class SchemaEntry(Written):
    """How the version of an application's schema is known."""

    database: str = Field(default="", description="database of the environment that `query` asks")
    query: str = Field(default="", description="read-only statement that returns the version")
    versions: Mapping[str, str] = Field(
        default={}, description="version that a tag, digest or commit works with, as 4 or 3..5"
    )


class ApplicationEntry(Written):
    """One application as people declare it."""

    platform: Platform
    provider: str | None = Field(
        default=None, description="whose workers reach it; default: the only one there is"
    )
    image: str = ""
    health: Health | None = None
    objectives: Objectives | None = None
    approval: Approval | None = None
    data_schema: SchemaEntry | None = Field(default=None, alias="schema")


class ConfigurationEntry(Written):
    """One configuration as people declare it."""

    repository: Repository
    platform: ClusterTarget | FolderTarget = Field(discriminator="kind")
    provider: str | None = None
    applications: tuple[str, ...] = Field(
        default=(), description="applications of the environment that must be healthy with it"
    )
    objectives: Objectives | None = None
    approval: Approval | None = None
    secret_keys: tuple[str, ...] = Field(
        default=(), description="further keys whose values are never shown, as patterns"
    )


class EnvironmentEntry(Written):
    """What belongs together, such as production."""

    databases: Mapping[str, DatabaseEntry] = {}
    applications: Mapping[str, ApplicationEntry] = {}
    configurations: Mapping[str, ConfigurationEntry] = {}


class ProjectEntry(Written):
    """One project with its environments."""

    environments: Mapping[str, EnvironmentEntry] = {}
