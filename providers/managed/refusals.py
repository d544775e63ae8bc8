"""How an error is told by a provider that answers with codes, a message and a status; and what fits it."""

import re
from dataclasses import dataclass

from domain.errors import RecoveryError


@dataclass(frozen=True)
class Told:
    """What is known of an error."""

    codes: tuple[str, ...] = ()
    message: str = ""
    status: int = 0
    """HTTP status; 0 for a failed operation and for what never was an answer."""
    raised: Exception | None = None


@dataclass(frozen=True)
class Row:
    """One way in which an error is told; every condition that it states must hold."""

    becomes: type[RecoveryError]
    meaning: str
    codes: tuple[str, ...] = ()
    like: str = ""
    """Pattern of codes."""
    says: str = ""
    """Pattern of the message."""
    statuses: tuple[int, ...] = ()
    raised: tuple[type[Exception], ...] = ()

    def fits(self, told: Told) -> bool:
        """Return whether this row is about the error; codes are spelled in many ways."""
        named = {spelled(code) for code in told.codes}
        return (
            (not self.codes or any(spelled(code) in named for code in self.codes))
            and (not self.like or any(_found(self.like, code) for code in told.codes))
            and (not self.says or _found(self.says, told.message))
            and (not self.statuses or told.status in self.statuses)
            and (not self.raised or isinstance(told.raised, self.raised))
        )


def spelled(code: str) -> str:
    """Return a code without the marks by which its spellings differ."""
    return re.sub(r"[^a-z0-9]", "", code.lower()).removeprefix("error")


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None
