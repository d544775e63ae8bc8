"""What is done to a managed database by SQL of its own engine: it is fenced, and logged in to."""

import importlib
from collections.abc import Callable
from typing import Any

from domain.errors import CatalogError
from domain.recovery import RestoreHandle
from domain.resources import Connection
from providers.secrets.references import Secrets


def fence_with(secrets: Secrets) -> Callable[[RestoreHandle, Connection, bool], None]:
    """Return how a database is kept from taking writes, and freed."""

    def fence(server: RestoreHandle, connection: Connection, fenced: bool) -> None:  # noqa: FBT001 - one act
        _part(server, "fence").fence(server, connection, secrets, fenced=fenced)

    return fence


def login_with(secrets: Secrets) -> Callable[[RestoreHandle, Connection], None]:
    """Return how it is found out whether a database lets its login in, and proves who it is."""

    def login(server: RestoreHandle, connection: Connection) -> None:
        with _part(server, "session").session(server, connection, secrets):
            return

    return login


def _part(server: RestoreHandle, part: str) -> Any:  # noqa: ANN401 - one of several modules alike
    """Return a module of the server's engine; its driver is imported on first need."""
    try:
        return importlib.import_module(f"providers.{server.engine}.{part}")
    except ModuleNotFoundError as error:
        raise CatalogError(
            f"the driver of {server.engine} is not installed (no module {error.name}); install "
            f"it with: pip install 'refloat[{server.engine}]'"
        ) from None
