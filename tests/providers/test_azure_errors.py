"""What each of Azure's errors becomes, told by the real SDK over the simulated control plane."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from domain.errors import (
    AccessDeniedError,
    BusyError,
    CapacityMissingError,
    ConfigurationRefusedError,
    CredentialsRefusedError,
    KeyUnavailableError,
    NameTakenError,
    PointRefusedError,
    ProviderUnavailableError,
    QuotaReachedError,
    RecoveryError,
    ResourceMissingError,
    ThrottledError,
    UnknownProviderError,
)
from providers.azure.client import AzureDatabases
from providers.azure.errors import TABLE, Quirk, azure_errors, failure_of, translated
from providers.managed.refusals import Told
from simulators.azure.plane import SUBSCRIPTION
from simulators.faults import Refusal
from tests.simulators.azure_ground import GROUP, Ground, simulated

ACTION = "action 'Microsoft.DBforPostgreSQL/flexibleServers/write' over scope '/subscriptions/s'"
ANSWERS: tuple[tuple[int, str, str, type[RecoveryError], str], ...] = (
    (429, "TooManyRequests", "slow down", ThrottledError, "more slowly"),
    (429, "SubscriptionRequestsThrottled", "slow down", ThrottledError, "more slowly"),
    (429, "Strange", "slow down", ThrottledError, "more slowly"),
    (409, "ScopeLocked", "are locked: '/x/y'. Remove", ConfigurationRefusedError, "lock of /x/y"),
    (403, "RequestDisallowedByPolicy", "no", ConfigurationRefusedError, "policy"),
    (403, "AuthorizationFailed", ACTION, AccessDeniedError, "flexibleServers/write on /subscr"),
    (403, "LinkedAuthorizationFailed", "no", AccessDeniedError, "may not do this"),
    (403, "Strange", ACTION, AccessDeniedError, "flexibleServers/write"),
    (409, "ReadOnlyDisabledSubscription", "no", AccessDeniedError, "subscription is disabled"),
    (401, "InvalidAuthenticationToken", "no", CredentialsRefusedError, "renew"),
    (401, "ExpiredAuthenticationToken", "no", CredentialsRefusedError, "renew"),
    (401, "Strange", "no", CredentialsRefusedError, "renew"),
    (400, "AzureKeyVaultKeyNotAccessible", "no", KeyUnavailableError, "Key Vault"),
    (400, "Strange", "the encryption key is disabled", KeyUnavailableError, "Key Vault"),
    (409, "ServerNameAlreadyExists", "no", NameTakenError, "name exists"),
    (409, "Strange", "The name is already used.", NameTakenError, "name exists"),
    (409, "OperationNotAllowed", "exceeding approved cores Quota", QuotaReachedError, "raised"),
    (409, "QuotaExceeded", "no", QuotaReachedError, "raised"),
    (400, "OnDemandBackupLimitExceeded", "no", QuotaReachedError, "raised"),
    (409, "SkuNotAvailable", "no", CapacityMissingError, "no room"),
    (400, "LocationIsOfferRestricted", "no", CapacityMissingError, "no room"),
    (409, "ServerCapacityInsufficient", "no", CapacityMissingError, "no room"),
    (400, "InvalidRestorePointInTime", "no", PointRefusedError, "recovery window"),
    (400, "InvalidParameterValue", "bad pointInTimeUTC", PointRefusedError, "recovery window"),
    (409, "MissingSubscriptionRegistration", "no", ConfigurationRefusedError, "register"),
    (404, "InvalidResourceType", "no", ConfigurationRefusedError, "kind of resource"),
    (409, "ServerIsBusy", "no", BusyError, "asked again"),
    (409, "Conflict", "no", BusyError, "asked again"),
    (409, "OperationNotAllowed", "stopped", BusyError, "asked again"),
    (409, "AnotherOperationInProgress", "no", BusyError, "asked again"),
    (409, "Strange", "no", BusyError, "asked again"),
    (412, "PreconditionFailed", "no", BusyError, "asked again"),
    (404, "ResourceNotFound", "no", ResourceMissingError, "no such thing"),
    (404, "ResourceGroupNotFound", "no", ResourceMissingError, "no such thing"),
    (404, "Strange", "no", ResourceMissingError, "no such thing"),
    (500, "InternalServerError", "no", ProviderUnavailableError, "asked again"),
    (504, "GatewayTimeout", "no", ProviderUnavailableError, "asked again"),
    (504, "ServerTimeout", "no", ProviderUnavailableError, "asked again"),
    (503, "Strange", "no", ProviderUnavailableError, "asked again"),
    (408, "Strange", "no", ProviderUnavailableError, "asked again"),
    (502, "", "Bad Gateway", ProviderUnavailableError, "asked again"),
    (400, "InvalidParameterValue", "sku", ConfigurationRefusedError, "correct the setting"),
    (418, "Teapot", "short and stout", UnknownProviderError, "Teapot: short and stout"),
)
RAISED: tuple[tuple[AzureError, type[RecoveryError], str], ...] = (
    (CredentialUnavailableError("none"), CredentialsRefusedError, "no usable Azure credentials"),
    (
        ClientAuthenticationError("DefaultAzureCredential failed to retrieve a token from …"),
        CredentialsRefusedError,
        "no usable Azure credentials",
    ),
    (ClientAuthenticationError("AADSTS7000215"), CredentialsRefusedError, "does not accept"),
    (ServiceRequestError("refused"), ProviderUnavailableError, "could not be reached"),
    (ServiceResponseError("reset"), ProviderUnavailableError, "look first"),
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Ground]:
    with simulated() as made:
        yield made


@pytest.fixture
def ground(shared: Ground) -> Iterator[Ground]:
    yield shared
    shared.estate.faults.allow("Servers_Get")


def ask(ground: Ground, refusal: Refusal, quirk: Quirk | None = None) -> RecoveryError:
    """Return what a read becomes that is refused."""
    ground.estate.faults.refuse("Servers_Get", refusal)
    with pytest.raises(RecoveryError) as caught, azure_errors("read orders", quirk):
        ground.postgresql.servers.get(GROUP, "orders")
    return caught.value


@pytest.mark.parametrize(("status", "code", "message", "becomes", "words"), ANSWERS)
def test_each_answer_becomes_what_to_do_next(
    ground: Ground, status: int, code: str, message: str, becomes: type[RecoveryError], words: str
) -> None:
    error = ask(ground, Refusal(status, code, message))

    assert type(error) is becomes
    assert str(error).startswith("read orders: ")
    assert words in str(error)
    assert code in str(error)


@pytest.mark.parametrize(("error", "becomes", "words"), RAISED)
def test_what_is_no_answer_becomes_what_to_do_next(
    error: AzureError, becomes: type[RecoveryError], words: str
) -> None:
    with pytest.raises(becomes, match=words), azure_errors("read orders"):
        raise error


def test_every_row_of_the_table_is_needed_by_an_example() -> None:
    examples = [
        *(Told((code,) if code else (), message, status) for status, code, message, *_ in ANSWERS),
        *(Told((), str(error), 0, error) for error, *_ in RAISED),
        Told((), "<html>", 200, DecodeError("no JSON")),
    ]

    used = {next((row for row in TABLE if row.fits(told)), None) for told in examples}

    assert set(TABLE) - used == set()


def test_the_time_to_wait_is_the_providers(ground: Ground) -> None:
    ground.account.retry_after = 42

    error = ask(ground, Refusal(429, "TooManyRequests", "slow down"))

    assert isinstance(error, ThrottledError)
    assert error.pace == timedelta(seconds=42)


@pytest.mark.parametrize(
    ("quirk", "becomes"), [(Quirk.MOMENT, PointRefusedError), (Quirk.BACKUP, BusyError)]
)
def test_an_internal_error_means_what_the_caller_says(
    ground: Ground, quirk: Quirk, becomes: type[RecoveryError]
) -> None:
    assert type(ask(ground, Refusal(500, "InternalServerError", "no"), quirk)) is becomes
    assert type(ask(ground, Refusal(503, "Strange", "no"), quirk)) is ProviderUnavailableError


@pytest.mark.parametrize(
    ("code", "becomes"),
    [
        ("SkuNotAvailable", CapacityMissingError),
        ("InternalServerError", ProviderUnavailableError),
        ("Strange", UnknownProviderError),
    ],
)
def test_a_failed_operation_is_known_by_its_code_alone(
    code: str, becomes: type[RecoveryError]
) -> None:
    told = {"status": "Failed", "error": {"code": code, "message": "no"}}

    assert type(failure_of(told, "restore orders")) is becomes


def test_a_failed_operation_polled_by_the_sdk_has_status_200(shared: Ground) -> None:
    shared.account.failures["restart"] = Refusal(409, "SkuNotAvailable", "no")
    with pytest.raises(CapacityMissingError) as caught, azure_errors("restart orders"):
        shared.postgresql.servers.begin_restart(GROUP, "orders", polling_interval=0).result(10)

    cause = caught.value.__cause__
    assert isinstance(cause, HttpResponseError)
    assert cause.status_code == 200


def test_an_operation_that_goes_on_or_went_well_has_no_failure() -> None:
    assert failure_of({"status": "InProgress"}, "restore") is None
    assert failure_of({"status": "Succeeded"}, "restore") is None
    assert isinstance(failure_of({"status": "Canceled"}, "restore"), UnknownProviderError)


def test_the_code_within_counts_too() -> None:
    inner: dict[str, Any] = {"code": "QuotaExceeded", "message": "40 of 40"}
    error = {"code": "DeploymentFailed", "message": "At least one failed.", "details": [inner]}

    failure = failure_of({"status": "Failed", "error": error}, "restore")

    assert isinstance(failure, QuotaReachedError)
    assert "DeploymentFailed, QuotaExceeded: At least one failed. 40 of 40" in str(failure)


def test_a_page_instead_of_an_answer_is_no_news_of_the_server(ground: Ground) -> None:
    error = ask(ground, Refusal(200, "html", "Sign in to the proxy"))

    assert isinstance(error, ProviderUnavailableError)
    assert "a proxy may be in the way" in str(error)


def test_nobody_at_the_address_is_a_provider_out_of_reach() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clients = AzureDatabases(SUBSCRIPTION, f"http://127.0.0.1:{port}")

    with pytest.raises(ProviderUnavailableError, match="could not be reached"):
        clients.ask("/subscriptions", "2022-12-01")
    clients.close()


def test_a_long_message_is_cut() -> None:
    assert len(str(translated("read", Told(("X",), "long " * 999)))) < 600
