"""A configuration in a Git repository: which commit, what would change, and what was applied."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from domain.resources import (
    Consumer,
    Mode,
    Protected,
    ResourceKind,
    SecretReference,
)
from domain.rollback import ROLLBACK_RTO
from domain.values import UtcDatetime, Value, Written, show_time

GOOD_TAGS = "refloat/good/"
"""Tags under which a commit is marked good; a pipeline may set one as well as a successful run."""


class Delivery(StrEnum):
    """How the commit that restores reaches the branch."""

    PUSH = "push"
    PULL_REQUEST = "pull-request"


class Signing(Written):
    """How commits are signed: an SSH key, or a key of GnuPG by its id."""

    format: Literal["ssh", "openpgp"] = "ssh"
    key: str = Field(description="file:PATH of an SSH private key, or the id of a GnuPG key")


class Repository(Written):
    """The Git repository that holds a configuration; credentials are references."""

    url: str = Field(description="a path, ssh://user@host/path, user@host:path, or https://…")
    branch: str = "main"
    path: str = Field(default="", description="folder of the configuration; default: all of it")
    user: str = Field(
        default="", description="for https; default: what the service takes a token by"
    )
    token: SecretReference | None = Field(default=None, description="for https")
    key: SecretReference | None = Field(default=None, description="file:PATH of an SSH private key")
    ca: str = Field(default="", description="file with the certificates that sign the https host's")
    known_hosts: str = Field(default="", description="for SSH; default: the account's own")
    delivery: Delivery = Delivery.PUSH
    signing: Signing | None = None
    author: str = "Refloat <refloat@localhost>"

    @model_validator(mode="after")
    def _has_fitting_credentials(self) -> Self:
        if self.url.startswith("http://"):
            message = "url is http://, which shows the token to everybody on the way; use https://"
            raise ValueError(message)
        if "@" in self.url.partition("://")[2].partition("/")[0] and self.url.startswith("https"):
            message = "url carries a user or token; write user and token, the token as a reference"
            raise ValueError(message)
        if self.token is not None and not self.url.startswith("https://"):
            message = "token is for an https url"
            raise ValueError(message)
        return self


class ClusterTarget(Written):
    """Manifests applied to a Kubernetes cluster, as a field manager of our own."""

    kind: Literal["kubernetes"]
    context: str = ""
    kubeconfig: str = ""
    namespace: str = "default"


class FolderTarget(Written):
    """Files written to a folder of this machine, and the applications restarted that read them."""

    kind: Literal["local"]
    folder: str


class ProtectedConfiguration(Protected):
    """One configuration as the catalog declares it."""

    kind: ResourceKind = ResourceKind.CONFIGURATION
    name: str
    repository: Repository
    platform: ClusterTarget | FolderTarget = Field(discriminator="kind")
    applications: tuple[Consumer, ...] = ()
    secret_keys: tuple[str, ...] = ()


class PointKind(StrEnum):
    """How the state to go back to was named."""

    PREVIOUS = "previous"
    REFERENCE = "reference"
    TIME = "time"


class ConfigurationTarget(Value):
    """What to go back to: the last one marked good, a commit or tag, or the state at a time."""

    kind: PointKind
    reference: str = ""
    time: UtcDatetime | None = None

    def __str__(self) -> str:
        """Return the target as people name it."""
        if self.kind is PointKind.PREVIOUS:
            return "the last commit marked good"
        if self.kind is PointKind.TIME and self.time is not None:
            return f"the configuration at {show_time(self.time)}"
        return self.reference


class Commit(Value):
    """One commit, by its full id; `at` is when it was committed."""

    id: str
    subject: str
    author: str
    at: UtcDatetime

    @property
    def told(self) -> str:
        """The commit as people recognise it."""
        return f"{self.id[:12]} {self.subject!r} by {self.author}, {show_time(self.at)}"


class CommitList(Value):
    """The newest commits of a branch that touched a configuration, and which of them are good."""

    commits: tuple[Commit, ...]
    good: tuple[str, ...] = ()


class ConfigurationPoint(Value):
    """The commit whose state comes back, and the head it was chosen from."""

    target: Commit
    head: Commit
    undone: tuple[Commit, ...] = ()
    notes: tuple[str, ...] = ()


class FileDifference(Value):
    """What going back changes in one file, as unified lines without any secret value."""

    path: str
    change: Literal["added", "changed", "removed"]
    lines: tuple[str, ...] = ()


class Difference(Value):
    """What going back changes, from what is there now to what comes back."""

    files: tuple[FileDifference, ...]
    left_out: int = 0


class ConfigurationFile(Value):
    """One file of a configuration; never part of a workflow's history."""

    path: str
    content: bytes


class AppliedConfiguration(Value):
    """What applying a configuration changed, by name; values are not told."""

    changed: tuple[str, ...] = ()
    unchanged: int = 0
    pruned: tuple[str, ...] = ()


class ConfigurationRequest(Value):
    """One rollback of one configuration, as it was asked for."""

    id: str
    resource: ProtectedConfiguration
    target: ConfigurationTarget
    mode: Mode = Mode.INCIDENT
    requested_at: UtcDatetime
    requested_by: str
    incident_at: UtcDatetime | None = None
    reason: str = ""
    part_of: str = ""

    @property
    def rto(self) -> timedelta:
        """The catalog's recovery time objective, else five minutes."""
        return self.resource.objectives.rto or ROLLBACK_RTO

    @property
    def started_counting_at(self) -> datetime:
        """Moment from which the recovery clock counts: the impact, else the request."""
        return self.incident_at or self.requested_at
