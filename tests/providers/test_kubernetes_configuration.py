"""Manifests applied to a cluster: all of them or none, no field by force, and nothing pruned of others."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from domain.checks import Verdict
from domain.configuration import (
    AppliedConfiguration,
    ClusterTarget,
    ProtectedConfiguration,
    Repository,
)
from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    ConflictError,
    NotYetError,
    ResourceMissingError,
    RolloutFailedError,
)
from domain.platforms import ConfigurationPlatform
from domain.resources import Objectives
from providers.kubernetes.manifests import label_of
from providers.kubernetes.provider import configurations
from simulators.kubernetes.images import Crashes, Refused
from tests.kubernetes_cluster import (
    V1,
    V2,
    KubernetesCluster,
    kubernetes_cluster,
    workload,
)
from tests.providers.kubernetes_stand import SCALE, comes, config_map, file, secret

PATH = "shop/production/settings"


@pytest.fixture
def cluster() -> Iterator[KubernetesCluster]:
    """Return a cluster with a namespace of the test's own."""
    with kubernetes_cluster() as made:
        yield made


def settings_in(cluster: KubernetesCluster, path: str = PATH) -> ProtectedConfiguration:
    """Return a configuration as a catalog declares it."""
    return ProtectedConfiguration(
        path=path,
        provider="own",
        provider_kind="local",
        objectives=Objectives(),
        name="settings",
        repository=Repository(url="/nowhere"),
        platform=ClusterTarget(
            kind="kubernetes", kubeconfig=str(cluster.kubeconfig), namespace=cluster.namespace
        ),
    )


def platform_of(cluster: KubernetesCluster) -> ConfigurationPlatform:
    """Return the provider, as a worker has it."""
    return configurations(cluster.kubeconfig.parent, SCALE)


def apply(cluster: KubernetesCluster, *objects: Any, path: str = PATH) -> AppliedConfiguration:
    """Apply a file of objects."""
    return platform_of(cluster).apply(settings_in(cluster, path), [file(*objects)], key="run-1")


def maps(cluster: KubernetesCluster) -> dict[str, dict[str, str]]:
    """Return the ConfigMaps of the namespace, but for the cluster's own."""
    found = cluster.core.list_namespaced_config_map(cluster.namespace).items
    return {one.metadata.name: one.data for one in found if one.metadata.name != "kube-root-ca.crt"}


def test_objects_are_applied_under_our_own_name_and_a_second_time_changes_nothing(
    cluster: KubernetesCluster,
) -> None:
    objects = [config_map(color="red"), secret(token="t"), workload("Deployment")]

    first = apply(cluster, *objects)
    again = apply(cluster, *objects)

    where = cluster.namespace
    assert first.changed == (
        f"{where}/secret/keys",
        f"{where}/configmap/settings",
        f"{where}/deployment/shop",
    )
    assert (again.changed, again.unchanged, again.pruned) == ((), 3, ())
    found = cluster.core.read_namespaced_config_map("settings", where)
    assert found.data == {"color": "red"}
    assert found.metadata.labels["refloat.dev/configuration"] == label_of(PATH)
    assert {one.manager for one in found.metadata.managed_fields} == {"refloat"}


def test_a_value_that_a_file_no_longer_has_goes(cluster: KubernetesCluster) -> None:
    apply(cluster, config_map(color="red", size="l"))

    applied = apply(cluster, config_map(color="blue"))

    assert applied.changed == (f"{cluster.namespace}/configmap/settings",)
    assert maps(cluster)["settings"] == {"color": "blue"}


def test_what_the_files_no_longer_name_is_removed_and_told_before(
    cluster: KubernetesCluster,
) -> None:
    apply(cluster, config_map("old", a="1"), config_map("kept", a="1"), secret("gone", a="1"))
    less = [file(config_map("kept", a="1"))]

    looked = platform_of(cluster).examine(settings_in(cluster), less)
    applied = platform_of(cluster).apply(settings_in(cluster), less, key="run-2")

    told = next(one for one in looked if one.name == "what the files no longer name")
    assert told.good
    assert "configmap/old" in told.observed
    assert "secret/gone" in told.observed
    assert sorted(applied.pruned) == ["configmap/old", "secret/gone"]
    assert list(maps(cluster)) == ["kept"]


def test_what_others_have_or_share_is_never_removed(cluster: KubernetesCluster) -> None:
    core, where = cluster.core, cluster.namespace
    apply(cluster, config_map("shared", a="1"), config_map("kept", a="1"))
    label = {"refloat.dev/configuration": label_of(PATH)}
    core.create_namespaced_config_map(where, {"metadata": {"name": "labelled", "labels": label}})
    core.create_namespaced_config_map(where, {"metadata": {"name": "stranger"}})
    apply(cluster, config_map("of-another", a="1"), path="shop/production/other")
    by_hand = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "shared"},
        "data": {"b": "2"},
    }
    cluster.client.call_api(
        f"/api/v1/namespaces/{where}/configmaps/shared", "PATCH", body=by_hand,
        query_params=[("fieldManager", "somebody")], auth_settings=["BearerToken"],
        header_params={"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"},
        response_types_map={200: "object"},
    )  # fmt: skip

    applied = apply(cluster, config_map("kept", a="1"))

    assert applied.pruned == ()
    assert set(maps(cluster)) == {"shared", "kept", "labelled", "stranger", "of-another"}


def test_what_holds_data_is_never_removed(cluster: KubernetesCluster) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    apply(cluster, claim, config_map("kept", a="1"))

    assert apply(cluster, config_map("kept", a="1")).pruned == ()
    assert cluster.core.read_namespaced_persistent_volume_claim("data", cluster.namespace)


def test_an_object_of_another_configuration_is_not_taken_over(cluster: KubernetesCluster) -> None:
    apply(cluster, config_map(a="1"), path="shop/production/other")

    with pytest.raises(ConflictError, match="belongs to another configuration"):
        apply(cluster, config_map(a="2"))

    assert maps(cluster)["settings"] == {"a": "1"}


def scaled(cluster: KubernetesCluster) -> dict[str, Any]:
    """Let somebody else own the number of replicas, and return a manifest that sets another."""
    apply(cluster, workload("Deployment"), config_map(color="red"))
    cluster.apps.patch_namespaced_deployment(
        "shop", cluster.namespace, {"spec": {"replicas": 3}}, field_manager="hpa-controller"
    )
    return workload("Deployment", replicas=2)


def test_a_field_of_another_owner_is_named_before_anything_is_changed(
    cluster: KubernetesCluster,
) -> None:
    wanted = scaled(cluster)

    with pytest.raises(ConflictError) as caught:
        apply(cluster, config_map(color="blue"), wanted)

    said = str(caught.value)
    assert 'deployment/shop .spec.replicas is owned by "hpa-controller"' in said
    assert "take the field out of the manifest, or let hpa-controller give it up" in said
    assert "Nothing was changed" in said
    assert maps(cluster)["settings"] == {"color": "red"}
    assert cluster.deployment().spec.replicas == 3


def test_looking_tells_owners_of_fields_and_changes_nothing(cluster: KubernetesCluster) -> None:
    wanted = scaled(cluster)
    live = cluster.deployment().metadata.generation

    looked = platform_of(cluster).examine(
        settings_in(cluster), [file(config_map(color="blue"), wanted)]
    )

    taken = next(one for one in looked if one.name == "the objects would be taken")
    assert taken.verdict is Verdict.FAILED
    assert '.spec.replicas is owned by "hpa-controller"' in taken.observed
    assert cluster.deployment().metadata.generation == live
    assert maps(cluster)["settings"] == {"color": "red"}


def test_what_was_made_by_kubectl_is_handed_over_by_a_command_that_is_named(
    cluster: KubernetesCluster,
) -> None:
    cluster.core.create_namespaced_config_map(
        cluster.namespace, config_map(color="red"), field_manager="kubectl-client-side-apply"
    )

    with pytest.raises(ConflictError, match="kubectl apply --server-side --field-manager=refloat"):
        apply(cluster, config_map(color="blue"))


def test_looking_names_what_would_change(cluster: KubernetesCluster) -> None:
    apply(cluster, config_map(color="red"), config_map("other", a="1"))

    looked = platform_of(cluster).examine(
        settings_in(cluster), [file(config_map(color="blue"), config_map("other", a="1"))]
    )

    assert all(one.good for one in looked)
    taken = next(one for one in looked if one.name == "the objects would be taken")
    assert taken.observed == f"1 of 2 objects would change: {cluster.namespace}/configmap/settings"
    assert maps(cluster)["settings"] == {"color": "red"}


def test_a_right_that_is_missing_is_named_by_verb_and_kind(cluster: KubernetesCluster) -> None:
    cluster.simulator.deny("patch", "", "secrets")
    files = [file(config_map(a="1"), secret(a="1"))]

    looked = platform_of(cluster).examine(settings_in(cluster), files)

    rights = {one.name: one for one in looked if one.name.startswith("rights on")}
    assert rights["rights on configmaps"].good
    assert rights["rights on secrets"].observed == "not allowed: patch"
    with pytest.raises(AccessDeniedError, match="may not patch secrets"):
        platform_of(cluster).apply(settings_in(cluster), files, key="run-1")
    assert maps(cluster) == {}


def test_values_of_secrets_are_in_no_text(cluster: KubernetesCluster) -> None:
    value = "hunter2-hunter2"
    broken = {**secret(), "data": {"password": value}}  # not base64
    short = {**secret("pin"), "data": {"pin!": base64.b64encode(value.encode()).decode()}}

    for wanted in (broken, short):
        looked = platform_of(cluster).examine(settings_in(cluster), [file(wanted)])
        assert value not in str(looked)
        assert base64.b64encode(value.encode()).decode() not in str(looked)
    applied = apply(cluster, secret(password=value))
    assert value not in str(applied)


def test_namespaces_come_before_what_is_in_them(cluster: KubernetesCluster) -> None:
    name = f"{cluster.namespace}-more"
    inside = config_map(a="1")
    inside["metadata"]["namespace"] = name
    objects = [inside, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}]
    try:
        looked = platform_of(cluster).examine(settings_in(cluster), [file(*objects)])
        applied = apply(cluster, *objects)

        assert all(one.good for one in looked)
        assert applied.changed == (f"namespace/{name}", f"{name}/configmap/settings")
    finally:
        cluster.core.delete_namespace(name)


def test_a_namespace_that_nobody_made_is_told(cluster: KubernetesCluster) -> None:
    inside = config_map(a="1")
    inside["metadata"]["namespace"] = "nowhere"

    with pytest.raises(ResourceMissingError, match='namespaces "nowhere" not found'):
        apply(cluster, inside)


def test_a_kind_that_the_cluster_lacks_is_told_by_its_file(cluster: KubernetesCluster) -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}

    with pytest.raises(
        ConfigurationRefusedError, match=r"all.yaml: the cluster has no kind Widget"
    ):
        apply(cluster, config_map(), widget)

    assert maps(cluster) == {}


def test_workloads_among_the_objects_are_waited_for(cluster: KubernetesCluster) -> None:
    objects = [
        config_map(a="1"),
        workload("Deployment", replicas=2),
        workload("DaemonSet", name="agent"),
    ]
    apply(cluster, *objects)
    one = platform_of(cluster)

    told = comes(cluster, lambda: one.poll(settings_in(cluster), [file(*objects)]))

    assert "deployment/shop: 2 of 2 pods ready" in told
    assert "daemonset/agent" in told


def test_a_workload_that_does_not_come_up_is_told_with_the_reason(
    cluster: KubernetesCluster,
) -> None:
    cluster.simulator.behave(V2, Crashes(exit_code=9))
    files = [
        file(workload("Deployment", image=V1), workload("Deployment", name="worker", image=V2))
    ]
    one = platform_of(cluster)
    one.apply(settings_in(cluster), files, key="run-1")

    with pytest.raises(RolloutFailedError, match=r"deployment/worker.*exit code 9"):
        comes(cluster, lambda: one.poll(settings_in(cluster), files))


def test_objects_that_run_nothing_are_in_effect_at_once(cluster: KubernetesCluster) -> None:
    apply(cluster, config_map(a="1"))

    told = platform_of(cluster).poll(settings_in(cluster), [file(config_map(a="1"))])

    assert told == "1 objects are in effect, none of which runs anything"


def test_a_refusal_by_admission_comes_before_anything_changes(cluster: KubernetesCluster) -> None:
    cluster.simulator.behave(
        V2, Refused('admission webhook "gate" denied the request: no', workloads=True)
    )

    with pytest.raises(ConfigurationRefusedError, match="denied the request"):
        apply(cluster, config_map(a="1"), workload("Deployment", image=V2))

    assert maps(cluster) == {}


def test_the_number_of_waits_is_told_in_one_sentence(cluster: KubernetesCluster) -> None:
    objects = [workload("Deployment"), workload("Deployment", name="worker")]
    cluster.simulator.hold()
    apply(cluster, *objects)

    with pytest.raises(NotYetError, match=r"deployment/shop .*; .*deployment/worker"):
        platform_of(cluster).poll(settings_in(cluster), [file(*objects)])


def test_a_name_that_the_server_refuses_is_told_in_its_words(cluster: KubernetesCluster) -> None:
    wanted = config_map("Not-Valid")

    with pytest.raises(ConfigurationRefusedError, match="RFC 1123"):
        apply(cluster, wanted)
