"""What Azure itself says of credentials, permissions, locks, quota and key."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from domain.checks import Finding
from domain.errors import PermanentError, RecoveryError, TransientError
from domain.recovery import RecoveryPoint
from domain.resources import Engine, Mode, ProtectedResource
from providers.azure.activity import ActivityLog
from providers.azure.client import NAMESPACES, AzureClient
from providers.azure.describing import Told, encryption_of, place
from providers.azure.servers import Servers
from providers.managed.driver import Access
from providers.managed.model import Encryption, Instance
from providers.managed.preflight import asked, finding, unasked

_PERMISSIONS = ("providers/Microsoft.Authorization/permissions", "2022-04-01")
_NEEDED: Mapping[str, Sequence[str]] = {
    "restore": ("read", "write"),
    "change settings": ("configurations/write", "firewallRules/write", "restart/action"),
    "delete": ("delete",),
}
_READ_ONLY, _CANNOT_DELETE = "ReadOnly", "CanNotDelete"
_SIZE = re.compile(r"Standard_(?P<letter>[A-Z]+)(?P<cores>\d+)(?P<more>[a-z]*)_?(?P<version>v\d+)?")
_SERVERS = "flexibleservers"
_ROOM = "room for one more server of the source's size"


class AzureAccess(Access):
    """Asks with calls that only read."""

    def __init__(self, client: AzureClient, servers: Servers, log: ActivityLog) -> None:
        self._client, self._servers, self._log = client, servers, log

    def examine(
        self, resource: ProtectedResource, point: RecoveryPoint, source: Instance | None, mode: Mode
    ) -> Iterator[Finding]:
        """Yield one finding a question."""
        del point
        yield from self._permissions(resource.engine)
        yield self._activity()
        yield self._locks(mode)
        if source is None:
            yield unasked("quota", _ROOM, "the deleted server's size is not known")
            return
        whole = self._servers.whole(source.name, source.engine)
        yield self._region(whole)
        yield self._quota(source.engine, whole)
        yield _key(whole, source)

    @property
    def _scope(self) -> str:
        entry = self._client.entry
        return f"/subscriptions/{entry.subscription}/resourceGroups/{entry.resource_group}"

    def _permissions(self, engine: Engine) -> Iterator[Finding]:
        """Yield whether the credentials reach the group, then which of the rights its roles give."""
        title, expected = "credentials", f"resource group {self._client.group}"
        try:
            self._servers.listed(engine)
        except TransientError:
            raise
        except RecoveryError as error:
            yield asked(title, expected, "", error)
            return
        yield finding(title, expected, f"{expected} can be read", good=True)
        path, version = _PERMISSIONS
        try:
            roles = self._client.asked("list the permissions", f"{self._scope}/{path}", version)
        except PermanentError as error:
            yield unasked("permissions", "granted", str(error))
            return
        yield from (_granted(roles, name, engine) for name in _NEEDED)

    def _activity(self) -> Finding:
        title, expected = (
            "activity log",
            "can be read, because it alone tells of failed and of deleted servers",
        )
        try:
            self._log.readable()
        except PermanentError as error:
            return unasked(title, expected, str(error))
        return finding(title, expected, "can be read", good=True)

    def _locks(self, mode: Mode) -> Finding:
        """Tell of locks that would hold for a copy; a copy of a drill must be removed again."""
        locks = self._servers.locks(self._scope)
        scopes = {"/".join(self._scope.split("/")[:3]).lower(), self._scope.lower()}
        levels = {one["properties"]["level"] for one in locks if _scope_of(one) in scopes}
        forbids = {_READ_ONLY} if mode is Mode.INCIDENT else {_READ_ONLY, _CANNOT_DELETE}
        return finding(
            "management locks",
            "none that holds for the copy",
            ", ".join(sorted(levels)) or "none seen",
            good=not levels & forbids,
            advice="remove the lock of the group, or restore in a group of its own",
        )

    def _region(self, whole: Told) -> Finding:
        expected, observed = place(self._client.entry.region), place(whole.get("location"))
        return finding(
            "region",
            expected,
            observed,
            good=expected == observed,
            advice="write the server's region into the provider's entry of the catalog",
        )

    def _quota(self, engine: Engine, whole: Told) -> Finding:
        if engine is Engine.MYSQL:
            return unasked("quota", _ROOM, "Azure tells none for MySQL")
        lists, region = self._client.sdk.postgresql.quota.list, self._client.entry.region
        try:
            usages = self._client.listed("read the quotas", lambda: lists(region))
        except PermanentError as error:
            return unasked("quota", _ROOM, str(error))
        full = _full(usages, whole)
        if full is None:
            return unasked("quota", _ROOM, "Azure tells none for this size")
        return finding(
            "quota",
            _ROOM,
            full or "room for one more",
            good=not full,
            advice="ask Azure for a higher quota, or delete a server",
        )

    def encryption(self, instance: Instance) -> Encryption:
        """Return whose key encrypts a server; what the vault rotates by itself it does not tell."""
        try:
            return encryption_of(self._servers.whole(instance.name, instance.engine))
        except PermanentError:
            return instance.encryption


def _key(whole: Told, source: Instance) -> Finding:
    known = whole["properties"].get("dataEncryption") or {}
    lost = source.told == "Inaccessible" or known.get("primaryEncryptionKeyStatus") == "Invalid"
    encryption = encryption_of(whole)
    return finding(
        "encryption key",
        "usable",
        f"{encryption.key} cannot be used" if lost else str(encryption),
        good=not lost,
        advice="enable the key in Key Vault, and let the server's identity use it",
    )


def _granted(roles: Sequence[Told], name: str, engine: Engine) -> Finding:
    actions = [f"{NAMESPACES[engine]}/flexibleServers/{one}" for one in _NEEDED[name]]
    missing = [action for action in actions if not any(_grants(role, action) for role in roles)]
    return finding(
        f"permission to {name}",
        "granted at the resource group",
        f"not granted: {', '.join(missing)}" if missing else "granted",
        good=not missing,
        advice="assign a role that has it, see the provider's page in docs/",
    )


def _grants(role: Told, action: str) -> bool:
    """Return whether a role has an action; an asterisk stands for any part of one."""
    given = any(fnmatchcase(action.lower(), one.lower()) for one in role.get("actions") or [])
    taken = any(fnmatchcase(action.lower(), one.lower()) for one in role.get("notActions") or [])
    return given and not taken


def _scope_of(lock: Told) -> str:
    return str(lock.get("id", "")).lower().partition("/providers/microsoft.authorization/locks/")[0]


def _full(usages: Sequence[Told], whole: Told) -> str | None:
    """Return which quota has no room for one more server; empty where all have, None where unknown."""
    size = _SIZE.fullmatch((whole.get("sku") or {}).get("name") or "")
    cores = int(size["cores"]) if size else 1
    family = f"standard{size['letter']}{size['more']}{size['version'] or ''}family" if size else ""
    wanted = {family.lower(): cores, "cores": cores, _SERVERS: 1}
    known: list[tuple[Any, int]] = [
        (one, wanted[name])
        for one in usages
        if (name := str((one.get("name") or {}).get("value")).lower()) in wanted
    ]
    if not known:
        return None
    full = [
        f"{one['name']['value']}: {one['currentValue']} of {one['limit']} used"
        for one, more in known
        if one["limit"] - one["currentValue"] < more
    ]
    return ", ".join(full)
