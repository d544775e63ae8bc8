"""Asynchronous operations at the wire: how they are accepted, and asked about."""

import json
from typing import TypeAlias

from werkzeug.wrappers import Response

from simulators.azure.account import Account, Call
from simulators.azure.answers import moment, progress_json, task_json
from simulators.azure.families import Json
from simulators.azure.refusals import ApiError
from simulators.azure.shapes import FAILED, IN_PROGRESS, Task

Answer: TypeAlias = Json | Task | Response | None


def accepted(account: Account, call: Call, task: Task) -> Response:
    """Return the answer to a call that goes on in the background."""
    body = {"operation": f"{task.kind.title()}ServerOperation", "startTime": moment(task.began_at)}
    answer = Response(json.dumps(body), 202, mimetype="application/json")
    answer.headers["Azure-AsyncOperation"] = _address(account, call, task, "azureAsyncOperation")
    answer.headers["Location"] = _address(account, call, task, "operationResults")
    answer.headers["Retry-After"] = str(account.retry_after)
    return answer


def _address(account: Account, call: Call, task: Task, kind: str) -> str:
    family, location = task.server.family, task.server.location
    scope = f"/subscriptions/{account.subscription}/providers/{family.namespace}"
    path = f"{scope}/locations/{location}/{kind}/{task.id}"
    return f"{call.host}{path}?api-version={call.api_version}"


def get_status(account: Account, call: Call) -> Answer:
    """Return how an operation stands, always with status 200."""
    return task_json(_find(account, call))


def get_progress(account: Account, call: Call) -> Answer:
    """Return how far an operation is."""
    return progress_json(_find(account, call))


def get_result(account: Account, call: Call) -> Answer:
    """Return what an operation made: 202 until it is over, its error with the error's own status."""
    task = _find(account, call)
    if task.status == IN_PROGRESS:
        return accepted(account, call, task)
    if task.status == FAILED:
        raise ApiError(*task.error)
    return task.result()


def _find(account: Account, call: Call) -> Task:
    task = account.tasks.get(call.child)
    if task is None or task.server.family is not call.family:
        raise ApiError(404, "ResourceNotFound", f"The operation '{call.child}' was not found.")
    return task
