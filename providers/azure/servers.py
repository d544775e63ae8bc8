"""The calls about one server that several parts need: reading all of it, and changing it."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from azure.core.exceptions import HttpResponseError

from domain.errors import (
    BusyError,
    ConfigurationRefusedError,
    PermanentError,
    ResourceMissingError,
    ServerFailedError,
)
from domain.resources import Engine
from providers.azure.client import AzureClient, body, told
from providers.azure.comparing import Beside, settings_of
from providers.azure.describing import Told
from providers.azure.errors import Quirk, failure_of
from providers.managed.model import Instance, State

STUCK = {State.FAILED, State.NEEDS_ACTION}
ADVICE = {
    "Disabled": "it does not recover by itself; delete it and restore again, or ask Azure's support",
    "Inaccessible": "enable its key in Key Vault, and let its identity use it",
    "Stopped": "start it with `az postgres flexible-server start`, or with `az mysql`",
}
_SUCCEEDED = "Succeeded"
_UNREGISTERED = "MissingSubscriptionRegistration"
_LOCKS = ("providers/Microsoft.Authorization/locks", "2016-09-01")


class Servers:
    """azure-mgmt-rdbms describes and lists; what it drops comes from the newer packages."""

    def __init__(self, client: AzureClient) -> None:
        self._client = client
        self.restarted: set[str] = set()
        """Ids of servers that were restarted since a parameter of theirs was set."""
        self._begun: dict[tuple[object, ...], str] = {}

    def described(self, name: str, engine: Engine) -> Told | None:
        """Return a server in Azure's words, or None where there is none."""
        try:
            with self._client.call(f"describe {name}"):
                return told(self._client.of(engine).servers.get(self._client.group, name))
        except ResourceMissingError:
            return None
        except ConfigurationRefusedError as error:
            if _is_unregistered(error):
                return None
            raise

    def listed(self, engine: Engine) -> list[dict[str, Any]]:
        """Return every server of an engine in the resource group."""
        lists, group = self._client.of(engine).servers.list_by_resource_group, self._client.group
        doing = f"list the servers of {engine.value}"
        try:
            return self._client.listed(doing, lambda: lists(group))
        except ConfigurationRefusedError as error:
            if _is_unregistered(error):
                return []
            raise

    def whole(self, name: str, engine: Engine) -> Told:
        """Return a server with what azure-mgmt-rdbms drops."""
        with self._client.call(f"describe all of {name}"):
            return told(self._client.of(engine).whole.get(self._client.group, name))

    def configurations(self, name: str, engine: Engine) -> list[dict[str, Any]]:
        """Return every parameter of a server, set or not."""
        return self._beside(
            "parameters", name, self._client.of(engine).configurations.list_by_server
        )

    def rules(self, name: str, engine: Engine) -> list[dict[str, Any]]:
        """Return a server's firewall rules."""
        calls = self._client.of(engine).firewall_rules
        return self._beside("firewall rules", name, calls.list_by_server)

    def endpoints(self, name: str, engine: Engine) -> list[dict[str, Any]]:
        """Return a server's virtual endpoints, which only PostgreSQL has."""
        if engine is not Engine.POSTGRESQL:
            return []
        lists = self._client.sdk.postgresql.virtual_endpoints.list_by_server
        return self._beside("virtual endpoints", name, lists)

    def _beside(self, what: str, name: str, lists: Callable[..., Any]) -> list[dict[str, Any]]:
        group = self._client.group
        return self._client.listed(f"list the {what} of {name}", lambda: lists(group, name))

    def locks(self, scope: str) -> list[Any]:
        """Return the management locks above, at and below a scope; none where we may not read them."""
        path, version = _LOCKS
        doing = f"list the locks of {scope.rpartition('/')[2]}"
        try:
            return self._client.asked(doing, f"{scope}/{path}", version)
        except PermanentError:
            return []

    def settings(
        self, name: str, engine: Engine, configurations: Sequence[Told] | None
    ) -> Mapping[str, str]:
        """Return everything of a server that is compared."""
        whole, server_id = self.whole(name, engine), self._client.id_of(name, engine)
        calls = self._client.of(engine)
        beside = Beside(
            configurations=configurations or self.configurations(name, engine),
            rules=self.rules(name, engine),
            endpoints=self.endpoints(name, engine),
            administrators=self._beside(
                "administrators", name, calls.administrators.list_by_server
            ),
            replicas=self._beside("replicas", name, calls.replicas.list_by_server),
            locks=self.locks(server_id),
        )
        return settings_of(whole, server_id, beside)

    def change(self, instance: Instance, doing: str, wanted: Mapping[str, Any]) -> None:
        """Begin to change what a body names, and nothing else."""
        update = self._client.of(instance.engine).whole.begin_update
        self.begin(instance, doing, update, body(wanted))

    def begin(
        self,
        instance: Instance,
        doing: str,
        act: Callable[..., object],
        *what: object,
        quirk: Quirk | None = None,
    ) -> None:
        """Begin an operation of a server, unless this process began it before and it is not over.

        Raises:
            BusyError: another one is not over.
            ServerFailedError: the server's state does not pass, which Azure tells as "busy" too.
            RecoveryError: what was begun before failed, for the reason that Azure tells.
        """
        what_exactly = (instance.id, doing, *map(_content, what))
        if self._goes_on(what_exactly, doing, quirk):
            return
        try:
            url = self._client.begin(doing, act, instance.name, *what, quirk=quirk)
        except BusyError as error:
            if instance.state not in STUCK:
                raise
            raise ServerFailedError(
                f"{error}: {instance.name} is {instance.told!r}; {ADVICE[instance.told]}"
            ) from None
        self._begun[what_exactly] = url

    def _goes_on(self, what_exactly: tuple[object, ...], doing: str, quirk: Quirk | None) -> bool:
        url = self._begun.pop(what_exactly, "")
        operation = self.operation(url, doing) if url else None
        if operation is None:
            return False
        if error := failure_of(operation, doing, quirk):
            raise error
        if operation.get("status") == _SUCCEEDED:
            return False
        self._begun[what_exactly] = url
        return True

    def operation(self, url: str, doing: str) -> Told | None:
        """Return an operation as its own address tells it; None where that tells no more."""
        try:
            with self._client.call(f"ask how it goes: {doing}"):
                return self._client.sdk.ask(url)
        except PermanentError:
            return None


def _content(sent: object) -> object:
    return sent.getvalue() if isinstance(sent, io.BytesIO) else sent


def _is_unregistered(error: ConfigurationRefusedError) -> bool:
    """Return whether the subscription never had a server of the engine, so that there is none."""
    cause = error.__cause__
    code = cause.error.code if isinstance(cause, HttpResponseError) and cause.error else ""
    return code == _UNREGISTERED
