"""The one way to connect to Temporal, shared by client, worker, tests and replayer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError, RPCStatusCode

from client.errors import ClientError, TemporalUnreachableError
from client.settings import TemporalSettings

DATA_CONVERTER = pydantic_data_converter
_PATIENCE = 3.0
_SILENT = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED}

__all__ = ["DATA_CONVERTER", "TemporalUnreachableError", "connect", "temporal_errors"]


def _unreachable(address: str) -> TemporalUnreachableError:
    return TemporalUnreachableError(
        f"Temporal does not answer at {address}; start it (`refloat sandbox up` for a "
        "sandbox), or name its address with REFLOAT_TEMPORAL_ADDRESS"
    )


@contextmanager
def temporal_errors(address: str) -> Iterator[None]:
    """Turn what Temporal's client raises in the block into a sentence.

    Raises:
        TemporalUnreachableError: it stopped answering.
        ClientError: it answered no.
    """
    try:
        yield
    except RPCError as error:
        if error.status in _SILENT:
            raise _unreachable(address) from None
        raise ClientError(f"Temporal at {address} refused: {error.message}") from None


async def connect(settings: TemporalSettings) -> Client:
    """Return a client; TLS and API keys come by Temporal's own TEMPORAL_* variables.

    Raises:
        TemporalUnreachableError: nobody answers at the address.
        ClientError: the variables or the address are no good.
    """
    try:
        standard = ClientConfig.load_client_connect_config()
    except (OSError, RuntimeError, ValueError) as error:
        raise ClientError(f"Temporal's own configuration (TEMPORAL_*): {error}") from None
    try:
        return await asyncio.wait_for(
            Client.connect(
                settings.address,
                namespace=settings.namespace,
                data_converter=DATA_CONVERTER,
                tls=standard.get("tls") or None,
                api_key=standard.get("api_key"),
            ),
            _PATIENCE,
        )
    except (RuntimeError, RPCError, TimeoutError):
        raise _unreachable(settings.address) from None
    except ValueError as error:
        raise ClientError(f"{settings.address!r} is no address for Temporal: {error}") from None
