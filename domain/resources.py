"""What the business needs back: a protected resource, its path and everything the catalog says of it."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from domain.values import Bytes, Span, Value, Written


class ResourceKind(StrEnum):
    """The kinds of thing that Refloat brings back."""

    DATABASE = "database"
    APPLICATION = "application"
    CONFIGURATION = "configuration"
    ENVIRONMENT = "environment"


class Mode(StrEnum):
    """Whether a run answers an incident or rehearses one."""

    INCIDENT = "incident"
    DRILL = "drill"


class Durability(StrEnum):
    """What a commit waits for.

    `bounded-loss` acknowledges at once and loses about a second with the server's disk;
    `zero-loss` waits for the archive, and a dead archive then blocks every commit.
    """

    BOUNDED_LOSS = "bounded-loss"
    ZERO_LOSS = "zero-loss"


def _is_reference(text: str) -> str:
    if re.fullmatch(r"(env|file):\S.*", text) is None:
        message = "a secret is written as a reference, env:NAME or file:PATH, never as its value"
        raise ValueError(message)
    return text


SecretReference = Annotated[str, AfterValidator(_is_reference)]


class Objectives(Written):
    """How long a recovery may take and how much may be lost."""

    rto: Span | None = Field(
        default=None,
        description="recovery time objective; default: 60 min to a time, 30 min from a snapshot, "
        "5 min for an application or a configuration",
    )
    rpo: Span = Field(default=timedelta(minutes=5), description="recovery point objective")


class BackupPolicy(Written):
    """What must be kept, and under which key."""

    retention: Span = timedelta(days=14)
    max_age: Span = timedelta(hours=26)
    max_size: Bytes | None = None
    encrypted: bool = Field(
        default=True, description="whether an unencrypted database is refused at a cloud"
    )
    key: SecretReference | None = Field(
        default=None, description="reference to the base64 AES-256 key"
    )


class SqlCheck(Written):
    """One question to the restored data: a read-only statement that returns one value."""

    name: str
    query: str
    at_least: float | None = None
    at_most: float | None = None
    equals: str | None = None
    max_age: Span | None = None
    timeout: Span = timedelta(seconds=30)


class Engine(StrEnum):
    """The database engines that Refloat restores."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"


class Connection(Written):
    """How to log in; the password is a reference, never a value."""

    database: str
    user: str
    password: SecretReference | None = None


class ServerAddress(Written):
    """Where a self-managed server listens, and its data directory when it is on this machine."""

    host: str = "127.0.0.1"
    port: PositiveInt = 5432
    data: str | None = None


class Approval(Written):
    """Who may say yes; whoever asked never counts."""

    approvers: tuple[str, ...] = Field(min_length=1)
    within: Span = timedelta(hours=1)


class Health(Written):
    """Where a consumer tells that it works, and how long it may take to."""

    url: str
    within: Span = timedelta(seconds=60)


class LocalPlatform(Written):
    """An application on this machine: its setting is rewritten and it is restarted."""

    kind: Literal["local"]
    settings: str = Field(
        description="file of NAME=value lines that the application reads at start"
    )
    variable: str = "DATABASE_URL"
    command: tuple[str, ...] = Field(
        default=(),
        description="run and kept alive by the supervisor; empty: started by somebody else",
    )
    restart: tuple[str, ...] = Field(
        default=(), description="command that restarts it, when not ours"
    )
    container: bool = Field(
        default=False, description="whether the supervisor runs its image in a container, by Podman"
    )
    mounts: tuple[str, ...] = Field(
        default=(), description="files that a container may read, at the same path"
    )

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        if self.container and (self.command or self.restart):
            message = "container: true runs the image; take out command and restart"
            raise ValueError(message)
        return self

    @property
    def kept(self) -> bool:
        """Whether the supervisor starts it and keeps it running."""
        return self.container or bool(self.command)


class KubernetesPlatform(Written):
    """One workload of a Kubernetes cluster; exactly one of the three kinds is named."""

    kind: Literal["kubernetes"]
    context: str = Field(
        default="", description="context of the kubeconfig; default: its current one"
    )
    kubeconfig: str = Field(
        default="", description="default: KUBECONFIG, else ~/.kube/config, else inside the cluster"
    )
    namespace: str = "default"
    deployment: str = ""
    statefulset: str = ""
    daemonset: str = ""
    container: str = Field(
        default="", description="container of the image; default: the one that runs it"
    )

    @model_validator(mode="after")
    def _names_one_workload(self) -> Self:
        if len([one for one in (self.deployment, self.statefulset, self.daemonset) if one]) != 1:
            message = "name exactly one of deployment, statefulset and daemonset"
            raise ValueError(message)
        return self

    @property
    def workload(self) -> str:
        """The workload as kubectl writes it, such as `deployment/checkout`."""
        kind = next(one for one in ("deployment", "statefulset", "daemonset") if getattr(self, one))
        return f"{kind}/{getattr(self, kind)}"


Platform = Annotated[LocalPlatform | KubernetesPlatform, Field(discriminator="kind")]


class Consumer(Written):
    """An application that uses the database, with what a cutover needs to know of it."""

    name: str
    platform: Platform
    health: Health | None = None


def _is_path(path: str) -> str:
    parts = path.split("/")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - project, environment, service
        message = f"{path!r} is not a resource path; write project/environment/service"
        raise ValueError(message)
    return path


ResourcePath = Annotated[str, AfterValidator(_is_path)]


class Protected(Value):
    """What every protected resource has; travels as a run's input, so it holds no secret."""

    path: ResourcePath
    kind: ResourceKind
    provider: str
    provider_kind: str
    objectives: Objectives
    approval: Approval | None = None


class ProtectedResource(Protected):
    """One database as the catalog declares it."""

    kind: ResourceKind = ResourceKind.DATABASE
    engine: Engine
    instance: str
    backups: BackupPolicy
    checks: tuple[SqlCheck, ...] = ()
    connection: Connection
    consumers: tuple[Consumer, ...] = ()
    durability: Durability = Durability.BOUNDED_LOSS
    heartbeat: bool = True
    server: ServerAddress | None = None

    @property
    def heartbeat_table(self) -> str | None:
        """Name of the table that gains a row a second, or None where the catalog wants none."""
        return "refloat.heartbeat" if self.heartbeat else None
