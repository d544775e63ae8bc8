"""The protocols of rollbacks: registries, platforms, and configurations in Git.

As in `domain.provider`: they raise only `domain.errors.RecoveryError`, and a second call with the
same arguments finds what the first one made. Credentials are references until the call itself.
"""

from collections.abc import Sequence
from typing import Protocol

from domain.checks import Finding
from domain.configuration import (
    AppliedConfiguration,
    Commit,
    CommitList,
    ConfigurationFile,
    ConfigurationPoint,
    ConfigurationTarget,
    Difference,
    ProtectedConfiguration,
)
from domain.rollback import Applied, Change, Image, ProtectedApplication, Revision


class ImageRegistry(Protocol):
    """Keeps images; `repository` is written as in a pod: host, then path, without tag or digest."""

    def images(self, repository: str, limit: int = 50) -> Sequence[Image]:
        """Return what can be gone back to, the newest first as far as the registry tells."""
        ...

    def find(self, repository: str, reference: str) -> Image:
        """Return the image of a digest (or 12 or more of its first digits), a tag or a commit.

        Raises `ImageMissingError` with the nearest tags that exist.
        """
        ...

    def examine(self, repository: str, digest: str) -> Sequence[Finding]:
        """Return whether the manifest and every blob are there for these credentials.

        An image that is not whole is a failed finding, a retention rule that will delete it an
        unproven one with advice.
        """
        ...

    def protect(self, repository: str, digest: str) -> str:
        """Keep an image from being deleted where the registry can; return how, or nothing."""
        ...


class ApplicationPlatform(Protocol):
    """Runs an application, and knows what it ran before."""

    def history(self, application: ProtectedApplication) -> Sequence[Revision]:
        """Return what ran, newest first; exactly one is current, where anything runs."""
        ...

    def examine(self, application: ProtectedApplication, change: Change) -> Sequence[Finding]:
        """Return one finding per precondition, without changing anything.

        They are: rights, nobody else is rolling out, no controller that would undo it, admission.
        """
        ...

    def version(self, application: ProtectedApplication) -> str:
        """Return the version of the live object, for a change to name what it was planned from."""
        ...

    def apply(self, application: ProtectedApplication, change: Change, *, key: str) -> Applied:
        """Make the change's revision what runs, by digest; one rollout for each `key`.

        Raises `ConflictError` when the live object is no more the one that `expected` names, unless
        a call with this `key` changed it. With `undoes`, an object that was not changed last by
        that key is left alone, and the answer says why.
        """
        ...

    def poll_rollout(self, application: ProtectedApplication, change: Change) -> str:
        """Return, once every replica runs the change and is ready, what was seen.

        Raises `NotYetError`, and `RolloutFailedError` with the reason and the last words of the
        program when it does not come: image, crash loop, readiness, room, admission.
        """
        ...

    def require_healthy(self, application: ProtectedApplication) -> str:
        """Return what the health address said once it answers 200; `NotYetError` until then.

        Raises `RolloutFailedError` when the program has ended meanwhile.
        """
        ...


class ConfigurationRepository(Protocol):
    """A Git repository; history is never rewritten."""

    def commits(self, configuration: ProtectedConfiguration, limit: int = 20) -> CommitList:
        """Return the newest commits of the branch that touched the folder, newest first."""
        ...

    def resolve(
        self, configuration: ProtectedConfiguration, target: ConfigurationTarget
    ) -> ConfigurationPoint:
        """Return the commit that `target` means, read from the remote now.

        Raises `RecoveryPointUnreachableError` with the nearest commits.
        """
        ...

    def difference(
        self, configuration: ProtectedConfiguration, point: ConfigurationPoint
    ) -> Difference:
        """Return what going back changes, every secret value masked."""
        ...

    def examine(
        self, configuration: ProtectedConfiguration, point: ConfigurationPoint
    ) -> Sequence[Finding]:
        """Return whether the branch can be written, the signing key is there, and the like."""
        ...

    def restore(
        self,
        configuration: ProtectedConfiguration,
        point: ConfigurationPoint,
        *,
        key: str,
        message: str,
    ) -> Commit:
        """Push one new commit whose folder is that of the target; one for each `key`.

        Raises `ConflictError` when the branch is no more at the point's head, unless a call with
        this `key` moved it.
        """
        ...

    def made(self, configuration: ProtectedConfiguration, *, key: str) -> Commit | None:
        """Return the commit that a call of `restore` with this key pushed, or None."""
        ...

    def files(
        self, configuration: ProtectedConfiguration, commit_id: str
    ) -> Sequence[ConfigurationFile]:
        """Return the files of the configuration's folder at a commit."""
        ...

    def mark_good(self, configuration: ProtectedConfiguration, commit_id: str, *, key: str) -> str:
        """Tag a commit as one to come back to, and return the tag."""
        ...


class ConfigurationPlatform(Protocol):
    """Where a configuration takes effect."""

    def examine(
        self, configuration: ProtectedConfiguration, files: Sequence[ConfigurationFile]
    ) -> Sequence[Finding]:
        """Return whether the files could be applied: rights, owners of fields, admission; dry."""
        ...

    def apply(
        self,
        configuration: ProtectedConfiguration,
        files: Sequence[ConfigurationFile],
        *,
        key: str,
    ) -> AppliedConfiguration:
        """Make the files what is in effect, and prune what only we owned and they no longer name.

        Raises `ConflictError` naming field and owner, before anything was changed.
        """
        ...

    def poll(
        self, configuration: ProtectedConfiguration, files: Sequence[ConfigurationFile]
    ) -> str:
        """Return what was seen once everything applied has taken effect; else as `poll_rollout`."""
        ...
