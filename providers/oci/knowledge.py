"""What a registry's own API knows beyond the distribution API."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.checks import Finding, Verdict
from providers.oci.client import OciClient
from providers.oci.credentials import Credentials

KEPT_TITLE = "the image is kept"
_KEPT_EXPECTED = "no rule of the registry that will delete it"


@dataclass(frozen=True)
class Listed:
    """One image as the registry's own list has it."""

    digest: str
    tags: tuple[str, ...] = ()
    pushed_at: datetime | None = None
    size_bytes: int = 0


class Knowledge(Protocol):
    """One kind of registry; `client` reaches the repository that is asked about."""

    def credentials(self) -> Credentials | None:
        """Return what the registry's own API gives to pull and push with, or None."""
        ...

    def listed(self, client: OciClient) -> Sequence[Listed] | None:
        """Return every image with when it was pushed, or None where it knows no more."""
        ...

    def examine(
        self, client: OciClient, digest: str, tags: Sequence[str] | None
    ) -> Sequence[Finding]:
        """Return whether the image stays: rules, locks, storage classes.

        `tags` are those that mean it, and None where its manifest cannot be had.
        """
        ...

    def protect(self, client: OciClient, digest: str) -> str:
        """Lock an image where the registry can, and return how, or nothing."""
        ...


def kept(observed: str, verdict: Verdict, advice: str = "") -> Finding:
    """Return the finding about what the registry will delete by itself."""
    return Finding(
        name=KEPT_TITLE,
        kind="retention",
        expected=_KEPT_EXPECTED,
        observed=observed,
        verdict=verdict,
        advice=advice,
    )


def by_tags(tags: Sequence[str], otherwise: str) -> Finding:
    """Return the finding where only what is untagged may go; `otherwise` is what else is known."""
    if tags:
        return kept(f"tagged {', '.join(tags)}; {otherwise}", Verdict.PASSED)
    return kept(
        f"no tag names it, and what is untagged goes with the next clean-up; {otherwise}",
        Verdict.UNPROVEN,
        "give it a tag; Refloat does when the image is gone back to, where it may push",
    )


class Plain(Knowledge):
    """A registry that tells nothing beyond the distribution API, which knows of no rules."""

    def credentials(self) -> Credentials | None:
        """Return none of its own."""
        return None

    def listed(self, client: OciClient) -> Sequence[Listed] | None:
        """Return that it knows no more."""
        del client
        return None

    def examine(
        self, client: OciClient, digest: str, tags: Sequence[str] | None
    ) -> Sequence[Finding]:
        """Return whether a tag keeps the image from the rules about untagged ones."""
        del client, digest
        if tags is None:
            return []
        return [by_tags(tags, "the distribution API tells no rules")]

    def protect(self, client: OciClient, digest: str) -> str:
        """Return that nothing can be locked."""
        del client, digest
        return ""
