"""Git's, SSH's and HTTP's errors in the words of the domain: one table, the first row that applies."""

import errno
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from dulwich.errors import (
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
    GitProtocolError,
    HangupException,
    NotGitRepository,
    ObjectMissing,
    RefFormatError,
    SendPackError,
    WrongObjectException,
)
from dulwich.repo import UnsupportedExtension, UnsupportedVersion
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from domain.errors import (
    AccessDeniedError,
    CredentialsRefusedError,
    DiskFullError,
    ProviderUnavailableError,
    QuotaReachedError,
    RecoveryError,
    ResourceMissingError,
    ThrottledError,
    UnknownProviderError,
    UnsupportedResourceError,
    UntrustedServerError,
)

SHOWN = 400
DAMAGE = (
    ApplyDeltaError,
    AssertionError,
    ChecksumMismatch,
    EOFError,
    FileFormatException,
    KeyError,
    ObjectMissing,
    struct.error,
    ValueError,
    WrongObjectException,
    zlib.error,
)
"""What reading a repository raises where an object is missing or is not what its id says."""


class HttpRefusedError(Exception):
    """The server answered with a status that is no success."""

    def __init__(self, status: int, words: str, pace: timedelta | None = None) -> None:
        super().__init__(f"HTTP {status}: {words}" if words else f"HTTP {status}")
        self.status, self.pace = status, pace


@dataclass(frozen=True)
class Row:
    """One kind of refusal: how it is known, what it means and what to do."""

    pattern: re.Pattern[str]
    error: type[RecoveryError]
    advice: str


def _row(pattern: str, error: type[RecoveryError], advice: str) -> Row:
    return Row(re.compile(pattern, re.IGNORECASE), error, advice)


TABLE = (
    _row(
        r"remote host identification has changed|host key verification failed|host key is known",
        UntrustedServerError,
        "the server shows no host key that is known for it; check it, then add it to known_hosts "
        "(`ssh-keyscan`), or name the right file as `known_hosts` in the catalog",
    ),
    _row(
        r"permission denied \(|too many authentication failures|unprotected private key|load key",
        CredentialsRefusedError,
        "the server does not accept the SSH key; check `key` in the catalog, that its file is "
        "readable by its owner alone, and that the server knows its public half",
    ),
    _row(
        r"does not appear to be a git repository|repository.{0,80}not found|no git repository|"
        r"could not be found|no such repository|not exported",
        ResourceMissingError,
        "there is no such repository, or these credentials may not see it; check `url`",
    ),
    _row(
        r"dubious ownership",
        AccessDeniedError,
        "the repository belongs to another user of this machine; run the worker as that user, or "
        "add it to git's safe.directory",
    ),
    _row(
        r"no space left|disk quota",
        DiskFullError,
        "the disk is full; make room, then ask again",
    ),
    _row(
        r"could not resolve|name or service not known|name resolution|connection refused|timed out|"
        r"timeout|no route to host|network is unreachable|connection reset|connection closed|"
        r"broken pipe|kex_exchange|max retries|unexpectedly closed|temporar|did not terminate|"
        r"protocol got unexpected|no answer",
        ProviderUnavailableError,
        "the server does not answer; Refloat asks again",
    ),
    _row(
        r"permission denied|access denied|insufficient permission|not authori[sz]ed|read[- ]only|"
        r"write access|denied to|not allowed|forbidden",
        AccessDeniedError,
        "the credentials do not allow it; give them the right to read and to write the repository",
    ),
)
"""What git and ssh say, in English: they are asked to."""

STATUSES: dict[int, tuple[type[RecoveryError], str]] = {
    HTTPStatus.OK: (
        ResourceMissingError,
        "what answers there is no Git server, perhaps a page to sign in; check `url` and `token`",
    ),
    HTTPStatus.UNAUTHORIZED: (
        CredentialsRefusedError,
        "the server does not accept the token, or wants one; check `token` and `user`",
    ),
    HTTPStatus.FORBIDDEN: (
        AccessDeniedError,
        "the token does not allow it; it needs the right to read and write the repository's content",
    ),
    HTTPStatus.NOT_FOUND: (
        ResourceMissingError,
        "there is no such repository, or the token may not see it; check `url` and `token`",
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (QuotaReachedError, "the server takes no push this large"),
}
_WANTED = "it uses what is not supported here"


@contextmanager
def git_errors(doing: str, hide: str = "") -> Iterator[None]:
    """Translate what is raised while `doing` something; `hide` is in no sentence.

    The originals are not chained: a server may quote a token in its answer.
    """
    try:
        yield
    except RecoveryError:
        raise
    except (UnsupportedExtension, UnsupportedVersion, NotImplementedError) as error:
        raise UnsupportedResourceError(f"{doing}: {_WANTED} ({_said(error, hide)})") from None
    except HttpRefusedError as error:
        raise _of_status(doing, error, _said(error, hide)) from None
    except NotGitRepository as error:
        raise _of_words(doing, f"no git repository: {_said(error, hide)}") from None
    except (GitProtocolError, HangupException, SendPackError, HTTPError) as error:
        raise _of_protocol(doing, error, _said(error, hide)) from None
    except (OSError, RefFormatError) as error:
        raise _of_system(doing, error, _said(error, hide)) from None
    except DAMAGE as error:
        said = f"{type(error).__name__}: {_said(error, hide)}"
        raise ResourceMissingError(
            f"{doing}: an object of the repository is missing or damaged; `git fsck` in it tells "
            f"more ({said})"
        ) from None


def _said(error: Exception, hide: str) -> str:
    parts = error.args or (str(error),)
    words = " ".join(
        part.decode(errors="replace") if isinstance(part, bytes) else str(part) for part in parts
    )
    # the library hangs up without a word where a program said none
    said = " ".join(words.split()) or (
        "unexpectedly closed" if isinstance(error, HangupException) else type(error).__name__
    )
    return without(said, hide)[:SHOWN]


def without(words: str, hide: str) -> str:
    """Return a server's words without the secret, should it quote it."""
    return words.replace(hide, "(secret)") if hide else words


def _of_status(doing: str, refused: HttpRefusedError, said: str) -> RecoveryError:
    if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
        return ThrottledError(f"{doing}: the server asks to wait ({said})", refused.pace)
    if refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ProviderUnavailableError(
            f"{doing}: the server is in trouble; Refloat asks again ({said})"
        )
    known = STATUSES.get(refused.status)
    if known is None:
        return UnknownProviderError(f"{doing}: the server answers otherwise than Git does ({said})")
    error, advice = known
    return error(f"{doing}: {advice} ({said})")


def _of_protocol(doing: str, error: Exception, said: str) -> RecoveryError:
    """Look behind an error of HTTP: a certificate that is not trusted is no outage."""
    cause: BaseException | None = error
    while cause is not None:
        reason = cause.reason if isinstance(cause, MaxRetryError) else cause
        if isinstance(reason, SSLError):
            return UntrustedServerError(
                f"{doing}: the server does not prove who it is by a certificate that is trusted "
                f"here; name its authority's file as `ca` in the catalog, if it is your own ({said})"
            )
        if isinstance(reason, HTTPError):
            return ProviderUnavailableError(
                f"{doing}: the server does not answer; Refloat asks again ({said})"
            )
        cause = cause.__cause__
    return _of_words(doing, said)


def _of_words(doing: str, said: str) -> RecoveryError:
    row = next((row for row in TABLE if row.pattern.search(said)), None)
    if row is None:
        return UnknownProviderError(f"{doing}: the server refuses ({said})")
    return row.error(f"{doing}: {row.advice} ({said})")


def _of_system(doing: str, error: Exception, said: str) -> RecoveryError:
    number = getattr(error, "errno", None)
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(f"{doing}: the disk is full; make room, then ask again ({said})")
    if isinstance(error, PermissionError):
        return AccessDeniedError(f"{doing}: the worker may not do that here ({said})")
    if isinstance(error, FileNotFoundError):
        return ResourceMissingError(f"{doing}: it is not there ({said})")
    if isinstance(error, RefFormatError):
        return ResourceMissingError(f"{doing}: no branch or tag can have such a name ({said})")
    return ProviderUnavailableError(f"{doing}: Refloat asks again ({said})")
