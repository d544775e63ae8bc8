"""Amazon ECR: pull tokens, when images were pushed, archived ones, and lifecycle policies."""

import base64
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import boto3
from botocore import exceptions as sdk
from botocore.config import Config

from domain.checks import Finding, Verdict
from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    CredentialsRefusedError,
    ImageMissingError,
    ProviderUnavailableError,
    RecoveryError,
    ThrottledError,
    UnknownProviderError,
    UnsupportedResourceError,
)
from providers.managed.limiter import Gate
from providers.managed.refusals import Row, Told
from providers.oci.client import OciClient
from providers.oci.credentials import Credentials, Keyring
from providers.oci.examining import finding
from providers.oci.knowledge import Knowledge, Listed, kept
from providers.oci.lifecycle import Held, judge_lifecycle

_HOST = re.compile(
    r"(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)"
)
_ONCE = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},  # Temporal retries, and nobody else
    connect_timeout=5,
    read_timeout=30,
)
_CALLS_PER_SECOND = 10.0
_EARLY = timedelta(minutes=10)
_ACTIVE = "ACTIVE"
_ACTION = re.compile(r"not authorized to perform:? (\S+)")

ROWS = (
    Row(
        ThrottledError,
        "the account made too many calls; Refloat waits and asks again",
        like=r"Throttl|TooManyRequests|RequestLimitExceeded|SlowDown",
    ),
    Row(
        ImageMissingError,
        "ECR has no such repository in this account and region",
        codes=("RepositoryNotFoundException",),
    ),
    Row(
        CredentialsRefusedError,
        "AWS does not accept the worker's credentials; renew them where the worker runs",
        like=r"ExpiredToken|InvalidClientTokenId|UnrecognizedClient|InvalidAccessKeyId|Signature"
        r"|AuthFailure|MissingAuthentication|RequestTimeTooSkewed|InvalidIdentityToken",
    ),
    Row(
        AccessDeniedError,
        "the credentials lack the permission {permission}; add it to the policy of the worker's "
        "user or role",
        like=r"AccessDenied|Unauthorized|NotAuthorized|OptInRequired",
    ),
    Row(
        UnsupportedResourceError,
        "ECR cannot do this for this repository",
        like=r"^Unsupported|BlockedByOrganizationPolicy",
    ),
    Row(
        ConfigurationRefusedError,
        "ECR refuses the request; correct the repository's name",
        like=r"InvalidParameter|Validation",
    ),
    Row(
        ProviderUnavailableError,
        "ECR has a problem of its own; Refloat asks again",
        like=r"^Server|Internal|ServiceUnavailable|RequestTimeout",
    ),
    Row(
        ProviderUnavailableError,
        "ECR has a problem of its own; Refloat asks again",
        statuses=(408, *range(500, 600)),
    ),
    Row(
        CredentialsRefusedError,
        "the worker has no usable AWS credentials; set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, a profile or a role where it runs",
        raised=(
            *(sdk.NoCredentialsError, sdk.PartialCredentialsError, sdk.CredentialRetrievalError),
            *(sdk.TokenRetrievalError, sdk.SSOError, sdk.ProfileNotFound),
        ),
    ),
    Row(
        ConfigurationRefusedError,
        "the region is not known; name the registry by its host in ECR, or set AWS_REGION",
        raised=(sdk.NoRegionError, sdk.InvalidRegionError, sdk.EndpointProviderError),
    ),
    Row(
        ProviderUnavailableError,
        "ECR does not answer; Refloat asks again",
        raised=(sdk.HTTPClientError, sdk.ConnectionError, sdk.IncompleteReadError),
    ),
)
_UNKNOWN = Row(UnknownProviderError, "an error that Refloat does not know; Refloat asks again")


def knowledge(host: str, named: Keyring) -> Knowledge:
    """Return what the ECR of a host knows; another host is taken for one in the SDK's region."""
    del named
    found = _HOST.fullmatch(host)
    return Ecr(*found.groups()) if found else Ecr("", None)


@contextmanager
def ecr_errors(doing: str) -> Iterator[None]:
    """Translate what the SDK raises; its own words may quote a token and go no further."""
    try:
        yield
    except sdk.ClientError as error:
        told = error.response.get("Error", {})
        code, message = str(told.get("Code", "")), str(told.get("Message", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        found = _ACTION.search(message)
        permission = found[1].rstrip(".,") if found else f"ecr:{error.operation_name}"
        raise _error(doing, Told((code,), message, status), permission) from None
    except sdk.BotoCoreError as error:
        raise _error(doing, Told((type(error).__name__,), raised=error)) from None


def _error(doing: str, told: Told, permission: str = "") -> RecoveryError:
    row = next((row for row in ROWS if row.fits(told)), _UNKNOWN)
    meaning = row.meaning.replace("{permission}", permission)
    return row.becomes(f"{doing}: {meaning} ({', '.join(told.codes)})")


class Ecr(Knowledge):
    """One account's registry in one region."""

    def __init__(self, account: str, region: str | None) -> None:
        self._registry = {"registryId": account} if account else {}
        self._region = region
        self._call = Gate(_CALLS_PER_SECOND, 1.0, ecr_errors).call
        self._token: tuple[Credentials, datetime] | None = None
        self._lock = threading.Lock()

    @cached_property
    def _ecr(self) -> Any:  # noqa: ANN401 - the SDK makes its clients at run time
        with ecr_errors("set up the ECR client"):
            return boto3.Session(region_name=self._region).client("ecr", config=_ONCE)

    def credentials(self) -> Credentials | None:
        """Return the token to pull and push with, a new one shortly before it expires."""
        with self._lock:
            if self._token is None or self._token[1] - _EARLY <= datetime.now(UTC):
                with self._call("ask ECR for a token to pull with"):
                    given = self._ecr.get_authorization_token()["authorizationData"][0]
                pair = base64.b64decode(given["authorizationToken"]).decode()
                user, _, password = pair.partition(":")
                self._token = Credentials(user, password), given["expiresAt"]
            return self._token[0]

    def listed(self, client: OciClient) -> Sequence[Listed] | None:
        """Return every image that can be pulled, as ECR tells when each was pushed."""
        return [
            Listed(
                digest=one["imageDigest"],
                tags=tuple(sorted(one.get("imageTags", ()))),
                pushed_at=one["imagePushedAt"],
                size_bytes=one.get("imageSizeInBytes") or 0,
            )
            for one in self._details(client)
            if one.get("imageStatus", _ACTIVE) == _ACTIVE
        ]

    def examine(
        self, client: OciClient, digest: str, tags: Sequence[str] | None
    ) -> Sequence[Finding]:
        """Return whether the image is at hand, and what the lifecycle policy will do to it."""
        del tags
        details = self._details(client)
        own = next((one for one in details if one["imageDigest"] == digest), None)
        if own is None:
            return []
        return [_at_hand(client, own), self._lifecycle(client, details, digest)]

    def protect(self, client: OciClient, digest: str) -> str:
        """Return that ECR locks no image; a tag is what remains."""
        del client, digest
        return ""

    def _details(self, client: OciClient) -> list[dict[str, Any]]:
        with self._call(f"list the images of {client.place}"):
            pages = self._ecr.get_paginator("describe_images").paginate(
                repositoryName=client.place.path,
                PaginationConfig={"PageSize": 1000},
                filter={"imageStatus": "ANY"},  # without it, archived images are not told
                **self._registry,
            )
            return [one for page in pages for one in page["imageDetails"]]

    def _lifecycle(
        self, client: OciClient, details: Sequence[dict[str, Any]], digest: str
    ) -> Finding:
        try:
            with self._call(f"read the lifecycle policy of {client.place}"):
                policy = self._ecr.get_lifecycle_policy(
                    repositoryName=client.place.path, **self._registry
                )
        except UnknownProviderError as error:
            if "LifecyclePolicyNotFoundException" not in str(error):
                raise
            return kept("the repository has no lifecycle policy", Verdict.PASSED)
        held = [
            Held(
                digest=one["imageDigest"],
                tags=tuple(one.get("imageTags", ())),
                pushed_at=one["imagePushedAt"],
                pulled_at=one.get("lastRecordedPullTime"),
                archived_at=one.get("lastArchivedAt"),
                archived=one.get("imageStatus", _ACTIVE) != _ACTIVE,
            )
            for one in details
        ]
        return judge_lifecycle(policy["lifecyclePolicyText"], held, digest)


def _at_hand(client: OciClient, own: dict[str, Any]) -> Finding:
    status = own.get("imageStatus", _ACTIVE)
    problem = "" if status == _ACTIVE else f"its status is {status}, and it cannot be pulled so"
    advice = (
        "wait until ECR has activated it, then ask again"
        if status == "ACTIVATING"
        else "restore it: aws ecr update-image-storage-class --target-storage-class STANDARD "
        f"--repository-name {client.place.path} --image-id imageDigest={own['imageDigest']}"
    )
    return finding("the image's storage class", "one to pull from", problem, "active", advice)
