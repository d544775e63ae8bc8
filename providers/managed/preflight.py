"""What would stand in the way of a restore, asked of the provider before anything is made."""

from collections.abc import Iterator, Sequence

from domain.checks import Finding, Verdict
from domain.errors import (
    CatalogError,
    RecoveryError,
    SecretUnavailableError,
    TransientError,
    UntrustedServerError,
)
from domain.provider import Preflight
from domain.recovery import RecoveryPoint
from domain.resources import Mode, ProtectedResource
from domain.values import show_time
from providers.managed.account import Account
from providers.managed.model import Instance, State
from providers.managed.points import ManagedPoints


def finding(name: str, expected: str, observed: str, *, good: bool, advice: str = "") -> Finding:
    """Return one precondition with its verdict."""
    return Finding(
        name=name,
        kind="pre-flight",
        expected=expected,
        observed=observed,
        advice=advice,
        verdict=Verdict.PASSED if good else Verdict.FAILED,
    )


def unasked(name: str, expected: str, observed: str) -> Finding:
    """Return a precondition that the provider does not let anybody ask about."""
    return Finding(
        name=name,
        kind="pre-flight",
        expected=expected,
        observed=observed,
        verdict=Verdict.NOT_APPLICABLE,
    )


class ManagedPreflight(Preflight):
    """Looks at the source, the point and, through the driver, at access, quota and key."""

    def __init__(self, account: Account, points: ManagedPoints) -> None:
        self.account, self.points = account, points

    def examine(
        self, resource: ProtectedResource, point: RecoveryPoint, mode: Mode
    ) -> Sequence[Finding]:
        """Return one finding per precondition."""
        source = self.account.current(resource)
        return [
            self._source(resource, source),
            *self._point(resource, point),
            self._login(resource, source, mode),
            *self.account.access.examine(resource, point, source, mode),
        ]

    def _source(self, resource: ProtectedResource, source: Instance | None) -> Finding:
        expected = f"{resource.engine.value} {resource.instance}"
        if source is None:
            return finding("source", expected, "deleted; its kept backups are restored", good=True)
        return finding(
            "source",
            expected,
            f"{source.engine.value} {source.name}, {source.told}",
            good=source.engine is resource.engine,
            advice="name the engine in the catalog as the provider does",
        )

    def _login(self, resource: ProtectedResource, source: Instance | None, mode: Mode) -> Finding:
        """Return whether the source lets the checks' login in, as its copy must.

        In an incident the source may be what is broken: only what is wrong on our side counts
        then, because no copy would be let past it either.
        """
        who = resource.connection
        name, expected = "login of the checks", f"{who.user} may read {who.database}"
        if source is None or source.state is not State.READY or not source.host:
            return unasked(name, expected, "the source does not answer now; the copy is asked")
        try:
            self.account.login(self.account.handle_of(source), who)
        except TransientError as error:
            return unasked(name, expected, f"{error}; the copy is asked")
        except (UntrustedServerError, SecretUnavailableError, CatalogError) as error:
            return finding(name, expected, str(error), good=False, advice=_LOGIN)
        except RecoveryError as error:
            if mode is Mode.INCIDENT:
                return unasked(name, expected, f"{error}; the copy has the logins of its own time")
            return finding(name, expected, str(error), good=False, advice=_LOGIN)
        trusted = "" if source.tls is None else ", over verified TLS"
        return finding(name, expected, f"it may{trusted}", good=True)

    def _point(self, resource: ProtectedResource, point: RecoveryPoint) -> Iterator[Finding]:
        """Yield whether the point can still be had: the window moves while a plan is read."""
        if point.snapshot_id is None and point.at is not None:
            windows = [w for w in self.points.windows(resource) if w.source == point.source]
            held = any(window.holds(point.at) for window in windows)
            spans = [f"{show_time(w.opens_at)} to {show_time(w.closes_at)}" for w in windows]
            yield finding(
                "recovery window",
                f"holds {show_time(point.at)}",
                "; ".join(spans) or "none",
                good=held,
                advice="plan again",
            )
            return
        found = next(
            (one for one in self.points.snapshots(resource) if one.id == point.snapshot_id), None
        )
        yield finding(
            "snapshot",
            f"{point.snapshot_id} usable",
            "usable" if found else "gone, or not usable now",
            good=found is not None,
            advice="choose another with `refloat recovery-point list`",
        )


_LOGIN = "correct `connection` of the database, or `ca` of the provider, in the catalog"


def asked(name: str, expected: str, answer: str, error: RecoveryError | None) -> Finding:
    """Return what a question to the provider found out: its answer, or its refusal in its words."""
    return finding(
        name,
        expected,
        answer if error is None else str(error),
        good=error is None,
        advice="" if error is None else "see the provider's page in docs/ for the policy to paste",
    )
