"""What an application or a configuration can go back to, as tables."""

from cli.context import Session
from cli.rollback_lines import candidates_tables, commits_table
from client.rollbacks import list_candidates, list_commits
from domain.configuration import ProtectedConfiguration
from domain.errors import CatalogError
from domain.resources import Protected
from domain.rollback import ProtectedApplication


def show_versions(session: Session, resource: Protected) -> int:
    """Show what there is to go back to, and how."""
    if isinstance(resource, ProtectedApplication):
        return _show_candidates(session, resource)
    if isinstance(resource, ProtectedConfiguration):
        return _show_commits(session, resource)
    raise CatalogError(f"{resource.path} has no versions to list")


def _show_candidates(session: Session, resource: ProtectedApplication) -> int:
    found = session.call(lambda client: list_candidates(client, resource))
    if session.json:
        session.document(found)
        return 0
    for made in candidates_tables(found):
        session.console.print(made)
    if found.problem:
        session.say(f"the registry: {found.problem}")
    session.say(f"\ngo back: refloat rollback {resource.path} --previous | --to DIGEST|TAG|COMMIT")
    return 0


def _show_commits(session: Session, resource: ProtectedConfiguration) -> int:
    found = session.call(lambda client: list_commits(client, resource))
    if session.json:
        session.document(found)
        return 0
    session.console.print(commits_table(found))
    session.say(f"\ngo back: refloat rollback {resource.path} --previous | --to COMMIT|TAG|TIME")
    return 0
