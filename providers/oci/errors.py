"""What goes wrong with a registry, in the words of the domain: one table by code and HTTP status.

The codes are those of the OCI distribution specification, which every registry answers with.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import requests

from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    CredentialsRefusedError,
    ImageMissingError,
    NameTakenError,
    ProviderUnavailableError,
    QuotaReachedError,
    RecoveryError,
    ThrottledError,
    UnknownProviderError,
    UnsupportedResourceError,
    UntrustedServerError,
)
from providers.managed.refusals import Row, Told

SHOWN = 300
"""Characters kept of a registry's own words: a proxy's page is one too."""
_SECRETS = re.compile(
    r"((?:secret|token|signature|password|credential|authorization|basic|bearer)\w*\"?"
    r"(?:\s*[=:]\s*|\s+)\"?)(?=\S*[\d=._-])[^\s&\",]{6,}",
    re.IGNORECASE,
)
_JWT = re.compile(r"eyJ[\w-]{8,}[\w.-]*")
_QUERY = re.compile(r"(https?://)(?:[^/@\s]*@)?([^/?\s\"]+)\S*")

ROWS = (
    Row(
        ThrottledError,
        "the registry has been asked too often; Refloat waits and asks again",
        codes=("TOOMANYREQUESTS",),
    ),
    Row(
        ThrottledError,
        "the registry has been asked too often; Refloat waits and asks again",
        statuses=(429,),
    ),
    Row(
        QuotaReachedError,
        "the registry has no more room for it; remove what is not needed, or have the quota raised",
        statuses=(402, 413, 507),
    ),
    Row(
        ProviderUnavailableError,
        "the registry has a problem of its own; Refloat asks again",
        statuses=(408, 425, *range(500, 501), *range(502, 507), *range(508, 600)),
    ),
    Row(
        UnsupportedResourceError,
        "the registry does not do this",
        codes=("UNSUPPORTED",),
    ),
    Row(
        UnsupportedResourceError,
        "the registry does not do this",
        statuses=(405, 406, 415, 501),
    ),
    Row(
        CredentialsRefusedError,
        "the registry does not accept the credentials any more: they are expired; renew them",
        says=r"token has expired|credentials? (?:has|have) expired",
        statuses=(401, 403),
    ),
    Row(
        AccessDeniedError,
        "the registry does not let these credentials do it, or has no such repository: it answers "
        "both alike; give their user the right to pull, or name others under `registries`",
        statuses=(401, 403, 451),
    ),
    Row(
        AccessDeniedError,
        "the registry does not let these credentials do it; give their user the right to pull, or "
        "name others under `registries`",
        codes=("UNAUTHORIZED", "DENIED"),
    ),
    Row(
        ImageMissingError,
        "the registry knows no such repository",
        codes=("NAME_UNKNOWN", "REPOSITORY_NOT_FOUND"),
    ),
    Row(
        ImageMissingError,
        "the registry has no such image",
        codes=("MANIFEST_UNKNOWN", "NOT_FOUND", "TAG_UNKNOWN"),
    ),
    Row(
        ImageMissingError,
        "the registry lacks a part of the image",
        codes=("BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"),
    ),
    Row(ImageMissingError, "the registry has no such thing", statuses=(404, 410)),
    Row(
        NameTakenError,
        "the tag exists and may not be moved",
        says=r"immutab|cannot be overwritten|tag already exists",
    ),
    Row(NameTakenError, "the tag exists and may not be moved", statuses=(409, 412)),
    Row(
        ConfigurationRefusedError,
        "the registry takes it for malformed; correct the name that the catalog gives",
        codes=(
            *("NAME_INVALID", "TAG_INVALID", "DIGEST_INVALID", "SIZE_INVALID", "MANIFEST_INVALID"),
            *("MANIFEST_UNVERIFIED", "RANGE_INVALID", "PAGINATION_NUMBER_INVALID"),
            *("BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "MANIFEST_SIZE_INVALID"),
        ),
    ),
    Row(
        ConfigurationRefusedError,
        "the registry refuses the request",
        statuses=(400, 411, 414, 416, 422, 431),
    ),
    Row(
        ConfigurationRefusedError,
        "the registry has moved elsewhere; correct its host in the catalog",
        statuses=(300, 301, 302, 303, 307, 308),
    ),
)
"""What an answer becomes; the first that fits."""
_UNKNOWN = Row(UnknownProviderError, "an answer that Refloat does not know; Refloat asks again")

_NO_TLS = "WRONG_VERSION_NUMBER"
_MISTRUST = re.compile(r"CERTIFICATE|certificate|hostname|UNKNOWN_CA|SELF.SIGNED")


@contextmanager
def oci_errors(doing: str) -> Iterator[None]:
    """Translate what the HTTP library raises while `doing` something into the domain's errors."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise _mistrusted(doing, str(error)) from None  # its text may hold a signed address
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidHeader,
    ) as error:
        raise ConfigurationRefusedError(
            f"{doing}: the address is malformed; correct the registry's host "
            f"({type(error).__name__})"
        ) from None
    except requests.RequestException as error:
        raise ProviderUnavailableError(
            f"{doing}: the registry does not answer; Refloat asks again ({_why(error)})"
        ) from None


def refusal_of(
    doing: str, status: int, headers: requests.structures.CaseInsensitiveDict[str], body: bytes
) -> RecoveryError:
    """Return the domain's error for an answer that is one, by its codes and its status."""
    told = told_by(status, body)
    row = next((row for row in ROWS if row.fits(told)), _UNKNOWN)
    said = ": ".join(part for part in (", ".join(told.codes), safe(told.message)) if part)
    sentence = f"{doing}: {row.meaning} ({said or f'HTTP {status}'})"
    if row.becomes is ThrottledError:
        return ThrottledError(sentence, pace_of(headers.get("Retry-After", "")))
    return row.becomes(sentence)


def told_by(status: int, body: bytes) -> Told:
    """Return what the body of an answer tells, in the specification's form or a near one."""
    try:
        content = json.loads(body)
    except ValueError:
        return Told(message="", status=status)
    if not isinstance(content, dict):
        return Told(status=status)
    errors = content.get("errors")
    found = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    if not found:  # Google writes one `error` with a status, others a message alone
        inner = content.get("error")
        found = [{**inner, "code": inner.get("status")} if isinstance(inner, dict) else content]
    codes = tuple(str(one["code"]) for one in found if one.get("code"))
    said = [one.get("message") or one.get("details") for one in found]
    return Told(codes, "; ".join(str(one) for one in said if one), status)


def pace_of(given: str) -> timedelta | None:
    """Return how long `Retry-After` asks to wait: seconds, or the moment of its end."""
    if given.strip().isdigit():
        return timedelta(seconds=int(given))
    try:
        until = parsedate_to_datetime(given)
    except ValueError:
        return None
    return max(until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC), timedelta())


def safe(message: str) -> str:
    """Return somebody else's words in one line, without what may be secret in them."""
    line = " ".join(message.split())
    line = _JWT.sub("…", _SECRETS.sub(r"\1…", _QUERY.sub(r"\1\2", line)))
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def _mistrusted(doing: str, text: str) -> RecoveryError:
    if _NO_TLS in text:
        return ConfigurationRefusedError(
            f"{doing}: the registry does not speak TLS; without encryption Refloat only talks to "
            "this machine"
        )
    if not _MISTRUST.search(text):
        return ProviderUnavailableError(
            f"{doing}: the registry broke the encrypted connection off; Refloat asks again"
        )
    return UntrustedServerError(
        f"{doing}: the registry's certificate is not trusted; write the file with those that sign "
        "it as `ca` of the registry in the catalog"
    )


def _why(error: BaseException) -> str:
    """Return the system's own word for a failed call; an exception's text may hold an address."""
    seen: BaseException | None = error
    while seen is not None:
        reason = getattr(seen.args[0], "reason", None) if seen.args else None
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or (reason if isinstance(reason, BaseException) else seen.__context__)
    return type(error).__name__
