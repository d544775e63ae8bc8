"""Patches of the simulated cluster, and server-side apply with its owners of fields."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes_cluster import V1, V2, KubernetesCluster, kubernetes_cluster, refusal_of

JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
HAND = "by-hand"


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster whose controllers are not asked to do anything."""
    with kubernetes_cluster() as made:
        yield made


def config(**spec: Any) -> dict[str, Any]:
    """Return a configuration of a Deployment without pods, as one applies it."""
    labels = {"app": "shop"}
    container = {"name": "app", "image": V1, "env": [{"name": "COLOUR", "value": "red"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "labels": {"app": "shop"}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            **spec,
        },
    }


def container_of(thing: Any, place: int = 0) -> Any:
    """Return a container of a Deployment."""
    return thing["spec"]["template"]["spec"]["containers"][place]


def change(cluster: KubernetesCluster, body: Any, content: str = STRATEGIC, **query: Any) -> Any:
    """Patch the Deployment."""
    path = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments/shop"
    return cluster.raw(path, "PATCH", body, content, **{"fieldManager": HAND, **query})


def owners(thing: Any) -> dict[tuple[str, str], Any]:
    """Return the fields that managers own, by name and operation, the status apart."""
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"]
        for entry in thing["metadata"]["managedFields"]
        if "subresource" not in entry
    }


def test_a_merge_patch_replaces_lists_and_removes_nulls(cluster: KubernetesCluster) -> None:
    cluster.apply(config())
    spec = {"template": {"spec": {"containers": [{"name": "app", "image": V2}]}}}
    labels = {"app": None, "tier": "front"}
    seen = change(cluster, {"metadata": {"labels": labels}, "spec": spec}, MERGE_PATCH)
    assert seen["metadata"]["labels"] == {"tier": "front"}
    assert "env" not in container_of(seen)
    assert container_of(seen)["image"] == V2


def test_a_strategic_patch_merges_lists_by_their_keys(cluster: KubernetesCluster) -> None:
    cluster.apply(config())
    env = [{"name": "SIZE", "value": "big"}, {"name": "COLOUR", "$patch": "delete"}]
    containers = [{"name": "app", "env": env}, {"name": "side", "image": V2}]
    seen = change(cluster, {"spec": {"template": {"spec": {"containers": containers}}}})
    assert [one["name"] for one in seen["spec"]["template"]["spec"]["containers"]] == [
        "app",
        "side",
    ]
    assert container_of(seen)["image"] == V1
    assert container_of(seen)["env"] == [{"name": "SIZE", "value": "big"}]


def test_a_strategic_patch_can_replace_and_retain(cluster: KubernetesCluster) -> None:
    cluster.apply(config())
    strategy = {"$retainKeys": ["type"], "type": "Recreate"}
    containers = [{"name": "other", "image": V2}]
    template = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": containers}}
    template = {**template, "$patch": "replace"}
    seen = change(cluster, {"spec": {"strategy": strategy, "template": template}})
    assert seen["spec"]["strategy"] == {"type": "Recreate"}
    assert [container_of(seen)["name"]] == ["other"]


def test_a_json_patch_tests_and_replaces(cluster: KubernetesCluster) -> None:
    cluster.apply(config())
    image = "/spec/template/spec/containers/0/image"
    test = {"op": "test", "path": image, "value": V1}
    replace = {"op": "replace", "path": image, "value": V2}
    label = {"op": "add", "path": "/metadata/labels/example.org~1by", "value": "hand"}
    seen = change(cluster, [test, replace, label], JSON_PATCH)
    assert container_of(seen)["image"] == V2
    assert seen["metadata"]["labels"]["example.org/by"] == "hand"
    error = refusal_of(lambda: change(cluster, [test, replace], JSON_PATCH))
    assert error.status == 422


def test_a_patch_in_an_unknown_format_is_refused(cluster: KubernetesCluster) -> None:
    cluster.apply(config())
    assert refusal_of(lambda: change(cluster, {}, "application/json")).status == 415


def test_who_creates_or_patches_owns_what_it_wrote(cluster: KubernetesCluster) -> None:
    body = config()
    path = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments"
    made = cluster.raw(path, "POST", body, fieldManager="maker")
    fields = owners(made)["maker", "Update"]
    assert fields["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}
    containers = fields["f:spec"]["f:template"]["f:spec"]["f:containers"]
    held = containers['k:{"name":"app"}']
    assert held["f:image"] == held["."] == {}
    assert held["f:env"]['k:{"name":"COLOUR"}'] == {".": {}, "f:name": {}, "f:value": {}}
    assert fields["f:spec"]["f:selector"] == {}
    seen = change(cluster, {"spec": {"revisionHistoryLimit": 3}})
    assert owners(seen)[HAND, "Update"] == {"f:spec": {"f:revisionHistoryLimit": {}}}
    assert "f:revisionHistoryLimit" not in owners(seen)["maker", "Update"]["f:spec"]


def test_who_applies_owns_what_it_applied_and_nothing_that_was_filled_in(
    cluster: KubernetesCluster,
) -> None:
    made = cluster.apply(config())
    assert made["spec"]["revisionHistoryLimit"] == 10
    labels: Any = {"f:labels": {"f:app": {}}}
    env: Any = {'k:{"name":"COLOUR"}': {".": {}, "f:name": {}, "f:value": {}}}
    container = {".": {}, "f:env": env, "f:image": {}, "f:name": {}}
    spec = {"f:containers": {'k:{"name":"app"}': container}}
    assert owners(made)["refloat", "Apply"] == {
        "f:metadata": labels,
        "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:template": {"f:metadata": labels, "f:spec": spec},
        },
    }


def test_applying_the_same_again_changes_nothing(cluster: KubernetesCluster) -> None:
    made = cluster.apply(config())
    again = cluster.apply(config())
    assert again["metadata"]["generation"] == made["metadata"]["generation"]
    assert owners(again) == owners(made)


def test_what_another_owns_is_a_conflict_told_with_its_path(cluster: KubernetesCluster) -> None:
    cluster.apply(config())
    change(cluster, {"spec": {"replicas": 2, "paused": True}})
    error = refusal_of(lambda: cluster.apply(config(replicas=1, paused=True)))
    told = json.loads(error.body)
    assert (error.status, told["reason"]) == (409, "Conflict")
    assert told["message"] == (
        'Apply failed with 1 conflict: conflict with "by-hand" using apps/v1: .spec.replicas'
    )
    assert told["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "by-hand" using apps/v1',
            "field": ".spec.replicas",
        }
    ]


def test_several_conflicts_are_listed_by_their_owners(cluster: KubernetesCluster) -> None:
    cluster.apply(config(), "first")
    wanted = config(revisionHistoryLimit=4)
    container_of(wanted)["image"] = V2
    change(cluster, {"spec": {"revisionHistoryLimit": 3}})
    error = refusal_of(lambda: cluster.apply(wanted, "second"))
    assert json.loads(error.body)["message"] == (
        "Apply failed with 2 conflicts: "
        'conflicts with "by-hand" using apps/v1:\n'
        "- .spec.revisionHistoryLimit\n"
        'conflicts with "first":\n'
        '- .spec.template.spec.containers[name="app"].image'
    )


def test_force_takes_a_field_from_its_owner(cluster: KubernetesCluster) -> None:
    cluster.apply(config())
    change(cluster, {"spec": {"revisionHistoryLimit": 3}})
    seen = cluster.apply(config(revisionHistoryLimit=4), force="true")
    assert seen["spec"]["revisionHistoryLimit"] == 4
    assert (HAND, "Update") not in owners(seen)


def test_a_field_of_the_same_value_is_owned_by_both(cluster: KubernetesCluster) -> None:
    cluster.apply(config(revisionHistoryLimit=3), "first")
    seen = cluster.apply(config(revisionHistoryLimit=3), "second")
    assert all("f:revisionHistoryLimit" in fields["f:spec"] for fields in owners(seen).values())
    seen = cluster.apply(config(), "second")
    assert seen["spec"]["revisionHistoryLimit"] == 3
    seen = cluster.apply(config(), "first")
    assert seen["spec"]["revisionHistoryLimit"] == 10, "nobody owns it: it is filled in again"


def test_what_is_no_longer_applied_is_removed(cluster: KubernetesCluster) -> None:
    wanted = config()
    extra = {"name": "side", "image": V2}
    wanted["spec"]["template"]["spec"]["containers"].append(extra)
    wanted["metadata"]["annotations"] = {"example.org/note": "kept for now"}
    cluster.apply(wanted)
    change(cluster, {"metadata": {"annotations": {"example.org/other": "by hand"}}})
    seen = cluster.apply(config())
    assert "example.org/note" not in seen["metadata"]["annotations"]
    assert seen["metadata"]["annotations"]["example.org/other"] == "by hand"
    assert len(seen["spec"]["template"]["spec"]["containers"]) == 1


def test_what_others_own_inside_an_applied_list_stays(cluster: KubernetesCluster) -> None:
    cluster.apply(config())
    env = [{"name": "SIZE", "value": "big"}]
    containers = [{"name": "app", "env": env}]
    change(cluster, {"spec": {"template": {"spec": {"containers": containers}}}})
    seen = cluster.apply(config())
    assert {one["name"] for one in container_of(seen)["env"]} == {"COLOUR", "SIZE"}


def test_ports_are_told_apart_by_number_and_protocol(cluster: KubernetesCluster) -> None:
    wanted = config()
    container_of(wanted)["ports"] = [
        {"containerPort": 53, "protocol": "UDP"},
        {"containerPort": 53, "name": "tcp"},
    ]
    made = cluster.apply(wanted)
    template = owners(made)["refloat", "Apply"]["f:spec"]["f:template"]
    container = template["f:spec"]["f:containers"]['k:{"name":"app"}']
    assert set(container["f:ports"]) == {
        'k:{"containerPort":53,"protocol":"TCP"}',
        'k:{"containerPort":53,"protocol":"UDP"}',
    }


def test_a_rehearsed_apply_tells_the_conflict_and_keeps_nothing(cluster: KubernetesCluster) -> None:
    assert cluster.apply(config(), dryRun="All")["spec"]["replicas"] == 0
    assert refusal_of(cluster.deployment).status == 404
    cluster.apply(config())
    change(cluster, {"spec": {"revisionHistoryLimit": 3}})
    wanted = config(revisionHistoryLimit=4)
    assert refusal_of(lambda: cluster.apply(wanted, dryRun="All")).status == 409
    seen = cluster.apply(wanted, dryRun="All", force="true")
    assert seen["spec"]["revisionHistoryLimit"] == 4
    assert cluster.deployment().spec.revision_history_limit == 3


def test_an_apply_names_its_manager(cluster: KubernetesCluster) -> None:
    path = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments/shop"
    error = refusal_of(lambda: cluster.raw(path, "PATCH", config(), "application/apply-patch+yaml"))
    assert error.status == 422
    assert "is required for apply patch" in json.loads(error.body)["message"]


def test_cleared_owners_come_back_with_the_next_apply(cluster: KubernetesCluster) -> None:
    cluster.apply(config())
    seen = change(cluster, {"metadata": {"managedFields": [{}]}}, MERGE_PATCH)
    assert not [
        one for one in seen["metadata"].get("managedFields", []) if not one.get("subresource")
    ]
    seen = cluster.apply(config())
    assert {("refloat", "Apply"), ("before-first-apply", "Update")} == set(owners(seen))


def test_data_is_owned_key_by_key(cluster: KubernetesCluster) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}
    cluster.apply({**body, "data": {"colour": "red", "size": "big"}})
    seen = cluster.apply({**body, "data": {"shape": "round"}}, "other")
    assert seen["data"] == {"colour": "red", "size": "big", "shape": "round"}
    seen = cluster.apply({**body, "data": {"colour": "red"}})
    assert seen["data"] == {"colour": "red", "shape": "round"}
    assert owners(seen)["refloat", "Apply"] == {"f:data": {"f:colour": {}}}
