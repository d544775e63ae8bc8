"""Where Temporal is."""

import os
from pathlib import Path

from pydantic import ValidationError

from domain.errors import CatalogError
from domain.values import Value


class TemporalSettings(Value):
    """Address, namespace and, where known, the web page of Temporal."""

    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    web: str = ""


def load_settings(catalog: Path) -> TemporalSettings:
    """Return the settings: REFLOAT_TEMPORAL_*, else temporal.json beside the catalog, else local."""
    beside = catalog.resolve().parent / "temporal.json"
    try:
        found = TemporalSettings.model_validate_json(beside.read_bytes())
    except FileNotFoundError:
        found = TemporalSettings()
    except ValidationError:
        raise CatalogError(f"{beside}: not valid; it holds address, namespace and web") from None
    address = os.environ.get("REFLOAT_TEMPORAL_ADDRESS")
    namespace = os.environ.get("REFLOAT_TEMPORAL_NAMESPACE")
    if address:
        found = found.model_copy(update={"address": address, "web": ""})
    return found.model_copy(update={"namespace": namespace}) if namespace else found


def load_time_scale() -> float:
    """Return how many times faster than reality the providers are: REFLOAT_TIME_SCALE, else 1.

    Only simulated providers are faster; the sandbox sets it for its own worker.

    Raises:
        CatalogError: it is no positive number.
    """
    told = os.environ.get("REFLOAT_TIME_SCALE", "1")
    try:
        scale = float(told)
    except ValueError:
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise CatalogError(
            f"REFLOAT_TIME_SCALE is {told!r}; it is a positive number, 1 for reality"
        )
    return scale
