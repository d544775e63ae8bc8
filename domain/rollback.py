"""What ran before, and the choice of what an application goes back to."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from domain.errors import AlreadyThereError, RecoveryPointUnreachableError
from domain.resources import (
    Health,
    Mode,
    Platform,
    Protected,
    ProtectedResource,
    ResourceKind,
)
from domain.values import UtcDatetime, Value, show_span, show_time

ROLLBACK_RTO = timedelta(minutes=5)
"""The recovery time objective of an application or a configuration, where the catalog names none."""

COMMIT_LABEL = "org.opencontainers.image.revision"
"""Label or annotation of an image that names the commit it was built from (OCI image spec)."""
BUILD_LABEL = "org.opencontainers.image.version"
"""Label or annotation of an image that names its build (OCI image spec)."""
SCHEMA_LABEL = "io.refloat.schema"
"""Label or annotation of an image: the schema version its code works with, or a range `3..5`."""

_STEADY = timedelta(minutes=10)
"""A revision that served this long is taken for healthy where nobody watched it."""


class Schema(Value):
    """How the version of an application's schema is known: asked of its database, or declared."""

    database: ProtectedResource | None = None
    query: str = ""
    versions: Mapping[str, str] = {}


class ProtectedApplication(Protected):
    """One application as the catalog declares it."""

    kind: ResourceKind = ResourceKind.APPLICATION
    name: str
    platform: Platform
    image: str
    health: Health | None = None
    data_schema: Schema | None = None


class Image(Value):
    """One image as a registry keeps it; empty where the registry does not tell.

    `digest` is the manifest's (or index's) own, `pushed_at` when the registry received it.
    """

    repository: str
    digest: str
    tags: tuple[str, ...] = ()
    commit: str = ""
    build: str = ""
    schema_version: str = ""
    pushed_at: UtcDatetime | None = None
    created_at: UtcDatetime | None = None
    size_bytes: int = 0

    @property
    def reference(self) -> str:
        """How a platform is told to run exactly this image."""
        return f"{self.repository}@{self.digest}"

    @property
    def told(self) -> str:
        """The image as people recognise it."""
        names = [*self.tags, f"commit {self.commit[:12]}" if self.commit else ""]
        known = ", ".join(name for name in names if name)
        return f"{self.digest[:19]}{f' ({known})' if known else ''}"


class ContainerImage(Value):
    """What one container of a revision ran; `digest` is empty where nothing shows what it was."""

    container: str
    written: str
    digest: str = ""


class Revision(Value):
    """What ran on a platform for a while.

    `healthy` and `healthy_for` are None where nobody watched. `ended_at` is None while it runs.
    """

    id: str
    number: int
    images: tuple[ContainerImage, ...]
    container: str = ""
    cause: str = ""
    started_at: UtcDatetime | None = None
    ended_at: UtcDatetime | None = None
    healthy: bool | None = None
    healthy_for: timedelta | None = None
    current: bool = False

    @property
    def main(self) -> ContainerImage:
        """The container that runs the application's own image."""
        found = [one for one in self.images if one.container == self.container]
        return found[0] if found else self.images[0]

    @property
    def digest(self) -> str:
        """Digest of the application's own image, or nothing where it is not known."""
        return self.main.digest

    def ran_at(self, moment: datetime) -> bool:
        """Return whether it was what the platform was told to run at `moment`."""
        begun = self.started_at is not None and self.started_at <= moment
        return begun and (self.ended_at is None or moment < self.ended_at)

    def served_well(self) -> bool:
        """Return whether it was healthy, or served so long that it must have been."""
        if self.healthy is not None:
            return self.healthy
        if self.started_at is None or self.ended_at is None:
            return False
        return self.ended_at - self.started_at >= _STEADY

    @property
    def told(self) -> str:
        """The revision as people recognise it."""
        began = f" since {show_time(self.started_at)}" if self.started_at else ""
        if self.ended_at and self.started_at:
            began = f", ran {show_span(self.ended_at - self.started_at)} until {show_time(self.ended_at)}"
        health = {True: ", healthy", False: ", never healthy", None: ""}[self.healthy]
        return f"{self.name} {self.digest[:19]}{began}{health}".replace("  ", " ")

    @property
    def name(self) -> str:
        """The image as it was written, without a digest."""
        return self.main.written.partition("@")[0]


class RollbackKind(StrEnum):
    """How the target of a rollback was named."""

    PREVIOUS = "previous"
    REFERENCE = "reference"
    AT = "at"


class RollbackTarget(Value):
    """What to go back to: the last one that was healthy, a digest, tag or commit, or a time."""

    kind: RollbackKind
    reference: str = ""
    time: UtcDatetime | None = None

    def __str__(self) -> str:
        """Return the target as people name it."""
        if self.kind is RollbackKind.PREVIOUS:
            return "the last one that was healthy"
        if self.kind is RollbackKind.AT and self.time is not None:
            return f"what ran at {show_time(self.time)}"
        return self.reference


class RollbackScope(StrEnum):
    """What comes back: every container with its environment and resources, or the image alone."""

    TEMPLATE = "template"
    IMAGE = "image"


class Change(Value):
    """What a platform is told to run.

    `revision` names the one to go back to, and is empty for an image that never ran there.
    `expected` is the version of the live object that was planned from; empty: whatever it is.
    `undoes` is the key of a change to take back: where that never happened, or somebody has made
    another since, nothing is changed.
    """

    revision: str
    image: str
    digest: str
    scope: RollbackScope
    expected: str = ""
    undoes: str = ""
    cause: str = ""


class Applied(Value):
    """What applying a change led to: the version of the live object, and whether it was left."""

    version: str
    left_alone: str = ""


class RollbackRequest(Value):
    """One rollback of one application, as it was asked for.

    `part_of` is the id of the workflow that brings several things back as one; `data_goes_back`
    says that the database of its schema is among them.
    """

    id: str
    resource: ProtectedApplication
    target: RollbackTarget
    scope: RollbackScope = RollbackScope.TEMPLATE
    mode: Mode = Mode.INCIDENT
    requested_at: UtcDatetime
    requested_by: str
    incident_at: UtcDatetime | None = None
    reason: str = ""
    despite_schema: str = ""
    data_goes_back: bool = False
    part_of: str = ""

    @property
    def rto(self) -> timedelta:
        """The catalog's recovery time objective, else five minutes."""
        return self.resource.objectives.rto or ROLLBACK_RTO

    @property
    def started_counting_at(self) -> datetime:
        """Moment from which the recovery clock counts: the impact, else the request."""
        return self.incident_at or self.requested_at


class Choice(Value):
    """The revision and the digest that a target means, with what is worth saying about it."""

    revision: Revision | None
    digest: str
    notes: tuple[str, ...] = ()


def current_of(history: Sequence[Revision]) -> Revision | None:
    """Return what the platform is told to run now."""
    return next((one for one in history if one.current), None)


def offers(history: Sequence[Revision]) -> list[str]:
    """Return the revisions that can be named instead, newest first, each image once."""
    current = current_of(history)
    seen = {current.digest} if current else set()
    told = []
    for one in history:
        if one.digest and one.digest not in seen:
            seen.add(one.digest)
            told.append(f"--to {one.digest[:19]} ({one.told})")
    return told[:3]


def choose(
    path: str, history: Sequence[Revision], target: RollbackTarget, named: Image | None
) -> Choice:
    """Return what `target` means; `named` is the image that a reference means in the registry now.

    What ran wins over what a tag means today: a tag that moved is resolved to the digest that ran
    under it, and the choice says so.

    Raises:
        RecoveryPointUnreachableError: with the revisions that can be named instead.
    """
    if target.kind is RollbackKind.REFERENCE:
        return _by_reference(path, history, target.reference, named)
    found = _previous(history) if target.kind is RollbackKind.PREVIOUS else _at(history, target)
    if found is None:
        raise RecoveryPointUnreachableError(path, _absence(history, target), offers(history))
    if not found.digest:
        raise RecoveryPointUnreachableError(
            path,
            f"nothing shows which image {found.main.written} was when it ran as {found.id}: "
            "it was named by a tag and its containers are gone",
            offers(history),
        )
    notes = [_moved(found.main.written, found.digest, named)] if named else []
    current = current_of(history)
    if current is not None and current.id == found.id:
        raise AlreadyThereError(path, f"{target} is what runs now: {found.told}", offers(history))
    return Choice(revision=found, digest=found.digest, notes=tuple(one for one in notes if one))


def _previous(history: Sequence[Revision]) -> Revision | None:
    current = current_of(history)
    present = current.digest if current else ""
    fit = [one for one in history if not one.current and one.served_well()]
    return next((one for one in fit if one.digest != present), None)


def _at(history: Sequence[Revision], target: RollbackTarget) -> Revision | None:
    moment = target.time
    return next((one for one in history if moment is not None and one.ran_at(moment)), None)


def _absence(history: Sequence[Revision], target: RollbackTarget) -> str:
    if target.kind is RollbackKind.AT:
        known = [one.started_at for one in history if one.started_at]
        since = f"; what ran is known since {show_time(min(known))}" if known else ""
        moment = show_time(target.time) if target.time else "then"
        return f"nothing shows what ran at {moment}{since}"
    earlier = [one for one in history if not one.current]
    if not earlier:
        return "no earlier version is known, so there is nothing to go back to"
    return "no earlier version was healthy, so none is chosen by itself"


def _by_reference(
    path: str, history: Sequence[Revision], reference: str, named: Image | None
) -> Choice:
    ran = [one for one in history if one.digest and _is_named(one, reference)]
    digest = ran[0].digest if ran else named.digest if named else ""
    same = [one for one in history if one.digest == digest] if digest else []
    if not digest:
        raise RecoveryPointUnreachableError(
            path,
            f"no image {reference!r}: it did not run here, and the registry knows no such digest, "
            "tag or commit",
            offers(history),
        )
    current = current_of(history)
    if current is not None and current.digest == digest:
        raise AlreadyThereError(
            path, f"{reference} is what runs now: {current.told}", offers(history)
        )
    notes = [_moved(reference, digest, named)]
    if not same:
        notes.append(
            f"{digest[:19]} is not in the platform's history: the image is brought back, everything "
            "around it stays as it is now"
        )
    return Choice(
        revision=same[0] if same else None,
        digest=digest,
        notes=tuple(one for one in notes if one),
    )


def _is_named(revision: Revision, reference: str) -> bool:
    """Return whether a revision ran under this digest, beginning of a digest, or tag."""
    digest = revision.digest
    bare = reference.removeprefix("sha256:")
    if reference == digest or (len(bare) >= 12 and digest.removeprefix("sha256:").startswith(bare)):  # noqa: PLR2004 - as many as people copy
        return True
    tag = revision.main.written.partition("@")[0].rpartition("/")[2].partition(":")[2]
    return bool(tag) and tag == reference


def _moved(written: str, digest: str, named: Image | None) -> str:
    if named is None or named.digest == digest:
        return ""
    return (
        f"{written} means {named.digest[:19]} in the registry now; what ran under it was "
        f"{digest[:19]}, and that comes back"
    )


def works_with(declared: str, present: str) -> bool | None:
    """Return whether code that declares a schema version, or a range of them, fits the present one.

    None where one of the two is not known.
    """
    if not declared or not present:
        return None
    first, dots, last = (part.strip() for part in declared.partition(".."))
    if not dots:
        return first == present
    if first.isdigit() and last.isdigit() and present.isdigit():
        return int(first) <= int(present) <= int(last)
    return first <= present <= last
