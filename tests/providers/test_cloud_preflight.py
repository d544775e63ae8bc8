"""Whether the checks will get in: asked of the source before anything is made, where it answers."""

from dataclasses import replace

import pytest

from domain.checks import Finding, Verdict
from domain.errors import (
    AccessDeniedError,
    ProviderUnavailableError,
    RecoveryError,
    SecretUnavailableError,
    UntrustedServerError,
)
from domain.recovery import RestoreHandle
from domain.resources import Connection, Mode
from providers.managed.points import ManagedPoints
from providers.managed.preflight import ManagedPreflight
from tests.providers.clouds import Stand
from tests.providers.test_cloud_contract import a_point, stand

__all__ = ["stand"]

pytestmark = pytest.mark.parametrize("stand", ["scaleway"], indirect=True)
REFUSED = AccessDeniedError('orders: password authentication failed for user "refloat"')


def _login(stand: Stand, raised: RecoveryError | None, mode: Mode) -> Finding:
    def login(server: RestoreHandle, connection: Connection) -> None:
        assert server.server == "orders"
        assert connection.user == "refloat"
        if raised is not None:
            raise raised

    account = replace(stand.account, login=login)
    found = ManagedPreflight(account, ManagedPoints(account)).examine(
        stand.resource, a_point(stand), mode
    )
    return next(one for one in found if one.name == "login of the checks")


@pytest.mark.parametrize(
    ("raised", "mode", "verdict"),
    [
        (None, Mode.INCIDENT, Verdict.PASSED),
        (ProviderUnavailableError("orders: nobody answers"), Mode.DRILL, Verdict.NOT_APPLICABLE),
        (REFUSED, Mode.DRILL, Verdict.FAILED),
        (REFUSED, Mode.INCIDENT, Verdict.NOT_APPLICABLE),
        (UntrustedServerError("certificate verify failed"), Mode.INCIDENT, Verdict.FAILED),
        (SecretUnavailableError("file:password: no such file"), Mode.INCIDENT, Verdict.FAILED),
    ],
)
def test_a_login_that_fails_stops_what_it_would_stop_anyway(
    stand: Stand, raised: RecoveryError | None, mode: Mode, verdict: Verdict
) -> None:
    found = _login(stand, raised, mode)

    assert found.verdict is verdict
    assert raised is None or str(raised) in found.observed
    assert bool(found.advice) == (verdict is Verdict.FAILED)


def test_a_source_that_is_broken_is_not_logged_in_to(stand: Stand) -> None:
    stand.plane.force("orders", "error")

    found = _login(stand, REFUSED, Mode.DRILL)

    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "the copy is asked" in found.observed
