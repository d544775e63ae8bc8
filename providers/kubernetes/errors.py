"""The API server's refusals in the words of the domain: one table, the first row that applies."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

import urllib3
import yaml
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    ConflictError,
    CredentialsRefusedError,
    NameTakenError,
    ProviderUnavailableError,
    QuotaReachedError,
    RecoveryError,
    ResourceMissingError,
    ThrottledError,
    UnknownProviderError,
    UntrustedServerError,
)

SHOWN = 600
_PAGE = "providers/kubernetes/README.md"
_DENIED = re.compile(
    r'(?:User|user) "(?P<user>[^"]*)" cannot (?P<verb>\S+) '
    r'(?:resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"|path "(?P<path>[^"]*)")'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_ADMISSION = re.compile(
    r"admission webhook|denied the request|violates PodSecurity|ValidatingAdmissionPolicy"
)
_OWNER = re.compile(r'conflict with "(?P<owner>[^"]+)"')


@dataclass(frozen=True)
class Told:
    """What an answer of the API server says of an error: the `Status` object, or what there is."""

    status: int
    reason: str = ""
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    pace: timedelta | None = None

    @classmethod
    def of(cls, error: ApiException) -> "Told":
        """Read an answer; one in an unknown form, as of a proxy, leaves its status and text."""
        text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body
        try:
            body = json.loads(text or "")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            body = {"message": (text or str(error.reason or "")).strip()}
        details = body.get("details") if isinstance(body.get("details"), dict) else {}
        return cls(
            status=int(error.status or 0),
            reason=str(body.get("reason") or ""),
            message=str(body.get("message") or ""),
            details=details or {},
            pace=_pace(error.headers or {}, details or {}),
        )

    @property
    def causes(self) -> Sequence[Mapping[str, Any]]:
        """What is wrong in particular."""
        return [one for one in self.details.get("causes") or () if isinstance(one, dict)]

    def __str__(self) -> str:
        """Return the server's own words, with the code."""
        said = " ".join(self.message.split())
        return f"{self.status} {self.reason}: {said or 'no message'}"[:SHOWN]


Applies: TypeAlias = Callable[[Told], bool]


@dataclass(frozen=True)
class Row:
    """One kind of refusal: how it is known, what it is here, and what to do."""

    name: str
    applies: Applies
    error: type[RecoveryError]
    advice: str | Callable[[Told], str]

    def translate(self, doing: str, told: Told) -> RecoveryError:
        """Return the error with its sentence."""
        advice = self.advice if isinstance(self.advice, str) else self.advice(told)
        sentence = f"{doing}: {advice} ({told})"
        if self.error is ThrottledError:
            return ThrottledError(sentence, told.pace)
        return self.error(sentence)


def _status(*statuses: int) -> Applies:
    return lambda told: told.status in statuses


def _admission(told: Told) -> bool:
    refused = told.status in (400, 403) and _DENIED.search(told.message) is None
    return refused and _ADMISSION.search(told.message) is not None


def _denied(told: Told) -> str:
    """Name the verb and the resource that the account lacks, as a Role is written."""
    found = _DENIED.search(told.message)
    if found is None:
        return f"the account may not do this; give it the Role of {_PAGE}"
    what = found["path"] or found["resource"] + (f".{found['group']}" if found["group"] else "")
    where = f" in namespace {found['namespace']}" if found["namespace"] else ""
    who = found["user"]
    if who == "system:anonymous":
        return (
            f"no credentials reached the cluster, and nobody may {found['verb']} {what}{where}; "
            "check the user of the kubeconfig's context"
        )
    return f"{who} may not {found['verb']} {what}{where}; give it the Role of {_PAGE}"


def conflicts(told: Told) -> list[tuple[str, str]]:
    """Return the fields that others own, each with its owner, of a refused server-side apply."""
    found = []
    for cause in told.causes:
        if cause.get("reason") == "FieldManagerConflict":
            owner = _OWNER.search(str(cause.get("message", "")))
            found.append((str(cause.get("field", "?")), owner["owner"] if owner else "somebody"))
    return found


class FieldsOwnedError(ConflictError):
    """Others own fields that a manifest sets; which, and who."""

    def __init__(self, sentence: str, owned: Sequence[tuple[str, str]]) -> None:
        """Keep field and owner, for what names the object to say."""
        super().__init__(sentence)
        self.owned = tuple(owned)


TABLE: tuple[Row, ...] = (
    Row(
        "credentials",
        _status(401),
        CredentialsRefusedError,
        "the cluster does not accept the credentials of the kubeconfig's context; log in again, or "
        "renew its token or certificate",
    ),
    Row(
        "quota",
        lambda told: told.status == 403 and "exceeded quota" in told.message,  # noqa: PLR2004 - HTTP
        QuotaReachedError,
        "the namespace's ResourceQuota is used up; raise it, or remove what is not needed",
    ),
    Row(
        "admission",
        _admission,
        ConfigurationRefusedError,
        "the cluster's admission rules refuse it; change what they name, or the rule",
    ),
    Row("permission", _status(403), AccessDeniedError, _denied),
    Row(
        "not found",
        _status(404, 410),
        ResourceMissingError,
        "the cluster knows no such thing; check namespace, name and context",
    ),
    Row(
        "exists",
        lambda told: told.status == 409 and told.reason == "AlreadyExists",  # noqa: PLR2004 - HTTP
        NameTakenError,
        "a thing of the name exists already; rename or remove it",
    ),
    Row(
        "conflict",
        _status(409),
        ConflictError,
        "somebody else changed or owns it; look at it and ask again",
    ),
    Row(
        "refused",
        _status(400, 405, 406, 413, 415, 422),
        ConfigurationRefusedError,
        "the API server refuses it; correct what it names",
    ),
    Row(
        "throttled",
        _status(429),
        ThrottledError,
        "the API server asks to slow down; Refloat waits and asks again",
    ),
    Row(
        "unavailable",
        lambda told: told.status in (408, *range(500, 600)),
        ProviderUnavailableError,
        "the API server fails; Refloat asks again",
    ),
    Row(
        "unknown",
        lambda told: told.status > 0,
        UnknownProviderError,
        "the API server answers with an error that Refloat does not know; Refloat asks again",
    ),
)


@contextmanager
def kubernetes_errors(doing: str) -> Iterator[None]:
    """Translate what the client raises while `doing` something into the domain's errors."""
    try:
        yield
    except ApiException as error:
        raise _answered(doing, error) from error
    except ConfigException as error:
        raise _configured(doing, error) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreachable(doing, error) from error
    except yaml.YAMLError:
        # the parser quotes the line it stumbled on, which may hold a token
        raise ConfigurationRefusedError(f"{doing}: the kubeconfig is not YAML") from None


def translated(doing: str, told: Told) -> RecoveryError:
    """Return the domain's error for what an answer says."""
    owned = conflicts(told)
    if owned:
        said = "; ".join(f'{name} is owned by "{owner}"' for name, owner in owned)
        return FieldsOwnedError(f"{doing}: {said}", owned)
    return next(row for row in TABLE if row.applies(told)).translate(doing, told)


def _answered(doing: str, error: ApiException) -> RecoveryError:
    if not error.status:  # the client's way to tell of a failed handshake
        return _untrusted(doing, str(error.reason))
    return translated(doing, Told.of(error))


def _configured(doing: str, error: ConfigException) -> RecoveryError:
    said = " ".join(str(error).split())[:SHOWN]
    if said.startswith("exec:"):
        return CredentialsRefusedError(
            f"{doing}: the kubeconfig's credential plugin gives no credentials; log in with it "
            f"where the worker runs ({said})"
        )
    return ConfigurationRefusedError(
        f"{doing}: the kubeconfig cannot be used; correct it, or `context` and `kubeconfig` of the "
        f"catalog ({said})"
    )


def _untrusted(doing: str, said: str) -> RecoveryError:
    return UntrustedServerError(
        f"{doing}: the API server does not prove who it is by a certificate that the kubeconfig "
        f"trusts; correct certificate-authority of its cluster ({' '.join(said.split())[:SHOWN]})"
    )


def _unreachable(doing: str, error: Exception) -> RecoveryError:
    cause = getattr(error, "reason", None)
    if isinstance(error, urllib3.exceptions.LocationValueError):
        return ConfigurationRefusedError(
            f"{doing}: `server` of the kubeconfig's cluster is no address ({error})"
        )
    if isinstance(error, urllib3.exceptions.SSLError) or isinstance(
        cause, urllib3.exceptions.SSLError
    ):
        return _untrusted(doing, str(cause or error))
    if isinstance(error, FileNotFoundError | PermissionError):
        return ConfigurationRefusedError(
            f"{doing}: a file of the kubeconfig cannot be read: {error}"
        )
    said = f"{type(cause or error).__name__}: {cause or error}"[:SHOWN]
    return ProviderUnavailableError(
        f"{doing}: the API server does not answer; Refloat asks again ({said})"
    )


def _pace(headers: Mapping[str, str], details: Mapping[str, Any]) -> timedelta | None:
    """Return how long the server asks to wait."""
    given = str(headers.get("Retry-After", "") or details.get("retryAfterSeconds", "") or "")
    return timedelta(seconds=int(given)) if given.isdigit() else None
