"""Rollbacks in a cluster: the official client, a simulated API server, a real registry and Git."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from cli.printing import report_lines
from client.recoveries import AnyRecovery, await_report, handle_of, start_recovery
from client.rollbacks import configuration_request, list_candidates, rollback_request
from domain.catalog import Catalog
from domain.configuration import ConfigurationTarget, PointKind
from domain.parsing import parse_catalog
from domain.report import Outcome, RunReport
from domain.rollback import RollbackKind, RollbackRequest, RollbackTarget
from simulators.kubernetes.images import CannotBePulled, Crashes, Runs
from tests.kubernetes_cluster import REAL, image_patch, kubernetes_cluster
from tests.providers.git_ground import make_ground
from tests.providers.oci_ground import needs_registry, push, registry_server
from tests.workflows.killing import Death, Mortals
from tests.workflows.running import working

pytestmark = [
    needs_registry,
    pytest.mark.skipif(bool(REAL), reason="a real cluster cannot pull from this registry"),
]
PREVIOUS = RollbackTarget(kind=RollbackKind.PREVIOUS)
MARKER = "s3cr3t-marker-of-the-cluster"


def manifest(replicas: int, secret: str) -> str:
    """Return the manifests of a configuration, one of them a Secret."""
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    login = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}}
    return "\n---\n".join(
        (
            json.dumps({**settings, "data": {"replicas": str(replicas)}}),
            json.dumps({**login, "stringData": {"password": f"{MARKER}-{secret}"}}),
        )
    )


class Cluster:
    """A cluster that runs an application from a real registry, and its settings from Git."""

    def __init__(self, root: Path, held: ExitStack) -> None:
        self.root, self.ground = root, make_ground(root / "ground")
        self.inside = held.enter_context(kubernetes_cluster())
        host = held.enter_context(registry_server(root / "registry")).host
        self.image = f"{host}/shop/checkout"
        self.digests = {
            tag: push(host, "shop/checkout", tag, [tag.encode()]) for tag in ("v1", "v2", "v3")
        }
        for tag, digest in self.digests.items():
            self.simulator.image(f"{self.image}:{tag}", digest)
        place = {
            "kind": "kubernetes",
            "kubeconfig": str(self.inside.kubeconfig),
            "namespace": self.inside.namespace,
        }
        environment = {
            "applications": {
                "checkout": {"platform": {**place, "deployment": "shop"}, "image": self.image}
            },
            "configurations": {
                "settings": {
                    "repository": {"url": str(self.ground.remote), "path": "deploy"},
                    "platform": place,
                }
            },
        }
        self.content: dict[str, Any] = {
            "organization": "tests",
            "providers": {"here": {"kind": "local", "root": str(root)}},
            "projects": {"shop": {"environments": {"production": environment}}},
        }
        (root / "refloat.yaml").write_text(json.dumps(self.content))
        self.catalog: Catalog = parse_catalog(self.content, "test")

    @property
    def simulator(self) -> Any:
        """What only a simulated cluster can do."""
        return self.inside.simulator

    def rollback(self, target: RollbackTarget = PREVIOUS) -> RollbackRequest:
        """Return the request for a rollback of the application."""
        return rollback_request(next(self.catalog.applications()), target)

    def deploy(self, tag: str) -> None:
        """Roll a version out, by its tag."""
        image = f"{self.image}:{tag}"
        if any(one.metadata.name == "shop" for one in self._deployments()):
            self.inside.apps.patch_namespaced_deployment(
                "shop", self.inside.namespace, image_patch(image), field_manager="pipeline"
            )
        else:
            self.inside.deploy(image=image, replicas=2)

    def _deployments(self) -> list[Any]:
        found = self.inside.apps.list_namespaced_deployment(self.inside.namespace)
        return list(found.items)

    def running(self) -> set[str]:
        """Return the images of the pods that are ready."""
        return {
            pod.spec.containers[0].image
            for pod in self.inside.pods()
            if pod.status.container_statuses and pod.status.container_statuses[0].ready
        }

    def wanted(self) -> str:
        """Return the image that the Deployment asks for."""
        return str(self.inside.deployment().spec.template.spec.containers[0].image)

    def object(self, kind: str, name: str) -> Any:
        """Return an object of the core group."""
        read = getattr(self.inside.core, f"read_namespaced_{kind}")
        return read(name, self.inside.namespace)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Return a cluster that runs the first version; Refloat polls it fifty times as fast."""
    monkeypatch.setenv("REFLOAT_TIME_SCALE", "50")
    root = Path(tempfile.mkdtemp(prefix="refloat-cluster-"))
    (root / "ground").mkdir()
    with ExitStack() as held:
        held.callback(shutil.rmtree, root)
        made = Cluster(root, held)
        made.deploy("v1")
        made.inside.wait_rolled_out()
        yield made


async def done(temporal: WorkflowEnvironment, shop: Cluster, request: AnyRecovery) -> RunReport:
    async with working(temporal.client, shop):
        started = await start_recovery(temporal.client, request)
        return await await_report(handle_of(temporal.client, started))


async def seen(temporal: WorkflowEnvironment, shop: Cluster) -> None:
    """Have Refloat look at the application once, as people do who list what it can go back to."""
    async with working(temporal.client, shop):
        await list_candidates(temporal.client, next(shop.catalog.applications()))


async def test_the_previous_version_comes_back_by_digest(
    temporal: WorkflowEnvironment, shop: Cluster
) -> None:
    await seen(temporal, shop)
    shop.deploy("v2")
    shop.inside.wait_rolled_out()

    report = await done(temporal, shop, shop.rollback())

    assert report.passed, "\n".join(report_lines(report))
    assert shop.running() == {f"{shop.image}@{shop.digests['v1']}"}


async def test_a_version_that_crashes_is_explained_with_its_last_words_and_undone(
    temporal: WorkflowEnvironment, shop: Cluster
) -> None:
    crashes = Crashes(exit_code=3, logs="fatal: no payments, password=hunter2\n")
    shop.simulator.behave(f"{shop.image}@{shop.digests['v3']}", crashes)
    target = RollbackTarget(kind=RollbackKind.REFERENCE, reference="v3")

    report = await done(temporal, shop, shop.rollback(target))

    assert report.outcome is Outcome.FAILED
    assert "no payments" in report.failure
    assert "hunter2" not in report.model_dump_json()
    assert report.left_behind == ()
    shop.inside.wait_rolled_out()
    assert shop.running() == {f"{shop.image}@{shop.digests['v1']}"}


async def test_an_image_that_cannot_be_pulled_is_explained_and_undone(
    temporal: WorkflowEnvironment, shop: Cluster
) -> None:
    shop.simulator.behave(f"{shop.image}@{shop.digests['v3']}", CannotBePulled("quota exceeded"))
    target = RollbackTarget(kind=RollbackKind.REFERENCE, reference="v3")

    report = await done(temporal, shop, shop.rollback(target))

    assert report.outcome is Outcome.FAILED
    assert "quota exceeded" in report.failure
    assert shop.running() <= {f"{shop.image}@{shop.digests['v1']}", f"{shop.image}:v1"}


@pytest.mark.parametrize("wrong", ["rights", "owner", "rolling"])
async def test_what_cannot_work_is_refused_before_anything_changes(
    temporal: WorkflowEnvironment, shop: Cluster, wrong: str
) -> None:
    await seen(temporal, shop)
    if wrong == "rolling":
        shop.simulator.behave(f"{shop.image}:v2", Runs(start_seconds=60))
    shop.deploy("v2")
    if wrong == "rolling":
        shop.inside.wait("a new pod", lambda: len(shop.inside.pods()) > 2)
    else:
        shop.inside.wait_rolled_out()
    if wrong == "rights":
        shop.simulator.deny("patch", "apps", "deployments")
    if wrong == "owner":
        note = {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/x"}}}
        shop.inside.apps.patch_namespaced_deployment("shop", shop.inside.namespace, note)
    before = shop.inside.deployment().metadata.generation

    report = await done(temporal, shop, shop.rollback())

    assert report.outcome is Outcome.REFUSED, report.failure
    told = {"rights": "patch", "owner": "Argo", "rolling": "roll"}[wrong]
    assert told in report.failure
    assert shop.inside.deployment().metadata.generation == before
    assert shop.wanted() == f"{shop.image}:v2"


DEATHS: list[Death] = [
    ("rollback.choose", "after"),
    ("rollback.apply", "before"),
    ("rollback.apply", "after"),
    ("rollback.await_rollout", "before"),
    ("rollback.await_healthy", "after"),
]


@pytest.mark.slow
async def test_a_worker_killed_in_any_phase_makes_one_rollout(
    temporal: WorkflowEnvironment, shop: Cluster
) -> None:
    await seen(temporal, shop)
    shop.deploy("v2")
    shop.inside.wait_rolled_out()
    before = shop.inside.deployment().metadata.generation
    mortals = Mortals(shop.root)
    try:
        report = await mortals.run(shop.rollback(), DEATHS)
    finally:
        mortals.stop()

    assert report.passed, "\n".join(report_lines(report))
    assert shop.inside.deployment().metadata.generation == before + 1
    assert shop.running() == {f"{shop.image}@{shop.digests['v1']}"}


async def test_a_configuration_is_applied_pruned_and_no_secret_is_told(
    temporal: WorkflowEnvironment, shop: Cluster
) -> None:
    ada = shop.ground.ada
    good = ada.commit({"deploy/all.yaml": manifest(3, "one")}, "Begin")
    target = ConfigurationTarget(kind=PointKind.REFERENCE, reference=good)
    ada.commit({"deploy/all.yaml": manifest(0, "two")}, "Save money")
    request = configuration_request(next(shop.catalog.configurations()), target)

    report = await done(temporal, shop, request)

    assert report.passed, "\n".join(report_lines(report))
    assert shop.object("config_map", "settings").data == {"replicas": "3"}
    handle = temporal.client.get_workflow_handle(report.workflow_id)
    history = (await handle.fetch_history()).to_json()
    assert MARKER not in history
    assert MARKER not in report.model_dump_json()


async def test_a_field_that_somebody_else_owns_is_refused_before_a_commit(
    temporal: WorkflowEnvironment, shop: Cluster
) -> None:
    ada = shop.ground.ada
    good = ada.commit({"deploy/all.yaml": manifest(3, "one")}, "Begin")
    ada.commit({"deploy/all.yaml": manifest(0, "two")}, "Save money")
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    shop.inside.apply({**theirs, "data": {"replicas": "7"}}, "scaler")
    head = shop.ground.head()
    target = ConfigurationTarget(kind=PointKind.REFERENCE, reference=good)

    report = await done(
        temporal, shop, configuration_request(next(shop.catalog.configurations()), target)
    )

    assert report.outcome is Outcome.REFUSED
    assert "scaler" in report.failure
    assert ".data.replicas" in report.failure
    assert shop.ground.head() == head
    assert shop.object("config_map", "settings").data == {"replicas": "7"}
