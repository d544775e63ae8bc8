"""Asks an application whether it works, by the address that the catalog names."""

import urllib.error
import urllib.request
from datetime import timedelta

from domain.errors import ConfigurationRefusedError, NotYetError

_OK = 200
_PATIENCE = 5.0  # seconds
_PACE = timedelta(milliseconds=250)


def require_healthy(name: str, url: str, patience: float = _PATIENCE) -> str:
    """Return what the address answered, which was 200.

    Raises:
        ConfigurationRefusedError: the address is none of http or https.
        NotYetError: with what it answered instead.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigurationRefusedError(f"{name}: health url must begin with http:// or https://")
    try:
        with urllib.request.urlopen(url, timeout=patience) as answer:  # noqa: S310 - scheme checked above
            if answer.status == _OK:
                return f"HTTP {answer.status} from {url}"
            told = f"HTTP {answer.status}"
    except urllib.error.HTTPError as error:
        told = f"HTTP {error.code}"
        error.close()
    except (OSError, urllib.error.URLError) as error:
        told = str(getattr(error, "reason", error))
    raise NotYetError(f"{name} to be healthy at {url}: {told}", _PACE)
