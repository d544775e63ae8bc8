"""What an application or a configuration can go back to, as tables."""

from collections.abc import Iterator

from cli.context import Session
from cli.printing import last_lines
from cli.rollback_lines import candidates_tables, commits_table
from client.questions import last_runs
from client.rollbacks import list_candidates, list_commits
from domain.configuration import ProtectedConfiguration
from domain.errors import CatalogError
from domain.resources import KubernetesPlatform, Protected
from domain.rollback import ROLLBACK_RTO, ProtectedApplication
from domain.values import show_span


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


def show_resource(session: Session, resource: Protected) -> int:
    """Show where an application or a configuration is, what it can go back to, and its last runs."""
    if session.json:
        return show_versions(session, resource)
    last = session.call(lambda client: last_runs(client, resource))
    for line in (*_about(resource), *last_lines(last, f"refloat rollback {resource.path} --plan")):
        session.say(line)
    session.say("")
    return show_versions(session, resource)


def _about(resource: Protected) -> Iterator[str]:
    if isinstance(resource, ProtectedApplication):
        platform = resource.platform
        where = platform.workload if isinstance(platform, KubernetesPlatform) else "this machine"
        yield f"{resource.path}: {resource.image} on {platform.kind}, {where}"
        yield f"  health: {resource.health.url if resource.health else 'no address in the catalog'}"
    if isinstance(resource, ProtectedConfiguration):
        repository = resource.repository
        yield f"{resource.path}: {repository.path or 'all'} of {repository.url}, {repository.branch}"
    limit = resource.objectives.rto or ROLLBACK_RTO
    yield f"  objective: RTO {show_span(limit)}"
