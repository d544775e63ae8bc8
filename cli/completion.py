"""Completes what the catalog knows; a catalog that cannot be read completes nothing."""

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from client.catalog_file import find_catalog, load_catalog
from domain.catalog import Catalog
from domain.errors import RecoveryError
from domain.resources import Protected


def resource_paths(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the paths of databases that begin with what was typed."""
    return _paths(context, incomplete, lambda catalog: catalog.resources())


def rollback_paths(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the paths of applications and configurations that begin with what was typed."""
    return _paths(
        context, incomplete, lambda catalog: (*catalog.applications(), *catalog.configurations())
    )


def protected_paths(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return every path that begins with what was typed."""
    return _paths(context, incomplete, lambda catalog: catalog.protected())


def environment_paths(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the environments that begin with what was typed."""
    chosen = context.find_root().params.get("catalog")
    try:
        found = load_catalog(find_catalog(chosen)).protected()
        known = dict.fromkeys(one.path.rpartition("/")[0] for one in found)
    except RecoveryError:
        return []
    return [CompletionItem(one) for one in known if one.startswith(incomplete)]


def _paths(
    context: click.Context, incomplete: str, known: Callable[[Catalog], Iterable[Protected]]
) -> list[CompletionItem]:
    chosen = context.find_root().params.get("catalog")
    try:
        found = known(load_catalog(find_catalog(chosen)))
        return [CompletionItem(one.path) for one in found if one.path.startswith(incomplete)]
    except RecoveryError:
        return []
