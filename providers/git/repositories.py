"""Configurations in Git repositories: the protocol of the domain over one branch's history."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from domain.checks import Finding
from domain.configuration import (
    GOOD_TAGS,
    Commit,
    CommitList,
    ConfigurationFile,
    ConfigurationPoint,
    ConfigurationTarget,
    Difference,
    PointKind,
    ProtectedConfiguration,
)
from domain.errors import ResourceMissingError, UnsupportedResourceError
from domain.platforms import ConfigurationRepository
from providers.git.comparing import difference
from providers.git.config import author, folder, reach
from providers.git.history import History, told
from providers.git.mirror import Mirror
from providers.git.points import TAGS, Points
from providers.git.preflight import Preflight
from providers.git.transport import Transport
from providers.git.trees import UnreadableError, entries, read
from providers.git.writing import Writer
from providers.secrets.references import Secrets

_NAMED = 5
_LISTED_AMONG = 2000


class GitRepositories(ConfigurationRepository):
    """Reaches each configuration's repository anew; keeps nothing but copies of what it fetched."""

    def __init__(self, state: Path, base: Path, secrets: Secrets) -> None:
        self._state, self._base, self._secrets = state, base, secrets

    def commits(self, configuration: ProtectedConfiguration, limit: int = 20) -> CommitList:
        """Return the newest commits of the branch that touched the folder, newest first."""
        transport = self._transport(configuration)
        refs = self._refs(configuration, transport, f"{TAGS}{GOOD_TAGS}")
        branch = f"refs/heads/{configuration.repository.branch}"
        with self._mirror(configuration, transport).holding(refs[branch]) as repo:
            history = History(repo, folder(configuration.repository))
            newest = islice(history.everything(history.commit(refs[branch])), _LISTED_AMONG)
            listed = [told(one) for one in islice(filter(history.touched, newest), limit)]
        marked = {id_ for name, id_ in refs.items() if name.startswith(TAGS)}
        good = tuple(commit.id for commit in listed if commit.id in marked)
        return CommitList(commits=tuple(listed), good=good)

    def resolve(
        self, configuration: ProtectedConfiguration, target: ConfigurationTarget
    ) -> ConfigurationPoint:
        """Return the commit that `target` means on the branch as it is at the remote now."""
        transport = self._transport(configuration)
        tags = {
            PointKind.PREVIOUS: [f"{TAGS}{GOOD_TAGS}"],
            PointKind.REFERENCE: [f"{TAGS}{target.reference.removeprefix(TAGS)}"],
            PointKind.TIME: [],
        }
        branch = f"refs/heads/{configuration.repository.branch}"
        refs = self._refs(configuration, transport, *tags[target.kind])
        with self._mirror(configuration, transport).holding(refs[branch]) as repo:
            return Points(configuration, repo, refs).choose(target)

    def difference(
        self, configuration: ProtectedConfiguration, point: ConfigurationPoint
    ) -> Difference:
        """Return what going back changes, every secret value masked."""
        with self._history(configuration, point.head.id, point.target.id) as history:
            return difference(
                history.store,
                history.folder(history.commit(point.head.id)),
                history.folder(history.commit(point.target.id)),
                configuration.secret_keys,
            )

    def examine(
        self, configuration: ProtectedConfiguration, point: ConfigurationPoint
    ) -> Sequence[Finding]:
        """Return one finding per precondition."""
        transport = self._transport(configuration)
        preflight = Preflight(
            configuration, transport, self._mirror(configuration, transport), self._base
        )
        return list(preflight.findings(point))

    def restore(
        self,
        configuration: ProtectedConfiguration,
        point: ConfigurationPoint,
        *,
        key: str,
        message: str,
    ) -> Commit:
        """Push one new commit whose folder is that of the target."""
        return self._writer(configuration).restore(point, key, message)

    def files(
        self, configuration: ProtectedConfiguration, commit_id: str
    ) -> Sequence[ConfigurationFile]:
        """Return the files of the configuration's folder at a commit, by path.

        Raises:
            UnsupportedResourceError: one of them is kept elsewhere; its name is in the sentence.
        """
        with self._history(configuration, commit_id) as history:
            held = history.folder(history.commit(commit_id))
            if held is None:
                raise ResourceMissingError(
                    f"{configuration.path}: at {commit_id[:12]} there is no folder "
                    f"{configuration.repository.path}"
                )
            in_order = sorted(entries(history.store, held), key=lambda one: one.path)
            try:
                return [
                    ConfigurationFile(path=entry.name, content=read(history.store, held, entry))
                    for entry in in_order
                ]
            except UnreadableError as error:
                raise UnsupportedResourceError(f"{configuration.path}: {error}") from None

    def mark_good(self, configuration: ProtectedConfiguration, commit_id: str, *, key: str) -> str:
        """Tag a commit as one to come back to, and return the tag."""
        return self._writer(configuration).mark_good(commit_id, key)

    def made(self, configuration: ProtectedConfiguration, *, key: str) -> Commit | None:
        """Return the commit that a call of `restore` with this key pushed, or None."""
        return self._writer(configuration).made(key)

    @staticmethod
    def _refs(
        configuration: ProtectedConfiguration, transport: Transport, *prefixes: str
    ) -> Mapping[str, str]:
        """Return the refs under some prefixes, and the branch.

        Raises:
            ResourceMissingError: there is no such branch; others are in the sentence.
        """
        branch = f"refs/heads/{configuration.repository.branch}"
        refs = transport.refs(branch, *prefixes)
        if branch in refs:
            return refs
        found = sorted(name.removeprefix("refs/heads/") for name in transport.refs("refs/heads/"))
        others = f"it has {', '.join(found[:_NAMED])}" if found else "it has no branch at all"
        raise ResourceMissingError(
            f"{transport.remote.url}: there is no branch {configuration.repository.branch}; {others}"
        )

    @contextmanager
    def _history(self, configuration: ProtectedConfiguration, *ids: str) -> Iterator[History]:
        mirror = self._mirror(configuration, self._transport(configuration))
        with mirror.holding(*ids) as repo:
            yield History(repo, folder(configuration.repository))

    def _writer(self, configuration: ProtectedConfiguration) -> Writer:
        transport = self._transport(configuration)
        return Writer(configuration, transport, self._mirror(configuration, transport), self._base)

    def _transport(self, configuration: ProtectedConfiguration) -> Transport:
        author(configuration.repository)  # what is written wrong is told before the last step
        return Transport(reach(configuration.repository, self._base, self._secrets))

    def _mirror(self, configuration: ProtectedConfiguration, transport: Transport) -> Mirror:
        return Mirror(self._state, transport, configuration.repository.branch)
