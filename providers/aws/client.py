"""The SDK's clients of one account and region, each call at the account's pace and translated."""

from functools import cache, cached_property
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import Loader, create_loader

from domain.entries import AwsProviderEntry
from providers.aws.errors import aws_errors
from providers.managed.limiter import Gate

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient
    from types_boto3_rds import RDSClient
    from types_boto3_sts import STSClient

_ONCE = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},  # Temporal retries, and nobody else
    connect_timeout=5,
    read_timeout=30,
)


@cache
def _models() -> Loader:
    """Return the reader of the SDK's service models, which are large and the same for everybody."""
    return create_loader()


class AwsClient:
    """Credentials, endpoints and profiles are the SDK's own; only the region is ours to say."""

    def __init__(self, entry: AwsProviderEntry, scale: float) -> None:
        self.entry = entry
        self.call = Gate(entry.calls_per_second, scale, aws_errors).call
        self._elsewhere: dict[str, RDSClient] = {}

    @cached_property
    def _session(self) -> boto3.Session:
        made = botocore.session.get_session()
        made.register_component("data_loader", _models())
        return boto3.Session(region_name=self.entry.region, botocore_session=made)

    @cached_property
    def rds(self) -> "RDSClient":
        """RDS in the entry's region."""
        with aws_errors("set up the RDS client"):
            return self._session.client("rds", config=_ONCE)

    def rds_in(self, region: str) -> "RDSClient":
        """Return RDS in another region."""
        if region not in self._elsewhere:
            with aws_errors(f"set up the RDS client of {region}"):
                self._elsewhere[region] = self._session.client(
                    "rds", region_name=region, config=_ONCE
                )
        return self._elsewhere[region]

    @cached_property
    def kms(self) -> "KMSClient":
        """Key management in the entry's region."""
        with aws_errors("set up the KMS client"):
            return self._session.client("kms", config=_ONCE)

    @cached_property
    def sts(self) -> "STSClient":
        """Who we are."""
        with aws_errors("set up the STS client"):
            return self._session.client("sts", config=_ONCE)
