"""What Google itself says of credentials, permissions, quota and key."""

from collections.abc import Callable, Iterator, Mapping

from domain.checks import Finding
from domain.errors import AccessDeniedError, RecoveryError, ResourceMissingError, TransientError
from domain.recovery import RecoveryPoint
from domain.resources import Mode, ProtectedResource
from providers.gcp.client import GcpClient
from providers.gcp.permissions import is_named
from providers.managed.driver import Access
from providers.managed.model import Encryption, Instance
from providers.managed.preflight import asked, finding, unasked

_NOBODY = "refloat-probe-of-permissions"
_KEY_GONE = "KMS_KEY_ISSUE"


class GcpAccess(Access):
    """Asks with calls that change nothing, whatever they answer."""

    def __init__(self, client: GcpClient) -> None:
        self._client = client

    def examine(
        self, resource: ProtectedResource, point: RecoveryPoint, source: Instance | None, mode: Mode
    ) -> Iterator[Finding]:
        """Yield one finding a question."""
        del resource, mode
        yield self._project()
        for name, act in self._acts(from_backup=point.snapshot_id is not None).items():
            yield self._permission(name, act)
        yield unasked(
            "instance quota",
            "room for one more",
            "Cloud SQL tells it to nobody before it is reached; see the project's quotas",
        )
        if source is not None:
            yield from _key(source)

    def encryption(self, instance: Instance) -> Encryption:
        """Return what the instance tells: how its key rotates only Cloud KMS knows."""
        return instance.encryption

    def _project(self) -> Finding:
        project = self._client.entry.project
        title, expected = "credentials", f"project {project}"
        try:
            with self._client.call(f"list the instances of {project}"):
                self._client.sql.instances.list(request={"project": project, "max_results": 1})
        except TransientError:
            raise
        except RecoveryError as error:
            return asked(title, expected, "", error)
        return finding(title, expected, f"project {project} can be read", good=True)

    def _acts(self, *, from_backup: bool) -> Mapping[str, Callable[[], object]]:
        """Return calls about an instance that does not exist: nothing is done by any of them."""
        client, nobody = self._client, self._client.at(_NOBODY)
        context = {"destination_instance_name": f"{_NOBODY}-copy"}
        unpack = {"backup": f"{client.parent}/backups/{_NOBODY}"}
        clone, restore = (
            lambda: client.sql.instances.clone(
                request={**nobody, "body": {"clone_context": context}}
            ),
            lambda: client.sql.literally("restore_backup", nobody, unpack),
        )
        return {
            **({"restore backups": restore} if from_backup else {"clone": clone}),
            "update": lambda: client.sql.literally("patch", nobody, {"settings": {}}),
            "delete": lambda: client.sql.instances.delete(request=nobody),
            "back up": lambda: client.sql.backups.create_backup(
                request={"parent": client.parent, "backup": {"instance": _NOBODY}}
            ),
        }

    def _permission(self, name: str, act: Callable[[], object]) -> Finding:
        title, expected = f"permission to {name}", "not refused"
        try:
            with self._client.call(f"ask for the permission to {name}"):
                act()
        except ResourceMissingError:
            return finding(title, expected, "not refused for an unknown name", good=True)
        except AccessDeniedError as error:
            if is_named(error.__cause__):
                return asked(title, expected, "", error)
            told = "forbidden for an unknown name: either the permission is missing, or Cloud SQL"
            return unasked(title, expected, f"{told} hides that there is no such instance")
        except TransientError:
            raise
        except RecoveryError as error:
            return unasked(title, expected, f"Cloud SQL answered otherwise: {error}")
        return unasked(title, expected, "Cloud SQL accepted it for an unknown name")


def _key(source: Instance) -> Iterator[Finding]:
    """Yield what the state of the source tells of its key; Cloud KMS itself is not asked."""
    title, expected = "encryption key", "enabled"
    if _KEY_GONE in source.told:
        yield finding(
            title,
            expected,
            f"{source.name} is suspended, because its key {source.encryption.key} cannot be used",
            good=False,
            advice="enable the key in Cloud KMS; no copy can be made without it",
        )
    elif source.encryption.key:
        known = f"{source.name} uses {source.encryption.key} and is {source.told}"
        yield unasked(title, expected, f"{known}; whether it is enabled only Cloud KMS tells")
