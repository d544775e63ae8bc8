"""The one way to connect to Temporal, shared by client, worker, tests and replayer."""

import asyncio

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError

from client.errors import TemporalUnreachableError
from client.settings import TemporalSettings

DATA_CONVERTER = pydantic_data_converter
_PATIENCE = 5.0

__all__ = ["DATA_CONVERTER", "TemporalUnreachableError", "connect"]


async def connect(settings: TemporalSettings) -> Client:
    """Return a client; TLS and API keys come by Temporal's own TEMPORAL_* variables.

    Raises:
        TemporalUnreachableError: nobody answers at the address.
    """
    standard = ClientConfig.load_client_connect_config()
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
        raise TemporalUnreachableError(
            f"Temporal does not answer at {settings.address}; start it (`refloat sandbox up` for a "
            "sandbox), or name its address with REFLOAT_TEMPORAL_ADDRESS"
        ) from None
