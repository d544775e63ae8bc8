"""The catalog's errors name the place and the nearest key."""

import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from client.catalog_file import load_catalog
from domain.errors import CatalogError

VALID = """\
organization: acme
providers:
  here: {kind: local, root: .refloat}
projects:
  shop:
    environments:
      production:
        databases:
          orders:
            provider: here
            engine: postgresql
            instance: orders
            objectives: {rto: 45m, rpo: 5m}
            connection: {database: shop, user: refloat, password: "env:ORDERS_PASSWORD"}
"""


def _load(folder: Path, text: str) -> None:
    path = folder / "refloat.yaml"
    path.write_text(textwrap.dedent(text))
    load_catalog(path)


def test_a_valid_catalog_gives_its_resources(tmp_path: Path) -> None:
    path = tmp_path / "refloat.yaml"
    path.write_text(VALID)

    [resource] = load_catalog(path).resources()

    assert resource.path == "shop/production/orders"
    assert resource.objectives.rto == timedelta(minutes=45)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rto: 45m", "rtoo: 45m", r"refloat.yaml:13: unknown key .*'rto'"),
        ("rto: 45m", "rto: soon", r"refloat.yaml:13: .*is not a span"),
        ("provider: here", "provider: there", r"no provider 'there'.*'here'"),
        ("engine: postgresql", "engine: oracle", r"refloat.yaml:11: "),
        ("organization: acme\n", "", r"organization"),
        ("organization: acme", "organization: acme\norganization: b", r":2: .*twice"),
        ("organization: acme", "organization: [", r"not YAML"),
    ],
)
def test_an_error_names_line_and_way_out(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        _load(tmp_path, VALID.replace(old, new))


def test_a_missing_or_empty_catalog_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="No such file"):
        load_catalog(tmp_path / "nothing.yaml")
    with pytest.raises(CatalogError, match="empty"):
        _load(tmp_path, "")


CLOUDS = """\
organization: acme
providers:
  paris: {kind: aws, region: eu-west-3, account: "123456789012"}
  fr: {kind: scaleway, region: fr-par, project: p}
projects:
  shop:
    environments:
      production:
        databases:
          orders:
            provider: PROVIDER
            engine: postgresql
            instance: orders
            MORE
            connection: {database: shop, user: refloat, password: "env:ORDERS_PASSWORD"}
"""


def _cloud(folder: Path, provider: str, more: str) -> timedelta:
    path = folder / "refloat.yaml"
    path.write_text(CLOUDS.replace("PROVIDER", provider).replace("MORE", more))
    [resource] = load_catalog(path).resources()
    return resource.backups.retention


def test_a_cloud_may_be_asked_for_the_retention_that_its_policy_allows(tmp_path: Path) -> None:
    assert _cloud(tmp_path, "paris", "backups: {retention: 35d}") == timedelta(days=35)
    with pytest.raises(CatalogError, match="it is 7 to 35 days"):
        _cloud(tmp_path, "paris", "backups: {retention: 36d}")
    with pytest.raises(CatalogError, match="it is 7 days"):
        _cloud(tmp_path, "fr", "backups: {retention: 14d}")


def test_a_retention_nobody_named_fits_the_provider(tmp_path: Path) -> None:
    assert _cloud(tmp_path, "fr", "heartbeat: true") == timedelta(days=7)


@pytest.mark.parametrize(
    "more",
    ["server: {port: 5432}", "durability: zero-loss", 'backups: {key: "env:KEY"}'],
)
def test_a_key_that_means_nothing_at_a_cloud_is_refused(tmp_path: Path, more: str) -> None:
    with pytest.raises(CatalogError, match="is for a provider of kind local"):
        _cloud(tmp_path, "paris", more)


def test_a_wrong_key_of_a_provider_is_told_without_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "refloat.yaml"
    path.write_text(
        CLOUDS.replace("account:", "acount:")
        .replace("PROVIDER", "fr")
        .replace("MORE", "heartbeat: true")
    )

    with pytest.raises(CatalogError, match=r"unknown key 'providers.paris.acount'.*'account'"):
        load_catalog(path)
