"""What is said of a catalog file that cannot be used."""

from pathlib import Path

import pytest

from client.catalog_file import find_catalog, load_catalog
from domain.errors import CatalogError

GOOD = """\
organization: acme
providers:
  here: {kind: local}
projects:
  shop:
    environments:
      production:
        databases:
          orders:
            provider: here
            engine: postgresql
            instance: orders
            connection: {database: shop, user: refloat}
"""


def _load(folder: Path, text: str) -> str:
    path = folder / "refloat.yaml"
    path.write_text(text)
    with pytest.raises(CatalogError) as told:
        load_catalog(path)
    return str(told.value).replace(f"{folder}/", "")


def test_a_good_catalog_is_read(tmp_path: Path) -> None:
    path = tmp_path / "refloat.yaml"
    path.write_text(GOOD)

    [found] = load_catalog(path).resources()

    assert found.path == "shop/production/orders"


def test_an_unknown_key_is_told_with_its_line_and_the_nearest_key(tmp_path: Path) -> None:
    told = _load(tmp_path, GOOD.replace("instance: orders", "instnce: orders"))

    assert "refloat.yaml:12: unknown key" in told
    assert "did you mean 'instance'?" in told


def test_a_key_written_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    told = _load(tmp_path, GOOD + "            instance: other\n")

    assert told == "refloat.yaml:14: key 'instance' is written twice (first in line 12)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "refloat.yaml: empty; a catalog has organization"),
        ("# nothing\n", "refloat.yaml: empty"),
        ("- one\n", "refloat.yaml: not a mapping"),
        ("organization: [acme\n", "refloat.yaml:2: not YAML"),
        ("a: 1\n---\nb: 2\n", "refloat.yaml:2: not YAML"),
        ("organization: 2026-13-45\n", "refloat.yaml: not YAML: month must be in 1..12"),
        ("organization: \x07\n", "refloat.yaml: not YAML"),
        ("a: &a [*a]\n", "refloat.yaml: an alias that holds itself"),
    ],
)
def test_what_is_no_catalog_is_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    assert _load(tmp_path, text).startswith(told)


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"No such file.*--catalog"):
        load_catalog(tmp_path / "missing.yaml")
    with pytest.raises(CatalogError, match="Is a directory"):
        load_catalog(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogError, match="not text"):
        load_catalog(tmp_path / "binary")


def test_the_catalog_is_looked_for_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFLOAT_CATALOG", raising=False)
    with pytest.raises(CatalogError, match="sandbox up"):
        find_catalog(None)

    (tmp_path / ".refloat").mkdir()
    (tmp_path / ".refloat/refloat.yaml").write_text(GOOD)
    assert find_catalog(None) == Path(".refloat/refloat.yaml")
    (tmp_path / "refloat.yaml").write_text(GOOD)
    assert find_catalog(None) == Path("refloat.yaml")
    monkeypatch.setenv("REFLOAT_CATALOG", "named.yaml")
    assert find_catalog(None) == Path("named.yaml")
    assert find_catalog("given.yaml") == Path("given.yaml")
