"""Which call of the API a request is, and what it says."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request

from simulators.gcp import refusals

MOST = 1000
INSTANCE = "/projects/{project}/instances/{instance}"

ROUTES = (
    ("GET", "/projects/{project}/instances", "List"),
    ("POST", "/projects/{project}/instances", "Insert"),
    ("GET", INSTANCE, "Get"),
    ("PATCH", INSTANCE, "Patch"),
    ("PUT", INSTANCE, "Update"),
    ("DELETE", INSTANCE, "Delete"),
    ("POST", INSTANCE + "/clone", "Clone"),
    ("POST", INSTANCE + "/restoreBackup", "RestoreBackup"),
    ("GET", INSTANCE + "/getLatestRecoveryTime", "GetLatestRecoveryTime"),
    ("GET", INSTANCE + "/connectSettings", "GetConnectSettings"),
    ("GET", INSTANCE + "/users", "Users.List"),
    ("GET", INSTANCE + "/backupRuns", "BackupRuns.List"),
    ("POST", INSTANCE + "/backupRuns", "BackupRuns.Insert"),
    ("GET", INSTANCE + "/backupRuns/{run}", "BackupRuns.Get"),
    ("DELETE", INSTANCE + "/backupRuns/{run}", "BackupRuns.Delete"),
    ("GET", "/projects/{project}/backups", "ListBackups"),
    ("POST", "/projects/{project}/backups", "CreateBackup"),
    ("GET", "/projects/{project}/backups/{backup}", "GetBackup"),
    ("DELETE", "/projects/{project}/backups/{backup}", "DeleteBackup"),
    ("GET", "/projects/{project}/operations", "Operations.List"),
    ("GET", "/projects/{project}/operations/{operation}", "Operations.Get"),
    ("GET", "/flags", "Flags.List"),
)
"""Verb, path below the version, and the call's name: the method of SqlInstancesService as it is, and
that of another service behind the service's name where two have it."""


@dataclass(frozen=True)
class Call:
    """One call of the API."""

    operation: str
    at: Mapping[str, str]
    """The names in the path."""
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def project(self) -> str:
        """Return the project in the path."""
        return self.at["project"]

    @property
    def instance(self) -> str:
        """Return the instance in the path."""
        return self.at["instance"]

    def size(self, usual: int) -> int:
        """Return how many items a page holds."""
        asked = self.query.get("maxResults") or self.query.get("pageSize") or usual
        return min(MOST, int(asked) or usual)


def operation_of(request: Request) -> str:
    """Return the name of the call, or `unknown`."""
    return _matched(request)[0]


def read(request: Request) -> Call:
    """Return what a request asks; refuse a body that is no JSON."""
    operation, at = _matched(request)
    try:
        body = json.loads(request.get_data() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise refusals.RefusedError(400, "parseError", "Parse Error")
    return Call(operation, at, request.args.to_dict(), body)


def _matched(request: Request) -> tuple[str, dict[str, str]]:
    path = re.sub(r"^/(sql/v1beta4|v1)(?=/)", "", request.path)
    for verb, template, operation in ROUTES:
        match = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template), path)
        if match is not None and verb == request.method:
            return operation, match.groupdict()
    return "unknown", {}
