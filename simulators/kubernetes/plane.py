"""The API server: carries calls out and answers them, errors included."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from simulators.kubernetes.calls import Call, Target, body_of, target_of
from simulators.kubernetes.cluster import Cluster
from simulators.kubernetes.deleting import Deletion, delete, status_of_deletion
from simulators.kubernetes.discovery import answer_of
from simulators.kubernetes.kinds import ACCESS_REVIEW, POD
from simulators.kubernetes.listing import Lister, Selection
from simulators.kubernetes.patching import APPLY_PATCH, FORMATS
from simulators.kubernetes.refusals import (
    ApiError,
    bad_patch_options,
    bad_request,
    not_allowed,
    not_found,
    unauthorized,
    unknown_path,
    unsupported,
)
from simulators.kubernetes.rights import reviewed
from simulators.kubernetes.scales import body_of_scale, scale_of
from simulators.kubernetes.values import Json, at, name_of, namespace_of, terminating
from simulators.kubernetes.watching import Watch, Watcher
from simulators.kubernetes.writing import Asked, Place

_LOG = logging.getLogger(__name__)


@dataclass
class Answer:
    """What the server answers: an object, lines of text, or events that go on."""

    status: int = 200
    body: Json | str = ""
    events: Iterator[Json] | None = None
    headers: dict[str, str] = field(default_factory=dict)


class ApiServer:
    """Answers the calls of one simulated cluster."""

    def __init__(self, cluster: Cluster, token: str) -> None:
        self.token = token
        self._cluster = cluster
        self._lister, self._watcher = Lister(cluster.store), Watcher(cluster.store)
        self._verbs: dict[str, Callable[[Call, Target], Answer]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_all,
        }

    def close(self) -> None:
        """End every watch."""
        self._watcher.close()

    def answer(self, call: Call) -> Answer:
        """Carry a call out."""
        try:
            return self._answer(call)
        except ApiError as error:
            return refusal(error)
        except Exception as error:  # noqa: BLE001 - as the server, it answers and goes on
            _LOG.exception("the simulated API failed")
            return refusal(ApiError(500, "InternalError", f"Internal error occurred: {error!r}"))

    def _answer(self, call: Call) -> Answer:
        if call.path in ("/healthz", "/livez", "/readyz"):
            return Answer(body="ok")
        if call.headers.get("authorization") != f"Bearer {self.token}":
            raise unauthorized()
        told = answer_of(call.path) if call.method == "GET" else None
        if told is not None:
            return Answer(body=told)
        target = target_of(call)
        carry_out = self._verbs.get(target.verb)
        if carry_out is None:
            raise not_allowed()
        self._cluster.rights.require(target.kind, target.access)
        if target.verb not in target.kind.verbs:
            raise not_allowed()
        return carry_out(call, target)

    def _get(self, call: Call, target: Target) -> Answer:
        thing = self._cluster.store.get(target.kind, target.namespace, target.name)
        if thing is None:
            raise not_found(target.kind, target.name)
        if target.subresource == "log":
            return Answer(body=self._log(call, thing))
        return Answer(body=scale_of(thing) if target.subresource == "scale" else thing)

    def _log(self, call: Call, pod: Json) -> str:
        """Return what a container of a pod wrote."""
        names = [container["name"] for container in pod["spec"]["containers"]]
        inits = [container["name"] for container in pod["spec"].get("initContainers", [])]
        name = call.query.get("container") or names[0]
        if "container" not in call.query and len(names) > 1:
            raise bad_request(
                f"a container name must be specified for pod {name_of(pod)}, choose one of: "
                f"[{' '.join(names)}]"
            )
        if name not in (*names, *inits):
            raise bad_request(f"container {name} is not valid for pod {name_of(pod)}")
        text = self._cluster.logs_of(pod, name, previous=call.flag("previous"))
        tail = call.number("tailLines")
        lines = text.splitlines(keepends=True)
        kept = "".join(lines if tail is None else lines[len(lines) - tail :] if tail else [])
        limit = call.number("limitBytes")
        return kept if limit is None else kept[:limit]

    def _list(self, call: Call, target: Target) -> Answer:
        token = call.query.get("continue", "")
        limit = call.number("limit") or 0
        return Answer(body=self._lister.page(_selection(call, target), limit, token))

    def _watch(self, call: Call, target: Target) -> Answer:
        asked = Watch(
            _selection(call, target),
            call.number("resourceVersion") or 0,
            call.flag("allowWatchBookmarks"),
            call.number("timeoutSeconds"),
        )
        return Answer(events=self._watcher.follow(asked))

    def _create(self, call: Call, target: Target) -> Answer:
        body = body_of(call)
        if target.kind == ACCESS_REVIEW:
            return Answer(201, reviewed(self._cluster.rights, body))
        if target.kind.namespaced and not target.namespace:
            raise not_allowed()
        asked = Asked(call.manager, dry_run=call.dry_run)
        made = self._cluster.writer.create(target.kind, target.namespace, body, asked)
        return Answer(201, made)

    def _update(self, call: Call, target: Target) -> Answer:
        body, place = body_of(call), _place(target)
        asked = Asked(call.manager, target.subresource, call.dry_run)
        if target.subresource == "scale":
            live = self._existing(target)
            body = body_of_scale(live, body)
            return Answer(body=scale_of(self._cluster.writer.update(place, body, asked)))
        return Answer(body=self._cluster.writer.update(place, body, asked))

    def _patch(self, call: Call, target: Target) -> Answer:
        how = call.headers.get("content-type", "").partition(";")[0].strip()
        if how not in FORMATS:
            raise unsupported(FORMATS)
        place, asked = _place(target), Asked(call.manager, target.subresource, call.dry_run)
        writer = self._cluster.writer
        if how == APPLY_PATCH:
            if not call.query.get("fieldManager"):
                raise bad_patch_options(
                    "fieldManager", "Required value: is required for apply patch"
                )
            thing, made = writer.apply(place, body_of(call), asked, force=call.flag("force"))
            return Answer(201 if made else 200, thing)
        if "force" in call.query:
            raise bad_patch_options("force", "Forbidden: may not be specified for non-apply patch")
        if target.subresource == "scale":
            self._existing(target)
        thing = writer.patch(place, call.content(), how, asked)
        return Answer(body=scale_of(thing) if target.subresource == "scale" else thing)

    def _delete(self, call: Call, target: Target) -> Answer:
        if target.subresource:
            raise not_allowed()
        thing, gone = delete(self._cluster.store, _place(target), _deletion(call))
        if gone and target.kind != POD:
            return Answer(body=status_of_deletion(target.kind, thing))
        return Answer(body=thing)

    def _delete_all(self, call: Call, target: Target) -> Answer:
        if target.kind.namespaced and not target.namespace:
            raise not_allowed()
        asked = _deletion(call)
        found = self._lister.page(_selection(call, target))
        for thing in found["items"]:
            if not terminating(thing):
                place = Place(target.kind, namespace_of(thing), name_of(thing))
                delete(self._cluster.store, place, asked)
        return Answer(body=found)

    def _existing(self, target: Target) -> Json:
        live = self._cluster.store.get(target.kind, target.namespace, target.name)
        if live is None:
            raise not_found(target.kind, target.name)
        return live


def refusal(error: ApiError) -> Answer:
    """Return the answer that tells an error."""
    retry = error.retry_after
    return Answer(
        error.code, error.status, headers={} if retry is None else {"Retry-After": str(retry)}
    )


def _place(target: Target) -> Place:
    if target.subresource == "log":
        raise unknown_path()
    return Place(target.kind, target.namespace, target.name)


def _selection(call: Call, target: Target) -> Selection:
    fields = call.query.get("fieldSelector", "")
    if target.name:
        fields = f"metadata.name={target.name}"
    return Selection(target.kind, target.namespace, call.query.get("labelSelector", ""), fields)


def _deletion(call: Call) -> Deletion:
    """Return how a deletion is asked for, in the body or in the query."""
    body = body_of(call) if call.body else {}
    policy = body.get("propagationPolicy") or call.query.get("propagationPolicy")
    grace = body.get("gracePeriodSeconds")
    if body.get("orphanDependents"):
        policy = "Orphan"
    return Deletion(
        policy or "Background",
        call.number("gracePeriodSeconds") if grace is None else int(grace),
        at(body, "preconditions", "uid", default=""),
        at(body, "preconditions", "resourceVersion", default=""),
        call.dry_run or body.get("dryRun") == ["All"],
    )
