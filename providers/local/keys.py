"""The key under which a resource's archive is sealed."""

from domain.errors import SecretUnavailableError
from domain.resources import ProtectedResource
from providers.secrets.references import Secrets


def backup_key(resource: ProtectedResource, secrets: Secrets) -> bytes:
    """Return the key of a resource's archive, read now.

    Raises:
        SecretUnavailableError: none is named, or the reference leads nowhere.
    """
    if resource.backups.key is None:
        raise SecretUnavailableError(
            f"{resource.path}: the catalog names no backups.key; add a reference such as "
            "file:backup.key, made with `openssl rand -base64 32`"
        )
    return secrets.key(resource.backups.key)
