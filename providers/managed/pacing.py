"""Short waits that are a provider's own, at the scale of the account."""

from datetime import timedelta

from domain.errors import NotYetError

_SOON = timedelta(seconds=3)


def soon(what: str, scale: float = 1.0) -> NotYetError:
    """Return the error that asks again in seconds."""
    return NotYetError(what, _SOON / scale)
