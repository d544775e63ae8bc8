"""Reads the catalog file, with the line of every key."""

import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from domain.catalog import Catalog
from domain.errors import CatalogError
from domain.parsing import parse_catalog

_SANDBOX = Path(".refloat/refloat.yaml")


def find_catalog(explicit: str | None) -> Path:
    """Return the catalog to use: the one named, REFLOAT_CATALOG, ./refloat.yaml, the sandbox's.

    Raises:
        CatalogError: there is none of them.
    """
    if explicit:
        return Path(explicit)
    if os.environ.get("REFLOAT_CATALOG"):
        return Path(os.environ["REFLOAT_CATALOG"])
    for path in (Path("refloat.yaml"), _SANDBOX):
        if path.exists():
            return path
    raise CatalogError(
        "no catalog: neither refloat.yaml nor a sandbox is in this folder; name one with --catalog "
        "or REFLOAT_CATALOG, or start `refloat sandbox up`"
    )


def load_catalog(path: Path) -> Catalog:
    """Return the catalog in `path`.

    Raises:
        CatalogError: with file, line, what is wrong and what is near.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        raise CatalogError(f"{path}: {error.strerror}; name the catalog with --catalog") from None
    except UnicodeDecodeError:
        raise CatalogError(f"{path}: not text in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CatalogError(f"{path}:{line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        raise CatalogError(f"{path}: not YAML: {error}") from None
    except RecursionError:
        raise CatalogError(f"{path}: an alias that holds itself, or too many levels") from None
    if root is None or not isinstance(content, dict):
        what = "empty" if content is None else "not a mapping"
        raise CatalogError(f"{path}: {what}; a catalog has organization, providers and projects")
    try:
        marks = dict(_marks(root, (), str(path)))
    except RecursionError:
        raise CatalogError(f"{path}: an alias that holds itself, or too many levels") from None
    return parse_catalog(content, str(path), marks)


def _marks(
    node: yaml.Node, path: tuple[int | str, ...], name: str
) -> Iterator[tuple[tuple[int | str, ...], int]]:
    """Yield the line of every key; a key written twice is refused."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise CatalogError(
                    f"{name}:{line}: key {key.value!r} is written twice (first in line {seen[key.value]})"
                )
            seen[key.value] = line
            yield (*path, key.value), line
            yield from _marks(value, (*path, key.value), name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _marks(value, (*path, index), name)
