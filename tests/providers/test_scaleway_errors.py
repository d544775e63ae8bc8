"""Scaleway's errors become the domain's, each with a sentence that says what to do."""

import json
from datetime import timedelta
from typing import Any

import pytest
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
from providers.scaleway.errors import TABLE, Told, scaleway_errors

DOING = "restoring shop/production/orders"
Body = dict[str, Any] | str


def answer(status: int, body: Body, **headers: str) -> requests.Response:
    """Return an answer of the API as the SDK would hold it."""
    response = requests.Response()
    response.status_code = status
    content = body if isinstance(body, str) else json.dumps(body)
    response._content = content.encode()
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def translated(error: Exception) -> RecoveryError:
    """Return what an error of the SDK becomes."""
    with pytest.raises(RecoveryError) as caught, scaleway_errors(DOING):
        raise error
    return caught.value


def busy(state: str) -> Body:
    """Return the body of a refusal because of a state."""
    return {
        "current_state": state,
        "message": "resource is in a transient state",
        "resource": "instance",
        "resource_id": "id-1",
        "type": "transient_state",
    }


EXAMPLES: list[tuple[str, int, Body, type[RecoveryError], str]] = [
    ("throttled", 429, {"type": "too_many_requests"}, ThrottledError, "asks again"),
    ("throttled", 429, "<html>", ThrottledError, "(429: no message)"),
    (
        "credentials",
        401,
        {
            "message": "authentication is denied",
            "reason": "expired",
            "type": "denied_authentication",
        },
        CredentialsRefusedError,
        "SCW_SECRET_KEY where the worker runs",
    ),
    ("credentials", 401, {}, CredentialsRefusedError, "(401: no message)"),
    ("disk full", 409, busy("disk_full"), ConfigurationRefusedError, "grow its volume"),
    ("locked", 409, busy("locked"), KeyUnavailableError, "enable the key"),
    ("locked", 423, {"type": "locked", "resource": "instance"}, KeyUnavailableError, "(locked:"),
    (
        "locked",
        412,
        {
            "type": "precondition_failed",
            "precondition": "resource_not_usable",
            "help_message": "the key is disabled",
        },
        KeyUnavailableError,
        "the key is disabled",
    ),
    ("locked", 404, {"type": "not_found", "resource": "key"}, KeyUnavailableError, "not_found"),
    ("failed", 409, busy("error"), ServerFailedError, "waiting does not mend it"),
    ("busy", 409, busy("configuring"), BusyError, "instance, id-1, configuring"),
    ("busy", 409, busy("a new state"), BusyError, "asks again when that is over"),
    (
        "capacity",
        412,
        {"type": "out_of_stock", "message": "resource is out of stock", "resource": "db-gp-s"},
        CapacityMissingError,
        "db-gp-s",
    ),
    (
        "quota",
        403,
        {
            "type": "quotas_exceeded",
            "message": "quota(s) exceeded for this resource",
            "details": [{"resource": "rdb_instances", "quota": 10, "current": 10}],
        },
        QuotaReachedError,
        "rdb_instances 10 10",
    ),
    (
        "quota",
        403,
        {"type": "invalid_request_error", "message": "Quota exceeded for this resource."},
        QuotaReachedError,
        "ask Scaleway for a higher quota",
    ),
    (
        "permissions",
        403,
        {"type": "permissions_denied", "message": "insufficient permissions"},
        AccessDeniedError,
        "RelationalDatabasesFullAccess",
    ),
    ("permissions", 403, {"message": "forbidden"}, AccessDeniedError, "(403: forbidden)"),
    (
        "not found",
        404,
        {
            "type": "not_found",
            "message": "resource is not found",
            "resource": "instance_snapshot",
            "resource_id": "id-2",
        },
        ResourceMissingError,
        "(not_found: resource is not found: instance_snapshot, id-2)",
    ),
    ("not found", 410, {"type": "resource_expired"}, ResourceMissingError, "or no more"),
    ("not found", 404, {"type": "unknown_resource"}, ResourceMissingError, "in this region"),
    ("exists", 409, {"type": "already_exists"}, NameTakenError, "rename or remove it"),
    (
        "configuration",
        400,
        {
            "type": "invalid_arguments",
            "message": "invalid argument(s)",
            "details": [
                {
                    "argument_name": "volume_size",
                    "help_message": "too small",
                    "reason": "constraint",
                }
            ],
        },
        ConfigurationRefusedError,
        "volume_size too small constraint",
    ),
    (
        "configuration",
        412,
        {"type": "precondition_failed", "precondition": "attribute_must_be_set"},
        ConfigurationRefusedError,
        "attribute_must_be_set",
    ),
    (
        "configuration",
        400,
        {
            "type": "invalid_request_error",
            "message": "Validation Error",
            "fields": {"name": ["no"]},
        },
        ConfigurationRefusedError,
        '{"name": ["no"]}',
    ),
    ("malformed", 400, {"message": "bad"}, ConfigurationRefusedError, "(400: bad)"),
    ("conflict", 409, {"type": "conflict"}, BusyError, "(conflict:"),
    ("unavailable", 500, {"type": "internal_error"}, ProviderUnavailableError, "internal_error"),
    ("unavailable", 502, {}, ProviderUnavailableError, "(502:"),
    ("unavailable", 503, {}, ProviderUnavailableError, "fails"),
    ("unavailable", 504, {}, ProviderUnavailableError, "fails"),
    ("unavailable", 408, {}, ProviderUnavailableError, "fails"),
    ("unknown", 404, {"message": "no route"}, UnknownProviderError, "(404: no route)"),
    ("unknown", 418, {"type": "teapot", "message": "short"}, UnknownProviderError, "teapot: short"),
]


@pytest.mark.parametrize(("row", "status", "body", "error", "sentence"), EXAMPLES)
def test_an_answer_becomes_the_error_of_its_row(
    row: str, status: int, body: Body, error: type[RecoveryError], sentence: str
) -> None:
    response = answer(status, body)

    found = translated(ScalewayException(response))

    assert type(found) is error
    assert str(found).startswith(f"{DOING}: ")
    assert sentence in str(found)
    told = Told.of(response)
    assert next(each for each in TABLE if each.applies(told)).name == row


def test_every_row_has_an_example() -> None:
    assert [row.name for row in TABLE] == list(dict.fromkeys(row for row, *_ in EXAMPLES))


@pytest.mark.parametrize(
    ("details", "sets"),
    [
        ([("rdb_instance", "read")], "RelationalDatabasesReadOnly"),
        ([("rdb_snapshot", "write")], "RelationalDatabasesFullAccess"),
        ([("key", "read")], "KeyManagerReadOnly"),
        ([("private_network", "list")], "PrivateNetworksReadOnly"),
        (
            [("private_network", "write"), ("rdb_endpoint", "write")],
            "PrivateNetworksFullAccess, RelationalDatabasesFullAccess",
        ),
    ],
)
def test_a_denial_names_the_permission_sets_that_lack(
    details: list[tuple[str, str]], sets: str
) -> None:
    told = [{"resource": resource, "action": action} for resource, action in details]
    body = {"type": "permissions_denied", "message": "insufficient permissions", "details": told}

    found = translated(ScalewayException(answer(403, body)))

    assert f"add the permission set {sets} for the project" in str(found)
    assert details[0][0] in str(found)


@pytest.mark.parametrize(
    ("headers", "pace"),
    [
        ({}, None),
        ({"X_Ratelimit_Reset": "1"}, timedelta(seconds=1)),
        ({"X_Ratelimit_Reset": "1", "Retry_After": "7"}, timedelta(seconds=7)),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
    ],
)
def test_throttling_says_when_to_come_again(
    headers: dict[str, str], pace: timedelta | None
) -> None:
    response = answer(429, {"type": "too_many_requests"}, **headers)

    found = translated(ScalewayException(response))

    assert isinstance(found, ThrottledError)
    assert found.pace == pace


def test_a_body_that_is_no_object_leaves_the_status() -> None:
    for body in ("[1]", '"message"', "no json at all", ""):
        assert isinstance(
            translated(ScalewayException(answer(503, body))), ProviderUnavailableError
        )


def test_a_page_of_a_proxy_is_transient_and_quoted() -> None:
    page = "<html><title>502 Bad Gateway</title></html>"

    found = translated(requests.JSONDecodeError("Expecting value", page, 0))

    assert isinstance(found, ProviderUnavailableError)
    assert "502 Bad Gateway" in str(found)
    empty = translated(requests.JSONDecodeError("Expecting value", "", 0))
    assert "an empty body" in str(empty)


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("refused"),
        requests.ConnectTimeout("connect"),
        requests.ReadTimeout("read"),
        requests.exceptions.ChunkedEncodingError("cut"),
        requests.TooManyRedirects("round and round"),
    ],
)
def test_an_api_that_does_not_answer_is_transient(error: Exception) -> None:
    found = translated(error)

    assert isinstance(found, ProviderUnavailableError)
    assert f"({type(error).__name__}: {error})" in str(found)


@pytest.mark.parametrize(
    "error",
    [requests.exceptions.InvalidURL("x"), requests.exceptions.InvalidSchema("x")],
)
def test_an_address_of_no_known_form_is_a_matter_of_configuration(error: Exception) -> None:
    found = translated(error)

    assert isinstance(found, ConfigurationRefusedError)
    assert "correct or unset SCW_API_URL" in str(found)


def test_what_is_no_error_of_the_sdk_passes() -> None:
    for error in (ValueError("ours"), KeyError("ours"), BusyError("known already")):
        with pytest.raises(type(error)) as caught, scaleway_errors(DOING):
            raise error
        assert caught.value is error
