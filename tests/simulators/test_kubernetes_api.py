"""The API of the simulated cluster: objects, versions, lists, watches, rights, and what is refused."""

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

from simulators.kubernetes.planted import Fault
from tests.kubernetes_cluster import (
    KubernetesCluster,
    image_patch,
    kubernetes_cluster,
    refusal_of,
    workload,
)


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster."""
    with kubernetes_cluster() as made:
        yield made


def told(error: ApiException) -> Any:
    """Return the `Status` of a refusal."""
    return json.loads(error.body)


def keep(cluster: KubernetesCluster, name: str, **labels: str) -> Any:
    """Make a ConfigMap."""
    body = {"metadata": {"name": name, "labels": labels}, "data": {"colour": "red"}}
    return cluster.core.create_namespaced_config_map(cluster.namespace, body)


def names(found: Any) -> list[str]:
    """Return the names in a list."""
    return [item.metadata.name for item in found.items if item.metadata.name != "kube-root-ca.crt"]


def test_an_object_gets_what_the_server_gives(cluster: KubernetesCluster) -> None:
    made = keep(cluster, "one")
    assert made.metadata.uid
    assert made.metadata.creation_timestamp
    assert int(made.metadata.resource_version) > 0
    assert cluster.core.read_namespaced_config_map("one", cluster.namespace).data == made.data


def test_a_generated_name_is_the_prefix_and_five_letters(cluster: KubernetesCluster) -> None:
    body = {"metadata": {"generateName": "some-"}}
    made = cluster.core.create_namespaced_config_map(cluster.namespace, body)
    assert len(made.metadata.name) == len("some-") + 5


def test_what_is_not_there_is_not_found(cluster: KubernetesCluster) -> None:
    error = refusal_of(lambda: cluster.deployment("none"))
    assert (error.status, told(error)["reason"]) == (404, "NotFound")
    assert told(error)["message"] == 'deployments.apps "none" not found'
    assert told(error)["details"] == {"name": "none", "group": "apps", "kind": "deployments"}


def test_a_second_object_of_a_name_is_refused(cluster: KubernetesCluster) -> None:
    keep(cluster, "one")
    error = refusal_of(lambda: keep(cluster, "one"))
    assert (error.status, told(error)["reason"]) == (409, "AlreadyExists")
    assert told(error)["message"] == 'configmaps "one" already exists'


def test_an_object_in_no_namespace_is_refused(cluster: KubernetesCluster) -> None:
    body = {"metadata": {"name": "one"}}
    error = refusal_of(lambda: cluster.core.create_namespaced_config_map("no-such", body))
    assert (error.status, told(error)["message"]) == (404, 'namespaces "no-such" not found')


def test_a_bad_field_is_told_with_its_path(cluster: KubernetesCluster) -> None:
    error = refusal_of(lambda: cluster.deploy(replicas=-1))
    assert (error.status, told(error)["reason"]) == (422, "Invalid")
    assert told(error)["message"] == (
        'Deployment.apps "shop" is invalid: spec.replicas: Invalid value: -1: must be greater '
        "than or equal to 0"
    )
    assert [cause["field"] for cause in told(error)["details"]["causes"]] == ["spec.replicas"]


def test_a_selector_never_changes(cluster: KubernetesCluster) -> None:
    cluster.deploy()
    other = {"matchLabels": {"app": "other"}}
    template = {"metadata": {"labels": {"app": "other"}}}
    patch = {"spec": {"selector": other, "template": template}}
    error = refusal_of(
        lambda: cluster.apps.patch_namespaced_deployment("shop", cluster.namespace, patch)
    )
    assert error.status == 422
    assert "field is immutable" in told(error)["message"]


def test_what_cannot_go_together_is_refused(cluster: KubernetesCluster) -> None:
    cluster.deploy()
    change = cluster.apps.patch_namespaced_deployment
    recreate = {"spec": {"strategy": {"type": "Recreate"}}}
    error = refusal_of(lambda: change("shop", cluster.namespace, recreate))
    assert "spec.strategy.rollingUpdate: Forbidden" in told(error)["message"]
    container = {"name": "app", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    mounting = {"spec": {"template": {"spec": {"containers": [container]}}}}
    error = refusal_of(lambda: change("shop", cluster.namespace, mounting))
    assert told(error)["message"] == (
        'Deployment.apps "shop" is invalid: '
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"'
    )


def test_an_immutable_config_map_stays_as_it_is(cluster: KubernetesCluster) -> None:
    body = {"metadata": {"name": "one"}, "data": {"colour": "red"}, "immutable": True}
    cluster.core.create_namespaced_config_map(cluster.namespace, body)
    patch = {"data": {"colour": "blue"}}
    error = refusal_of(
        lambda: cluster.core.patch_namespaced_config_map("one", cluster.namespace, patch)
    )
    assert error.status == 422
    assert "field is immutable when `immutable` is set" in told(error)["message"]


def test_what_nothing_follows_from_is_kept(cluster: KubernetesCluster) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
    scaler = {"scaleTargetRef": reference, "maxReplicas": 5}
    port = {"port": 80}
    for kind, version, plural, rest in (
        ("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers", scaler),
        ("Service", "v1", "services", {"selector": {"app": "shop"}, "ports": [port]}),
        ("Ingress", "networking.k8s.io/v1", "ingresses", {"ingressClassName": "plain"}),
    ):
        body = {"apiVersion": version, "kind": kind, "metadata": {"name": "shop"}, "spec": rest}
        if kind == "Ingress":
            backend = {"service": {"name": "shop", "port": {"number": 80}}}
            body["spec"] = {**rest, "defaultBackend": backend}
        root = "api/v1" if version == "v1" else f"apis/{version}"
        path = f"/{root}/namespaces/{cluster.namespace}/{plural}"
        cluster.raw(path, "POST", body)
        assert rest.keys() <= cluster.raw(f"{path}/shop")["spec"].keys()
        assert [one["metadata"]["name"] for one in cluster.raw(path)["items"]] == ["shop"]


def test_a_secret_is_kept_encoded(cluster: KubernetesCluster) -> None:
    body = {"metadata": {"name": "one"}, "stringData": {"word": "open"}}
    made = cluster.core.create_namespaced_secret(cluster.namespace, body)
    assert (made.data, made.type) == ({"word": "b3Blbg=="}, "Opaque")


def test_an_update_of_an_old_version_is_a_conflict(cluster: KubernetesCluster) -> None:
    held = keep(cluster, "one")
    cluster.core.patch_namespaced_config_map("one", cluster.namespace, {"data": {"colour": "blue"}})
    held.data = {"colour": "green"}
    error = refusal_of(
        lambda: cluster.core.replace_namespaced_config_map("one", cluster.namespace, held)
    )
    assert (error.status, told(error)["reason"]) == (409, "Conflict")
    assert told(error)["message"] == (
        'Operation cannot be fulfilled on configmaps "one": the object has been modified; please '
        "apply your changes to the latest version and try again"
    )


def test_a_patch_of_an_old_version_is_a_conflict(cluster: KubernetesCluster) -> None:
    held = keep(cluster, "one")
    change = cluster.core.patch_namespaced_config_map
    change("one", cluster.namespace, {"data": {"colour": "blue"}})
    version = {"resourceVersion": held.metadata.resource_version}
    patch = {"metadata": version, "data": {"colour": "green"}}
    assert refusal_of(lambda: change("one", cluster.namespace, patch)).status == 409
    latest = change("one", cluster.namespace, {"data": {"colour": "green"}})
    assert latest.data == {"colour": "green"}


def test_a_call_about_an_earlier_object_of_the_name_is_a_conflict(
    cluster: KubernetesCluster,
) -> None:
    keep(cluster, "one")
    body = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    error = refusal_of(
        lambda: cluster.core.delete_namespaced_config_map("one", cluster.namespace, body=body)
    )
    assert error.status == 409
    assert "Precondition failed: UID in precondition" in told(error)["message"]


def test_a_change_that_changes_nothing_makes_no_version(cluster: KubernetesCluster) -> None:
    held = keep(cluster, "one")
    same = cluster.core.patch_namespaced_config_map(
        "one", cluster.namespace, {"data": {"colour": "red"}}
    )
    assert same.metadata.resource_version == held.metadata.resource_version


def test_generation_counts_changes_of_the_spec(cluster: KubernetesCluster) -> None:
    cluster.deploy()
    assert cluster.wait_rolled_out().metadata.generation == 1
    change = cluster.apps.patch_namespaced_deployment
    change("shop", cluster.namespace, {"metadata": {"labels": {"tier": "front"}}})
    assert cluster.deployment().metadata.generation == 1
    change("shop", cluster.namespace, {"spec": {"replicas": 2}})
    assert cluster.deployment().metadata.generation == 2
    scale = {"spec": {"replicas": 1}}
    cluster.apps.patch_namespaced_deployment_scale("shop", cluster.namespace, scale)
    assert cluster.deployment().metadata.generation == 3
    # Annotations go to the ReplicaSets, so a Deployment's count as well.
    change("shop", cluster.namespace, {"metadata": {"annotations": {"by": "hand"}}})
    assert cluster.deployment().metadata.generation == 4


def test_a_rehearsal_answers_and_keeps_nothing(cluster: KubernetesCluster) -> None:
    body = workload("Deployment")
    made = cluster.apps.create_namespaced_deployment(cluster.namespace, body, dry_run="All")
    assert made.spec.progress_deadline_seconds == 600
    assert refusal_of(cluster.deployment).status == 404
    cluster.deploy()
    change = cluster.apps.patch_namespaced_deployment
    seen = change("shop", cluster.namespace, {"spec": {"replicas": 5}}, dry_run="All")
    assert (seen.spec.replicas, cluster.deployment().spec.replicas) == (5, 1)
    cluster.apps.delete_namespaced_deployment("shop", cluster.namespace, dry_run="All")
    assert cluster.deployment().metadata.deletion_timestamp is None


def test_lists_select_by_labels(cluster: KubernetesCluster) -> None:
    keep(cluster, "one", tier="front", colour="red")
    keep(cluster, "two", tier="back")
    keep(cluster, "three")

    def selected(selector: str) -> list[str]:
        return names(
            cluster.core.list_namespaced_config_map(cluster.namespace, label_selector=selector)
        )

    assert selected("tier=front") == ["one"]
    assert selected("tier!=front") == ["three", "two"]
    assert selected("tier in (front, back),colour") == ["one"]
    assert selected("tier notin (front),tier") == ["two"]
    assert selected("!tier") == ["three"]


def test_lists_select_by_fields(cluster: KubernetesCluster) -> None:
    keep(cluster, "one")
    keep(cluster, "two")
    found = cluster.core.list_namespaced_config_map(
        cluster.namespace, field_selector="metadata.name=two"
    )
    assert names(found) == ["two"]
    error = refusal_of(
        lambda: cluster.core.list_namespaced_config_map(
            cluster.namespace, field_selector="data.colour=red"
        )
    )
    assert error.status == 400


def test_a_list_in_pages_stays_as_it_was_begun(cluster: KubernetesCluster) -> None:
    for name in ("a", "b", "c"):
        keep(cluster, name, here="yes")

    def page(token: str | None = None) -> Any:
        return cluster.core.list_namespaced_config_map(
            cluster.namespace, label_selector="here", limit=2, _continue=token
        )

    first = page()
    cluster.core.delete_namespaced_config_map("c", cluster.namespace)
    second = page(first.metadata._continue)
    assert (names(first), names(second)) == (["a", "b"], ["c"])
    assert second.metadata.resource_version == first.metadata.resource_version


def test_a_page_of_compacted_history_is_gone(cluster: KubernetesCluster) -> None:
    simulator = cluster.simulator
    for name in ("a", "b", "c"):
        keep(cluster, name)
    first = cluster.core.list_namespaced_config_map(cluster.namespace, limit=1)
    keep(cluster, "d")
    simulator.compact()
    error = refusal_of(
        lambda: cluster.core.list_namespaced_config_map(
            cluster.namespace, limit=1, _continue=first.metadata._continue
        )
    )
    assert (error.status, told(error)["reason"]) == (410, "Expired")


def watched(cluster: KubernetesCluster, version: str, **how: Any) -> list[tuple[str, str]]:
    """Return the types and names of what a watch of ConfigMaps tells within a second."""
    stream = kubernetes.watch.Watch().stream(
        cluster.core.list_namespaced_config_map,
        cluster.namespace,
        resource_version=version,
        timeout_seconds=1,
        **how,
    )
    return [(event["type"], event["raw_object"]["metadata"].get("name", "")) for event in stream]


def test_a_watch_tells_what_happened_since_a_version(cluster: KubernetesCluster) -> None:
    began = cluster.core.list_namespaced_config_map(cluster.namespace).metadata.resource_version
    keep(cluster, "one", tier="front")
    keep(cluster, "two")
    patch = {"metadata": {"labels": {"tier": "back"}}}
    cluster.core.patch_namespaced_config_map("one", cluster.namespace, patch)
    cluster.core.patch_namespaced_config_map("two", cluster.namespace, patch)
    cluster.core.delete_namespaced_config_map("two", cluster.namespace)
    seen = watched(cluster, began, label_selector="tier=back", allow_watch_bookmarks=True)
    assert seen[:3] == [("ADDED", "one"), ("ADDED", "two"), ("DELETED", "two")]
    if cluster.held is not None:  # a real server's first bookmark may come after a minute
        assert seen[-1] == ("BOOKMARK", "")


def test_a_watch_streams_while_things_happen(cluster: KubernetesCluster) -> None:
    watch, seen = kubernetes.watch.Watch(), []
    version = cluster.core.list_namespaced_pod(cluster.namespace).metadata.resource_version
    cluster.deploy()
    for event in watch.stream(
        cluster.core.list_namespaced_pod,
        cluster.namespace,
        resource_version=version,
        timeout_seconds=60,
    ):
        seen.append((event["type"], event["object"].status.phase))
        if seen[-1][1] == "Running":
            watch.stop()
    assert seen[0] == ("ADDED", "Pending")
    assert {kind for kind, _ in seen[1:]} == {"MODIFIED"}


def test_a_watch_of_compacted_history_is_told_so(cluster: KubernetesCluster) -> None:
    simulator = cluster.simulator
    began = keep(cluster, "one").metadata.resource_version
    keep(cluster, "two")
    simulator.compact()
    keep(cluster, "three")
    error = refusal_of(lambda: watched(cluster, began))
    assert error.status == 410
    assert "too old resource version" in str(error.reason)


def test_what_is_owned_goes_with_its_owner(cluster: KubernetesCluster) -> None:
    cluster.deploy(replicas=2)
    cluster.wait_rolled_out()
    status = cluster.apps.delete_namespaced_deployment("shop", cluster.namespace)
    assert status.status == "Success"
    cluster.wait("its pods to go", lambda: not cluster.pods())
    sets = cluster.apps.list_namespaced_replica_set(cluster.namespace).items
    assert not [one for one in sets if one.metadata.deletion_timestamp is None]


def test_an_owner_deleted_in_the_foreground_goes_last(cluster: KubernetesCluster) -> None:
    cluster.deploy()
    cluster.wait_rolled_out()
    cluster.raw(
        f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments/shop",
        "DELETE",
        propagationPolicy="Foreground",
    )

    def gone() -> bool:
        try:
            held = cluster.deployment()
        except ApiException as error:
            return bool(error.status == 404)
        assert held.metadata.finalizers == ["foregroundDeletion"]
        return False

    cluster.wait("the Deployment to go", gone)
    assert cluster.pods() == []


def test_what_is_orphaned_stays_and_is_adopted_again(cluster: KubernetesCluster) -> None:
    cluster.deploy()
    cluster.wait_rolled_out()
    pod = cluster.pods()[0].metadata.uid
    cluster.apps.delete_namespaced_deployment(
        "shop", cluster.namespace, propagation_policy="Orphan"
    )

    def orphans() -> Any:
        sets = cluster.apps.list_namespaced_replica_set(cluster.namespace).items
        return sets if sets[0].metadata.owner_references is None else None

    cluster.wait("an orphan", orphans)
    cluster.wait("the end of the old one", lambda: refusal_of(cluster.deployment).status == 404)
    cluster.deploy()
    cluster.wait_rolled_out()
    assert [one.metadata.uid for one in cluster.pods()] == [pod]


def test_a_finalizer_keeps_an_object_until_it_is_taken_away(cluster: KubernetesCluster) -> None:
    body = {"metadata": {"name": "one", "finalizers": ["example.org/wait"]}}
    cluster.core.create_namespaced_config_map(cluster.namespace, body)
    cluster.core.delete_namespaced_config_map("one", cluster.namespace)
    held = cluster.core.read_namespaced_config_map("one", cluster.namespace)
    assert held.metadata.deletion_timestamp is not None
    held.metadata.finalizers = []
    cluster.core.replace_namespaced_config_map("one", cluster.namespace, held)
    error = refusal_of(lambda: cluster.core.read_namespaced_config_map("one", cluster.namespace))
    assert error.status == 404


def test_a_namespace_takes_what_it_holds_with_it(cluster: KubernetesCluster) -> None:
    made = cluster.core.create_namespace({"metadata": {"generateName": "refloat-other-"}})
    name = made.metadata.name
    cluster.core.create_namespaced_config_map(name, {"metadata": {"name": "one"}})
    cluster.core.delete_namespace(name)

    def gone() -> bool:
        return name not in names(cluster.core.list_namespace())

    cluster.wait("the namespace to go", gone)
    assert (
        cluster.core.list_config_map_for_all_namespaces(
            field_selector=f"metadata.namespace={name}"
        ).items
        == []
    )


def test_a_dynamic_client_finds_a_kind(cluster: KubernetesCluster, tmp_path: Path) -> None:
    found = DynamicClient(cluster.client, cache_file=str(tmp_path / "discovery"))
    resource = found.resources.get(api_version="apps/v1", kind="Deployment")
    assert (resource.name, resource.namespaced) == ("deployments", True)
    assert {"get", "list", "watch", "patch", "deletecollection"} <= set(resource.verbs)
    made = resource.create(workload("Deployment"), namespace=cluster.namespace)
    assert resource.get(name="shop", namespace=cluster.namespace).metadata.uid == made.metadata.uid


def test_discovery_tells_versions_groups_and_scopes(cluster: KubernetesCluster) -> None:
    assert cluster.raw("/version")["major"] == "1"
    assert "v1" in cluster.raw("/api")["versions"]
    groups = {group["name"] for group in cluster.raw("/apis")["groups"]}
    assert {"apps", "batch", "autoscaling", "networking.k8s.io"} <= groups
    core = {one["name"]: one for one in cluster.raw("/api/v1")["resources"]}
    assert (core["namespaces"]["namespaced"], core["pods"]["kind"]) == (False, "Pod")
    assert refusal_of(lambda: cluster.raw("/apis/example.org/v1")).status == 404


def review(cluster: KubernetesCluster, verb: str, resource: str) -> bool:
    """Return whether we may do something in the namespace, as the server answers it."""
    attributes = {
        "verb": verb,
        "group": "apps",
        "resource": resource,
        "namespace": cluster.namespace,
    }
    api: Any = kubernetes.client.AuthorizationV1Api(cluster.client)
    body = {"spec": {"resourceAttributes": attributes}}
    return bool(api.create_self_subject_access_review(body).status.allowed)


def test_what_is_denied_is_forbidden_and_the_review_says_so(cluster: KubernetesCluster) -> None:
    assert review(cluster, "patch", "deployments")
    cluster.simulator.deny("patch", "apps", "deployments")
    assert not review(cluster, "patch", "deployments")
    assert review(cluster, "get", "deployments")
    cluster.deploy()
    error = refusal_of(lambda: cluster.set_image("some:image"))
    assert (error.status, told(error)["reason"]) == (403, "Forbidden")
    assert told(error)["message"] == (
        'deployments.apps "shop" is forbidden: User "system:serviceaccount:refloat:refloat" cannot '
        f'patch resource "deployments" in API group "apps" in the namespace "{cluster.namespace}"'
    )
    cluster.simulator.allow("patch", "apps", "deployments")
    cluster.set_image("some:image")


def test_a_wrong_token_is_unauthorized(cluster: KubernetesCluster) -> None:
    cluster.simulator.token = "another-one"
    error = refusal_of(cluster.deployment)
    assert (error.status, told(error)["reason"]) == (401, "Unauthorized")


def test_a_kubeconfig_leads_there_over_tls_and_is_its_owners() -> None:
    with kubernetes_cluster(tls=True) as cluster:
        if cluster.held is not None:
            assert stat.S_IMODE(cluster.kubeconfig.stat().st_mode) == 0o600
            assert cluster.simulator.url.startswith("https://127.0.0.1:")
        assert keep(cluster, "one").metadata.name == "one"


def test_planted_errors_come_as_often_as_asked(cluster: KubernetesCluster) -> None:
    cluster.simulator.fault(Fault("GET", ".*/deployments/.*", status=500, times=2))
    cluster.deploy()
    for _ in range(2):
        error = refusal_of(cluster.deployment)
        assert (error.status, told(error)["reason"]) == (500, "InternalError")
    assert cluster.deployment().metadata.name == "shop"


def test_a_planted_refusal_tells_when_to_come_again(cluster: KubernetesCluster) -> None:
    cluster.simulator.fault(Fault("PATCH", status=429, retry_after=7))
    cluster.deploy()
    error = refusal_of(lambda: cluster.set_image("some:image"))
    assert (error.status, error.headers["Retry-After"]) == (429, "7")


def test_a_lost_answer_is_that_of_a_call_that_was_carried_out(cluster: KubernetesCluster) -> None:
    cluster.simulator.fault(Fault("POST", drop="after"))
    with pytest.raises(Exception, match=r"(?i)connection|aborted|closed"):
        cluster.deploy()
    assert cluster.deployment().metadata.name == "shop"
    cluster.simulator.fault(Fault("PATCH", drop="before"))
    with pytest.raises(Exception, match=r"(?i)connection|aborted|closed"):
        cluster.apps.patch_namespaced_deployment("shop", cluster.namespace, image_patch("some:one"))
    assert cluster.deployment().spec.template.spec.containers[0].image != "some:one"


def test_an_answer_can_be_slow(cluster: KubernetesCluster) -> None:
    cluster.simulator.fault(Fault("GET", seconds=0.2))
    began = time.monotonic()
    cluster.core.list_namespace()
    assert time.monotonic() - began >= 0.2


def test_calls_are_noted(cluster: KubernetesCluster) -> None:
    cluster.deploy()
    path = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments"
    assert f"POST {path}" in cluster.simulator.requests
