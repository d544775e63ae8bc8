"""Keeps a managed database from taking writes, by SQL of its own engine."""

import importlib
from collections.abc import Callable

from domain.errors import CatalogError
from domain.recovery import RestoreHandle
from domain.resources import Connection
from providers.secrets.references import Secrets


def fence_with(secrets: Secrets) -> Callable[[RestoreHandle, Connection, bool], None]:
    """Return how a database is fenced and freed; the engine's driver is imported on first need."""

    def fence(server: RestoreHandle, connection: Connection, fenced: bool) -> None:  # noqa: FBT001 - one act
        try:
            module = importlib.import_module(f"providers.{server.engine}.fence")
        except ModuleNotFoundError as error:
            raise CatalogError(
                f"the driver of {server.engine} is not installed (no module {error.name}); install "
                f"it with: pip install 'refloat[{server.engine}]'"
            ) from None
        module.fence(server, connection, secrets, fenced=fenced)

    return fence
