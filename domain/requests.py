"""What every recovery was asked, whatever it brings back."""

from datetime import datetime, timedelta
from typing import Protocol

from domain.resources import Mode, Protected


class AnyRequest(Protocol):
    """One recovery as it was asked for; the target tells itself as people name it."""

    @property
    def id(self) -> str:
        """Idempotency key of the run."""
        ...

    @property
    def resource(self) -> Protected:
        """What is brought back."""
        ...

    @property
    def target(self) -> object:
        """What it goes back to."""
        ...

    @property
    def mode(self) -> Mode:
        """Incident or drill."""
        ...

    @property
    def rto(self) -> timedelta:
        """Recovery time objective."""
        ...

    @property
    def started_counting_at(self) -> datetime:
        """Moment from which the clock counts, UTC."""
        ...

    @property
    def requested_at(self) -> datetime:
        """Moment of the request, UTC."""
        ...

    @property
    def incident_at(self) -> datetime | None:
        """Moment of the impact, UTC, where it was given."""
        ...

    @property
    def requested_by(self) -> str:
        """Account that asked."""
        ...

    @property
    def part_of(self) -> str:
        """Id of the workflow that brings several things back as one, or nothing."""
        ...

    @property
    def reason(self) -> str:
        """Why, in its words."""
        ...
