"""What would stand in the way of a restore, asked before anything is made."""

from collections.abc import Callable, Iterator
from pathlib import Path

from domain.checks import Finding, Verdict
from domain.configuration import ConfigurationPoint, Delivery, ProtectedConfiguration
from domain.errors import (
    ConflictError,
    RecoveryError,
    ResourceMissingError,
    TransientError,
    UnsupportedResourceError,
)
from providers.git.config import folder
from providers.git.history import History, told
from providers.git.mirror import Mirror
from providers.git.signing import Signer
from providers.git.transport import Transport
from providers.git.trees import UnreadableError, entries, read

_NAMED = 5


def _finding(
    name: str, expected: str, observed: str, verdict: Verdict, advice: str = ""
) -> Finding:
    return Finding(
        name=name,
        kind="pre-flight",
        expected=expected,
        observed=observed,
        verdict=verdict,
        advice=advice,
    )


def _asked(name: str, expected: str, ask: Callable[[], str], advice: str = "") -> Finding:
    """Return what an act says, or why it was refused; what may pass by itself is asked again."""
    try:
        return _finding(name, expected, ask(), Verdict.PASSED, advice)
    except TransientError:
        raise
    except RecoveryError as error:
        return _finding(name, expected, str(error), Verdict.FAILED, "correct it, then plan again")


class Preflight:
    """Looks at the branch, the right to push, the signing key and the files."""

    def __init__(
        self,
        configuration: ProtectedConfiguration,
        transport: Transport,
        mirror: Mirror,
        base: Path,
    ) -> None:
        self._configuration, self._repository = configuration, configuration.repository
        self._transport, self._mirror, self._base = transport, mirror, base

    def findings(self, point: ConfigurationPoint) -> Iterator[Finding]:
        """Yield one finding a question."""
        proposed = self._repository.delivery is Delivery.PULL_REQUEST
        yield _asked(
            "branch",
            f"{self._repository.branch} at {point.head.id[:12]}",
            lambda: self._branch(point),
        )
        yield _asked(
            "right to push",
            "these credentials may push",
            self._transport.probe,
            ""
            if proposed
            else "whether the branch is protected shows only at the push; then `delivery: pull-request`",
        )
        yield self._signing()
        yield _asked(
            "files", f"every file at {point.target.id[:12]} is readable", lambda: self._files(point)
        )

    def _branch(self, point: ConfigurationPoint) -> str:
        ref = f"refs/heads/{self._repository.branch}"
        now = self._transport.refs(ref).get(ref)
        if now is None:
            raise ResourceMissingError("there is no such branch")
        if now == point.head.id:
            return "it is there"
        with self._mirror.holding(now) as repo:
            moved = told(History(repo, folder(self._repository)).commit(now)).told
        raise ConflictError(f"it is at {moved}")

    def _signing(self) -> Finding:
        signing = self._repository.signing
        if signing is None:
            return _finding("signing key", "", "commits are not signed", Verdict.NOT_APPLICABLE)

        def try_it() -> str:
            Signer(signing, self._base).sign(b"whether this key signs\n")
            return "it signs"

        return _asked("signing key", f"{signing.key} signs", try_it)

    def _files(self, point: ConfigurationPoint) -> str:
        unreadable: list[str] = []
        count = 0
        with self._mirror.holding(point.target.id) as repo:
            history = History(repo, folder(self._repository))
            held = history.folder(history.commit(point.target.id))
            if held is None:
                raise ResourceMissingError(f"there is no folder {self._repository.path}")
            for entry in entries(history.store, held):
                count += 1
                try:
                    read(history.store, held, entry)
                except UnreadableError as error:
                    unreadable.append(str(error))
        if unreadable:
            more = f"; and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
            raise UnsupportedResourceError("; ".join(unreadable[:_NAMED]) + more)
        return f"{count} files"
