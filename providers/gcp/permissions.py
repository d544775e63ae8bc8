"""Which permission of Google Cloud a refused call needed: Cloud SQL itself rarely says so."""

import re

from google.api_core.exceptions import GoogleAPICallError

NAMED = r"\b(?:cloudsql|cloudkms|compute|servicenetworking|iam)\.\w+\.\w+\b"
"""How a permission is written in a message."""

PERMISSIONS = (
    ("POST", r"/instances/[^/]+/clone$", "cloudsql.instances.clone"),
    ("POST", r"/instances/[^/]+/restoreBackup$", "cloudsql.instances.restoreBackup"),
    ("POST", r"/instances$", "cloudsql.instances.create"),
    ("PATCH|PUT", r"/instances/[^/]+$", "cloudsql.instances.update"),
    ("DELETE", r"/instances/[^/]+$", "cloudsql.instances.delete"),
    ("GET", r"/instances$", "cloudsql.instances.list"),
    ("POST", r"/(backupRuns|backups)$", "cloudsql.backupRuns.create"),
    ("DELETE", r"/(backupRuns|backups)/[^/]+$", "cloudsql.backupRuns.delete"),
    ("GET", r"/(backupRuns|backups)$", "cloudsql.backupRuns.list"),
    ("GET", r"/(backupRuns|backups)/[^/]+$", "cloudsql.backupRuns.get"),
    ("GET", r"", "cloudsql.instances.get"),
)
"""Verb, end of the path, permission: the first that fits."""


def permission_of(error: Exception | None, message: str) -> str:
    """Return the permission that a message names, or else the one that the refused call needs."""
    if isinstance(error, GoogleAPICallError) and (error.metadata or {}).get("permission"):
        return str(error.metadata["permission"])
    named = re.search(NAMED, message)
    return named.group() if named else _by_request(getattr(error, "response", None))


def _by_request(response: object) -> str:
    request = getattr(response, "request", None)
    verb, path = getattr(request, "method", ""), getattr(request, "url", "").partition("?")[0]
    fitting = (
        permission
        for verbs, end, permission in PERMISSIONS
        if re.fullmatch(verbs, verb or "") and re.search(end, path)
    )
    return next(fitting, "for this call")


def is_named(error: BaseException | None) -> bool:
    """Return whether a refusal itself names the permission, and so is no cover for what is missing."""
    if not isinstance(error, GoogleAPICallError):
        return False
    told = (error.metadata or {}).get("permission")
    return bool(told) or re.search(NAMED, str(error.message)) is not None
