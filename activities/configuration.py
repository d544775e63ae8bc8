"""The steps of a configuration's rollback: the commit in Git, and what it has effect on."""

from collections.abc import Mapping, Sequence

from activities.errors import step
from activities.waiting import quick_at_first
from domain.checks import Finding
from domain.configuration import (
    AppliedConfiguration,
    Commit,
    CommitList,
    ConfigurationFile,
    ConfigurationPoint,
    ConfigurationRequest,
    Difference,
    ProtectedConfiguration,
)
from domain.errors import UnsupportedResourceError
from domain.platforms import ConfigurationPlatform, ConfigurationRepository
from domain.values import Value


class OnPoint(Value):
    """Act on the state that a configuration goes back to; `key` makes asking twice harmless."""

    configuration: ProtectedConfiguration
    point: ConfigurationPoint
    key: str = ""
    message: str = ""


class OnCommit(Value):
    """Act on a configuration as of one commit."""

    configuration: ProtectedConfiguration
    commit_id: str
    key: str = ""


class MadeCommit(Value):
    """The commit that a key made, or None where it made none."""

    commit: Commit | None


class ConfigurationActivities:
    """Brings an earlier state back as a new commit; file contents never leave the worker."""

    def __init__(
        self,
        repository: ConfigurationRepository | None,
        platforms: Mapping[str, ConfigurationPlatform],
    ) -> None:
        self._known, self._platforms = repository, platforms

    def _git(self) -> ConfigurationRepository:
        if self._known is None:
            raise UnsupportedResourceError(
                "this worker's catalog has no configuration, so it knows no repository; start it "
                "with the catalog that has it"
            )
        return self._known

    def _of(self, configuration: ProtectedConfiguration) -> ConfigurationPlatform:
        kind = configuration.platform.kind
        if kind not in self._platforms:
            raise UnsupportedResourceError(
                f"{configuration.path}: its worker reaches no platform of kind {kind}; start one "
                f"that has it, with: pip install 'refloat[{kind}]'"
            )
        return self._platforms[kind]

    def _files(
        self, configuration: ProtectedConfiguration, commit_id: str
    ) -> Sequence[ConfigurationFile]:
        return self._git().files(configuration, commit_id)

    @step("configuration.resolve")
    def resolve(self, request: ConfigurationRequest) -> ConfigurationPoint:
        """Return the commit that the target means, or refuse with offers."""
        return self._git().resolve(request.resource, request.target)

    @step("configuration.commits")
    def commits(self, configuration: ProtectedConfiguration) -> CommitList:
        """Return the newest commits that touched the configuration."""
        return self._git().commits(configuration)

    @step("configuration.difference")
    def difference(self, on: OnPoint) -> Difference:
        """Return what going back changes, without any secret value."""
        return self._git().difference(on.configuration, on.point)

    @step("configuration.examine")
    def examine(self, on: OnPoint) -> list[Finding]:
        """Return every precondition: the branch, the signing key, rights, owners of fields."""
        files = self._files(on.configuration, on.point.target.id)
        return [
            *self._git().examine(on.configuration, on.point),
            *self._of(on.configuration).examine(on.configuration, files),
        ]

    @step("configuration.restore")
    def restore(self, on: OnPoint) -> Commit:
        """Push one new commit that holds the earlier state; one for each key."""
        return self._git().restore(on.configuration, on.point, key=on.key, message=on.message)

    @step("configuration.made")
    def made(self, on: OnPoint) -> MadeCommit:
        """Return the commit that a key made, if it got so far."""
        return MadeCommit(commit=self._git().made(on.configuration, key=on.key))

    @step("configuration.apply")
    def apply(self, on: OnCommit) -> AppliedConfiguration:
        """Make the files of a commit what is in effect."""
        files = self._files(on.configuration, on.commit_id)
        return self._of(on.configuration).apply(on.configuration, files, key=on.key)

    @step("configuration.await_effect")
    def await_effect(self, on: OnCommit) -> str:
        """Return once everything applied has taken effect."""
        files = self._files(on.configuration, on.commit_id)
        platform = self._of(on.configuration)
        return quick_at_first(lambda: platform.poll(on.configuration, files))

    @step("configuration.mark_good")
    def mark_good(self, on: OnCommit) -> str:
        """Tag a commit as one to come back to."""
        return self._git().mark_good(on.configuration, on.commit_id, key=on.key)
