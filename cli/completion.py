"""Completes what the catalog knows; a catalog that cannot be read completes nothing."""

import click
from click.shell_completion import CompletionItem

from client.catalog_file import find_catalog, load_catalog
from domain.errors import RecoveryError


def resource_paths(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the resource paths that begin with what was typed."""
    chosen = context.find_root().params.get("catalog")
    try:
        known = load_catalog(find_catalog(chosen)).resources()
        return [CompletionItem(one.path) for one in known if one.path.startswith(incomplete)]
    except RecoveryError:
        return []
