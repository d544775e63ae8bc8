"""The client of Scaleway takes keys from where the SDK does, ends every call and keeps secrets."""

import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import scaleway

from domain.entries import ScalewayProviderEntry
from domain.errors import (
    ConfigurationRefusedError,
    CredentialsRefusedError,
    ProviderUnavailableError,
    RecoveryError,
)
from providers.scaleway.client import BoundedRdb, connect
from providers.scaleway.errors import scaleway_errors
from simulators.estate import Seed
from simulators.reached import PROJECT
from simulators.scaleway.plane import ScalewayPlane
from simulators.wire import Wire
from tests.simulators.scripted import scripted_estate

ACCESS = "SCW" + 17 * "B"
SECRET = "3c9d6ad0-1b8f-4d52-9d1e-6d2f9b0f1a77"
OTHER = "c1a7e0a4-4a52-4d0b-8c6c-8a4a6f2f7d10"
ENTRY = ScalewayProviderEntry(kind="scaleway", region="fr-par", project=PROJECT)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave nothing of the machine's own Scaleway settings, and set keys."""
    for name in ("API_URL", "DEFAULT_REGION", "DEFAULT_ZONE", "DEFAULT_ORGANIZATION_ID", "PROFILE"):
        monkeypatch.delenv(f"SCW_{name}", raising=False)
    monkeypatch.setenv("SCW_CONFIG_PATH", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("SCW_ACCESS_KEY", ACCESS)
    monkeypatch.setenv("SCW_SECRET_KEY", SECRET)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    plane = ScalewayPlane(scripted_estate(), secret_key=SECRET)
    plane.seed(Seed("shop"))
    wire = Wire(plane)
    monkeypatch.setenv("SCW_API_URL", wire.url)
    yield wire
    wire.close()
    plane.estate.close()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve an API that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("SCW_API_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        yield


def test_the_sdk_is_not_shadowed_by_the_folder_of_its_name() -> None:
    assert "site-packages" in str(scaleway.__file__)


def test_calls_go_to_the_address_region_and_project_given(wire: Wire) -> None:
    assert [one.name for one in connect(ENTRY).list_instances_all()] == ["shop"]
    elsewhere = ENTRY.model_copy(update={"region": "nl-ams"})
    assert connect(elsewhere).list_instances_all() == []
    assert connect(ENTRY.model_copy(update={"project": OTHER})).list_instances_all() == []
    assert wire.count()["ListInstances"] >= 3


def test_every_kind_of_call_arrives_as_the_sdk_means_it(wire: Wire) -> None:
    api = connect(ENTRY)
    (shop,) = api.list_instances_all(name="shop", tags=["team=shop"], has_maintenances=False)
    (snapshot, _) = api.list_snapshots_all(instance_id=shop.id)

    changed = api.update_instance(instance_id=shop.id, tags=["a", "b"])
    copy = api.create_instance_from_snapshot(
        snapshot_id=snapshot.id, instance_name="copy", is_ha_cluster=True
    )

    assert (changed.tags, copy.is_ha_cluster) == (["a", "b"], True)
    wire.plane.estate.clock.move(timedelta(hours=1))
    api.delete_instance_acl_rules(instance_id=shop.id, acl_rule_ips=["192.0.2.0/24"])
    api.delete_instance(instance_id=api.get_instance(instance_id=copy.id).id)
    assert wire.count()["DeleteInstance"] == 1


def test_a_slash_at_the_end_of_the_address_is_forgiven(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCW_API_URL", f"{wire.url}/")

    assert connect(ENTRY).list_instances_all()


def test_an_organization_of_the_environment_does_not_empty_lists(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCW_DEFAULT_ORGANIZATION_ID", OTHER)
    monkeypatch.setenv("SCW_DEFAULT_PROJECT_ID", OTHER)
    monkeypatch.setenv("SCW_DEFAULT_ZONE", "nowhere")

    client = connect(ENTRY).client

    assert (client.default_organization_id, client.default_project_id) == (None, ENTRY.project)
    assert len(connect(ENTRY).list_instances_all()) == wire.count()["ListInstances"] - 1


def test_keys_come_from_a_profile_of_the_configuration_file(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(
        f"access_key: SCWNOTTHISONE0000000\nsecret_key: {OTHER}\n"
        f"profiles:\n  drills:\n    access_key: {ACCESS}\n    secret_key: {SECRET}\n"
    )
    monkeypatch.delenv("SCW_ACCESS_KEY")
    monkeypatch.delenv("SCW_SECRET_KEY")

    with pytest.raises(CredentialsRefusedError), scaleway_errors("listing"):
        connect(ENTRY).list_instances_all()
    monkeypatch.setenv("SCW_PROFILE", "drills")

    assert connect(ENTRY).list_instances_all()
    assert connect(ENTRY).client.api_url == wire.url


def test_a_configuration_file_that_need_not_exist_is_not_complained_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "scaleway"):
        connect(ENTRY)

    assert not caplog.records


@pytest.mark.parametrize(
    ("variable", "value", "error", "sentence"),
    [
        ("SCW_ACCESS_KEY", "", CredentialsRefusedError, "there is no API key"),
        ("SCW_SECRET_KEY", "", CredentialsRefusedError, "set SCW_ACCESS_KEY and SCW_SECRET_KEY"),
        ("SCW_ACCESS_KEY", SECRET, CredentialsRefusedError, "correct SCW_ACCESS_KEY"),
        ("SCW_SECRET_KEY", f"{SECRET}!", CredentialsRefusedError, "correct SCW_SECRET_KEY"),
        ("SCW_API_URL", "nowhere", ConfigurationRefusedError, "correct or unset SCW_API_URL"),
    ],
)
def test_settings_that_the_sdk_refuses_are_named_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    error: type[RecoveryError],
    sentence: str,
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(error) as caught:
        connect(ENTRY)

    assert sentence in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"project": "shop"}, "the project is no UUID; correct `project`"),
        ({"project": ""}, "the project is empty; write `project`"),
        ({"region": "paris"}, "the region is malformed; correct `region`"),
        ({"region": ""}, "the region is empty; write `region`"),
    ],
)
def test_an_entry_that_the_sdk_refuses_is_a_matter_of_configuration(
    change: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigurationRefusedError, match=sentence):
        connect(ENTRY.model_copy(update=change))


@pytest.mark.usefixtures("silent")
def test_an_api_that_never_answers_is_left() -> None:
    api = connect(ENTRY, answer=timedelta(seconds=0.2))

    with pytest.raises(ProviderUnavailableError, match="ReadTimeout"), scaleway_errors("listing"):
        api.list_instances_all()


def test_a_redirection_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=_redirect, args=(listening, asked, f"{here}/elsewhere"))
        thread.start()
        monkeypatch.setenv("SCW_API_URL", here)
        with pytest.raises(ProviderUnavailableError), scaleway_errors("listing"):
            connect(ENTRY).list_instances_all()
        thread.join()

    assert len(asked) == 1


def _redirect(listening: socket.socket, asked: list[bytes], target: str) -> None:
    listening.settimeout(0.5)
    try:
        for _ in range(2):
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(
                    f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n"
                    "Connection: close\r\n\r\n".encode()
                )
    except TimeoutError:
        return


def test_each_call_waits_for_its_turn(wire: Wire) -> None:
    turns: list[int] = []

    connect(ENTRY, turn=lambda: turns.append(1)).list_instances_all()

    assert len(turns) == wire.count()["ListInstances"] == 2


def test_keys_are_not_in_what_is_shown() -> None:
    api: BoundedRdb = connect(ENTRY)

    assert SECRET not in repr(api.client)
    assert ACCESS not in repr(api.client)
    assert ENTRY.project in repr(api.client)
