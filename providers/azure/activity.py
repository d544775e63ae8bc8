"""The subscription's activity log: the one place that knows of what failed or is deleted.

Resource Manager lists neither operations nor deleted servers. Its activity log keeps both for 90
days, shows them some minutes late, and may be read with `Microsoft.Insights/eventtypes/values/read`.
Azure's own steps to bring a deleted server back begin there too.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.errors import PermanentError, RecoveryError
from providers.azure.client import AzureClient
from providers.azure.errors import failure_of

RECOVERABLE = timedelta(days=5)
"""How long Azure keeps the backups of a deleted server."""
_LOG = "providers/Microsoft.Insights/eventtypes/management/values"
_VERSION = "2015-04-01"
_DELETION, _CREATION = "/flexibleservers/delete", "/flexibleservers/write"
_FAILED, _SUCCEEDED = "failed", "succeeded"
_HOUR = timedelta(hours=1)


class ActivityLog:
    """Asks what was done to one server."""

    def __init__(self, client: AzureClient, recoverable: timedelta) -> None:
        self._client, self._recoverable = client, recoverable

    def deleted_at(self, server_id: str) -> datetime | None:
        """Return the stamp of a server's last deletion that can be undone; None where there is none.

        It is the `submissionTimestamp` that Azure asks for when a deleted server comes back.

        Raises:
            AccessDeniedError: nobody lets us read the log.
        """
        events = self._events(server_id, _DELETION)
        failed = {_act(one) for one in events if _status(one) == _FAILED}
        done = [one for one in events if _act(one) not in failed]
        certain = [one for one in done if _status(one) == _SUCCEEDED] or done
        stamps = [_stamp(one["submissionTimestamp"]) for one in certain]
        return max(stamps, default=None)

    def failure(self, server_id: str, doing: str) -> RecoveryError | None:
        """Return why the last attempt to make a server failed, where the log tells and we may read."""
        try:
            events = self._events(server_id, _CREATION)
        except PermanentError:
            return None
        last = max(events, key=lambda one: _stamp(one["submissionTimestamp"]), default=None)
        if last is None:
            return None
        of_last = [one for one in events if _act(one) == _act(last) and _status(one) == _FAILED]
        return next((error for one in of_last if (error := _told(one, doing))), None)

    def readable(self) -> None:
        """Return if we may read the log; raise why not."""
        self._asked("read the activity log", f"resourceGroupName eq '{self._client.group}'", _HOUR)

    def _events(self, server_id: str, act: str) -> list[Mapping[str, Any]]:
        doing = f"look for {server_id.rpartition('/')[2]} in the activity log"
        found = self._asked(doing, f"resourceUri eq '{server_id}'", self._recoverable)
        return [one for one in found if _word(one, "operationName").endswith(act)]

    def _asked(self, doing: str, of: str, span: timedelta) -> list[Any]:
        now = datetime.now(UTC)
        since = (
            f"eventTimestamp ge '{_written(now - span)}' and eventTimestamp le '{_written(now)}'"
        )
        url = f"/subscriptions/{self._client.entry.subscription}/{_LOG}"
        return self._client.asked(doing, url, _VERSION, f"{since} and {of}")


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stamp(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _word(event: Mapping[str, Any], field: str) -> str:
    return str((event.get(field) or {}).get("value", "")).lower()


def _status(event: Mapping[str, Any]) -> str:
    return _word(event, "status")


def _act(event: Mapping[str, Any]) -> str:
    """Return what the events of one call have in common."""
    return str(event.get("correlationId") or event.get("operationId") or "")


def _told(event: Mapping[str, Any], doing: str) -> RecoveryError | None:
    """Return the error that an event quotes, as text within its own text."""
    quoted = (event.get("properties") or {}).get("statusMessage") or "{}"
    errors = [one["error"] for one in _nested(quoted) if isinstance(one.get("error"), dict)]
    if not errors:
        return None
    return failure_of({"status": "Failed", "error": errors[0]}, doing)


def _nested(quoted: str | Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    try:
        read = json.loads(quoted) if isinstance(quoted, str) else quoted
    except ValueError:
        return
    if isinstance(read, Mapping):
        yield read
