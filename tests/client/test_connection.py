"""Where Temporal is, and what is said when it is not there."""

import json
import time
from pathlib import Path

import pytest

from client.connection import connect
from client.errors import ClientError, TemporalUnreachableError
from client.settings import TemporalSettings, load_settings
from domain.errors import CatalogError


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REFLOAT_TEMPORAL_ADDRESS", "REFLOAT_TEMPORAL_NAMESPACE", "TEMPORAL_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_without_anything_temporal_is_on_this_machine(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "refloat.yaml") == TemporalSettings(
        address="127.0.0.1:7233", namespace="default"
    )


def test_the_file_beside_the_catalog_is_read_and_variables_outrank_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = {"address": "127.0.0.1:17233", "namespace": "default", "web": "http://127.0.0.1:18233"}
    (tmp_path / "temporal.json").write_text(json.dumps(beside))
    catalog = tmp_path / "refloat.yaml"
    assert load_settings(catalog).model_dump() == beside

    monkeypatch.setenv("REFLOAT_TEMPORAL_ADDRESS", "temporal.example:7233")
    monkeypatch.setenv("REFLOAT_TEMPORAL_NAMESPACE", "recovery")

    found = load_settings(catalog)
    assert (found.address, found.namespace, found.web) == ("temporal.example:7233", "recovery", "")


def test_a_broken_file_beside_the_catalog_is_named(tmp_path: Path) -> None:
    (tmp_path / "temporal.json").write_text("{")

    with pytest.raises(CatalogError, match=r"temporal\.json: not valid"):
        load_settings(tmp_path / "refloat.yaml")


async def test_an_address_where_nobody_answers_is_told_quickly_with_the_way_out() -> None:
    begun = time.monotonic()

    with pytest.raises(TemporalUnreachableError, match=r"127\.0\.0\.1:1; .*sandbox up") as told:
        await connect(TemporalSettings(address="127.0.0.1:1"))

    assert told.value.exit_code == 4
    assert time.monotonic() - begun < 4


async def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(ClientError, match="is no address"):
        await connect(TemporalSettings(address=""))


async def test_a_missing_tls_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_TLS_CLIENT_CERT_PATH", "/nowhere/cert.pem")
    monkeypatch.setenv("TEMPORAL_TLS_CLIENT_KEY_PATH", "/nowhere/key.pem")

    with pytest.raises(ClientError, match=r"TEMPORAL_\*.*cert\.pem"):
        await connect(TemporalSettings())
