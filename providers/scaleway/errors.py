"""Scaleway's errors in the words of the domain: one table, the first row that applies."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any, TypeAlias

import requests
from scaleway import ScalewayException

from domain.errors import (
    AccessDeniedError,
    BusyError,
    CapacityMissingError,
    ConfigurationRefusedError,
    CredentialsRefusedError,
    KeyUnavailableError,
    NameTakenError,
    ProviderUnavailableError,
    QuotaReachedError,
    RecoveryError,
    ResourceMissingError,
    ServerFailedError,
    ThrottledError,
    UnknownProviderError,
)

SHOWN = 300
READING = frozenset(("read", "list", "get"))
SETS: Mapping[str, tuple[str, str]] = {
    "key": ("KeyManagerReadOnly", "KeyManagerFullAccess"),
    "private_network": ("PrivateNetworksReadOnly", "PrivateNetworksFullAccess"),
    "vpc": ("PrivateNetworksReadOnly", "PrivateNetworksFullAccess"),
    "": ("RelationalDatabasesReadOnly", "RelationalDatabasesFullAccess"),
}
"""Permission sets to read and to change, by a word in the resource's name."""


@dataclass(frozen=True)
class Told:
    """What an answer of the API says of an error."""

    status: int
    kind: str = ""
    message: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    pace: timedelta | None = None

    @classmethod
    def of(cls, response: requests.Response) -> "Told":
        """Read an answer; one in an unknown form leaves its status."""
        try:
            body = response.json()
        except requests.JSONDecodeError:
            body = None
        body = body if isinstance(body, dict) else {}
        kind, message = str(body.get("type", "")), str(body.get("message", ""))
        return cls(response.status_code, kind, message, body, _pace(response))

    def text(self, name: str) -> str:
        """Return one field of the body."""
        return str(self.body.get(name, ""))

    @property
    def details(self) -> list[Mapping[str, Any]]:
        """What is wrong in particular."""
        listed = self.body.get("details")
        return [each for each in listed if isinstance(each, dict)] if listed else []

    def __str__(self) -> str:
        """Return the provider's own type and message, with what they are about."""
        more = [json.dumps(self.body["fields"])] if self.body.get("fields") else []
        names = ("resource", "resource_id", "current_state", "precondition", "reason")
        more += [self.text(name) for name in (*names, "help_message") if self.text(name)]
        more += [" ".join(str(value) for value in each.values()) for each in self.details]
        said = ": ".join(part for part in (self.message, ", ".join(more)) if part)
        return f"{self.kind or self.status}: {said or 'no message'}"[:SHOWN]


Applies: TypeAlias = Callable[[Told], bool]


@dataclass(frozen=True)
class Row:
    """One kind of refusal: how it is known, what it is here, what it means and what to do."""

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


def _kind(*kinds: str) -> Applies:
    return lambda told: told.kind in kinds


def _status(*statuses: int) -> Applies:
    return lambda told: told.status in statuses


def _busy(*states: str) -> Applies:
    return lambda told: told.kind == "transient_state" and told.text("current_state") in states


def _key(told: Told) -> bool:
    """Whether an encryption key is what is missing or of no use."""
    missing = told.kind == "not_found" and "key" in told.text("resource").split("_")
    unusable = told.kind == "precondition_failed" and "key" in told.text("help_message").split()
    return missing or unusable


def _quota(told: Told) -> bool:
    return told.kind == "quotas_exceeded" or (
        told.status == HTTPStatus.FORBIDDEN and "quota" in told.message.lower()
    )


def _permissions(told: Told) -> str:
    """Name the permission sets that the key's application or user lacks."""
    lacking = [_set(each) for each in told.details] or [SETS[""][1]]
    sets = ", ".join(dict.fromkeys(lacking))
    return (
        "the API key may not do this; add the permission set "
        f"{sets} for the project to an IAM policy of the key's application"
    )


def _set(detail: Mapping[str, Any]) -> str:
    resource = str(detail.get("resource", "")).lower()
    reading, changing = next(sets for word, sets in SETS.items() if word in resource)
    return reading if str(detail.get("action", "")).lower() in READING else changing


TABLE: tuple[Row, ...] = (
    Row(
        "throttled",
        lambda told: (
            told.kind == "too_many_requests" or told.status == HTTPStatus.TOO_MANY_REQUESTS
        ),
        ThrottledError,
        "the account made too many calls; Refloat waits and asks again",
    ),
    Row(
        "credentials",
        lambda told: told.kind == "denied_authentication" or told.status == HTTPStatus.UNAUTHORIZED,
        CredentialsRefusedError,
        "Scaleway does not accept the API key; make a new one, set SCW_ACCESS_KEY and "
        "SCW_SECRET_KEY where the worker runs, and restart it",
    ),
    Row(
        "disk full",
        _busy("disk_full"),
        ConfigurationRefusedError,
        "the disk of the instance is full and it takes reads only; grow its volume "
        "(scw rdb instance upgrade volume-size=…), then start again",
    ),
    Row(
        "locked",
        lambda told: _busy("locked")(told) or told.kind == "locked" or _key(told),
        KeyUnavailableError,
        "its encryption key is disabled or gone, or Scaleway locked it; enable the key in the Key "
        "Manager, or ask Scaleway's support",
    ),
    Row(
        "failed",
        _busy("error"),
        ServerFailedError,
        "it is in error and waiting does not mend it; use another snapshot or instance, or ask "
        "Scaleway's support",
    ),
    Row(
        "busy",
        _kind("transient_state"),
        BusyError,
        "it is in the middle of another operation; Refloat asks again when that is over",
    ),
    Row(
        "capacity",
        _kind("out_of_stock"),
        CapacityMissingError,
        "Scaleway has none of this node type left in the region; choose another one, or wait",
    ),
    Row(
        "quota",
        _quota,
        QuotaReachedError,
        "the organization may not have more of it; remove what is not needed, or ask Scaleway for "
        "a higher quota",
    ),
    Row(
        "permissions",
        lambda told: told.kind == "permissions_denied" or told.status == HTTPStatus.FORBIDDEN,
        AccessDeniedError,
        _permissions,
    ),
    Row(
        "not found",
        _kind("not_found", "unknown_resource", "resource_expired"),
        ResourceMissingError,
        "Scaleway knows no such thing in this region, or no more",
    ),
    Row(
        "exists",
        _kind("already_exists"),
        NameTakenError,
        "a thing of the name exists already; rename or remove it",
    ),
    Row(
        "configuration",
        _kind("invalid_arguments", "invalid_request_error", "precondition_failed"),
        ConfigurationRefusedError,
        "Scaleway refuses a setting; correct what it names",
    ),
    Row(
        "malformed",
        _status(400, 412, 422),
        ConfigurationRefusedError,
        "Scaleway refuses a setting; correct what it names",
    ),
    Row(
        "conflict",
        _status(409),
        BusyError,
        "it is in the middle of another operation; Refloat asks again when that is over",
    ),
    Row(
        "unavailable",
        lambda told: told.status in (HTTPStatus.REQUEST_TIMEOUT, *range(500, 600)),
        ProviderUnavailableError,
        "Scaleway's API fails; Refloat asks again",
    ),
    Row(
        "unknown",
        lambda told: told.status > 0,
        UnknownProviderError,
        "Scaleway answers with an error that Refloat does not know; Refloat asks again",
    ),
)


SETTINGS: Mapping[str, tuple[type[RecoveryError], str]] = {
    "Invalid secrets": (
        CredentialsRefusedError,
        "there is no API key; set SCW_ACCESS_KEY and SCW_SECRET_KEY where the worker runs",
    ),
    "Invalid access key": (
        CredentialsRefusedError,
        "the access key is malformed; it is SCW and 17 letters or digits: correct SCW_ACCESS_KEY",
    ),
    "Invalid secret key": (
        CredentialsRefusedError,
        "the secret key is malformed; it is a UUID: correct SCW_SECRET_KEY",
    ),
    "Invalid project ID": (
        ConfigurationRefusedError,
        "the project is no UUID; correct `project` of the provider in the catalog",
    ),
    "Default project ID": (
        ConfigurationRefusedError,
        "the project is empty; write `project` of the provider in the catalog",
    ),
    "Invalid default region": (
        ConfigurationRefusedError,
        "the region is malformed; correct `region` of the provider in the catalog, such as fr-par",
    ),
    "Default region": (
        ConfigurationRefusedError,
        "the region is empty; write `region` of the provider in the catalog, such as fr-par",
    ),
    "Invalid URL": (
        ConfigurationRefusedError,
        "the address of the API is malformed; correct or unset SCW_API_URL",
    ),
}
"""What the SDK says of its settings before any call; it quotes the value, so it is never repeated."""


@contextmanager
def scaleway_errors(doing: str) -> Iterator[None]:
    """Translate what the SDK raises while `doing` something into the domain's errors."""
    try:
        yield
    except ScalewayException as error:
        raise translated(doing, Told.of(error.response)) from error
    except requests.JSONDecodeError as error:
        raise ProviderUnavailableError(
            f"{doing}: what answers is not Scaleway's API, perhaps a proxy before it; Refloat asks "
            f"again (no JSON: {error.doc[:SHOWN].strip() or 'an empty body'})"
        ) from error
    except requests.RequestException as error:
        raise _unreachable(doing, error) from error
    except ValueError as error:
        known = _setting(doing, str(error))
        if known is None:
            raise
        raise known from None  # the SDK's own error quotes the secret key


def translated(doing: str, told: Told) -> RecoveryError:
    """Return the domain's error for what an answer says."""
    return next(row for row in TABLE if row.applies(told)).translate(doing, told)


def _unreachable(doing: str, error: requests.RequestException) -> RecoveryError:
    if isinstance(error, ValueError):  # an address of no known form
        _, advice = SETTINGS["Invalid URL"]
        return ConfigurationRefusedError(f"{doing}: {advice} ({type(error).__name__})")
    said = f"{type(error).__name__}: {error}"[:SHOWN]
    return ProviderUnavailableError(
        f"{doing}: Scaleway's API does not answer; Refloat asks again ({said})"
    )


def _setting(doing: str, said: str) -> RecoveryError | None:
    for start, (error, advice) in SETTINGS.items():
        if said.startswith(start):
            return error(f"{doing}: {advice}")
    return None


def _pace(response: requests.Response) -> timedelta | None:
    """Return how long the provider asks to wait."""
    for name in ("Retry-After", "X-Ratelimit-Reset"):
        given = response.headers.get(name, "")
        if given.isdigit():
            return timedelta(seconds=int(given))
    return None
