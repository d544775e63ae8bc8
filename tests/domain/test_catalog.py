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
