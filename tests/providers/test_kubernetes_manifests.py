"""Files of manifests: what they name, in which order, and nothing of their secrets in any text."""

import base64
import json

import pytest

from domain.configuration import (
    ConfigurationFile,
)
from domain.errors import (
    ConfigurationRefusedError,
)
from providers.kubernetes.manifests import label_of, manifests
from tests.providers.kubernetes_stand import config_map, file, secret


def test_a_secret_that_the_server_quotes_is_masked() -> None:
    found = manifests([file(secret(password="hunter2-hunter2"))])[0]
    encoded = base64.b64encode(b"hunter2-hunter2").decode()

    said = found.quoted(
        f'Secret "keys" is invalid: data[password]: Invalid value: "{encoded}": expected hunter2-hunter2 '
        "got &value.valueUnstructured{Value:12}"
    )

    assert "hunter2" not in said
    assert encoded not in said
    assert "Value:12" not in said


def test_lists_json_and_several_documents_are_read_and_other_files_left_out() -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [config_map("one"), config_map("two")]}

    found = manifests(
        [
            file(listed, path="a.json"),
            ConfigurationFile(
                path="b.yml",
                content=b"---\n# nothing\n---\n" + json.dumps(config_map("three")).encode(),
            ),
            ConfigurationFile(path="README.md", content=b"# settings"),
        ]
    )

    assert [one.name for one in found] == ["one", "two", "three"]


def test_objects_are_applied_in_an_order_in_which_they_work() -> None:
    kinds = ["ValidatingWebhookConfiguration", "Widget", "Ingress", "Deployment", "Service", "Secret",
             "ServiceAccount", "CustomResourceDefinition", "Namespace"]  # fmt: skip
    objects = [
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": kind.lower()}} for kind in kinds
    ]

    assert [one.kind for one in manifests([file(*objects)])] == [
        "Namespace", "CustomResourceDefinition", "ServiceAccount", "Secret", "Service", "Deployment",
        "Ingress", "Widget", "ValidatingWebhookConfiguration",
    ]  # fmt: skip


def test_what_looks_like_a_time_stays_text() -> None:
    content = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {since: 2026-03-01, at: 2026-03-01T09:30:00Z}\n"

    found = manifests([ConfigurationFile(path="a.yaml", content=content)])

    assert found[0].body["data"] == {"since": "2026-03-01", "at": "2026-03-01T09:30:00Z"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [b", "all.yaml, line 1"),
        ("password: hunter2", "lacks apiVersion or kind"),
        ("- hunter2", "lacks apiVersion or kind"),
        ("apiVersion: kustomize.config.k8s.io/v1\nkind: Kustomization", "for kustomize"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}",
            "generateName makes another object",
        ),
        ("apiVersion: v1\nkind: Pod", "no metadata.name"),
        ("# nothing", "would remove everything"),
    ],
)
def test_what_is_no_manifest_is_refused_by_its_file_and_not_quoted(content: str, said: str) -> None:
    with pytest.raises(ConfigurationRefusedError) as caught:
        manifests([ConfigurationFile(path="all.yaml", content=content.encode())])

    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_object_in_two_files_is_refused_with_both() -> None:
    with pytest.raises(
        ConfigurationRefusedError, match=r"b\.yaml: configmap/settings is in a\.yaml"
    ):
        manifests([file(config_map(), path="a.yaml"), file(config_map(), path="b.yaml")])


def test_labels_are_readable_valid_and_of_one_configuration_alone() -> None:
    assert label_of("shop/production/settings").startswith("shop-production-settings-")
    assert label_of("a-b/c/d") != label_of("a/b-c/d")
    assert len(label_of(f"{'x' * 80}/y/z")) == 63
    assert not label_of("x/y/z_").partition("-")[0].endswith("_")
