"""The subresource `scale`: a workload seen as nothing but its number of replicas."""

from simulators.kubernetes.kinds import by_kind
from simulators.kubernetes.refusals import conflict
from simulators.kubernetes.values import Json, at, copied, name_of

_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(thing: Json) -> Json:
    """Return a workload's scale."""
    labels = at(thing, "spec", "selector", "matchLabels", default={})
    selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    replicas = at(thing, "spec", "replicas", default=0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: thing["metadata"][name] for name in _KEPT if name in thing["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {"replicas": at(thing, "status", "replicas", default=0), "selector": selector},
    }


def body_of_scale(live: Json, scale: Json) -> Json:
    """Return the workload that a scale asks for.

    Raises:
        ApiError: the scale is of a version that is not the latest.
    """
    version = at(scale, "metadata", "resourceVersion")
    if version and version != live["metadata"]["resourceVersion"]:
        kind = by_kind(live["apiVersion"], live["kind"])
        assert kind is not None
        raise conflict(kind, name_of(live))
    wanted = copied(live)
    wanted["spec"]["replicas"] = at(scale, "spec", "replicas", default=0)
    return wanted  # type: ignore[no-any-return]
