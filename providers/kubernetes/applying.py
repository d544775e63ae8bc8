"""Making an earlier revision what runs: one guarded patch, by digest, and nothing twice."""

import copy
from collections.abc import Mapping
from typing import Any

from domain.errors import (
    BusyError,
    ConfigurationRefusedError,
    ConflictError,
    ResourceMissingError,
)
from domain.rollback import Applied, Change, ProtectedApplication, RollbackScope
from providers.kubernetes.client import MANAGER, Json
from providers.kubernetes.history import digests_of
from providers.kubernetes.images import digest_of, main_container, repository_of
from providers.kubernetes.workloads import (
    CAUSE,
    Kept,
    Workload,
    bare,
    last_change,
    matches,
    told_change,
    version_of,
)

RUN = "refloat.dev/run"
_TRIES = 5


def apply(
    workload: Workload, application: ProtectedApplication, change: Change, key: str
) -> Applied:
    """Make the change's revision what runs; a second call with the `key` changes nothing.

    Raises:
        ConflictError: somebody changed the template since the change was planned; who, and when.
    """
    for _ in range(_TRIES):
        live = workload.live()
        run = (live["metadata"].get("annotations") or {}).get(RUN, "")
        if change.undoes and run not in (key, change.undoes):
            return _left(live, f"{workload} was not changed by this run, or by another one since")
        if change.undoes and run == change.undoes and not _ours(live):
            return _left(live, f"{workload}: {told_change(live)}, after this run did")
        wanted = template_of(workload, application, change, live)
        if run == key and (bare(live["spec"]["template"]) == wanted or _ours(live)):
            return Applied(version=version_of(live))
        if run == key or (change.expected and not matches(change.expected, live)):
            raise ConflictError(
                f"{workload} is no more what this rollback was planned from: {told_change(live)}; "
                "nothing was overwritten. Look at it and ask again"
            )
        try:
            made = patch(workload, application, change, live, wanted, key=key)
        except ConflictError:  # a status or the number of replicas moved in between: look again
            continue
        return Applied(version=version_of(made))
    raise BusyError(f"{workload} was changed by others {_TRIES} times while it was being changed")


def _left(live: Json, why: str) -> Applied:
    return Applied(version=version_of(live), left_alone=why)


def _ours(live: Json) -> bool:
    """Return whether the template is as we left it, a webhook's additions to it included."""
    last = last_change(live)
    return last is not None and last[0] == MANAGER


def patch(  # noqa: PLR0913 - what is changed, from what, to what, for whom, and whether in earnest
    workload: Workload,
    application: ProtectedApplication,
    change: Change,
    live: Json,
    wanted: Json,
    *,
    key: str,
    dry: bool = False,
) -> Json:
    """Send the change of an object as it was read, and return what it is then.

    A JSON patch and no update: it names what it changes, so the number of replicas is in no
    request of ours, and a Role needs `patch` alone. It replaces the template whole, which a merge
    could not: what the newer template added has to go. It carries the `resourceVersion` of the
    read instead of a `test` of it: a stale one is then answered by 409 and not by a 422 that looks
    like a refused template.
    """
    meta = live["metadata"]
    notes = {RUN: key, CAUSE: change.cause} if change.cause else {RUN: key}
    body: list[Json] = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]}
    ]
    if not meta.get("annotations"):
        body.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    body += [
        {"op": "add", "path": f"/metadata/annotations/{name.replace('/', '~1')}", "value": value}
        for name, value in notes.items()
    ]
    if change.scope is RollbackScope.IMAGE or not change.revision:
        main = main_container(application, live["spec"]["template"])
        body += [
            {
                "op": "replace",
                "path": f"/spec/template/spec/{where}/{index}/image",
                "value": one["image"],
            }
            for where in ("containers", "initContainers")
            for index, one in enumerate(wanted["spec"].get(where) or ())
            if one["name"] == main
        ]
    else:
        body.append({"op": "replace", "path": "/spec/template", "value": wanted})
    return workload.cluster.patch(
        workload.kind, (workload.namespace, workload.name), body, "json", dry=dry
    )


def template_of(
    workload: Workload, application: ProtectedApplication, change: Change, live: Json
) -> Json:
    """Return the pod template that a change means, with images by digest as far as they are known."""
    present = bare(live["spec"]["template"])
    if change.scope is RollbackScope.IMAGE or not change.revision:
        if not change.digest:
            raise ConfigurationRefusedError(
                f"{application.path}: the change names no digest, so there is no image to bring back"
            )
        main = main_container(application, present)
        return _with_images(present, {main: _reference(application, change)}, {})
    kept = revision_named(workload, live, change.revision)
    template = bare(kept.template)
    main = main_container(application, template)
    own = {main: _reference(application, change)} if change.digest else {}
    return _with_images(template, own, digests_of(workload, live, kept))


def revision_named(workload: Workload, live: Json, name: str) -> Kept:
    """Return the revision of a name.

    Raises:
        ResourceMissingError: the cluster keeps it no more.
    """
    kept = workload.revisions(live)
    found = next((one for one in kept if one.name == name), None)
    if found is None:
        limit = live["spec"].get("revisionHistoryLimit", 10)
        raise ResourceMissingError(
            f"{workload}: revision {name} is kept no more (revisionHistoryLimit is {limit}); there "
            f"are {', '.join(one.name for one in kept) or 'none'}. With the scope image its image "
            "can be brought back still"
        )
    return found


def _reference(application: ProtectedApplication, change: Change) -> str:
    return f"{repository_of(change.image or application.image)}@{change.digest}"


def _with_images(template: Json, own: Mapping[str, str], known: Mapping[str, str]) -> Json:
    """Return the template with its own image, and the others by the digests that ran."""
    made = copy.deepcopy(template)
    spec: dict[str, Any] = made["spec"]
    for one in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        written = str(one.get("image") or "")
        if one["name"] in own:
            one["image"] = own[one["name"]]
        elif known.get(one["name"]) and not digest_of(written):
            one["image"] = f"{repository_of(written)}@{known[one['name']]}"
    return made
