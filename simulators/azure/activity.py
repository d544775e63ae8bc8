"""The activity log: what was done to servers, those included that are gone."""

import json
import re
from collections.abc import Iterator

from simulators.azure.account import Account, Call
from simulators.azure.answers import moment
from simulators.azure.families import Json
from simulators.azure.operations import Answer
from simulators.azure.refusals import ApiError
from simulators.azure.shapes import FAILED, IN_PROGRESS, SUCCEEDED, Task

FILTER = re.compile(
    r"eventTimestamp ge '[^']+' and eventTimestamp le '[^']+'"
    r" and (?:resourceUri eq '(?P<resource>[^']+)'|resourceGroupName eq '(?P<group>[^']+)')"
)
ACTS = {"restore": "write", "create": "write", "update": "write", "delete": "delete"}


def list_events(account: Account, call: Call) -> Answer:
    """Return the events of a server or of a group, newest first; no other filter is allowed."""
    asked = FILTER.fullmatch(call.query.get("$filter", ""))
    if asked is None:
        raise ApiError(400, "BadRequest", "The filter is not one of those that are allowed.")
    found = [
        event
        for task in [*account.tasks.values()][::-1]
        if task.kind in ACTS and _fits(account, task, asked)
        for event in _events(account, task)
    ]
    return {"value": found}


def _fits(account: Account, task: Task, asked: re.Match[str]) -> bool:
    if asked["resource"]:
        return account.id_of(task.server).lower() == asked["resource"].lower()
    return task.server.group.lower() == asked["group"].lower()


def _events(account: Account, task: Task) -> Iterator[Json]:
    """Yield how a call ended, where it did, then that it was accepted."""
    kind = f"{task.server.family.kind}/{ACTS[task.kind]}"
    for status in (task.status, "Accepted"):
        if status == IN_PROGRESS:
            continue
        event: Json = {
            "correlationId": task.id,
            "resourceId": account.id_of(task.server),
            "operationName": {"value": kind},
            "status": {"value": {SUCCEEDED: "Succeeded", FAILED: "Failed"}.get(status, status)},
            "eventTimestamp": moment(task.began_at),
            "submissionTimestamp": moment(task.began_at),
        }
        if status == FAILED:
            _, code, message = task.error
            said = {"status": "Failed", "error": {"code": code, "message": message}}
            event["properties"] = {"statusMessage": json.dumps(said)}
        yield event
